// Whether somebody may make guests at all: on numbers that are free, or in a pool. Part of the first load, for a button.
import { permissions } from './perms.ts';
import { store } from './store.ts';

export function mayCreate(): boolean {
  return Object.entries(permissions.value).some(([path, privileges]) => {
    const given = privileges['VM.Allocate'];
    if (given === undefined)
      return false;
    if (path === '/vms' || (path === '/' && !permissions.value['/vms'])) // the nearest path that is listed decides
      return given === 1;
    return path.startsWith('/pool/') || (path.startsWith('/vms/') && !store.tables.guest.row(path.slice('/vms/'.length)));
  });
}
