// Tasks of a guest that run and tell how far they are: a disk that is copied, an image that is brought in.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { taskPath } from '../core/paths.ts';
import { setQuery } from '../core/router.ts';
import type { Guest, Task } from '../core/store.ts';
import { outcome, tasksOf, taskTitle } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { Meter } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';

interface Progress { done: number; total: number }
const LOOK_MS = 700;

function useProgress(upid: string): Progress | null {
  const [progress, setProgress] = useState<Progress | null>(null);
  useEffect(() => {
    const look = (): void => { void get<{ progress?: Progress }>(`${taskPath(upid)}/status`).then((s) => setProgress(s.progress ?? null), () => undefined); };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [upid]);
  return progress;
}

function One({ task }: { task: Task }) {
  const progress = useProgress(task.upid);
  const title = taskTitle(task.type, task.upid.split(':')[6] ?? '');
  return (
    <li class="row wrap">
      <State state="busy" isBare /><span>{title}</span>
      <span class="grow">{progress && progress.total > 0 && <Meter value={progress.done} max={progress.total} label={title} text={t('of', { part: bytes(progress.done), all: bytes(progress.total) })} />}</span>
      <Button tone="ghost" icon="log" label={t('task.log')} onClick={() => setQuery({ task: task.upid })} />
    </li>
  );
}

const SHOWN = new Set(['qmmove', 'qmconfig', 'resize', 'imgcopy']);

export function TaskProgress({ guest }: { guest: Guest }) {
  const tasks = tasksOf(String(guest.vmid)).filter((task) => SHOWN.has(task.type) && outcome(task) === 'running');
  return tasks.length ? <ul class="hw-tasks" aria-label={t('nav.tasks')}>{tasks.map((task) => <One key={task.upid} task={task} />)}</ul> : null;
}
