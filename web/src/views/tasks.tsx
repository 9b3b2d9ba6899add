// All tasks: those of late from the store, as they come and end; older ones from the nodes when they are asked for.
import { useMemo, useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { matches, parseSearch } from '../core/list.ts';
import { hasLoaded } from '../core/live.ts';
import { nodePath } from '../core/paths.ts';
import { place, setQuery, type PathParams } from '../core/router.ts';
import { user } from '../core/session.ts';
import { store, type Task } from '../core/store.ts';
import { outcome, taskTitle, type Outcome } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { nodeNames } from '../parts/pickers.tsx';
import { Empty } from '../parts/small.tsx';
import { idOfTask, recentTasks, TaskList } from './task-list.tsx';

const PAGE = 100;
const STATES: readonly (readonly [Outcome | 'mine', Key])[] = [['running', 'state.running'], ['failed', 'state.failed'], ['warning', 'state.warning'], ['mine', 'node.tasks.mine']];

const nameOf = (task: Task): string => store.tables.guest.row(idOfTask(task))?.peek().name ?? '';

function isFound(task: Task, terms: ReturnType<typeof parseSearch>): boolean {
  const id = idOfTask(task), name = nameOf(task);
  return !terms.length || matches(terms, `${taskTitle(task.type, id)} ${task.type} ${id} ${name} ${task.user} ${task.status ?? ''}`,
    { user: [task.user], type: [task.type], guest: [id, name], id: [id], node: [task.node], status: [task.status ?? ''] });
}

const isOf = (task: Task, state: string): boolean => (state === 'mine' ? task.user === user.value : outcome(task) === state);

/** What the nodes have kept of tasks that ended, a page at a time. */
function useOlder() {
  const [older, setOlder] = useState<{ tasks: readonly Task[]; start: number; isEnd: boolean }>({ tasks: [], start: 0, isEnd: false });
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const more = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      const pages = await Promise.all(nodeNames().map((node) => get<Task[]>(`${nodePath(node)}/tasks`, { start: older.start, limit: PAGE })));
      setOlder((old) => ({ tasks: [...old.tasks, ...pages.flat()], start: old.start + PAGE, isEnd: pages.every((p) => p.length < PAGE) }));
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  return { ...older, isBusy, error, more };
}

function Filters({ tasks, state }: { tasks: readonly Task[]; state: string }) {
  const chip = (id: string, text: string, n: number) => (
    <button key={id} type="button" class="chip" aria-pressed={state === id} onClick={() => setQuery({ state: id || null })}>{text} <span class="num quiet">{n}</span></button>
  );
  return <div class="row chips" role="group" aria-label={t('node.tasks.byState')}>{chip('', t('guests.all'), tasks.length)}{STATES.map(([id, key]) => chip(id, t(key), tasks.filter((x) => isOf(x, id)).length))}</div>;
}

export default function Tasks(_p: { params: PathParams }) {
  const query = place.value.query;
  const text = query.get('q') ?? '', state = query.get('state') ?? '';
  const terms = useMemo(() => parseSearch(text), [text]);
  const older = useOlder();
  const live = recentTasks();
  const seen = new Set(live.map((x) => x.upid));
  const rest = older.tasks.filter((x) => !seen.has(x.upid)).sort((a, b) => b.starttime - a.starttime);
  const found = [...live, ...rest].filter((x) => isFound(x, terms));
  const tasks = state ? found.filter((x) => isOf(x, state)) : found;
  return (
    <div class="view">
      <header class="view-head row wrap">
        <h1>{t('nav.tasks')}</h1>
        <label class="search-box grow"><Icon name="search" /><span class="hidden-text">{t('node.tasks.search')}</span>
          <input type="search" value={text} placeholder={t('node.tasks.searchHint')} onInput={(e) => setQuery({ q: e.currentTarget.value })} /></label>
        <Filters tasks={found} state={state} />
      </header>
      {tasks.length ? <section class="panel task-panel"><TaskList tasks={tasks} /></section>
        : !hasLoaded.value ? <Waiting />
          : text || state ? <Empty icon="search" title={t('node.tasks.noMatch')}><Button onClick={() => setQuery({ q: null, state: null })}>{t('guests.clear')}</Button></Empty>
            : <Empty icon="tasks" title={t('tasks.none')} />}
      {older.error !== null && <ErrorBox error={older.error} />}
      {hasLoaded.value && !older.isEnd && <p class="task-more"><Button isBusy={older.isBusy} onClick={() => void older.more()}>{t('node.tasks.older')}</Button></p>}
    </div>
  );
}
