// What lies over a console that shows nothing now: the guest is off, the connection was lost, or the server said no.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { Revoked, type Session } from '../core/console.ts';
import { GUEST_ACTIONS, mayAct, startAction } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Empty } from '../parts/small.tsx';

function Off({ guest, onPeek }: { guest: Guest; onPeek: (() => void) | null }) {
  const start = GUEST_ACTIONS.find((a) => a.id === 'start' && mayAct(guest, a));
  return (
    <Empty icon="power" title={t('console.off', { name: guest.name })}>
      <p class="quiet">{t('console.offHelp')}</p>
      <div class="row wrap">
        {start && <Button tone="main" icon={start.icon} onClick={() => void act(`${t(start.label)} ${guest.name}`, () => startAction(guest, start))}>{t(start.label)}</Button>}
        {onPeek && <Button tone="ghost" onClick={onPeek}>{t('console.peek')}</Button>}
      </div>
    </Empty>
  );
}

/** Takes the keyboard from a console that lies below; not to a button, which somebody's next Enter would press. */
function Sheet({ children, isAlert }: { children: ComponentChildren; isAlert?: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => { if (document.activeElement?.closest('.console-surface')) ref.current?.focus(); }, []);
  return <div ref={ref} class="console-cover" tabIndex={-1} role={isAlert ? 'alert' : undefined}>{children}</div>;
}

export function Cover(p: { guest: Guest; session: Session; error: unknown; mayPeek: boolean }) {
  const [isPeeking, setPeeking] = useState(false);
  const [wasOpen, setWasOpen] = useState(false);
  const phase = p.session.phase.value, why = p.session.error.value;
  useEffect(() => {
    if (phase === 'connected')
      setWasOpen(true);
    setPeeking(false);
  }, [phase]);
  if (p.error)
    return <Sheet><Empty icon="warn" title={t('view.failed')}><p class="quiet">{t('view.failedHelp')}</p><Button onClick={() => location.reload()}>{t('view.reload')}</Button></Empty></Sheet>;
  if (phase === 'off' && !isPeeking)
    return <Sheet><Off guest={p.guest} onPeek={p.mayPeek && wasOpen ? () => setPeeking(true) : null} /></Sheet>;
  if (phase !== 'ended')
    return null;
  const again = <Button icon="reload" onClick={() => p.session.retry()}>{t('console.again')}</Button>;
  return (
    <Sheet isAlert>
      {why instanceof Revoked
        ? <Empty icon="shield" title={t('console.revoked')}><p class="quiet">{t('console.revokedHelp')}</p>{again}</Empty>
        : <Empty icon="warn" title={t('console.refused')}><ErrorBox error={why} />{again}</Empty>}
    </Sheet>
  );
}

const TICK_MS = 500;

/** The last picture stays to be read. */
export function Interruption({ session }: { session: Session }) {
  const [now, setNow] = useState(Date.now());
  const phase = session.phase.value;
  useEffect(() => {
    if (phase !== 'waiting')
      return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [phase]);
  if (phase !== 'waiting')
    return null;
  const seconds = Math.max(1, Math.ceil((session.nextTry.value - now) / 1000));
  return (
    <div class="console-lost row">
      <p class="grow"><span role="status">{t('console.lost')}</span> <span class="num">{t('console.nextTry', { n: seconds })}</span></p>
      <Button icon="reload" onClick={() => session.retry()}>{t('console.now')}</Button>
    </div>
  );
}
