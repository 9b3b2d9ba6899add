// What may be done with a row of the configuration: by privilege, by kind, by the guest's state.
import { defOf, type ConfigKey } from '../core/config-keys.ts';
import { parseDrive, type DriveKind, type Values } from '../core/hardware.ts';
import type { Key } from '../core/i18n.ts';
import { can, canGuest } from '../core/perms.ts';
import type { Guest } from '../core/store.ts';
import type { IconName } from '../parts/icon.tsx';
import { isRoot } from './hw-form.tsx';

export type Action = 'edit' | 'resize' | 'move' | 'give' | 'detach' | 'attach' | 'delete' | 'medium' | 'eject' | 'remove';

export const ACTIONS: Readonly<Record<Exclude<Action, 'edit'>, { label: Key; icon: IconName; isDanger?: boolean }>> = {
  resize: { label: 'hw.do.resize', icon: 'up' }, move: { label: 'hw.do.move', icon: 'right' }, give: { label: 'hw.do.give', icon: 'guests' },
  attach: { label: 'hw.do.attach', icon: 'plug' }, detach: { label: 'hw.do.detach', icon: 'out' }, medium: { label: 'hw.do.medium', icon: 'disc' },
  eject: { label: 'hw.do.eject', icon: 'up' }, remove: { label: 'hw.do.remove', icon: 'trash', isDanger: true }, delete: { label: 'hw.do.delete', icon: 'trash', isDanger: true },
};

function mayEdit(guest: Guest, def: ConfigKey): boolean {
  if (def.isRootOnly)
    return isRoot();
  return canGuest(guest.vmid, def.privilege) && (def.name !== 'startup' || can('/', 'Sys.Modify'));
}

/** Moving a disk needs a guest that is stopped; what nothing reads can go any time. */
function ofDrive(kind: DriveKind, hasMedium: boolean, guest: Guest): Action[] {
  const isStopped = guest.status === 'stopped', isChanging = !guest.template;
  const when = (yes: boolean, ...list: Action[]): Action[] => (yes ? list : []);
  switch (kind) {
    case 'disk': return ['edit', ...when(isChanging, 'resize'), ...when(isChanging && isStopped, 'move', 'give'), ...when(isChanging, 'detach')];
    case 'efi': case 'tpm': return [...when(isChanging && isStopped, 'move'), ...when(isChanging, 'detach')];
    case 'unused': return [...when(isChanging, 'attach'), ...when(isChanging && isStopped, 'move'), ...when(isChanging, 'give', 'delete')];
    case 'cdrom': return ['medium', ...when(hasMedium, 'eject'), 'remove'];
    case 'cloudinit': return ['remove'];
  }
}

/** The first is the one with a button of its own. */
export function actionsOf(key: string, values: Values, guest: Guest): Action[] {
  const def = defOf(key);
  if (def.dialog === 'drive') {
    const drive = parseDrive(key, values[key] ?? '');
    const privilege = drive.kind === 'cdrom' ? 'VM.Config.CDROM' : def.privilege;
    return key in values && canGuest(guest.vmid, privilege) ? ofDrive(drive.kind, drive.volid !== '', guest) : [];
  }
  if (!def.dialog || !mayEdit(guest, def))
    return [];
  const isThere = key in values;
  if (def.isNumbered && !isThere)
    return [];
  const hasForm = def.dialog !== 'form' || (def.fields?.length ?? 0) > 0;
  return [...(hasForm ? ['edit' as const] : []), ...(def.isRemovable && isThere ? ['remove' as const] : [])];
}
