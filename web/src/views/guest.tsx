// One guest: what it does at the top, its tabs below. Each tab has an address.
import { stateOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import type { PathParams } from '../core/router.ts';
import { store } from '../core/store.ts';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Tabs } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { GuestActions } from './guest-actions.tsx';
import { GuestTab, tabsOf } from './guest-tabs.tsx';

export default function GuestPage({ params }: { params: PathParams }) {
  const vmid = params['vmid'] ?? '';
  const tab = params['tab'] ?? 'summary';
  void store.tables.guest.ids.value; // comes and goes with the guest
  const g = store.tables.guest.row(vmid)?.value;
  if (!g)
    return hasLoaded.value ? <Empty icon="guests" title={t('guest.gone', { id: vmid })}><a href="/guests">{t('nav.guests')}</a></Empty> : <Waiting />;
  return (
    <div class="view" key={vmid /* what was typed or asked for one guest is not for the next */}>
      <header class="view-head row wrap">
        <div class="grow guest-title">
          <p class="crumbs"><a href="/guests">{t('nav.guests')}</a></p>
          <h1 class="row wrap"><span>{g.name}</span><span class="quiet num">{g.vmid}</span><State state={stateOf(g)} />{g.lock && <span class="lock"><State state="busy" isBare />{g.lock}</span>}</h1>
        </div>
        <GuestActions guest={g} />
      </header>
      <Tabs label={g.name} current={`/guests/${vmid}/${tab}`} tabs={tabsOf(g)} />
      <GuestTab guest={g} id={tab} />
    </div>
  );
}
