// The console in a window of its own, without what is around the other views.
import { useEffect } from 'preact/hooks';
import { stateOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import type { PathParams } from '../core/router.ts';
import { store } from '../core/store.ts';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { ConsoleView } from './console-view.tsx';
import { GuestActions } from './guest-actions.tsx';

/** On a phone the keyboard covers a part of the window; the console keeps to what is left. */
function useSeenHeight(): void {
  useEffect(() => {
    const seen = window.visualViewport;
    const set = (): void => document.documentElement.style.setProperty('--seen-height', `${Math.round(seen?.height ?? innerHeight)}px`);
    set();
    seen?.addEventListener('resize', set);
    return () => { seen?.removeEventListener('resize', set); document.documentElement.style.removeProperty('--seen-height'); };
  }, []);
}

export default function ConsoleWindow({ params }: { params: PathParams }) {
  const vmid = params['vmid'] ?? '';
  void store.tables.guest.ids.value; // comes and goes with the guest
  const g = store.tables.guest.row(vmid)?.value;
  const title = g ? t('console.title', { name: g.name, id: vmid }) : '';
  useSeenHeight();
  useEffect(() => {
    const before = document.title;
    if (title)
      document.title = title;
    return () => { document.title = before; };
  }, [title]);
  return (
    <div class="bare console-window">
      {g && (
        <header class="row">
          <h1 class="row grow"><a class="ellipsis" href={`/guests/${vmid}`}>{g.name}</a><span class="quiet num">{g.vmid}</span><State state={stateOf(g)} /></h1>
          <GuestActions guest={g} />
        </header>
      )}
      <main>
        {g ? <ConsoleView guest={g} isWindow />
          : hasLoaded.value ? <Empty icon="guests" title={t('guest.gone', { id: vmid })}><a href="/guests">{t('nav.guests')}</a></Empty>
          : <Waiting />}
      </main>
    </div>
  );
}
