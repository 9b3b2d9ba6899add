// All guests: searched, filtered, selected, and acted on together. Search, filter and order are part of the address.
import { useMemo, useRef, useState } from 'preact/hooks';
import { signal, type Signal } from '@preact/signals';
import { bulkRuns, type BulkRun } from '../core/bulk.ts';
import { mayCreate } from '../core/create-rights.ts';
import { GUEST_ACTIONS, mayAct, STATES, stateOf, tagsOf } from '../core/guests.ts';
import { canAnywhere } from '../core/perms.ts';
import { language, t, type Key } from '../core/i18n.ts';
import { collatorOf, matches, parseSearch, parseSort, sortBy, sortText, type Term } from '../core/list.ts';
import { hasLoaded } from '../core/live.ts';
import { go, place, setQuery } from '../core/router.ts';
import { store, type Guest } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import type { IconName } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { Empty } from '../parts/small.tsx';
import { ColumnMenu, hiddenFor, Table } from '../parts/table.tsx';
import type { BulkKind } from './bulk.tsx';
import { mayDestroy, mayPool, maySnapshot, mayTag } from './bulk-jobs.ts';
import { GUEST_COLUMNS } from './guest-columns.tsx';
import { FilterMenu, SearchBox, useNamedView, ViewChips, ViewsMenu } from './guest-list-tools.tsx';
import { lazy } from './routes.tsx';

const BulkDialog = lazy('guest', () => import('./bulk.tsx'));
const BulkStrip = lazy('guest', () => import('./bulk-strip.tsx'));
/** Members that decide whether a guest is listed and what can be done with it. */
const WATCHED = ['name', 'tags', 'status', 'pool', 'node', 'lock', 'template'] as const;
const FIRST_SORT = 'name';
const selected = signal<ReadonlySet<string>>(new Set());
const guestTable = store.tables.guest;
/** The shown state is of two members. */
const versionOf = (field: string): number => guestTable.version(field) + (field === 'status' ? guestTable.version('qmpstatus') : 0);

function isFound(g: Guest, terms: readonly Term[]): boolean {
  return terms.length === 0 || matches(terms, `${g.name} ${g.vmid} ${g.tags ?? ''} ${g.node}`,
    { name: [g.name], id: [String(g.vmid)], tag: tagsOf(g), state: [stateOf(g)], status: [stateOf(g)], node: [g.node], pool: [g.pool ?? ''] });
}

/** The same array for the same rows, so that nothing is sorted again for nothing. */
function useStable<T>(list: readonly T[]): readonly T[] {
  const old = useRef(list);
  if (old.current.length !== list.length || old.current.some((x, i) => x !== list[i]))
    old.current = list;
  return old.current;
}

/** Looks at all rows when one of WATCHED has changed, and not when a guest uses more memory. */
function useListing(terms: readonly Term[], state: string) {
  const version = WATCHED.map((field) => versionOf(field)).join(' ');
  const ids = guestTable.ids.value;
  const all = useMemo(() => guestTable.all(), [ids]);
  const found = useMemo(() => all.filter((row) => isFound(row.peek(), terms)), [all, terms, version]);
  const rows = useStable(useMemo(() => (state ? found.filter((row) => stateOf(row.peek()) === state) : found), [found, state]));
  return { version, all, found, rows };
}

function StateFilter({ found, version, chosen }: { found: readonly Signal<Guest>[]; version: string; chosen: string }) {
  const counts = useMemo(() => {
    const map = new Map<string, number>();
    for (const row of found)
      map.set(stateOf(row.peek()), (map.get(stateOf(row.peek())) ?? 0) + 1);
    return map;
  }, [found, version]);
  const chip = (id: string, text: string, n: number) => (
    <button key={id} type="button" class="chip" aria-pressed={chosen === id} onClick={() => setQuery({ state: id || null })}>{text} <span class="num quiet">{n}</span></button>
  );
  return <>{chip('', t('guests.all'), found.length)}{STATES.map((s) => (counts.get(s) || chosen === s) && chip(s, t(`state.${s}`), counts.get(s) ?? 0))}</>;
}

interface Offer { kind: BulkKind; text: Key; icon: IconName; isDanger?: boolean; may: (g: Guest) => boolean }

const OFFERS: readonly Offer[] = [
  ...GUEST_ACTIONS.filter((a) => a.id !== 'reset').map((a): Offer => ({ kind: a, text: a.label, icon: a.icon, isDanger: a.isHard, may: (g) => mayAct(g, a) })),
  { kind: 'snapshot', text: 'snapshot.take', icon: 'camera', may: maySnapshot },
  { kind: 'tags', text: 'guests.doTags', icon: 'edit', may: mayTag },
  { kind: 'pool', text: 'guests.doPool', icon: 'guests', may: (g) => mayPool(g) && canAnywhere('Pool.Allocate') },
  { kind: 'destroy', text: 'action.destroy', icon: 'trash', isDanger: true, may: mayDestroy },
];
const FIRST_OFFERS = ['start', 'shutdown', 'stop'];
const isFirst = (o: Offer): boolean => typeof o.kind !== 'string' && FIRST_OFFERS.includes(o.kind.id);

function SelectionBar({ guests, onAct }: { guests: readonly Guest[]; onAct: (kind: BulkKind) => void }) {
  if (!guests.length)
    return null;
  const offers = OFFERS.filter((o) => guests.some(o.may));
  const rest = offers.filter((o) => !isFirst(o));
  return (
    <div class="selection row wrap" role="region" aria-label={t('guests.selection')}>
      <strong class="num">{t('guests.selected', { n: guests.length })}</strong>
      {offers.filter(isFirst).map((o) => <Button key={o.text} icon={o.icon} onClick={() => onAct(o.kind)}>{t(o.text)}</Button>)}
      {rest.length > 0 && <Menu label={t('more')} icon="more" isBare>
        {rest.map((o) => <MenuItem key={o.text} icon={o.icon} isDanger={o.isDanger ?? false} onClick={() => onAct(o.kind)}>{t(o.text)}</MenuItem>)}
      </Menu>}
      <Button tone="ghost" icon="close" label={t('guests.unselect')} onClick={() => { selected.value = new Set(); }} />
    </div>
  );
}

interface Open { kind?: BulkKind; guests?: readonly Guest[]; run?: BulkRun }

/** Not before all rows are there: thousands of them come in many messages. */
export function Guests() {
  return hasLoaded.value ? <GuestList /> : <div class="view full"><header class="view-head"><h1>{t('nav.guests')}</h1></header><Waiting /></div>;
}

function GuestList() {
  const [open, setOpen] = useState<Open | null>(null);
  const query = place.value.query;
  const text = query.get('q') ?? '', state = query.get('state') ?? '';
  const sort = parseSort(query.get('sort') || FIRST_SORT);
  const terms = useMemo(() => parseSearch(text), [text]);
  const { version, all, found, rows } = useListing(terms, state);
  useNamedView(query);
  const chosen = useMemo(() => (selected.value.size ? rows.map((row) => row.peek()).filter((g) => selected.value.has(String(g.vmid))) : []), [rows, selected.value, version]);
  const save = async (): Promise<void> => {
    const { saveGuests } = await import('./guest-csv.ts');
    const column = GUEST_COLUMNS.find((c) => c.id === sort.id);
    const guests = sortBy(rows.map((row) => row.peek()), (g) => column?.sort?.(g), sort.isDown, collatorOf(language.value));
    saveGuests(guests, GUEST_COLUMNS.filter((c) => !hiddenFor('guests', GUEST_COLUMNS).peek().includes(c.id)));
  };

  return (
    <div class="view full">
      <header class="view-head row wrap">
        <h1>{t('nav.guests')}</h1>
        <SearchBox text={text} />
        <span class="grow" />
        {mayCreate() && <Button tone="main" icon="plus" onClick={() => go('/guests/new')}>{t('action.new')}</Button>}
        <div class="row tools">
          <FilterMenu rows={all} version={version} text={text} />
          <ViewsMenu query={query} />
          <ColumnMenu name="guests" columns={GUEST_COLUMNS} />
          <Button icon="download" label={t('guests.csv')} isDisabled={!rows.length} onClick={() => void save()} />
        </div>
      </header>
      {all.length > 0 && <div class="row chips list-chips" role="group" aria-label={t('guests.byState')}><StateFilter found={found} version={version} chosen={state} /><ViewChips query={query} /></div>}
      <SelectionBar guests={chosen} onAct={(kind) => setOpen({ kind, guests: chosen })} />
      {bulkRuns.value.filter((r) => r !== open?.run).map((r) => <BulkStrip key={r.id} run={r} onShow={(run) => setOpen({ run })} />)}
      {rows.length > 0
        ? <Table name="guests" label={t('nav.guests')} columns={GUEST_COLUMNS} rows={rows} idOf={(g) => String(g.vmid)} titleOf={(g) => g.name} selected={selected} isReused
            firstSort={FIRST_SORT} sort={sort} onSort={(s) => setQuery({ sort: sortText(s) === FIRST_SORT ? null : sortText(s) })} versionOf={versionOf} onOpen={(g) => go(`/guests/${g.vmid}`)} />
        : all.length
          ? <Empty icon="search" title={t('guests.none')}><Button onClick={() => setQuery({ q: null, state: null, view: null })}>{t('guests.clear')}</Button></Empty>
          : <Empty icon="guests" title={t('guests.empty')}><p class="quiet">{t('guests.emptyHelp')}</p>{mayCreate() && <Button tone="main" icon="plus" onClick={() => go('/guests/new')}>{t('action.new')}</Button>}</Empty>}
      {open && <BulkDialog key={open.run?.id ?? 'ask'} {...open} onStart={(run) => setOpen({ run })} onClose={() => setOpen(null)} />}
    </div>
  );
}
