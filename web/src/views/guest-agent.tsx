// The agent in the guest: what it knows, and what it can be asked to do. Where it is off or silent: what it takes.
import { useEffect } from 'preact/hooks';
import { get, put } from '../core/api.ts';
import { isAgentOn, tellAgent, withAgent } from '../core/agent.ts';
import { guestPath, stateOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import type { Guest } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { AgentExec } from './guest-agent-exec.tsx';
import { AgentFacts } from './guest-agent-facts.tsx';
import { AgentFiles } from './guest-agent-files.tsx';

const AGAIN_MS = 10_000;
const INSTALL = [['Debian, Ubuntu', 'apt install qemu-guest-agent'], ['Fedora, RHEL', 'dnf install qemu-guest-agent'], ['Alpine', 'apk add qemu-guest-agent'], ['Windows', 'virtio-win-guest-tools.exe']] as const;

function Off({ guest: g, value, onDone }: { guest: Guest; value: unknown; onDone: () => void }) {
  const enable = async (): Promise<void> => {
    await act(t('agent.enable'), () => put(`${guestPath(g)}/config`, { agent: withAgent(value) }));
    onDone();
  };
  return (
    <Empty icon="guests" title={t('agent.offTitle')}>
      <p class="quiet">{t('agent.offHelp')}</p>
      {canGuest(g.vmid, 'VM.Config.Options') && <Button tone="main" onClick={() => void enable()}>{t('agent.enable')}</Button>}
    </Empty>
  );
}

function Silent({ onRetry }: { onRetry: () => void }) {
  return (
    <Empty icon="warn" title={t('agent.silentTitle')}>
      <p class="quiet">{t('agent.silentHelp')}</p>
      <dl class="install">{INSTALL.map(([system, command]) => <div key={system}><dt>{system}</dt><dd><code>{command}</code></dd></div>)}</dl>
      <Button icon="reload" onClick={onRetry}>{t('agent.ping')}</Button>
    </Empty>
  );
}

function Answering({ guest: g }: { guest: Guest }) {
  const all = canGuest(g.vmid, 'VM.GuestAgent.Unrestricted');
  const may = (what: string): boolean => all || canGuest(g.vmid, `VM.GuestAgent.${what}`);
  return (
    <div class="board">
      <AgentFacts guest={g} mayManage={may('FileSystemMgmt')} mayAll={all} />
      {all && <AgentExec guest={g} />}
      {(may('FileRead') || may('FileWrite')) && <AgentFiles guest={g} mayRead={may('FileRead')} mayWrite={may('FileWrite')} />}
    </div>
  );
}

function Present({ guest: g }: { guest: Guest }) {
  const { value, error, reload } = useLoad(`ping ${g.vmid}`, g.status, async () => { await tellAgent(g, 'ping'); return true; });
  const isSilent = error !== null;
  useEffect(() => {
    if (!isSilent)
      return;
    const timer = setInterval(() => { if (!document.hidden) reload(); }, AGAIN_MS);
    return () => clearInterval(timer);
  }, [isSilent, reload]);
  if (isSilent)
    return <Silent onRetry={reload} />;
  return value ? <Answering guest={g} /> : <Waiting text={t('agent.asking')} />;
}

interface Pending { key: string; value?: unknown; pending?: unknown }

export default function GuestAgent({ guest: g }: { guest: Guest }) {
  const path = guestPath(g);
  const { value, error, reload } = useLoad(`agent ${path}`, `${g.status} ${g.lock ?? ''}`, () => get<Pending[]>(`${path}/pending`));
  if (error)
    return <ErrorBox error={error} onRetry={reload} />;
  if (!value)
    return <Waiting />;
  const row = value.find((p) => p.key === 'agent');
  if (!isAgentOn(row?.value) && isAgentOn(row?.pending))
    return <Empty icon="power" title={t('agent.waitsTitle')}><p class="quiet">{t('agent.waitsHelp')}</p></Empty>;
  if (!isAgentOn(row?.value))
    return <Off guest={g} value={row?.value} onDone={reload} />;
  if (stateOf(g) !== 'running')
    return <Empty icon="power" title={t('agent.notRunning')} />;
  return <Present guest={g} />;
}
