// What can be done with many guests, and what each of them needs for it.
import { del, post, put, get } from '../core/api.ts';
import type { Job } from '../core/bulk.ts';
import { guestPath, mayAct, startAction, tagsOf, type GuestAction } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { can, canGuest } from '../core/perms.ts';
import type { Guest } from '../core/store.ts';

export const actionJob = (a: GuestAction): Job => ({ title: t(a.label), fits: (g) => mayAct(g, a), start: (g) => startAction(g, a) });

export const maySnapshot = (g: Guest): boolean => canGuest(g.vmid, 'VM.Snapshot') && !g.template;
export const mayTag = (g: Guest): boolean => canGuest(g.vmid, 'VM.Config.Options');
export const mayDestroy = (g: Guest): boolean => canGuest(g.vmid, 'VM.Allocate') && g.status === 'stopped' && !g.lock;
/** Rights come with a pool, so giving a guest one is giving rights. */
export const mayPool = (g: Guest): boolean => (canGuest(g.vmid, 'Permissions.Modify') || canGuest(g.vmid, 'VM.Allocate')) && (!g.pool || can(`/pool/${g.pool}`, 'Pool.Allocate'));

export interface SnapshotValues { name: string; description: string; hasMemory: boolean }

export const snapshotJob = (v: SnapshotValues): Job => ({
  title: `${t('snapshot.take')} ${v.name}`, fits: maySnapshot,
  start: (g) => post(`${guestPath(g)}/snapshot`, {
    snapname: v.name, description: v.description || undefined, vmstate: (v.hasMemory && g.status === 'running') || undefined,
  }),
});

export type TagMode = 'add' | 'remove' | 'set';

/** What the tags of a guest become. */
export function newTags(old: readonly string[], mode: TagMode, tags: readonly string[]): string[] {
  if (mode === 'set')
    return [...tags];
  return mode === 'add' ? [...new Set([...old, ...tags])] : old.filter((tag) => !tags.includes(tag));
}

export const tagsJob = (title: string, mode: TagMode, tags: readonly string[]): Job => ({
  title, fits: mayTag,
  start: async (g) => {
    // As they are now, not as they were when the list was drawn.
    const config = await get<{ tags?: string }>(`${guestPath(g)}/config`);
    const next = newTags(tagsOf({ ...g, tags: config.tags ?? '' }), mode, tags).join(';');
    return put(`${guestPath(g)}/config`, next ? { tags: next } : { delete: 'tags' });
  },
});

/** '' takes guests out of the pool that they are in. */
export const poolJob = (title: string, pool: string): Job => ({
  title, fits: (g) => mayPool(g) && (g.pool ?? '') !== pool,
  start: (g) => (pool ? put('/pools', { poolid: pool, vms: g.vmid, 'allow-move': true }) : put('/pools', { poolid: g.pool, vms: g.vmid, delete: true })),
});

export const destroyJob = (): Job => ({ title: t('action.destroy'), fits: mayDestroy, start: (g) => del(guestPath(g), { purge: true }) });
