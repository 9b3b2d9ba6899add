// A guest at a glance: what it uses, what wants attention, where it can be reached, what it is made of.
import { get, post } from '../core/api.ts';
import { isAgentOn } from '../core/agent.ts';
import { bytes, duration, percent } from '../core/format.ts';
import { guestPath, stateOf, tagsOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import { href } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { Charts, type ChartDef } from '../parts/charts.tsx';
import { Icon } from '../parts/icon.tsx';
import { Facts, Meter, Panel, Tag } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { Addresses, useAddresses } from './guest-addresses.tsx';
import { Devices } from './guest-devices.tsx';
import { TaskList, tasksOfGuest } from './task-list.tsx';

export type Config = Readonly<Record<string, unknown>>;
interface Current { qmpstatus?: string; 'running-machine'?: string; 'running-qemu'?: string; agent?: number }
interface PendingRow { key: string; pending?: unknown; delete?: number }

const charts = (g: Guest): readonly ChartDef[] => [
  { title: t('guest.cpu'), unit: 'percent', lines: [{ field: 'cpu', label: t('guest.use') }], max: 1 },
  { title: t('guest.memory'), unit: 'bytes', lines: [{ field: 'mem', label: t('guest.use') }], ...(g.maxmem ? { max: g.maxmem } : {}) },
  { title: t('guest.network'), unit: 'bytes/s', lines: [{ field: 'netin', label: t('guest.netin') }, { field: 'netout', label: t('guest.netout') }] },
  { title: t('guest.diskio'), unit: 'bytes/s', lines: [{ field: 'diskread', label: t('guest.diskread') }, { field: 'diskwrite', label: t('guest.diskwrite') }] },
];

/** The guest stands still: somebody has paused it, or there was no room for what it wrote. */
function Paused({ guest: g, isFull, onDone }: { guest: Guest; isFull: boolean; onDone: () => void }) {
  const resume = async (): Promise<void> => {
    await act(`${t('action.resume')} ${g.name}`, () => post(`${guestPath(g)}/status/resume`));
    onDone();
  };
  return (
    <li><Icon name="pause" /><span class="grow">{t(isFull ? 'guest.warn.io' : 'guest.warn.paused')}</span>
      {isFull && <a href="/storage">{t('nav.storage')}</a>}
      {canGuest(g.vmid, 'VM.PowerMgmt') && <Button icon="play" onClick={() => void resume()}>{t('action.resume')}</Button>}</li>
  );
}

/** What is not as it should be, each with the place where it can be changed. */
function Warnings({ guest: g, pending, onDone }: { guest: Guest; pending: readonly PendingRow[]; onDone: () => void }) {
  const waiting = pending.filter((p) => p.pending !== undefined || p.delete).map((p) => p.key);
  const list: (readonly [string, string, string])[] = [];
  if (waiting.length)
    list.push(['pending', t('guest.warn.pending', { n: waiting.length, keys: waiting.join(', ') }), href('guests', g.vmid, 'hardware')]);
  if (g.lock)
    list.push(['lock', t('guest.warn.lock', { lock: g.lock }), href('guests', g.vmid, 'tasks')]);
  const state = stateOf(g);
  const isPaused = state === 'paused' || state === 'io-error';
  if (!list.length && !isPaused)
    return null;
  return (
    <ul class="warnings">
      {isPaused && <Paused guest={g} isFull={state === 'io-error'} onDone={onDone} />}
      {list.map(([id, text, to]) => <li key={id}><Icon name="warn" /><span class="grow">{text}</span><a href={to}>{t('guest.look')}</a></li>)}
    </ul>
  );
}

function Use({ guest: g, current }: { guest: Guest; current: Current | null }) {
  const isUp = g.status !== 'stopped';
  const cpus = t('guest.cpus', { n: g.maxcpu ?? 1 });
  return (
    <Panel title={t('guest.use')}>
      <div class="uses">
        <div class="use">{t('guest.cpu')}<Meter value={isUp ? (g.cpu ?? 0) : 0} max={1} label={t('guest.cpu')} text={isUp ? `${percent(g.cpu ?? 0)} · ${cpus}` : cpus} /></div>
        <div class="use">{t('guest.memory')}<Meter isCalm value={isUp ? (g.mem ?? 0) : 0} max={g.maxmem ?? 0} label={t('guest.memory')} text={isUp ? t('of', { part: bytes(g.mem ?? 0), all: bytes(g.maxmem ?? 0) }) : bytes(g.maxmem ?? 0)} /></div>
      </div>
      <Facts facts={[
        ...(current?.qmpstatus && current.qmpstatus !== g.status ? [[t('guest.qmpstatus'), current.qmpstatus] as const] : []), [t('guest.uptime'), g.uptime ? duration(g.uptime) : '–'],
        [t('guest.disk'), g.maxdisk ? bytes(g.maxdisk) : '–'],
      ]} />
    </Panel>
  );
}

function engineText(config: Config | null, current: Current | null): string {
  const engine = String(config?.['engine'] ?? '');
  const name = engine === 'vmm' ? 'Holm VMM' : engine === 'qemu' ? 'QEMU' : engine || '–';
  return current?.['running-qemu'] ? `${name} ${current['running-qemu']}` : name;
}

function About({ guest: g, config, current }: { guest: Guest; config: Config | null; current: Current | null }) {
  const flag = (key: string): string => t(String(config?.[key] ?? '0') === '1' ? 'yes' : 'no');
  return (
    <Panel title={t('guest.about')}>
      <Facts facts={[
        [t('guest.id'), <span class="num">{g.vmid}</span>], [t('guest.node'), g.node], [t('guest.pool'), g.pool || '–'],
        [t('guest.engine'), engineText(config, current)], [t('guest.machine'), String(current?.['running-machine'] ?? config?.['machine'] ?? '–')],
        [t('guest.onboot'), flag('onboot')], [t('guest.protected'), flag('protection')],
        [t('guest.tags'), tagsOf(g).length ? <span class="row wrap">{tagsOf(g).map((tag) => <Tag key={tag} name={tag} />)}</span> : '–'],
      ]} />
    </Panel>
  );
}

function Notes({ guest: g, config }: { guest: Guest; config: Config | null }) {
  const text = String(config?.['description'] ?? '').trim();
  if (!text && !canGuest(g.vmid, 'VM.Config.Options'))
    return null;
  return (
    <Panel title={t('key.description')} tools={canGuest(g.vmid, 'VM.Config.Options') && <a href={href('guests', g.vmid, 'options')}>{t('guest.change')}</a>}>
      {text ? <p class="notes pad">{text}</p> : <p class="quiet pad">{t('guest.noNotes')}</p>}
    </Panel>
  );
}

export function GuestSummary({ guest: g }: { guest: Guest }) {
  const path = guestPath(g);
  const tasks = tasksOfGuest(String(g.vmid));
  const version = `${stateOf(g)} ${g.lock ?? ''} ${g.name} ${g.tags ?? ''} ${g.maxmem} ${g.maxcpu} ${tasks.filter((x) => x.endtime !== undefined && x.type !== 'qmdestroy').length}`; // who has been destroyed has nothing to ask for
  const config = useLoad(`${path} config`, version, () => get<Config>(`${path}/config`)).value;
  const { value: current, reload } = useLoad(`${path} current`, version, () => get<Current>(`${path}/status/current`));
  const pending = useLoad(`${path} pending`, version, () => get<PendingRow[]>(`${path}/pending`)).value ?? [];
  const addresses = useAddresses(g, isAgentOn(config?.['agent']) && stateOf(g) === 'running' && canGuest(g.vmid, 'VM.GuestAgent.Audit'));
  return (
    <div class="stack">
      <Warnings guest={g} pending={pending} onDone={reload} />
      <div class="board">
        <Use guest={g} current={current} />
        <About guest={g} config={config} current={current} />
        <Addresses guest={g} config={config} found={addresses} />
        <Devices guest={g} config={config} />
        <Notes guest={g} config={config} />
        <Panel title={t('dashboard.recent')} tools={<a href={href('guests', g.vmid, 'tasks')}>{t('dashboard.allTasks')}</a>}><TaskList tasks={tasks.slice(0, 5)} /></Panel>
      </div>
      {!g.template && <Charts path={path} charts={charts(g)} />}
    </div>
  );
}
