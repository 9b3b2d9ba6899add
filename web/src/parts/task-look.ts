// State and log of a task, looked at until it has ended.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { taskPath } from '../core/paths.ts';
import { withLook, type Look } from '../core/progress.ts';
import { isAway, outcome, type Outcome } from '../core/tasks.ts';

export interface Line { n: number; t: string }
export interface TaskStatus {
  status: string; exitstatus?: string; starttime: number; type: string; id: string; user: string; tokenid?: string;
  progress?: { phase: string; done: number; total: number }; 'error-code'?: string; 'error-hint'?: string;
}
export interface TaskLook { status: TaskStatus | null; state: Outcome; endtime: number | undefined; lines: readonly Line[]; looks: readonly Look[]; error: unknown }

const LINES_MAX = 5000, PAGE = 500;
const LOOK_MS = 1000, AGAIN_MS = 3000;
const NOTHING: TaskLook = { status: null, state: 'running', endtime: undefined, lines: [], looks: [], error: null };

/** A log without lines is told as one line that says so. */
const isNoLine = (lines: readonly Line[], start: number): boolean => start === 0 && lines.length === 1 && lines[0]?.t === 'no content';

function next(old: TaskLook, status: TaskStatus, more: readonly Line[]): TaskLook {
  const p = status.progress;
  const isOver = status.status !== 'running';
  return {
    status, error: null, lines: more.length ? [...old.lines, ...more].slice(-LINES_MAX) : old.lines,
    state: isOver ? outcome({ endtime: 0, status: status.exitstatus ?? '' }) : 'running',
    // The status has no time of the end: when it was seen to end is good enough for a task that is watched.
    endtime: isOver && old.status ? (old.endtime ?? Math.floor(Date.now() / 1000)) : old.endtime,
    looks: p ? withLook(old.looks, { at: Date.now(), phase: p.phase, done: p.done, total: p.total }) : old.looks,
  };
}

export function useTask(upid: string): TaskLook {
  const [shown, setShown] = useState<TaskLook>(NOTHING);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isWanted = true, start = 0;
    const path = taskPath(upid);
    const look = async (): Promise<void> => {
      try {
        const status = await get<TaskStatus>(`${path}/status`);
        const found = await get<Line[]>(`${path}/log`, { start, limit: PAGE });
        if (!isWanted)
          return;
        const more = isNoLine(found, start) ? [] : found;
        start += more.length;
        setShown((old) => next(old, status, more));
        if (status.status === 'running' || found.length === PAGE)
          timer = setTimeout(() => void look(), found.length === PAGE ? 0 : LOOK_MS);
      } catch (error) {
        if (!isWanted)
          return;
        setShown((old) => ({ ...old, error }));
        if (isAway(error))
          timer = setTimeout(() => void look(), AGAIN_MS);
      }
    };
    setShown(NOTHING);
    void look();
    return () => { isWanted = false; clearTimeout(timer); };
  }, [upid]);
  return shown;
}
