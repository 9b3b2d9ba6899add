// Fields that choose among things the node has: a storage for some content, a volume on it, a bridge, a node.
import { get } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { nodePath, storagePath } from '../core/paths.ts';
import { store } from '../core/store.ts';
import { Select } from './field.tsx';
import { isLoaded, useLoad } from './use.ts';

export interface StorageRow { storage: string; type: string; content: string; avail?: number; total?: number; active?: number; enabled?: number }
export interface Volume { volid: string; content: string; format: string; size: number; ctime?: number; notes?: string; vmid?: number; parent?: string; protected?: number }
interface Interface { iface: string; type: string; active?: number; comments?: string }

interface Picker { label: string; value: string; onChange: (value: string) => void; error?: string | undefined; help?: string | undefined }

/** The storages of a node that take this content and answer. */
export function useStorages(node: string, content: string): { list: readonly StorageRow[]; isReady: boolean } {
  const found = useLoad(`storages ${node} ${content}`, '', () => get<StorageRow[]>(`${nodePath(node)}/storage`, { content, enabled: 1 }));
  return { list: found.value?.filter((s) => s.active !== 0) ?? [], isReady: isLoaded(found) };
}

export function StoragePicker(p: Picker & { node: string; content: string }) {
  const { list } = useStorages(p.node, p.content);
  const options = list.map((s) => [s.storage, s.avail === undefined ? s.storage : `${s.storage} (${t('picker.free', { size: bytes(s.avail) })})`] as const);
  return <Select {...p} options={p.value ? options : [['', t('picker.choose')], ...options]} />;
}

export const useVolumes = (node: string, storage: string, content: string, version = ''): Volume[] | null =>
  useLoad(`volumes ${node} ${storage} ${content}`, version, () => (storage ? get<Volume[]>(`${storagePath(node, storage)}/content`, { content }) : Promise.resolve([]))).value;

/** '' stands for none, where `none` has a text. */
export function VolumePicker(p: Picker & { node: string; storage: string; content: string; none?: string; version?: string }) {
  const list = useVolumes(p.node, p.storage, p.content, p.version) ?? [];
  const options = list.map((v) => [v.volid, `${v.volid.slice(v.volid.indexOf(':') + 1).replace(/^(iso|import|vztmpl|boot|backup)\//, '')} (${bytes(v.size)})`] as const);
  const has = p.value === '' || list.some((v) => v.volid === p.value);
  return <Select {...p} options={[['', p.none ?? t('picker.choose')], ...(has ? [] : [[p.value, p.value] as const]), ...options]} />;
}

/** '' is the engine's own network with address translation. */
export function BridgePicker(p: Picker & { node: string }) {
  const list = useLoad(`bridges ${p.node}`, '', () => get<Interface[]>(`${nodePath(p.node)}/network`, { type: 'any_bridge' })).value ?? [];
  const has = p.value === '' || list.some((i) => i.iface === p.value);
  return <Select {...p} options={[['', t('picker.nat')], ...(has ? [] : [[p.value, p.value] as const]), ...list.map((i) => [i.iface, i.comments ? `${i.iface} (${i.comments.trim()})` : i.iface] as const)]} />;
}

export const nodeNames = (): string[] => store.tables.node.all().map((n) => n.value.node).sort();

export function NodePicker(p: Picker) {
  return <Select {...p} options={nodeNames().map((n) => [n, n] as const)} />;
}
