// A guest that is being made: the calls one after the other, each to the end of its task. It goes on when the view is
// left; only who waits for it is taken to the guest.
import { effect, signal } from '@preact/signals';
import { call } from './api.ts';
import { discard } from './create-draft.ts';
import type { Call } from './create-request.ts';
import { t } from './i18n.ts';
import { canGuest, loadPermissions } from './perms.ts';
import { go, href, place } from './router.ts';
import { store } from './store.ts';
import { notify, run } from './tasks.ts';

export interface Making {
  vmid: string;
  name: string;
  calls: readonly Call[];
  /** Of the call that runs; as many as there are calls: all is done. */
  at: number;
  error: unknown;
}

export const making = signal<Making | null>(null);

const KNOWN_MS = 5000;

/** The list of guests learns of a new one a moment after its task has ended. */
function untilKnown(vmid: string): Promise<void> {
  return new Promise((done) => {
    let stop: () => void = () => undefined;
    const timer = setTimeout(() => { stop(); done(); }, KNOWN_MS);
    stop = effect(() => {
      if (store.tables.guest.ids.value.includes(vmid)) {
        clearTimeout(timer);
        queueMicrotask(() => stop());
        done();
      }
    });
  });
}

const isWatched = (): boolean => place.peek().path.join('/') === 'guests/new';

export const guestHref = (m: Making): string =>
  (m.calls.at(-1)?.what === 'start' && canGuest(m.vmid, 'VM.Console') ? href('guests', m.vmid, 'console') : href('guests', m.vmid));

async function arrive(m: Making): Promise<void> {
  await loadPermissions().catch(() => undefined); // rights on the new guest may come from its pool
  await untilKnown(m.vmid);
  discard();
  making.value = null;
  if (isWatched())
    go(guestHref(m), { replace: true });
  else
    notify({ tone: 'good', text: t('create.done', { name: m.name }) });
}

/** Resolves with the error of the first call, whose refusal leaves nothing behind; null otherwise. */
export async function make(vmid: string, name: string, calls: readonly Call[]): Promise<unknown> {
  let m: Making = { vmid, name, calls, at: 0, error: null };
  const show = (patch: Partial<Making>): void => { m = { ...m, ...patch }; making.value = m; };
  show({});
  for (const [at, one] of calls.entries()) {
    show({ at });
    try {
      await run(() => call(one.method, one.path, one.values));
    } catch (error) {
      if (at === 0) {
        making.value = null;
        return error;
      }
      await loadPermissions().catch(() => undefined);
      discard(); // the guest is there, and is not made a second time
      show({ error });
      if (!isWatched())
        notify({ tone: 'bad', text: t('create.half', { name }) });
      return null;
    }
  }
  show({ at: calls.length });
  await arrive(m);
  return null;
}
