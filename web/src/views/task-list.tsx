// Rows of tasks, as the overview, a guest and the list of all show them.
import { ago, dateTime, duration } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { setQuery, type PathParams } from '../core/router.ts';
import { store, type Task } from '../core/store.ts';
import { outcome, taskTitle } from '../core/tasks.ts';
import { OUTCOME_STATE } from '../parts/drawer.tsx';
import { lazy } from '../parts/lazy.tsx';
import { State } from '../parts/state.tsx';

export const idOfTask = (task: Task): string => task.upid.split(':')[6] ?? '';

/** Newest first; running ones before all. */
export function recentTasks(filter: (task: Task) => boolean = () => true): Task[] {
  const isRunning = (task: Task): number => (task.endtime === undefined ? 1 : 0);
  return store.tables.task.all().map((row) => row.value).filter(filter)
    .sort((a, b) => isRunning(b) - isRunning(a) || b.starttime - a.starttime);
}

export const tasksOfGuest = (vmid: string): Task[] => recentTasks((task) => idOfTask(task) === vmid);

export function TaskRow({ task }: { task: Task }) {
  const result = outcome(task);
  const why = result === 'failed' || result === 'warning' ? task.status : '';
  return (
    <li>
      <button type="button" class="task-row" onClick={() => setQuery({ task: task.upid }, { push: true })}>
        <State state={OUTCOME_STATE[result]} isBare />
        <span class="grow ellipsis">{taskTitle(task.type, idOfTask(task))}{why && <span class={result === 'failed' ? 'bad-text' : 'warn-text'}> {why}</span>}</span>
        <span class="quiet num yields-1">{task.endtime === undefined ? '' : duration(task.endtime - task.starttime)}</span>
        <span class="quiet yields-1 ellipsis">{task.user}</span>
        <time class="quiet num" title={dateTime(task.starttime)}>{ago(task.starttime, now.value)}</time>
      </button>
    </li>
  );
}

export function TaskList({ tasks }: { tasks: readonly Task[] }) {
  return tasks.length ? <ul class="task-list">{tasks.map((task) => <TaskRow key={task.upid} task={task} />)}</ul> : <p class="quiet pad">{t('tasks.none')}</p>;
}

export const Tasks = lazy<{ params: PathParams }>('node', () => import('./tasks.tsx'));
