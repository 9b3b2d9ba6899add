// The draft while it is worked on. It outlives a reload and ways around, in this tab; the password does not.
import { effect, signal } from '@preact/signals';
import { isRecord } from './api.ts';
import { changed, newDisk, newDraft, newNic, type Draft } from './create.ts';
import { user } from './session.ts';

/** Somebody else who signs in here begins anew. */
const KEY = `holm.create.${user.peek()}`;

/** Has the members of the other, of the same types; null there stands for any. */
const isLike = (value: unknown, other: object): boolean =>
  isRecord(value) && Object.entries(other).every(([key, v]) => v === null || (typeof v === typeof value[key] && Array.isArray(v) === Array.isArray(value[key])));

/** Of this version; disks and interfaces as well. */
function isDraft(value: unknown, fresh: Draft): value is Draft {
  return isLike(value, fresh) && (value as Draft).disks.every((d) => isLike(d, newDisk(fresh))) && (value as Draft).nics.every((n) => isLike(n, newNic(fresh)));
}

function kept(): Draft {
  const fresh = newDraft();
  try {
    const old: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
    if (isDraft(old, fresh))
      return old;
  } catch {
    // of another version: a new one
  }
  return fresh;
}

export const draft = signal<Draft>(kept());
export const password = signal('');
/** Missing things are said once somebody wanted to be done: until then they are just not typed yet. */
export const isComplained = signal(false);
/** What the server said of single fields; gone with the next change. */
export const refused = signal<Readonly<Record<string, string>>>({});

effect(() => { sessionStorage.setItem(KEY, JSON.stringify(draft.value)); });

export function change(patch: Partial<Draft>): void {
  draft.value = changed(draft.peek(), patch);
  refused.value = {};
}

export function discard(): void {
  draft.value = newDraft();
  password.value = '';
  isComplained.value = false;
  refused.value = {};
}
