// One table for every list: sorted, selected and walked through by mouse, finger and keyboard; of a long list only the
// rows in sight exist. Each row is a signal, so a change repaints that row and nothing else.
import { useMemo, useRef, useState } from 'preact/hooks';
import { signal, type Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { language, t, type Key } from '../core/i18n.ts';
import { collatorOf, range, sortBy, type Sort, type SortValue } from '../core/list.ts';
import { hiddenColumns } from '../core/prefs.ts';
import { Icon } from './icon.tsx';
import { Menu } from './menu.tsx';
import { ROW_PX, useWindow } from './table-rows.ts';

export interface Column<T> {
  id: string;
  title: Key;
  /** A CSS width; one column without takes the rest. */
  width?: string;
  isEnd?: boolean;
  /** Left out where there is little room: 1 on phones, 2 already on tablets. */
  yields?: 1 | 2;
  isHidden?: boolean;
  cell: (row: T) => ComponentChildren;
  sort?: (row: T) => SortValue;
  /** The row's member that it sorts by, where it is not called as the column. */
  field?: string;
}

interface Props<T> {
  name: string;
  label: string;
  columns: readonly Column<T>[];
  rows: readonly Signal<T>[];
  idOf: (row: T) => string;
  titleOf: (row: T) => string;
  /** Absent: rows are not chosen, and there are no boxes. */
  selected?: Signal<ReadonlySet<string>>;
  firstSort: string;
  isFirstDown?: boolean;
  /** The order, where it is somebody else's to keep: part of the address. */
  sort?: Sort;
  onSort?: (sort: Sort) => void;
  /** Subscribes to a member of all rows. With it (and `rows` that stay the same array) other changes do not sort again. */
  versionOf?: (field: string) => number;
  /** Cells have no state of their own (no menu, no dialog): while one scrolls, a row that goes becomes one that comes. */
  isReused?: boolean;
  /** Enter or a double click; absent: nothing. */
  onOpen?: (row: T) => void;
}

const cellClass = <T,>(c: Column<T>): string => `${c.isEnd ? 'end num' : ''}${c.yields ? ` yields-${c.yields}` : ''}`;

/** Which columns are hidden, of each table; made once, so that two views of a table agree. */
const hiddenOf = new Map<string, Signal<string[]>>();

export function hiddenFor<T>(name: string, columns: readonly Column<T>[]): Signal<string[]> {
  const old = hiddenOf.get(name);
  if (old)
    return old;
  const made = hiddenColumns(name, columns.filter((c) => c.isHidden).map((c) => c.id));
  hiddenOf.set(name, made);
  return made;
}

export function ColumnMenu<T>({ name, columns }: { name: string; columns: readonly Column<T>[] }) {
  const hidden = hiddenFor(name, columns);
  const toggle = (id: string): void => {
    hidden.value = hidden.value.includes(id) ? hidden.value.filter((c) => c !== id) : [...hidden.value, id];
  };
  return (
    <Menu label={t('table.columns')} icon="columns" isBare>
      {columns.slice(1).map((c) => (
        <label key={c.id} class="menu-item">
          <input type="checkbox" checked={!hidden.value.includes(c.id)} onChange={() => toggle(c.id)} />{t(c.title)}
        </label>
      ))}
    </Menu>
  );
}

/** In order. Sorted again only when what it is sorted by may have changed, and then from the order it was in. */
function useSorted<T>(p: Props<T>, sort: Sort): readonly Signal<T>[] {
  const column = p.columns.find((c) => c.id === sort.id);
  const by = column?.sort;
  const version = p.versionOf?.(column?.field ?? sort.id) ?? {};
  const last = useRef<{ from: readonly Signal<T>[]; order: readonly Signal<T>[] }>({ from: [], order: [] });
  return useMemo(() => {
    if (!by)
      return p.rows;
    const start = last.current.from === p.rows ? last.current.order : p.rows;
    const order = sortBy(start, (row) => by(p.versionOf ? row.peek() : row.value), sort.isDown, collatorOf(language.value));
    last.current = { from: p.rows, order };
    return order;
  }, [p.rows, by, sort.isDown, language.value, version]);
}

const NONE: Signal<ReadonlySet<string>> = signal(new Set());

/** Reads signals, and is therefore drawn again only when they or its properties change: not because others scroll in. */
function Row<T>({ of: p, row, columns, index, cursor }: { of: Props<T>; row: Signal<T>; columns: readonly Column<T>[]; index: number; cursor: Signal<string> }) {
  const data = row.value;
  const id = p.idOf(data);
  const isChosen = (p.selected ?? NONE).value.has(id);
  return (
    <tr id={`${p.name}-${id}`} aria-rowindex={index + 2} aria-selected={p.selected ? isChosen : undefined} class={id === cursor.value ? 'cursor' : undefined}>
      {p.selected && <td class="check-cell"><input type="checkbox" tabIndex={-1} aria-label={t('table.choose', { name: p.titleOf(data) })} checked={isChosen} /></td>}
      {columns.map((c) => <td key={c.id} class={cellClass(c)}>{c.cell(data)}</td>)}
    </tr>
  );
}

export function Table<T>(p: Props<T>) {
  const [ownSort, setOwnSort] = useState<Sort>({ id: p.firstSort, isDown: p.isFirstDown ?? false });
  const sort = p.sort ?? ownSort;
  const cursor = useMemo(() => signal(''), []);
  const anchor = useMemo(() => signal(''), []);
  const rows = useSorted(p, sort);
  const ids = useMemo(() => rows.map((r) => p.idOf(r.peek())), [rows]);
  const { ref, slice, look } = useWindow(rows.length);
  const hidden = hiddenFor(p.name, p.columns).value;
  const columns = useMemo(() => p.columns.filter((c) => !hidden.includes(c.id)), [p.columns, hidden]);
  const chosen = (p.selected ?? NONE).value;
  const isAll = useMemo(() => ids.length > 0 && ids.every((id) => chosen.has(id)), [ids, chosen]);

  const put = (next: ReadonlySet<string>): void => {
    if (p.selected)
      p.selected.value = next;
  };
  const choose = (id: string, isRange: boolean): void => {
    const next = new Set(chosen);
    const isOn = !chosen.has(id);
    for (const one of isRange && anchor.value ? range(ids, anchor.value, id) : [id]) {
      if (isOn || isRange)
        next.add(one);
      else
        next.delete(one);
    }
    anchor.value = id;
    put(next);
  };
  const show = (index: number): void => {
    const box = ref.current;
    const id = ids[index];
    if (!box || id === undefined)
      return;
    cursor.value = id;
    const top = index * ROW_PX;
    if (top < box.scrollTop)
      box.scrollTop = top;
    else if (top + 2 * ROW_PX > box.scrollTop + box.clientHeight)
      box.scrollTop = top + 2 * ROW_PX - box.clientHeight;
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget)
      return; // keys of what is inside
    const at = ids.indexOf(cursor.value);
    const page = Math.max(1, Math.floor((ref.current?.clientHeight ?? 0) / ROW_PX) - 2);
    const steps: Readonly<Record<string, number>> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: ids.length - 1, PageDown: at + page, PageUp: at - page };
    const to = steps[event.key];
    if (to !== undefined) {
      const index = Math.max(0, Math.min(ids.length - 1, to));
      show(index);
      const id = ids[index];
      if (event.shiftKey && id !== undefined) {
        anchor.value ||= cursor.value || id;
        put(new Set([...chosen, ...range(ids, anchor.value, id)]));
      }
    } else if (event.key === ' ' && at >= 0) {
      choose(cursor.value, event.shiftKey);
    } else if (event.key === 'Enter' && at >= 0) {
      const row = rows[at];
      if (row)
        p.onOpen?.(row.peek());
    } else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
      put(new Set(ids));
    } else if (event.key === 'Escape') {
      put(new Set());
    } else {
      return;
    }
    event.preventDefault();
  };
  const rowOf = (event: Event): Signal<T> | undefined => {
    const row = event.target instanceof Element ? event.target.closest('tr') : null;
    return rows[Number(row?.ariaRowIndex) - 2];
  };
  const onClick = (event: MouseEvent): void => {
    const row = rowOf(event);
    if (!row || !p.selected || !(event.target instanceof Element))
      return;
    const isBox = event.target.closest('.check-cell input');
    if (!isBox && event.target.closest('a, button, input, label'))
      return;
    if (isBox)
      event.preventDefault(); // it shows what is selected, which is drawn later
    choose(p.idOf(row.peek()), event.shiftKey);
  };
  const title = (c: Column<T>) => {
    const isBy = sort.id === c.id;
    const order = isBy ? (sort.isDown ? 'descending' : 'ascending') : undefined;
    return (
      <th key={c.id} scope="col" class={cellClass(c)} aria-sort={order}>
        {c.sort ? <button type="button" onClick={() => (p.onSort ?? setOwnSort)({ id: c.id, isDown: isBy && !sort.isDown })}>{t(c.title)}{isBy && <Icon name={sort.isDown ? 'down' : 'up'} />}</button> : t(c.title)}
      </th>
    );
  };
  const end = Math.min(slice.end, rows.length);
  return (
    <div class="table-box" ref={ref} onScroll={look}>
      <table role="grid" tabIndex={0} aria-rowcount={rows.length + 1} aria-label={p.label} aria-multiselectable={p.selected ? true : undefined} onKeyDown={onKey}
        aria-activedescendant={cursor.value ? `${p.name}-${cursor.value}` : undefined}>
        <colgroup>
          {p.selected && <col class="check-col" />}{columns.map((c) => <col key={c.id} class={cellClass(c)} style={{ width: c.width ?? 'auto' }} />)}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {p.selected && <th scope="col" class="check-cell"><input type="checkbox" aria-label={t('table.all')} checked={isAll} onChange={() => put(new Set(isAll ? [] : ids))} /></th>}
            {columns.map(title)}
          </tr>
        </thead>
        <tbody onClick={onClick} onDblClick={(e) => { const row = rowOf(e); if (row) p.onOpen?.(row.peek()); }}>
          {slice.first > 0 && <tr key="before" aria-hidden="true" style={{ height: `${slice.first * ROW_PX}px` }} />}
          {rows.slice(slice.first, end).map((row, i) => {
            const index = slice.first + i;
            return <Row key={p.isReused ? index % slice.size : p.idOf(row.peek())} of={p} row={row} columns={columns} index={index} cursor={cursor} />;
          })}
          {end < rows.length && <tr key="after" aria-hidden="true" style={{ height: `${(rows.length - end) * ROW_PX}px` }} />}
        </tbody>
      </table>
    </div>
  );
}
