// What the server has for a new guest, and what of it the user may take. The blanks of a draft are filled from it.
import { changed, type Disk, type Draft } from './create.ts';
import { can, permissions } from './perms.ts';
import type { Guest } from './store.ts';

export interface OfferedStorage {
  storage: string; type: string; content: string; active?: number; avail?: number;
  formats?: { default: string; supported: readonly string[] };
}
export interface OfferedBridge { iface: string; comments?: string }

export interface Offer {
  node: string;
  nextid: string;
  storages: readonly OfferedStorage[];
  bridges: readonly OfferedBridge[];
  pools: readonly string[];
  templates: readonly Guest[];
}

const ZONE = '/sdn/zones/localnetwork';

export const holds = (s: OfferedStorage, content: string): boolean => s.active !== 0 && s.content.split(',').includes(content);

/** Where disks can be made. */
export const diskStorages = (offer: Offer): OfferedStorage[] =>
  offer.storages.filter((s) => holds(s, 'images') && can(`/storage/${s.storage}`, 'Datastore.AllocateSpace'));

export const mayBridge = (iface: string, tag = ''): boolean => can(`${ZONE}/${iface}${tag ? `/${tag}` : ''}`, 'SDN.Use');

/** On the new guest, or on the pool that it is made in. */
export const mayNew = (draft: Pick<Draft, 'vmid' | 'pool'>, privilege: string): boolean =>
  (draft.pool !== '' && can(`/pool/${draft.pool}`, privilege)) || can(`/vms/${draft.vmid}`, privilege);

/** Pools that guests can be made in: the user may know of one that the list of pools does not show. */
export function usablePools(listed: readonly string[]): string[] {
  const own = Object.keys(permissions.value).flatMap((path) => (path.startsWith('/pool/') ? [path.slice('/pool/'.length)] : []));
  return [...new Set([...listed, ...own])].filter((pool) => can(`/pool/${pool}`, 'VM.Allocate')).sort();
}

/** Of a disk that names none. In a folder raw disks have snapshots on few file systems, qcow2 ones on all. */
export const usualFormat = (s: OfferedStorage | undefined): Disk['format'] => (s?.type === 'dir' && s.formats?.supported.includes('qcow2') ? 'qcow2' : '');

function withStorage(disk: Disk, first: string, draft: Draft, offer: Offer): Disk {
  const storage = disk.storage || first;
  const isOpen = disk.format === '' && draft.source !== 'kernel'; // a kernel may be for the engine that takes raw disks alone
  return { ...disk, storage, format: isOpen ? usualFormat(offer.storages.find((s) => s.storage === storage)) : disk.format };
}

/** Number, pool, storages, formats and bridges that nobody has chosen. */
export function settled(draft: Draft, offer: Offer): Draft {
  const vmid = draft.vmid.trim() || offer.nextid;
  const pool = draft.pool || (can(`/vms/${vmid}`, 'VM.Allocate') ? '' : (offer.pools[0] ?? ''));
  const storage = diskStorages(offer)[0]?.storage ?? '';
  const bridge = offer.bridges.find((b) => mayBridge(b.iface))?.iface ?? '';
  return {
    ...draft, vmid, pool, node: draft.node || offer.node, stateStorage: storage,
    disks: draft.disks.map((d) => withStorage(d, storage, draft, offer)),
    nics: draft.nics.map((n) => ({ ...n, bridge: n.bridge ?? bridge })),
  };
}

/** The engine vmm has virtio, raw disks and bridges, and no firmware and no screen: the rest of a draft does not count. */
export function limited(draft: Draft): Draft {
  if (draft.source !== 'kernel')
    return draft.engine === 'vmm' ? { ...draft, engine: 'auto' } : draft;
  if (draft.engine !== 'vmm')
    return draft;
  return changed({
    ...draft, bios: 'seabios', machine: '', cpu: '', vga: 'serial0', serial: true, agent: false, hasTpm: false,
    disks: draft.disks.map((d) => ({ ...d, bus: d.bus === 'scsi' ? 'scsi' : 'virtio', format: 'raw', ssd: false, iothread: false, cache: d.cache === 'none' || d.cache === 'writeback' ? d.cache : '' })),
    nics: draft.nics.filter((n) => n.bridge !== '').map((n) => ({ ...n, model: 'virtio' })),
  }, { ostype: draft.ostype === 'l26' || draft.ostype === 'other' ? draft.ostype : 'l26' });
}
