// Start, shut down or pause the guests of a node: which, in which order, and then what becomes of each.
import { useState } from 'preact/hooks';
import { get, post, type Values } from '../core/api.ts';
import { guestPath, stateOf } from '../core/guests.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canGuest } from '../core/perms.ts';
import { setQuery } from '../core/router.ts';
import { inOrder, orderOf } from '../core/start-order.ts';
import { store, type Guest } from '../core/store.ts';
import { outcome } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Check, Field } from '../parts/field.tsx';
import type { IconName } from '../parts/icon.tsx';
import { Loading } from '../parts/loading.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

export interface AllGuests { id: 'startall' | 'stopall' | 'suspendall'; label: Key; icon: IconName; fits: (g: Guest) => boolean; none: Key }

export const ALL_GUESTS: readonly AllGuests[] = [
  { id: 'startall', label: 'node.startAll', icon: 'play', fits: (g) => g.status === 'stopped' && !g.template, none: 'node.noneToStart' },
  { id: 'stopall', label: 'node.stopAll', icon: 'stop', fits: (g) => g.status !== 'stopped', none: 'node.noneToStop' },
  { id: 'suspendall', label: 'node.suspendAll', icon: 'pause', fits: (g) => stateOf(g) === 'running', none: 'node.noneToStop' },
];

interface Item { vmid: number; name: string; startup: string; onboot: boolean }
interface Config { startup?: string; onboot?: number }

const AT_ONCE = 8;

/** The order is in each guest's configuration. */
async function load(node: string, action: AllGuests): Promise<Item[]> {
  const guests = store.tables.guest.all().map((g) => g.peek()).filter((g) => g.node === node && action.fits(g) && canGuest(g.vmid, 'VM.PowerMgmt'));
  const items: Item[] = [];
  const left = [...guests];
  const worker = async (): Promise<void> => {
    for (let g = left.shift(); g; g = left.shift()) {
      const config: Config = canGuest(g.vmid, 'VM.Audit') ? await get<Config>(`${guestPath(g)}/config`) : {};
      items.push({ vmid: g.vmid, name: g.name, startup: config.startup ?? '', onboot: config.onboot === 1 });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return inOrder(items, action.id !== 'startall');
}

function Row(p: { item: Item; isChosen: boolean; isFixed: boolean; onChange: (on: boolean) => void }) {
  const g = store.tables.guest.row(String(p.item.vmid))?.value;
  const order = orderOf(p.item.startup);
  return (
    <li class="row">
      <label class="row grow all-guest"><input type="checkbox" checked={p.isChosen} disabled={p.isFixed} onChange={(e) => p.onChange(e.currentTarget.checked)} />
        <span class="ellipsis">{p.item.name} <span class="quiet num">{p.item.vmid}</span></span></label>
      {order !== undefined && <span class="tag">{t('node.order', { n: order })}</span>}
      {p.item.onboot && <span class="tag">{t('node.onboot')}</span>}
      {g && <State state={g.lock ? 'busy' : stateOf(g)} />}
    </li>
  );
}

interface Options { workers: string; timeout: string; isForced: boolean }

function valuesOf(action: AllGuests, vms: readonly number[], o: Options): Values {
  const all = { vms: vms.join(','), 'max-workers': o.workers || undefined };
  if (action.id === 'startall')
    return { ...all, force: true };
  return action.id === 'stopall' ? { ...all, 'force-stop': o.isForced, timeout: o.timeout || undefined } : all;
}

function Form({ node, action, items, onClose }: { node: string; action: AllGuests; items: readonly Item[]; onClose: () => void }) {
  const [chosen, setChosen] = useState<ReadonlySet<number>>(() => new Set(items.filter((i) => action.id !== 'startall' || i.onboot).map((i) => i.vmid)));
  const [options, setOptions] = useState<Options>({ workers: '', timeout: '', isForced: true });
  const [upid, setUpid] = useState('');
  const [error, setError] = useState<unknown>(null);
  const task = upid ? store.tables.task.row(upid)?.value : undefined;
  void store.tables.task.ids.value;
  const path = `${nodePath(node)}/${action.id}`;
  const values = valuesOf(action, items.map((i) => i.vmid).filter((id) => chosen.has(id)), options);
  const toggle = (id: number, on: boolean): void => setChosen(new Set(on ? [...chosen, id] : [...chosen].filter((x) => x !== id)));
  const start = async (): Promise<void> => {
    setError(null);
    try {
      setUpid(await post<string>(path, values));
    } catch (e) {
      setError(e);
    }
  };
  const isOver = task?.endtime !== undefined;
  return (
    <div class="stack">
      <p class="quiet">{t(action.id === 'startall' ? 'node.startOrder' : 'node.stopOrder')}</p>
      <ol class="items">{items.map((i) => <Row key={i.vmid} item={i} isChosen={chosen.has(i.vmid)} isFixed={upid !== ''} onChange={(on) => toggle(i.vmid, on)} />)}</ol>
      {!upid && <div class="pair">
        <Field label={t('node.atOnce')} type="number" value={options.workers} onInput={(workers) => setOptions({ ...options, workers })} help={t('node.atOnceHelp')} />
        {action.id === 'stopall' && <Field label={t('node.timeout')} type="number" value={options.timeout} onInput={(timeout) => setOptions({ ...options, timeout })} help={t('node.timeoutHelp')} />}
      </div>}
      {!upid && action.id === 'stopall' && <Check label={t('node.forceStop')} help={t('confirm.hard')} value={options.isForced} onChange={(isForced) => setOptions({ ...options, isForced })} />}
      {!upid && <EqualCall method="POST" path={path} values={values} />}
      {error !== null && <ErrorBox error={error} />}
      {upid && task && isOver && <p class={outcome(task) === 'ok' ? '' : 'warn-text'} role="status">{outcome(task) === 'ok' ? t('node.allDone') : t('node.notAllDone', { why: task.status ?? '' })}</p>}
      <footer class="row dialog-foot">
        {upid ? <><Button icon="log" onClick={() => { onClose(); setQuery({ task: upid }, { push: true }); }}>{t('task.log')}</Button><Button tone="main" onClick={onClose}>{isOver ? t('close') : t('bulk.background')}</Button></>
          : <><Button onClick={onClose}>{t('cancel')}</Button><Button tone={action.id === 'stopall' ? 'danger' : 'main'} isDisabled={chosen.size === 0} onClick={() => void start()}>{t('bulk.go', { n: chosen.size })}</Button></>}
      </footer>
    </div>
  );
}

export function AllGuestsDialog({ node, action, onClose }: { node: string; action: AllGuests; onClose: () => void }) {
  const list = useLoad(`${node} ${action.id}`, '', () => load(node, action));
  return (
    <Dialog title={`${t(action.label)}: ${node}`} onClose={onClose}>
      <Loading of={list}>{(items) => (items.length ? <Form node={node} action={action} items={items} onClose={onClose} />
        : <><p>{t(action.none)}</p><footer class="row dialog-foot"><Button tone="main" onClick={onClose}>{t('close')}</Button></footer></>)}</Loading>
    </Dialog>
  );
}
