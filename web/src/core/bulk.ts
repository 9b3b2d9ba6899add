// One thing done to many guests: what became of each stays to be looked at, and what failed can be tried again. So many
// at a time, that a host does not boot a hundred guests at once.
import { signal, type Signal } from '@preact/signals';
import type { Guest } from './store.ts';
import { errorText, run } from './tasks.ts';

const AT_ONCE = 4;

export interface Job {
  title: string;
  fits: (g: Guest) => boolean;
  /** A call that may answer with a task, which is waited for. */
  start: (g: Guest) => Promise<unknown>;
}

export interface BulkItem { guest: Guest; state: 'waiting' | 'skipped' | 'busy' | 'ok' | 'failed'; text: string }
export interface BulkRun { id: number; job: Job; items: readonly Signal<BulkItem>[]; isBusy: Signal<boolean> }
export interface BulkSum { done: number; failed: number; skipped: number; all: number }

/** Those that are under way or have not been dismissed, the oldest first. */
export const bulkRuns = signal<readonly BulkRun[]>([]);
let lastId = 0;

export function planBulk(job: Job, guests: readonly Guest[]): BulkRun {
  const items = guests.map((guest) => signal<BulkItem>({ guest, state: job.fits(guest) ? 'waiting' : 'skipped', text: '' }));
  return { id: ++lastId, job, items, isBusy: signal(false) };
}

async function runOne(item: Signal<BulkItem>, job: Job): Promise<void> {
  item.value = { ...item.value, state: 'busy', text: '' };
  try {
    await run(() => job.start(item.peek().guest));
    item.value = { ...item.value, state: 'ok' };
  } catch (e) {
    item.value = { ...item.value, state: 'failed', text: errorText(e) };
  }
}

export async function startBulk(r: BulkRun): Promise<void> {
  if (r.isBusy.peek())
    return;
  if (!bulkRuns.peek().includes(r))
    bulkRuns.value = [...bulkRuns.peek(), r];
  r.isBusy.value = true;
  const left = r.items.filter((i) => i.peek().state === 'waiting');
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item; item = left.shift())
      await runOne(item, r.job);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  r.isBusy.value = false;
}

export function retryBulk(r: BulkRun): Promise<void> {
  for (const item of r.items) {
    if (item.peek().state === 'failed')
      item.value = { ...item.peek(), state: 'waiting', text: '' };
  }
  return startBulk(r);
}

export function dismissBulk(r: BulkRun): void {
  bulkRuns.value = bulkRuns.peek().filter((other) => other !== r);
}

/** Subscribes to each item. */
export function sumOf(r: BulkRun): BulkSum {
  const sum: BulkSum = { done: 0, failed: 0, skipped: 0, all: r.items.length };
  for (const item of r.items) {
    const { state } = item.value;
    if (state === 'ok')
      sum.done++;
    else if (state === 'failed')
      sum.failed++;
    else if (state === 'skipped')
      sum.skipped++;
  }
  return sum;
}
