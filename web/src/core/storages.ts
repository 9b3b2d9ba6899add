// Storages: how they are configured, how they are, and what a form of their settings makes of it. No markup.
import { parseProperties } from './property.ts';
import { store, type Storage } from './store.ts';

/** As GET /storage tells it. What this page does not know is kept by the server. */
export interface StorageConfig {
  storage: string; type: string; content: string; digest?: string; path?: string; nodes?: string; disable?: number; shared?: number;
  format?: string; preallocation?: string; is_mountpoint?: string; nocow?: number; bwlimit?: string; mkdir?: number;
  'create-base-path'?: number; 'create-subdirs'?: number;
}

export const STORAGE_TYPES = ['dir', 'btrfs'] as const;

export const nodesOf = (config: Pick<StorageConfig, 'nodes'>): string[] => (config.nodes ?? '').split(/[,; ]+/).filter(Boolean);

export const hasNode = (config: Pick<StorageConfig, 'nodes'>, node: string): boolean => config.nodes === undefined || nodesOf(config).includes(node);

/** The live row; subscribes to it, and to its coming and going. */
export function storageRow(node: string, storage: string): Storage | undefined {
  void store.tables.storage.ids.value;
  return store.tables.storage.row(`storage/${node}/${storage}`)?.value;
}

export type StorageState = 'available' | 'offline' | 'disabled';

/** A storage that is switched off has no row; one that has none for another reason is not seen from here. */
export function storageState(config: Pick<StorageConfig, 'disable'>, row: Storage | undefined): StorageState {
  if (config.disable)
    return 'disabled';
  return row?.status === 'available' ? 'available' : 'offline';
}

// ---- the form ----

export const LIMITS = ['default', 'clone', 'move'] as const;
export type Limit = (typeof LIMITS)[number];

export interface StorageForm {
  storage: string; type: string; path: string; content: readonly string[]; nodes: readonly string[]; isEnabled: boolean; isShared: boolean;
  format: string; preallocation: string; mountpoint: string; makesFolders: boolean; isNocow: boolean; limits: Readonly<Record<Limit, string>>;
}

export function formOf(config: StorageConfig | null): StorageForm {
  const limits = parseProperties(config?.bwlimit ?? '', 'default');
  return {
    storage: config?.storage ?? '', type: config?.type ?? 'dir', path: config?.path ?? '',
    content: config ? config.content.split(',').filter((c) => c !== '' && c !== 'none') : ['images', 'iso', 'import'],
    nodes: config ? nodesOf(config) : [], isEnabled: !config?.disable, isShared: !!config?.shared,
    format: config?.format ?? '', preallocation: config?.preallocation ?? '', mountpoint: config?.is_mountpoint === 'no' ? '' : (config?.is_mountpoint ?? ''),
    makesFolders: config ? ![config.mkdir, config['create-base-path'], config['create-subdirs']].includes(0) : true, isNocow: !!config?.nocow,
    limits: { default: limits.get('default') ?? '', clone: limits.get('clone') ?? '', move: limits.get('move') ?? '' },
  };
}

type Settings = Record<string, string | number>;

/** '' stands for: is not set. */
function settingsOf(f: StorageForm): Settings {
  const limits = LIMITS.filter((l) => f.limits[l].trim()).map((l) => `${l}=${f.limits[l].trim()}`).join(',');
  return {
    content: f.content.length ? f.content.join(',') : 'none', nodes: f.nodes.join(','), disable: f.isEnabled ? '' : 1, shared: f.isShared ? 1 : '',
    format: f.format, preallocation: f.preallocation, is_mountpoint: f.mountpoint.trim(), bwlimit: limits,
    ...(f.type === 'btrfs' ? { nocow: f.isNocow ? 1 : '' } : {}),
    // Three settings, of which the older one stands for both others: the form knows all or none.
    'create-base-path': f.makesFolders ? '' : 0, 'create-subdirs': f.makesFolders ? '' : 0,
  };
}

const given = (s: Settings): Settings => Object.fromEntries(Object.entries(s).filter(([, v]) => v !== ''));

export const createValues = (f: StorageForm): Settings => ({ storage: f.storage.trim(), type: f.type, path: f.path.trim(), ...given(settingsOf(f)) });

/** Only what differs; `delete` names what is not set any more. */
export function updateValues(config: StorageConfig, f: StorageForm): Settings {
  const before = settingsOf(formOf(config)), after = settingsOf(f);
  const changed = Object.keys(after).filter((k) => after[k] !== before[k]);
  const gone = changed.filter((k) => after[k] === '');
  if (gone.some((k) => k.startsWith('create-')) && config.mkdir !== undefined)
    gone.push('mkdir');
  const out: Settings = Object.fromEntries(changed.filter((k) => after[k] !== '').map((k) => [k, after[k] ?? '']));
  if (gone.length)
    out['delete'] = gone.filter((k) => k === 'mkdir' || k in config).join(',');
  if (out['delete'] === '')
    delete out['delete'];
  if (Object.keys(out).length && config.digest)
    out['digest'] = config.digest;
  return out;
}
