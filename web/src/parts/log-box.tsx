// Lines that come one after the other. The end is followed, until somebody scrolls up to read.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { Button } from './button.tsx';

const NEAR_PX = 24;

export function LogBox(p: { label: string; lines: readonly string[]; empty?: string }) {
  const box = useRef<HTMLPreElement>(null);
  const top = useRef(0);
  const [isFollowing, setFollowing] = useState(true);
  const toEnd = (): void => {
    if (box.current)
      box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    const e = box.current;
    if (!e)
      return;
    // Somebody may have scrolled up, and the event that says so not be there yet.
    if (isFollowing && e.scrollTop < Math.min(top.current, e.scrollHeight - e.clientHeight) - NEAR_PX)
      setFollowing(false);
    else if (isFollowing)
      toEnd();
    top.current = e.scrollTop;
  }, [p.lines, isFollowing]);
  const look = (): void => {
    const e = box.current;
    if (e)
      setFollowing(e.scrollHeight - e.scrollTop - e.clientHeight < NEAR_PX);
  };
  return (
    <div class="log-around">
      <pre ref={box} class="log" tabIndex={0} role="log" aria-label={p.label} onScroll={look}>{p.lines.length ? p.lines.map((l) => `${l}\n`).join('') : <span class="quiet">{p.empty}</span>}</pre>
      {!isFollowing && <div class="log-follow"><Button icon="down" onClick={() => { toEnd(); setFollowing(true); }}>{t('node.log.toEnd')}</Button></div>}
    </div>
  );
}
