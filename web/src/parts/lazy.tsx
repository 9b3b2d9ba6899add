// What is loaded, with its texts, when it is first shown. What was loaded stays.
import { useEffect, useState } from 'preact/hooks';
import type { ComponentType } from 'preact';
import { loadArea, t, type Area } from '../core/i18n.ts';
import { Button } from './button.tsx';
import { Waiting } from './loading.tsx';
import { Empty } from './small.tsx';

type Load<P> = () => Promise<{ default: ComponentType<P> }>;

let styles: Promise<unknown> | undefined;

/** The rules of all screens but the first come in one sheet: their order does not depend on what was opened before. */
function loadStyles(): Promise<unknown> {
  styles ??= new Promise((done, fail) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = document.querySelector<HTMLMetaElement>('meta[name=screens]')?.content ?? '';
    link.onload = done;
    link.onerror = () => {
      styles = undefined;
      link.remove();
      fail(new Error(link.href));
    };
    document.head.append(link);
  });
  return styles;
}

const isKnown = new Map<unknown, ComponentType<never>>();

/** A component that is loaded, with its texts, when it is first shown. */
export function lazy<P extends object>(area: Area, load: Load<P>): ComponentType<P> {
  return function Lazy(props: P) {
    const [, setTurn] = useState(0);
    const [isFailed, setFailed] = useState(false);
    const Found = isKnown.get(load) as ComponentType<P> | undefined;
    const fetchIt = (): void => {
      setFailed(false);
      Promise.all([load(), loadArea(area), loadStyles()]).then(
        ([module]) => { isKnown.set(load, module.default as ComponentType<never>); setTurn((n) => n + 1); },
        () => setFailed(true),
      );
    };
    useEffect(() => {
      if (!Found)
        fetchIt();
    }, []);
    if (Found)
      return <Found {...props} />;
    if (!isFailed)
      return <Waiting />;
    // The server is away, or has been upgraded and this page's parts are gone.
    return <Empty icon="warn" title={t('view.failed')}><p class="quiet">{t('view.failedHelp')}</p><div class="row"><Button icon="reload" onClick={fetchIt}>{t('retry')}</Button><Button onClick={() => location.reload()}>{t('view.reload')}</Button></div></Empty>;
  };
}
