// The columns of what lies on a storage.
import { ago, bytes, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { href, place } from '../core/router.ts';
import { store } from '../core/store.ts';
import { isKind, KIND_TEXTS, volumeName, type Volume } from '../core/volumes.ts';
import { Icon } from '../parts/icon.tsx';
import type { Column } from '../parts/table.tsx';

/** A guest, by name where there is one. */
export function Owner({ vmid }: { vmid: number }) {
  void store.tables.guest.ids.value;
  const guest = store.tables.guest.row(String(vmid))?.value;
  return guest ? <a href={href('guests', vmid)}>{guest.name} <span class="quiet num">{vmid}</span></a> : <span class="quiet num" title={t('storage.noGuest')}>{vmid}</span>;
}

export const kindName = (content: string): string => (isKind(content) ? t(KIND_TEXTS[content].name) : content);

/** The same address with this volume open. */
function openHref(volid: string): string {
  const query = new URLSearchParams(place.value.query);
  query.set('volume', volid);
  return `${href(...place.value.path)}?${query.toString()}`;
}

export const VOLUME_COLUMNS: readonly Column<Volume>[] = [
  { id: 'name', title: 'storage.name', sort: (v) => volumeName(v.volid),
    cell: (v) => <span class="name-cell"><a href={openHref(v.volid)} class="ellipsis">{volumeName(v.volid)}</a>{!!v.protected && <span class="protected" title={t('storage.protected')}><Icon name="shield" /><span class="hidden-text">{t('storage.protected')}</span></span>}</span> },
  { id: 'kind', title: 'storage.kind', width: '8.5rem', yields: 1, sort: (v) => kindName(v.content), cell: (v) => kindName(v.content) },
  { id: 'owner', title: 'storage.owner', width: '10rem', yields: 1, sort: (v) => v.vmid, cell: (v) => (v.vmid === undefined ? '' : <Owner vmid={v.vmid} />) },
  { id: 'format', title: 'storage.format', width: '6rem', yields: 2, sort: (v) => v.format, cell: (v) => v.format },
  { id: 'size', title: 'storage.size', width: '6.5rem', isEnd: true, sort: (v) => v.size, cell: (v) => bytes(v.size) },
  { id: 'used', title: 'storage.used', width: '6.5rem', isEnd: true, yields: 2, isHidden: true, sort: (v) => v.used, cell: (v) => (v.used === undefined ? '' : bytes(v.used)) },
  { id: 'date', title: 'storage.date', width: '8.5rem', yields: 1, sort: (v) => v.ctime,
    cell: (v) => (v.ctime ? <time title={dateTime(v.ctime)}>{ago(v.ctime, now.value)}</time> : '') },
  { id: 'notes', title: 'key.description', width: '13rem', yields: 2, sort: (v) => v.notes, cell: (v) => <span class="quiet" title={v.notes}>{v.notes?.split('\n')[0]}</span> },
];
