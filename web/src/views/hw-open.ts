// Which dialog is open is part of the address: ?edit=scsi0&do=resize, ?add=disk.
import { place, setQuery } from '../core/router.ts';

export interface Opened { edit: string; action: string; add: string }

export function opened(): Opened {
  const q = place.value.query;
  return { edit: q.get('edit') ?? '', action: q.get('do') ?? '', add: q.get('add') ?? '' };
}

export const openEdit = (key: string, action = ''): void => setQuery({ edit: key, do: action, add: null }, { push: true });
export const openAdd = (what: string): void => setQuery({ add: what, edit: null, do: null }, { push: true });
export const closeDialog = (): void => setQuery({ edit: null, do: null, add: null });
