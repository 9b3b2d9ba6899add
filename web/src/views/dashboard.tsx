// Where one starts: what needs attention, what is left of the machines and what of it is promised, what was done last.
// Who has no guests yet is shown the way to the first.
import { useMemo } from 'preact/hooks';
import { bytes, duration, percent } from '../core/format.ts';
import { language, t } from '../core/i18n.ts';
import { STATES, stateOf } from '../core/guests.ts';
import { hasLoaded, now } from '../core/live.ts';
import { canAnywhere, canStorage } from '../core/perms.ts';
import { href, setQuery } from '../core/router.ts';
import { store, type Node, type Storage } from '../core/store.ts';
import { outcome, taskTitle } from '../core/tasks.ts';
import { Icon, type IconName } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Meter, Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { recentTasks, TaskList } from './task-list.tsx';

const STORAGE_FULL = 0.85, MEMORY_FULL = 0.92, FAILED_FOR_S = 24 * 3600, SHOWN = 8;
const LOOK_AGAIN_S = 300;
const WATCHED = ['status', 'qmpstatus', 'maxmem', 'maxcpu', 'node', 'template'] as const;

/** to: where it can be looked at. */
export interface Concern { id: string; text: string; to?: string; run?: () => void }

function concerns(nodes: readonly Node[], storages: readonly Storage[]): Concern[] {
  const out: Concern[] = [];
  for (const n of nodes) {
    const to = href('nodes', n.node);
    if (n.status !== 'online')
      out.push({ id: n.id, to, text: t('concern.node', { name: n.node }) });
    else if (n.maxmem && (n.mem ?? 0) / n.maxmem > MEMORY_FULL)
      out.push({ id: `${n.id}-m`, to, text: t('concern.memory', { name: n.node, part: percent((n.mem ?? 0) / n.maxmem) }) });
  }
  for (const s of storages) {
    const to = href('storage', s.node, s.storage);
    if (s.status !== 'available')
      out.push({ id: s.id, to, text: t('concern.storage', { name: s.storage }) });
    else if (s.maxdisk && (s.disk ?? 0) / s.maxdisk > STORAGE_FULL)
      out.push({ id: s.id, to, text: t('concern.full', { name: s.storage, part: percent((s.disk ?? 0) / s.maxdisk) }) });
  }
  for (const task of recentTasks((x) => outcome(x) === 'failed' && x.starttime > now.value - FAILED_FOR_S).slice(0, 4))
    out.push({ id: task.upid, text: t('concern.task', { what: taskTitle(task.type, task.upid.split(':')[6] ?? ''), why: task.status ?? '' }), run: () => setQuery({ task: task.upid }, { push: true }) });
  return out;
}

/** What has to be asked for: guests that stand still, changes that wait, certificates. It comes after the rest. */
function useMoreConcerns(): readonly Concern[] {
  const turn = `${store.tables.guest.version('status')} ${store.tables.guest.version('qmpstatus')} ${Math.floor(now.value / LOOK_AGAIN_S)} ${language.value}`;
  return useLoad('concerns', turn, async () => (await import('./dashboard-concerns.ts')).look()).value ?? [];
}

function Attention({ nodes, storages }: { nodes: readonly Node[]; storages: readonly Storage[] }) {
  const list = [...concerns(nodes, storages), ...useMoreConcerns()];
  if (!list.length)
    return <p class="all-well"><State state="ok" isBare />{t('dashboard.well')}</p>;
  return (
    <ul class="concerns">
      {list.map((c) => <li key={c.id}><Icon name="warn" />{c.to ? <a href={c.to}>{c.text}</a> : <button type="button" class="link" onClick={c.run}>{c.text}</button>}</li>)}
    </ul>
  );
}

interface Promised { memory: number; cpus: number }
interface Sums { counts: ReadonlyMap<string, number>; promised: ReadonlyMap<string, Promised>; all: number }

/** Guests by state, and what those that run may take of each node. Looks again when one of WATCHED has changed. */
function useSums(): Sums {
  const table = store.tables.guest;
  const version = WATCHED.map((field) => table.version(field)).join(' ');
  return useMemo(() => {
    const counts = new Map<string, number>(), promised = new Map<string, Promised>();
    const rows = table.all();
    for (const row of rows) {
      const g = row.peek();
      const state = g.template ? 'template' : stateOf(g);
      counts.set(state, (counts.get(state) ?? 0) + 1);
      if (g.status === 'stopped')
        continue;
      const sum = promised.get(g.node) ?? { memory: 0, cpus: 0 };
      promised.set(g.node, { memory: sum.memory + (g.maxmem ?? 0), cpus: sum.cpus + (g.maxcpu ?? 0) });
    }
    return { counts, promised, all: rows.length };
  }, [table.ids.value, version]);
}

function Counts({ counts }: { counts: ReadonlyMap<string, number> }) {
  const number = (n: number): string => new Intl.NumberFormat(language.value).format(n);
  return (
    <div class="counts">
      {STATES.map((s) => (s === 'running' || s === 'stopped' || counts.get(s)) && (
        <a key={s} href={`/guests?state=${s}`} class="count"><span class="num">{number(counts.get(s) ?? 0)}</span><State state={s} /></a>
      ))}
      {counts.get('template') && <span class="count"><span class="num">{number(counts.get('template') ?? 0)}</span><span class="quiet">{t('dashboard.templates')}</span></span>}
    </div>
  );
}

function NodeRow({ node, promised }: { node: Node; promised: Promised }) {
  const isMore = promised.memory > (node.maxmem ?? Infinity);
  return (
    <li class="capacity">
      <span class="row"><State state={node.status} isBare /><a href={href('nodes', node.node)} class="ellipsis grow"><strong>{node.node}</strong></a><span class="quiet num">{node.uptime ? duration(node.uptime) : ''}</span></span>
      <div class="capacity-meters">
        <div class="use">{t('guest.cpu')}<Meter value={node.cpu ?? 0} max={1} label={t('guest.cpu')} />
          {!!node.maxcpu && <span class="promised">{t('dashboard.promisedCpus', { n: promised.cpus, all: node.maxcpu })}</span>}</div>
        <div class="use">{t('guest.memory')}<Meter value={node.mem ?? 0} max={node.maxmem ?? 0} label={t('guest.memory')} text={t('of', { part: bytes(node.mem ?? 0), all: bytes(node.maxmem ?? 0) })} />
          {!!node.maxmem && <span class={isMore ? 'promised warn-text' : 'promised'}>{t('dashboard.promised', { size: bytes(promised.memory), part: percent(promised.memory / node.maxmem) })}</span>}</div>
      </div>
    </li>
  );
}

function StorageRow({ storage: s }: { storage: Storage }) {
  return (
    <li class="capacity">
      <span class="row"><State state={s.status} isBare /><a href={href('storage', s.node, s.storage)} class="ellipsis grow"><strong>{s.storage}</strong></a><span class="quiet">{s.plugintype}</span></span>
      <div class="capacity-meters"><div class="use"><Meter value={s.disk ?? 0} max={s.maxdisk ?? 0} label={s.storage} text={t('of', { part: bytes(s.disk ?? 0), all: bytes(s.maxdisk ?? 0) })} /></div></div>
    </li>
  );
}

/** The storage that takes installation media or images from this user, if there is one. */
function bringTo(): string {
  const fits = store.tables.storage.all().map((row) => row.value).find((s) => s.status === 'available' && /\b(iso|import)\b/.test(s.content ?? '') && canStorage(s.storage, 'Datastore.AllocateTemplate'));
  return fits ? href('storage', fits.node, fits.storage, 'upload') : '/storage';
}

const STEPS: readonly { icon: IconName; title: 'welcome.image' | 'welcome.create' | 'welcome.console'; text: 'welcome.imageText' | 'welcome.createText' | 'welcome.consoleText'; to: () => string }[] = [
  { icon: 'download', title: 'welcome.image', text: 'welcome.imageText', to: bringTo },
  { icon: 'plus', title: 'welcome.create', text: 'welcome.createText', to: () => '/guests/new' },
  { icon: 'screen', title: 'welcome.console', text: 'welcome.consoleText', to: () => '/guests' },
];

function Welcome() {
  return (
    <section class="panel welcome" aria-label={t('welcome.title')}>
      <h2>{t('welcome.title')}</h2>
      <ol>{STEPS.map((step, i) => (
        <li key={step.title}><a href={step.to()}><span class="step-number num" aria-hidden="true">{i + 1}</span><Icon name={step.icon} /><strong>{t(step.title)}</strong><span class="quiet">{t(step.text)}</span></a></li>
      ))}</ol>
    </section>
  );
}

/** A storage that several nodes share is one. */
const once = (list: readonly Storage[]): Storage[] => list.filter((s, i) => !s.shared || list.findIndex((o) => o.storage === s.storage) === i);

export function Dashboard() {
  const values = <T,>(rows: readonly { value: T }[]): T[] => rows.map((r) => r.value);
  const nodes = values(store.tables.node.all()), storages = once(values(store.tables.storage.all()));
  const { counts, promised, all } = useSums();
  if (!hasLoaded.value)
    return <Waiting />;
  return (
    <div class="view">
      <header class="view-head"><h1>{t('nav.dashboard')}</h1></header>
      {all === 0 && canAnywhere('VM.Allocate') && <Welcome />}
      <div class="board">
        <Panel title={t('dashboard.attention')}><Attention nodes={nodes} storages={storages} /></Panel>
        <Panel title={t('nav.guests')}><Counts counts={counts} /></Panel>
        <Panel title={t('dashboard.nodes')}><ul>{nodes.map((n) => <NodeRow key={n.id} node={n} promised={promised.get(n.node) ?? { memory: 0, cpus: 0 }} />)}</ul></Panel>
        <Panel title={t('dashboard.storage')}><ul>{storages.map((s) => <StorageRow key={s.id} storage={s} />)}</ul></Panel>
        <div class="board-wide"><Panel title={t('dashboard.recent')} tools={<a href="/tasks">{t('dashboard.allTasks')}</a>}><TaskList tasks={recentTasks().slice(0, SHOWN)} /></Panel></div>
      </div>
    </div>
  );
}
