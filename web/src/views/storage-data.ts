// What the storage screens load and ask for together: configurations and states, and who may do what.
import { useRef } from 'preact/hooks';
import { get } from '../core/api.ts';
import { storagePath, nodePath } from '../core/paths.ts';
import { can, canNode, canStorage } from '../core/perms.ts';
import { hasNode, nodesOf, storageRow, storageState, type StorageConfig, type StorageState } from '../core/storages.ts';
import { store } from '../core/store.ts';
import { contentVersion, kindsOf, UPLOAD_KINDS, type ContentKind, type Volume } from '../core/volumes.ts';
import { nodeNames } from '../parts/pickers.tsx';
import { useLoad, type Loaded } from '../parts/use.ts';

interface NodeStorage { storage: string; active?: number; total?: number; used?: number; avail?: number }

/** One storage on one node, as it was loaded. */
export interface StorageEntry { id: string; node: string; config: StorageConfig; loaded: NodeStorage | null }

const onNode = (node: string): Promise<NodeStorage[]> => get<NodeStorage[]>(`${nodePath(node)}/storage`).catch(() => []); // a node that is away

async function loadEntries(nodes: readonly string[]): Promise<StorageEntry[]> {
  const [configs, ...states] = await Promise.all([get<StorageConfig[]>('/storage'), ...nodes.map(onNode)]);
  return configs.flatMap((config) => {
    const here = nodes.filter((node) => hasNode(config, node));
    const named = here.length ? here : nodesOf(config).slice(0, 1);
    return named.map((node) => {
      const loaded = states[nodes.indexOf(node)]?.find((s) => s.storage === config.storage) ?? null;
      return { id: `${node}/${config.storage}`, node, config, loaded };
    });
  });
}

/** All that the user may see; again when one comes, goes or changes. */
export function useEntries(): Loaded<StorageEntry[]> {
  const nodes = nodeNames();
  const version = store.tables.storage.all().map(({ value: s }) => `${s.id} ${s.status} ${s.content ?? ''}`).join();
  return useLoad(`storages ${nodes.join()}`, version, () => loadEntries(nodes));
}

export interface Usage { state: StorageState; used: number; total: number }

/** As it is now: the live row, or what was loaded where the user has none. */
export function usageOf(e: StorageEntry): Usage {
  const row = storageRow(e.node, e.config.storage);
  const state = row || !e.loaded?.active || e.config.disable ? storageState(e.config, row) : 'available';
  return { state, used: row?.disk ?? e.loaded?.used ?? 0, total: row?.maxdisk ?? e.loaded?.total ?? 0 };
}

/** A list of what is on a storage, again when that may have changed. Of one that has just been removed nothing is asked. */
export function useStorageList<T>(node: string, storage: string, what: string, more = ''): Loaded<T[]> {
  const wasSeen = useRef(false);
  const isSeen = storageRow(node, storage) !== undefined;
  wasSeen.current ||= isSeen;
  const isGone = wasSeen.current && !isSeen;
  return useLoad(`${what} ${node} ${storage}`, isGone ? 'gone' : `${contentVersion(node, storage)} ${more}`,
    () => (isGone ? Promise.resolve([]) : get<T[]>(`${storagePath(node, storage)}/${what}`)));
}

export const useContent = (node: string, storage: string): Loaded<Volume[]> => useStorageList<Volume>(node, storage, 'content');

// ---- rights ----

/** Make, change and remove storages. */
export const mayConfigure = (): boolean => can('/storage', 'Datastore.Allocate');
export const mayLook = (storage: string): boolean => canStorage(storage, 'Datastore.Audit') || canStorage(storage, 'Datastore.AllocateSpace');
/** Change and remove volumes. */
export const mayManage = (storage: string): boolean => canStorage(storage, 'Datastore.Allocate');
export const mayBring = (storage: string): boolean => canStorage(storage, 'Datastore.AllocateTemplate');
/** Have the node ask any address. */
export const mayFetch = (node: string, storage: string): boolean =>
  mayBring(storage) && ((can('/', 'Sys.Audit') && can('/', 'Sys.Modify')) || canNode(node, 'Sys.AccessNetwork'));

/** What can be sent to this storage. */
export const uploadKinds = (config: StorageConfig): ContentKind[] => kindsOf(config.content).filter((k) => (UPLOAD_KINDS as readonly ContentKind[]).includes(k));
