// Volume groups, thin pools, ZFS pools and mounted folders that the host has.
import type { ComponentChildren } from 'preact';
import { get } from '../core/api.ts';
import { bytes, percent } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { errorText } from '../core/tasks.ts';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Meter, Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

interface Group { name: string; size: number; free: number; children?: Group[] }
interface Lvm { children: Group[] }
interface Thin { lv: string; vg: string; lv_size: number; used: number; metadata_size: number; metadata_used: number }
interface Pool { name: string; size: number; alloc: number; free: number; frag: number; dedup: number; health: string }
interface Folder { path: string; device: string; type: string; options: string; unitfile: string }
type Depth = Group & { isDisk: boolean };

const use = (name: string, used: number, size: number) => <Meter value={used} max={size} label={name} text={t('of', { part: bytes(used), all: bytes(size) })} />;

const GROUPS: readonly PlainColumn<Depth>[] = [
  { id: 'name', title: 'guest.name', cell: (g) => <span class={g.isDisk ? 'child' : undefined}>{g.name}</span> },
  { id: 'use', title: 'guest.use', cell: (g) => use(g.name, g.size - g.free, g.size) },
];
const THIN: readonly PlainColumn<Thin>[] = [
  { id: 'name', title: 'guest.name', cell: (p) => `${p.vg}/${p.lv}` },
  { id: 'use', title: 'guest.use', cell: (p) => use(p.lv, p.used, p.lv_size) },
  { id: 'meta', title: 'node.disk.metadata', isEnd: true, cell: (p) => <span title={t('of', { part: bytes(p.metadata_used), all: bytes(p.metadata_size) })}>{percent(p.metadata_used / p.metadata_size)}</span> },
];
const ZFS: readonly PlainColumn<Pool>[] = [
  { id: 'name', title: 'guest.name', cell: (p) => <span class="lines"><span>{p.name}</span><span class="quiet num">{t('node.disk.zfsMore', { frag: percent(p.frag / 100), dedup: p.dedup.toFixed(2) })}</span></span> },
  { id: 'health', title: 'node.disk.health', cell: (p) => <span class="row health"><State state={p.health === 'ONLINE' ? 'ok' : p.health === 'DEGRADED' ? 'warning' : 'failed'} isBare />{p.health}</span> },
  { id: 'use', title: 'guest.use', cell: (p) => use(p.name, p.alloc, p.size) },
];
const FOLDERS: readonly PlainColumn<Folder>[] = [
  { id: 'path', title: 'node.disk.path', cell: (f) => f.path },
  { id: 'device', title: 'node.disk.device', cell: (f) => f.device },
  { id: 'type', title: 'node.disk.fs', yields: 1, cell: (f) => f.type },
  { id: 'options', title: 'node.disk.options', yields: 2, cell: (f) => f.options },
];

const flat = (lvm: Lvm): Depth[] => lvm.children.flatMap((g) => [{ ...g, isDisk: false }, ...(g.children ?? []).map((d) => ({ ...d, isDisk: true }))]);

/** A program that the host has not got is no fault: it says which one, and that is all. */
function Part<T>({ title, path, children }: { title: string; path: string; children: (value: T) => ComponentChildren }) {
  const { value, error } = useLoad(path, '', () => get<T>(path));
  return <Panel title={title}>{value !== null ? children(value) : <p class="quiet pad">{error ? errorText(error) : t('loading')}</p>}</Panel>;
}

export function NodeVolumes({ node }: { node: string }) {
  const path = `${nodePath(node)}/disks`;
  return (
    <div class="board">
      <Part<Lvm> title={t('node.disk.lvm')} path={`${path}/lvm`}>{(v) => <PlainTable label={t('node.disk.lvm')} columns={GROUPS} rows={flat(v)} idOf={(g) => g.name} empty={t('node.disk.noLvm')} />}</Part>
      <Part<Thin[]> title={t('node.disk.thin')} path={`${path}/lvmthin`}>{(v) => <PlainTable label={t('node.disk.thin')} columns={THIN} rows={v} idOf={(p) => `${p.vg}/${p.lv}`} empty={t('node.disk.noThin')} />}</Part>
      <Part<Pool[]> title={t('node.disk.zfs')} path={`${path}/zfs`}>{(v) => <PlainTable label={t('node.disk.zfs')} columns={ZFS} rows={v} idOf={(p) => p.name} empty={t('node.disk.noZfs')} />}</Part>
      <Part<Folder[]> title={t('node.disk.folders')} path={`${path}/directory`}>{(v) => <PlainTable label={t('node.disk.folders')} columns={FOLDERS} rows={v} idOf={(f) => f.unitfile} empty={t('node.disk.noFolders')} />}</Part>
    </div>
  );
}
