// The uploads of this page. They live here and not in a view, so that one may look at something else meanwhile.
import { effect, signal, type Signal } from '@preact/signals';
import { t } from './i18n.ts';
import { Rate } from './rate.ts';
import { place } from './router.ts';
import { notify } from './tasks.ts';
import { Sender, isPassing, pause, type Checksum, type Step } from './upload.ts';
import { httpTransport, removePart } from './upload-http.ts';

export type UploadState = Step | 'queued' | 'paused' | 'done' | 'failed';

export interface Upload {
  key: number; node: string; storage: string; filename: string; content: string; size: number;
  state: UploadState; done: number; rate: number; error: unknown;
}

export interface NewUpload { node: string; storage: string; file: File; filename: string; content: string; checksum?: Checksum | undefined; id?: string | undefined }

interface Job { spec: NewUpload; row: Signal<Upload>; sender: Sender; stop: AbortController | null; rate: Rate; shownAt: number }

const AT_ONCE = 2;
const SHOWN_EVERY_MS = 100;
const REMOVE_TRIES = 10, REMOVE_WAIT_MS = 300;

const jobs = signal<readonly Job[]>([]);
let lastKey = 0;

export const uploadRows = (node: string, storage: string): Signal<Upload>[] =>
  jobs.value.filter((j) => j.spec.node === node && j.spec.storage === storage).map((j) => j.row);
export const allUploads = (): Signal<Upload>[] => jobs.value.map((j) => j.row);

const GOING: readonly UploadState[] = ['queued', 'checking', 'sending', 'waiting', 'finishing'];
export const isGoing = (u: Upload): boolean => GOING.includes(u.state);

const jobOf = (key: number): Job | undefined => jobs.peek().find((j) => j.row.peek().key === key);

/** Uploads of the server that one of this page's is sending, or will go on with. */
export const isOurs = (id: string): boolean => jobs.value.some((j) => j.sender.id === id && j.row.value.state !== 'done');

function set(job: Job, changes: Partial<Upload>): void {
  job.row.value = { ...job.row.peek(), ...changes };
}

/** Not each of the hundred messages a second is painted. */
function show(job: Job, step: Step, done: number): void {
  const at = performance.now();
  const old = job.row.peek();
  if (!isGoing(old) || (old.state === step && at - job.shownAt < SHOWN_EVERY_MS))
    return;
  job.shownAt = at;
  if (step !== 'sending')
    job.rate.reset();
  set(job, { state: step, done, rate: step === 'sending' ? job.rate.mark(done, at) : 0 });
}

async function runOne(job: Job): Promise<void> {
  const stop = new AbortController();
  job.stop = stop;
  set(job, { state: 'checking', error: null });
  try {
    await job.sender.run(stop.signal);
    set(job, { state: 'done', done: job.spec.file.size, rate: 0 });
    if (place.peek().path.join('/') !== `storage/${job.spec.node}/${job.spec.storage}/upload`) // there one sees it
      notify({ tone: 'good', text: t('storage.upload.doneNote', { name: job.spec.filename, storage: job.spec.storage }) });
  } catch (e) {
    if (stop.signal.aborted)
      return; // whoever stopped it has said what it is now
    set(job, { state: 'failed', error: e, rate: 0 });
  } finally {
    if (job.stop === stop)
      job.stop = null;
    next();
  }
}

/** Two at once: a small file need not wait for a large one, and the disk is not asked to be everywhere. */
function next(): void {
  const all = jobs.peek();
  let running = all.filter((j) => j.stop).length;
  for (const job of all.filter((j) => j.row.peek().state === 'queued' && !j.stop)) {
    if (running++ >= AT_ONCE)
      return;
    void runOne(job);
  }
}

export function addUpload(spec: NewUpload): number {
  const key = ++lastKey;
  const row = signal<Upload>({ key, node: spec.node, storage: spec.storage, filename: spec.filename, content: spec.content, size: spec.file.size, state: 'queued', done: 0, rate: 0, error: null });
  const { file, filename, content, checksum, id } = spec;
  const isTaken = (other: string): boolean => jobs.peek().some((j) => j !== job && j.sender.id === other);
  const sender = new Sender({ source: file, filename, content, checksum, id }, httpTransport(spec.node, spec.storage), (step, done) => show(job, step, done), isTaken);
  const job: Job = { spec, row, sender, stop: null, rate: new Rate(), shownAt: 0 };
  jobs.value = [...jobs.peek(), job];
  startGuard();
  next();
  return key;
}

export function pauseUpload(key: number): void {
  const job = jobOf(key);
  if (!job || job.row.peek().state === 'finishing')
    return;
  set(job, { state: 'paused', rate: 0 });
  job.stop?.abort();
}

/** Goes on, also after a failure. */
export function resumeUpload(key: number): void {
  const job = jobOf(key);
  if (!job)
    return;
  set(job, { state: 'queued', error: null });
  next();
}

/** Out of the list; what is finished stays in the storage. */
export function forgetUpload(key: number): void {
  jobs.value = jobs.peek().filter((j) => j.row.peek().key !== key);
}

/** Gives it up, here and on the server, which may need a moment to notice that nobody sends any more. */
export async function cancelUpload(key: number): Promise<void> {
  const job = jobOf(key);
  if (!job)
    return;
  job.stop?.abort();
  forgetUpload(key);
  const { node, storage } = job.spec;
  for (let i = 0; job.sender.id && i < REMOVE_TRIES; i++) {
    try {
      await removePart(node, storage, job.sender.id);
      return;
    } catch (e) {
      if (!isPassing(e))
        return; // gone already; what is left is listed as unfinished and goes by itself after a day
      await pause(REMOVE_WAIT_MS, new AbortController().signal);
    }
  }
}

let hasGuard = false;

/** The browser asks before it leaves the page while something is sent. */
function startGuard(): void {
  if (hasGuard || typeof addEventListener === 'undefined')
    return;
  hasGuard = true;
  const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
  effect(() => {
    if (jobs.value.some((j) => isGoing(j.row.value)))
      addEventListener('beforeunload', ask);
    else
      removeEventListener('beforeunload', ask);
  });
}
