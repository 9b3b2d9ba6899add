// What the signed-in user may do: /access/permissions lists privileges by path, with 1 where they also hold below.
import { signal } from '@preact/signals';
import { get } from './api.ts';

export type Permissions = Readonly<Record<string, Readonly<Record<string, number>>>>;

export const permissions = signal<Permissions>({});

/** The nearest listed path decides; above the exact path only what propagates counts. */
export function allows(all: Permissions, path: string, privilege: string): boolean {
  const exact = all[path];
  if (exact)
    return privilege in exact;
  let above = path;
  while (above !== '/') {
    above = above.slice(0, above.lastIndexOf('/')) || '/';
    const entry = all[above];
    if (entry)
      return entry[privilege] === 1;
  }
  return false;
}

/** Subscribes: what is offered changes when rights do. */
export function can(path: string, privilege: string): boolean {
  return allows(permissions.value, path, privilege);
}

/** On some object or other: whether a view makes sense for this user at all. */
export const canAnywhere = (privilege: string): boolean => Object.values(permissions.value).some((entry) => privilege in entry);

export const canNode = (node: string, privilege: string): boolean => can(`/nodes/${node}`, privilege);
export const canStorage = (storage: string, privilege: string): boolean => can(`/storage/${storage}`, privilege);
export const canGuest = (vmid: number | string, privilege: string): boolean => can(`/vms/${vmid}`, privilege);

export async function loadPermissions(): Promise<void> {
  permissions.value = await get<Permissions>('/access/permissions');
}
