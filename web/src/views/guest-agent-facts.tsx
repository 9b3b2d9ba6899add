// What the agent tells: system, time, users, file systems, interfaces; and what it does to file systems and users.
import { useState } from 'preact/hooks';
import { post } from '../core/api.ts';
import { agentPath, askAgent, tellAgent, type AgentCpu, type AgentDisk, type AgentInfo, type AgentInterface, type AgentOs, type AgentUser, type AgentZone } from '../core/agent.ts';
import { bytes, dateTime } from '../core/format.ts';
import { t, type Key } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { act, errorText } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Check, Field } from '../parts/field.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { Facts, Meter, Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

/** One answer; an agent need not know every question, and then says so. */
function useAnswer<T>(g: Guest, command: string) {
  return useLoad(`${command} ${g.vmid}`, g.status, () => askAgent<T>(g, command));
}

const NS = 1e9, DRIFT_S = 5;

interface Clock { time: number; drift: number }

/** The guest's clock, and how far it is from the browser's. */
function useClock(g: Guest): Clock | null {
  return useLoad(`clock ${g.vmid}`, g.status, async () => {
    const time = await askAgent<number>(g, 'get-time') / NS;
    return { time, drift: Math.round(time - Date.now() / 1000) };
  }).value;
}

const clockText = (c: Clock): string => dateTime(c.time) + (Math.abs(c.drift) > DRIFT_S ? ` (${t('agent.drift', { n: c.drift })})` : '');

/** "Europe/Berlin (UTC+1)" */
function zoneText({ zone, offset }: AgentZone): string {
  const utc = `UTC${offset < 0 ? '−' : '+'}${Math.abs(offset) / 3600}`;
  return !zone ? utc : offset === 0 && zone === 'UTC' ? zone : `${zone} (${utc})`;
}

function PasswordDialog({ guest, onClose }: { guest: Guest; onClose: () => void }) {
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [isCrypted, setCrypted] = useState(false);
  const save = (): Promise<unknown> => post(`${agentPath(guest)}/set-user-password`, { username: user, password, crypted: isCrypted || undefined });
  return (
    <FormDialog title={t('agent.password')} submit={t('save')} onSubmit={save} onClose={onClose}>
      {(fields) => <>
        <Field label={t('agent.user')} value={user} onInput={setUser} error={fields['username']} isRequired hasFocus />
        <Field label={t('signin.password')} type="password" autocomplete="new-password" value={password} onInput={setPassword} error={fields['password']} isRequired />
        <Check label={t('agent.crypted')} help={t('agent.cryptedHelp')} value={isCrypted} onChange={setCrypted} />
      </>}
    </FormDialog>
  );
}

function System({ guest: g, mayAll }: { guest: Guest; mayAll: boolean }) {
  const info = useAnswer<AgentInfo>(g, 'info').value, os = useAnswer<AgentOs>(g, 'get-osinfo').value;
  const host = useAnswer<{ 'host-name': string }>(g, 'get-host-name').value, clock = useClock(g);
  const zone = useAnswer<AgentZone>(g, 'get-timezone').value, users = useAnswer<AgentUser[]>(g, 'get-users').value;
  const cpus = useAnswer<AgentCpu[]>(g, 'get-vcpus').value;
  const [isAsking, setAsking] = useState(false);
  return (
    <Panel title={t('agent.system')} tools={mayAll && <><Power guest={g} /><Button icon="key" onClick={() => setAsking(true)}>{t('agent.password')}</Button></>}>
      <Facts facts={[
        [t('tab.agent'), info ? <span class="row"><State state="ok" isBare />{t('agent.answers', { version: info.version })}</span> : '–'],
        [t('agent.os'), os?.['pretty-name'] ?? ([os?.name, os?.version].filter(Boolean).join(' ') || '–')], [t('key.kernel'), os?.['kernel-release'] ?? '–'],
        [t('agent.host'), host?.['host-name'] ?? '–'], [t('agent.time'), clock ? clockText(clock) : '–'], [t('agent.zone'), zone ? zoneText(zone) : '–'],
        [t('guest.cpu'), cpus ? t('agent.cpus', { n: cpus.filter((c) => c.online).length, all: cpus.length }) : '–'],
        [t('agent.users'), users?.length ? users.map((u) => `${u.user} (${dateTime(u['login-time'])})`).join(', ') : t('agent.nobody')],
      ]} />
      {isAsking && <PasswordDialog guest={g} onClose={() => setAsking(false)} />}
    </Panel>
  );
}

const POWER: readonly (readonly [command: string, title: Key])[] = [
  ['suspend-ram', 'agent.sleepRam'], ['suspend-disk', 'agent.sleepDisk'], ['suspend-hybrid', 'agent.sleepHybrid'], ['shutdown', 'agent.shutdown'],
];

/** What only the system in the guest can do with itself. */
function Power({ guest: g }: { guest: Guest }) {
  return (
    <Menu label={t('agent.power')} icon="power" tone="ghost">
      {POWER.map(([command, title]) => <MenuItem key={command} onClick={() => void act(`${t(title)}: ${g.name}`, () => tellAgent(g, command))}>{t(title)}</MenuItem>)}
    </Menu>
  );
}

function Disks({ guest: g, mayManage }: { guest: Guest; mayManage: boolean }) {
  const { value, error } = useAnswer<AgentDisk[]>(g, 'get-fsinfo');
  const frozen = useLoad(`frozen ${g.vmid}`, g.status, () => tellAgent<string>(g, 'fsfreeze-status'));
  const isFrozen = frozen.value === 'frozen';
  const tell = async (what: string, command: string): Promise<void> => {
    await act(`${what} ${g.name}`, () => tellAgent(g, command));
    frozen.reload();
  };
  const tools = mayManage && <span class="row wrap">
    <Button onClick={() => void tell(t('agent.trim'), 'fstrim')} isDisabled={isFrozen}>{t('agent.trim')}</Button>
    {isFrozen ? <Button tone="main" onClick={() => void tell(t('agent.thaw'), 'fsfreeze-thaw')}>{t('agent.thaw')}</Button>
      : <Button onClick={() => void tell(t('agent.freeze'), 'fsfreeze-freeze')}>{t('agent.freeze')}</Button>}
  </span>;
  return (
    <Panel title={t('agent.disks')} tools={tools}>
      {isFrozen && <p class="pad warn-text">{t('agent.isFrozen')}</p>}
      {error !== null && <p class="pad quiet">{errorText(error)}</p>}
      {value && !value.length && <p class="pad quiet">{t('agent.noDisks')}</p>}
      <ul class="devices">{value?.map((d) => (
        <li key={d.mountpoint}><code class="grow">{d.mountpoint}</code><span class="quiet">{d.type}</span>
          {d['total-bytes'] ? <span class="device-meter"><Meter value={d['used-bytes'] ?? 0} max={d['total-bytes']} label={d.mountpoint} text={t('of', { part: bytes(d['used-bytes'] ?? 0), all: bytes(d['total-bytes']) })} /></span> : null}</li>
      ))}</ul>
    </Panel>
  );
}

function Interfaces({ guest: g }: { guest: Guest }) {
  const { value, error } = useAnswer<AgentInterface[]>(g, 'network-get-interfaces');
  return (
    <Panel title={t('agent.interfaces')}>
      {error !== null && <p class="pad quiet">{errorText(error)}</p>}
      <ul class="devices">{value?.map((i) => (
        <li key={i.name}><strong class="device-key">{i.name}</strong>
          <span class="grow interface"><code class="quiet">{i['hardware-address']}</code>{i['ip-addresses']?.map((a) => <code key={a['ip-address']}>{a['ip-address']}/{a.prefix}</code>)}</span>
          {i.statistics && <span class="quiet num">↓ {bytes(i.statistics['rx-bytes'])} ↑ {bytes(i.statistics['tx-bytes'])}</span>}</li>
      ))}</ul>
    </Panel>
  );
}

export function AgentFacts({ guest, mayManage, mayAll }: { guest: Guest; mayManage: boolean; mayAll: boolean }) {
  return <><System guest={guest} mayAll={mayAll} /><Disks guest={guest} mayManage={mayManage} /><Interfaces guest={guest} /></>;
}
