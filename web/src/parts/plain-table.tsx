// A table for what is short and loaded as a whole: no sorting, no window, no boxes. Where there is little room, columns
// yield as those of the large table do.
import type { ComponentChildren } from 'preact';
import { t, type Key } from '../core/i18n.ts';

export interface PlainColumn<T> {
  id: string;
  title: Key;
  isEnd?: boolean;
  /** Left out where there is little room: 1 on phones, 2 already on tablets. */
  yields?: 1 | 2;
  /** Tools have a title that is read aloud and not shown. */
  isTools?: boolean;
  cell: (row: T) => ComponentChildren;
}

const classOf = <T,>(c: PlainColumn<T>): string => [c.isEnd || c.isTools ? 'end' : '', c.isEnd ? 'num' : '', c.isTools ? 'tools' : '', c.yields ? `yields-${c.yields}` : ''].filter(Boolean).join(' ');

export function PlainTable<T>(p: { label: string; columns: readonly PlainColumn<T>[]; rows: readonly T[]; idOf: (row: T) => string; toneOf?: (row: T) => string | undefined; empty: string }) {
  if (!p.rows.length)
    return <p class="quiet pad">{p.empty}</p>;
  return (
    <div class="sheet-box">
      <table class="sheet" aria-label={p.label}>
        <thead><tr>{p.columns.map((c) => <th key={c.id} scope="col" class={classOf(c)}>{c.isTools ? <span class="hidden-text">{t(c.title)}</span> : t(c.title)}</th>)}</tr></thead>
        <tbody>
          {p.rows.map((row) => (
            <tr key={p.idOf(row)} class={p.toneOf?.(row)}>{p.columns.map((c, i) => (i === 0 ? <th key={c.id} scope="row" class={classOf(c)}>{c.cell(row)}</th> : <td key={c.id} class={classOf(c)}>{c.cell(row)}</td>))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
