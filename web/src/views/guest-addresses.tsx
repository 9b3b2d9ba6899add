// Where a guest can be reached, as its agent says; while that is silent, what can be done about it.
import { useEffect } from 'preact/hooks';
import { askAgent, isAgentOn, reachable, type AgentInterface } from '../core/agent.ts';
import { stateOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import { href } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/equal.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import type { Config } from './guest-summary.tsx';

const AGAIN_MS = 15_000;

export interface Found { list: readonly AgentInterface[] | null; isSilent: boolean }

/** Asked again while nobody answers (it boots) and now and then (it gets another address). */
export function useAddresses(g: Guest, isWanted: boolean): Found {
  const { value, error, reload } = useLoad(`addresses ${g.vmid} ${isWanted}`, '', () => (isWanted ? askAgent<AgentInterface[]>(g, 'network-get-interfaces') : Promise.resolve(null)));
  useEffect(() => {
    if (!isWanted)
      return;
    const timer = setInterval(() => { if (!document.hidden) reload(); }, AGAIN_MS);
    return () => clearInterval(timer);
  }, [isWanted, reload]);
  return { list: error ? null : value, isSilent: isWanted && error !== null };
}

function List({ list }: { list: readonly AgentInterface[] }) {
  const rows = reachable(list);
  if (!rows.length)
    return <p class="quiet pad">{t('agent.noAddress')}</p>;
  return (
    <ul class="devices">{rows.map((i) => (
      <li key={i.name}><span class="quiet">{i.name}</span>
        <span class="grow">{i.addresses.map((a) => <span key={a} class="row address"><code class="grow">{a}</code><Button tone="ghost" icon="copy" label={t('agent.copy', { address: a })} onClick={() => void copyText(a)} /></span>)}</span></li>
    ))}</ul>
  );
}

function Missing({ guest: g, config, isSilent }: { guest: Guest; config: Config | null; isSilent: boolean }) {
  if (stateOf(g) !== 'running')
    return <p class="quiet pad">{t('agent.notRunning')}</p>;
  if (!canGuest(g.vmid, 'VM.GuestAgent.Audit'))
    return <p class="quiet pad">{t('agent.mayNot')}</p>;
  const text = isSilent ? t('agent.silent') : isAgentOn(config?.['agent']) ? t('agent.asking') : t('agent.off');
  return <p class="pad row">{isSilent && <State state="warning" isBare />}<span class="quiet grow">{text}</span><a href={href('guests', g.vmid, 'agent')}>{t('guest.look')}</a></p>;
}

export function Addresses({ guest, config, found }: { guest: Guest; config: Config | null; found: Found }) {
  return (
    <Panel title={t('agent.addresses')}>
      {found.list ? <List list={found.list} /> : <Missing guest={guest} config={config} isSilent={found.isSilent} />}
    </Panel>
  );
}
