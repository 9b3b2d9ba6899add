// What narrows the guest list down: the search and its language, a menu of what there is, saved views.
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Signal } from '@preact/signals';
import { tagsOf } from '../core/guests.ts';
import { t, type Key } from '../core/i18n.ts';
import { parseSearch, termText, toggleTerm } from '../core/list.ts';
import { savedViews, type SavedView } from '../core/prefs.ts';
import { go, place, setQuery } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { Icon } from '../parts/icon.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { hiddenFor } from '../parts/table.tsx';
import { GUEST_COLUMNS } from './guest-columns.tsx';
import { lazy } from './routes.tsx';

const ViewDialog = lazy('guest', () => import('./guest-views.tsx'));
const VIEW_KEYS = ['q', 'state', 'sort'] as const;
const OFFERED_MAX = 12;

const EXAMPLES: readonly (readonly [string, Key])[] = [
  ['name:web', 'guests.help.name'], ['tag:prod', 'guests.help.tag'], ['pool:shop', 'guests.help.pool'], ['node:n1', 'guests.help.node'],
  ['state:running', 'guests.help.state'], ['id:100-199', 'guests.help.id'], ['-tag:test', 'guests.help.not'],
];

export function SearchBox({ text }: { text: string }) {
  return (
    <div class="search-box grow">
      <label class="row grow"><Icon name="search" /><span class="hidden-text">{t('guests.search')}</span>
        <input type="search" value={text} placeholder={t('guests.searchHint')} onInput={(e) => setQuery({ q: e.currentTarget.value })} /></label>
      <Menu label={t('guests.help')} icon="help" tone="ghost" isBare>
        <p class="menu-text">{t('guests.help.text')}</p>
        {EXAMPLES.map(([term, key]) => (
          <MenuItem key={term} onClick={() => setQuery({ q: `${text} ${term}`.trim() })}><code>{term}</code><span class="quiet">{t(key)}</span></MenuItem>
        ))}
      </Menu>
    </div>
  );
}

/** The most frequent values first. */
function tally(values: readonly string[]): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const v of values)
    counts.set(v, (counts.get(v) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, OFFERED_MAX);
}

export function FilterMenu({ rows, version, text }: { rows: readonly Signal<Guest>[]; version: string; text: string }) {
  const groups = useMemo(() => {
    const guests = rows.map((r) => r.peek());
    const all: (readonly [string, Key, (readonly [string, number])[]])[] = [
      ['tag', 'guest.tags', tally(guests.flatMap(tagsOf))], ['pool', 'guest.pool', tally(guests.flatMap((g) => g.pool ?? []))],
      ['node', 'guest.node', tally(guests.map((g) => g.node))],
    ];
    return all.filter(([field, , list]) => list.length > (field === 'node' ? 1 : 0)); // one node is no choice
  }, [rows, version]);
  const terms = parseSearch(text);
  const isOn = (field: string, value: string): boolean => terms.some((x) => x.field === field && x.text === value.toLowerCase() && !x.isNot);
  if (!groups.length)
    return null;
  return (
    <Menu label={t('guests.filter')} icon="filter" isBare>
      {groups.map(([field, title, list]) => (
        <div key={field} role="group" aria-label={t(title)}>
          <p class="menu-title">{t(title)}</p>
          {list.map(([value, n]) => (
            <label key={value} class="menu-item">
              <input type="checkbox" aria-label={termText(field, value)} checked={isOn(field, value)} onChange={() => setQuery({ q: toggleTerm(text, field, value) })} />
              <span class="grow ellipsis">{value}</span><span class="quiet num">{n}</span>
            </label>
          ))}
        </div>
      ))}
    </Menu>
  );
}

/** The part of the address that a view keeps, in an order of its own, so that two can be compared. */
export function viewQuery(query: URLSearchParams): string {
  const kept = new URLSearchParams();
  for (const key of VIEW_KEYS) {
    const value = query.get(key);
    if (value)
      kept.set(key, value);
  }
  return kept.toString();
}

const columns = (): Signal<string[]> => hiddenFor('guests', GUEST_COLUMNS);
export const presentView = (name: string): SavedView => ({ name, query: viewQuery(place.peek().query), hidden: columns().peek() });

export function openView(view: SavedView, replace = false): void {
  columns().value = view.hidden;
  go(`/guests?${view.query}${view.query ? '&' : ''}view=${encodeURIComponent(view.name)}`, { replace });
}

const isAsSaved = (v: SavedView, query: URLSearchParams): boolean =>
  v.query === viewQuery(query) && [...v.hidden].sort().join() === [...columns().value].sort().join();

/** A link that names a view and nothing else opens it as it is saved in this browser. */
export function useNamedView(query: URLSearchParams): SavedView | undefined {
  const name = query.get('view');
  const view = savedViews.value.find((v) => v.name === name);
  useEffect(() => {
    if (view && !viewQuery(place.peek().query))
      openView(view, true);
  }, []);
  return view;
}

export function ViewChips({ query }: { query: URLSearchParams }) {
  const name = query.get('view');
  return (
    <>{savedViews.value.map((v) => (
      <button key={v.name} type="button" class="chip view-chip" aria-pressed={v.name === name} onClick={() => (v.name === name && isAsSaved(v, query) ? setQuery({ view: null, q: null, state: null, sort: null }) : openView(v))}>
        <Icon name="star" /><span class="ellipsis">{v.name}</span>{v.name === name && !isAsSaved(v, query) && <span class="quiet">{t('guests.view.changed')}</span>}
      </button>
    ))}</>
  );
}

export function ViewsMenu({ query }: { query: URLSearchParams }) {
  const [dialog, setDialog] = useState<'save' | 'manage' | null>(null);
  const views = savedViews.value;
  const here = views.find((v) => v.name === query.get('view'));
  const update = (): void => {
    if (here)
      savedViews.value = views.map((v) => (v === here ? presentView(v.name) : v));
  };
  return (
    <>
      <Menu label={t('guests.views')} icon="star" isBare>
        <MenuItem icon="plus" onClick={() => setDialog('save')}>{t('guests.view.save')}</MenuItem>
        {here && !isAsSaved(here, query) && <MenuItem icon="check" onClick={update}>{t('guests.view.update', { name: here.name })}</MenuItem>}
        {views.length > 0 && <MenuItem icon="edit" onClick={() => setDialog('manage')}>{t('guests.view.manage')}</MenuItem>}
        {views.length > 0 && <p class="menu-title">{t('guests.views')}</p>}
        {views.map((v) => <MenuItem key={v.name} icon="star" onClick={() => openView(v)}>{v.name}</MenuItem>)}
      </Menu>
      {dialog && <ViewDialog isSaving={dialog === 'save'} onClose={() => setDialog(null)} />}
    </>
  );
}
