// What was done on a node: the whole history, filtered and paged by the server.
import { useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { place, setQuery } from '../core/router.ts';
import type { Task } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { Field, Select } from '../parts/field.tsx';
import { DateTimeField } from '../parts/date-field.tsx';
import { Loading } from '../parts/loading.tsx';
import { useLoad } from '../parts/use.ts';
import { recentTasks, TaskList } from './task-list.tsx';

const PAGE = 50;
const STATES: readonly (readonly [string, Key])[] = [['', 'node.tasks.any'], ['active', 'state.running'], ['ok', 'state.ok'], ['warning', 'state.warning'], ['error', 'state.failed']];
const FILTERS = ['state', 'user', 'type', 'guest', 'since', 'until', 'page'] as const;

type Filters = Readonly<Record<(typeof FILTERS)[number], string>>;

function filtersOf(query: URLSearchParams): Filters {
  const of = (name: string): string => query.get(name) ?? '';
  return { state: of('state'), user: of('user'), type: of('type'), guest: of('guest'), since: of('since'), until: of('until'), page: of('page') };
}

const seconds = (local: string): number | undefined => (local && !Number.isNaN(Date.parse(local)) ? Math.floor(Date.parse(local) / 1000) : undefined);

/** An address may say anything. */
const pageOf = (f: Filters): number => (/^\d{1,6}$/.test(f.page) ? Number(f.page) : 0);

function load(node: string, f: Filters): Promise<Task[]> {
  const isActive = f.state === 'active';
  return get<Task[]>(`${nodePath(node)}/tasks`, {
    start: pageOf(f) * PAGE, limit: PAGE + 1, source: isActive ? 'active' : f.state ? 'archive' : 'all', statusfilter: isActive || !f.state ? undefined : f.state,
    userfilter: f.user || undefined, typefilter: f.type || undefined, vmid: /^\d{3,9}$/.test(f.guest) ? f.guest : undefined, since: seconds(f.since), until: seconds(f.until),
  });
}

function FilterForm({ filters: f }: { filters: Filters }) {
  const [text, setText] = useState({ user: f.user, type: f.type, guest: f.guest });
  const put = (changes: Partial<Record<keyof Filters, string>>): void => setQuery({ page: null, ...changes });
  const submit = (event: Event): void => { event.preventDefault(); put(text); };
  return (
    <form class="filters" onSubmit={submit}>
      <Select label={t('guest.status')} value={f.state} options={STATES.map(([id, key]) => [id, t(key)] as const)} onChange={(state) => put({ state })} />
      <Field label={t('task.user')} value={text.user} onInput={(v) => setText({ ...text, user: v })} />
      <Field label={t('node.tasks.type')} value={text.type} onInput={(v) => setText({ ...text, type: v })} help="qmstart, qmclone, …" />
      <Field label={t('node.tasks.guest')} value={text.guest} inputmode="numeric" onInput={(v) => setText({ ...text, guest: v })} />
      <DateTimeField label={t('node.log.since')} value={f.since} onChange={(since) => put({ since })} />
      <DateTimeField label={t('node.log.until')} value={f.until} onChange={(until) => put({ until })} />
      <div class="filter-tools row"><Button type="submit" icon="search">{t('node.tasks.filter')}</Button>
        {FILTERS.some((k) => f[k] !== '') && <Button tone="ghost" onClick={() => { setText({ user: '', type: '', guest: '' }); setQuery(Object.fromEntries(FILTERS.map((k) => [k, null]))); }}>{t('guests.clear')}</Button>}</div>
    </form>
  );
}

export default function NodeTasks({ node }: { node: string }) {
  const f = filtersOf(place.value.query);
  const page = pageOf(f);
  // What runs or has just ended is told by events: the list is asked for again.
  const version = recentTasks((x) => x.node === node).slice(0, 3).map((x) => `${x.upid}${x.endtime ?? ''}`).join();
  const list = useLoad(`${node} ${JSON.stringify(f)}`, version, () => load(node, f));
  return (
    <section class="panel">
      <FilterForm filters={f} />
      <Loading of={list}>{(tasks) => <>
        <TaskList tasks={tasks.slice(0, PAGE)} />
        {(page > 0 || tasks.length > PAGE) && <nav class="pages row" aria-label={t('node.tasks.pages')}>
          <Button isDisabled={page === 0} onClick={() => setQuery({ page: page > 1 ? String(page - 1) : null })}>{t('node.newer')}</Button>
          <span class="quiet num grow">{t('node.page', { n: page + 1 })}</span>
          <Button isDisabled={tasks.length <= PAGE} onClick={() => setQuery({ page: String(page + 1) })}>{t('node.older')}</Button>
        </nav>}
      </>}</Loading>
    </section>
  );
}
