// Things that the user started here: each says at once that it runs, and how it ended.
import { signal } from '@preact/signals';
import { get, ApiError } from './api.ts';
import { refresh } from './live.ts';
import { taskPath } from './paths.ts';
import { store, type Task } from './store.ts';
import { t } from './i18n.ts';

export interface Note { id: number; tone: 'info' | 'good' | 'bad'; text: string; detail?: string; upid?: string }

export const notes = signal<readonly Note[]>([]);
let lastId = 0;

const STAY_MS = 6000;
const FIRST_LOOK_MS = 250;
const LOOK_MS_MAX = 2000;

export function dismiss(id: number): void {
  notes.value = notes.value.filter((n) => n.id !== id);
}

/** Errors stay until they are dismissed: who looked away has not missed them. */
export function notify(note: Omit<Note, 'id'>): number {
  const id = ++lastId;
  notes.value = [...notes.value.slice(-4), { ...note, id }];
  if (note.tone !== 'bad')
    setTimeout(() => dismiss(id), STAY_MS);
  return id;
}

export function errorText(e: unknown): string {
  if (e instanceof ApiError)
    return e.status === 0 ? t('error.unreachable') : e.message;
  return e instanceof Error ? e.message : String(e);
}

const KNOWN: Readonly<Record<string, Parameters<typeof t>[0]>> = {
  qmstart: 'task.qmstart', qmstop: 'task.qmstop', qmshutdown: 'task.qmshutdown', qmreboot: 'task.qmreboot',
  qmreset: 'task.qmreset', qmsuspend: 'task.qmsuspend', qmresume: 'task.qmresume', qmcreate: 'task.qmcreate',
  qmdestroy: 'task.qmdestroy', qmclone: 'task.qmclone', qmsnapshot: 'task.qmsnapshot', qmrollback: 'task.qmrollback',
  qmdelsnapshot: 'task.qmdelsnapshot', qmmerge: 'task.qmmerge', qmconfig: 'task.qmconfig', qmmove: 'task.qmmove', resize: 'task.resize',
  imgcopy: 'task.imgcopy', download: 'task.download', vncproxy: 'task.vncproxy', termproxy: 'task.vncproxy', startall: 'task.startall', stopall: 'task.stopall', suspendall: 'task.suspendall',
  bulkstart: 'task.startall', bulkshutdown: 'task.stopall', bulksuspend: 'task.suspendall', qmpause: 'task.qmsuspend', qmtemplate: 'task.qmtemplate',
  imgdel: 'task.imgdel', srvstart: 'task.srvstart', srvstop: 'task.srvstop', srvrestart: 'task.srvrestart', srvreload: 'task.srvreload',
};

/** What a task does and to whom, in words; types that are not known here are shown as they are. */
export function taskTitle(type: string, id: string): string {
  const key = Object.hasOwn(KNOWN, type) ? KNOWN[type] : undefined; // the type may come from an address
  const guest = /^\d+$/.test(id) ? store.tables.guest.row(id)?.value : undefined;
  const whom = guest ? `${guest.name} (${id})` : id;
  return key ? t(key, { id: whom }) : `${type} ${whom}`.trim();
}

export type Outcome = 'running' | 'ok' | 'warning' | 'failed';

export function outcome(task: Pick<Task, 'endtime' | 'status'>): Outcome {
  if (task.endtime === undefined)
    return 'running';
  if (task.status === 'OK')
    return 'ok';
  return task.status?.startsWith('WARNINGS') ? 'warning' : 'failed';
}

interface Status { status: string; exitstatus?: string }

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

export const nodeOf = (upid: string): string => upid.split(':')[1] ?? '';

/** The server is away or busy: it may well answer in a moment. */
export const isAway = (e: unknown): boolean => e instanceof ApiError && [0, 429, 502, 503, 504].includes(e.status);

/** Ends with the task: its exit status. That nobody could be asked for a while says nothing of the task. */
export async function untilDone(upid: string): Promise<string> {
  for (let wait = FIRST_LOOK_MS; ; wait = Math.min(wait * 1.5, LOOK_MS_MAX)) {
    const s = await get<Status>(`${taskPath(upid)}/status`).catch((e: unknown) => {
      if (isAway(e))
        return null;
      throw e;
    });
    if (s && s.status !== 'running')
      return s.exitstatus ?? 'OK';
    await pause(wait);
  }
}

const isUpid = (value: unknown): value is string => typeof value === 'string' && value.startsWith('UPID:');

/** Runs a call that may answer with a task; resolves when it has ended, and throws when it went wrong. */
export async function run(start: () => Promise<unknown>): Promise<void> {
  const upid = await start();
  refresh();
  if (!isUpid(upid))
    return;
  const status = await untilDone(upid);
  refresh();
  if (status !== 'OK' && !status.startsWith('WARNINGS'))
    throw new ApiError(500, status);
}

/** As run(), for buttons: says in a note what became of it. */
export async function act(what: string, start: () => Promise<unknown>): Promise<boolean> {
  const id = notify({ tone: 'info', text: t('note.running', { what }) });
  try {
    await run(start);
    dismiss(id);
    notify({ tone: 'good', text: t('note.done', { what }) });
    return true;
  } catch (e) {
    dismiss(id);
    notify({ tone: 'bad', text: t('note.failed', { what }), detail: errorText(e) });
    return false;
  }
}

export function tasksOf(vmid: string): Task[] {
  return store.tables.task.all().map((row) => row.value).filter((task) => String((task as { vmid?: unknown }).vmid ?? task.upid.split(':')[6]) === vmid);
}
