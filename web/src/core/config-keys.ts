// The rows of a guest's hardware and options: where, in which order, by which fields each is edited, who may. Keys that
// have no row here are shown as they are, and set by the dialog for any key (api/qemu-config.json).
import { byName, familyOf, type Values } from './hardware.ts';
import { AGENT, AUDIO, CLOCK, CPU, HOTPLUG, KERNEL, KEYBOARDS, MACHINE, MEMORY, NET, NUMA, OS_TYPES, RNG, SCSI_CONTROLLERS, SMBIOS, STARTUP, USB, VGA, WATCHDOG, type Option, type Spec } from './hardware-specs.ts';
import type { Key } from './i18n.ts';
import type { IconName } from '../parts/icon.tsx';

export type Page = 'hardware' | 'options';
export type Group = 'processor' | 'disks' | 'network' | 'devices' | 'boot' | 'general' | 'start' | 'behaviour' | 'other';
export type Dialog = 'form' | 'drive' | 'boot' | 'any';

export interface ConfigKey {
  /** The key that stands for the row; with isNumbered the beginning of "scsi0", "scsi1" and so on. */
  name: string;
  isNumbered?: boolean;
  /** Further keys that the same dialog edits. */
  more?: readonly string[];
  label: Key;
  page: Page;
  group: Group;
  icon: IconName;
  privilege: string;
  dialog?: Dialog;
  fields?: readonly Spec[];
  /** What holds when the key is not set; rows without a value and without this are not shown. */
  fallback?: string;
  /** Can be taken away whole. */
  isRemovable?: boolean;
  isRootOnly?: boolean;
}

const one = (path: string, label: Key, kind: Spec['kind'], rest: Partial<Spec> = {}): readonly Spec[] => [{ path, label, kind, ...rest }];
const check = (path: string, label: Key, fallback: string, help?: Key): readonly Spec[] => one(path, label, 'check', { fallback, ...(help ? { help } : {}) });
const choice = (path: string, label: Key, options: readonly Option[], fallback: string): readonly Spec[] => one(path, label, 'choice', { options, fallback });

const HW = 'VM.Config.HWType', OPTIONS = 'VM.Config.Options', DISK = 'VM.Config.Disk';

const drive = (name: string, label: Key): ConfigKey => ({ name, isNumbered: true, label, page: 'hardware', group: 'disks', icon: 'disk', privilege: DISK, dialog: 'drive' });
const device = (name: string, label: Key, icon: IconName, fields: readonly Spec[], rest: Partial<ConfigKey> = {}): ConfigKey =>
  ({ name, label, page: 'hardware', group: 'devices', icon, privilege: HW, dialog: 'form', fields, isRemovable: true, ...rest });
const boot = (name: string, label: Key, icon: IconName, rest: Partial<ConfigKey>): ConfigKey => ({ name, label, page: 'hardware', group: 'boot', icon, privilege: HW, dialog: 'form', ...rest });
const option = (name: string, group: Group, label: Key, icon: IconName, fields: readonly Spec[], rest: Partial<ConfigKey> = {}): ConfigKey =>
  ({ name, label, page: 'options', group, icon, privilege: OPTIONS, dialog: 'form', fields, fallback: '', ...rest });

export const CONFIG_KEYS: readonly ConfigKey[] = [
  { name: 'memory', more: ['balloon', 'shares', 'hugepages', 'allow-ksm'], label: 'key.memory', page: 'hardware', group: 'processor', icon: 'memory', privilege: 'VM.Config.Memory', dialog: 'form', fields: MEMORY, fallback: '512' },
  { name: 'cores', more: ['sockets', 'vcpus', 'cpu', 'cpulimit', 'cpuunits', 'numa', 'affinity'], label: 'hw.processors', page: 'hardware', group: 'processor', icon: 'chip', privilege: 'VM.Config.CPU', dialog: 'form', fields: CPU, fallback: '1' },
  { name: 'numa', isNumbered: true, label: 'hw.numa.title', page: 'hardware', group: 'processor', icon: 'chip', privilege: 'VM.Config.CPU', dialog: 'form', fields: NUMA, isRemovable: true },
  ...(['scsi', 'virtio', 'sata', 'ide'] as const).map((name) => drive(name, 'key.disk')),
  drive('efidisk', 'hw.efi.title'), drive('tpmstate', 'hw.tpm.title'), drive('unused', 'key.unused'),
  { name: 'net', isNumbered: true, label: 'key.net', page: 'hardware', group: 'network', icon: 'net', privilege: 'VM.Config.Network', dialog: 'form', fields: NET, isRemovable: true },
  device('vga', 'key.vga', 'screen', VGA, { fallback: 'std', isRemovable: false }),
  device('usb', 'hw.usb.title', 'plug', USB, { isNumbered: true, isRootOnly: true }),
  device('serial', 'key.serial', 'screen', [], { isNumbered: true }),
  device('audio0', 'hw.audio.title', 'gear', AUDIO),
  device('rng0', 'hw.rng.title', 'gear', RNG),
  device('watchdog', 'hw.watchdog.title', 'gear', WATCHDOG),
  boot('boot', 'key.boot', 'tasks', { more: ['bootdisk'], privilege: DISK, dialog: 'boot', fallback: '' }),
  boot('bios', 'key.bios', 'chip', { privilege: OPTIONS, fields: choice('bios', 'key.bios', [{ value: 'seabios', text: 'SeaBIOS' }, { value: 'ovmf', text: 'OVMF (UEFI)' }], 'seabios'), fallback: 'seabios' }),
  boot('machine', 'key.machine', 'node', { fields: MACHINE, fallback: 'q35' }),
  boot('scsihw', 'key.scsihw', 'disk', { fields: choice('scsihw', 'key.scsihw', SCSI_CONTROLLERS, 'lsi'), fallback: 'lsi' }),
  boot('kernel', 'hw.kernel.title', 'bolt', { more: ['initrd', 'cmdline'], fields: KERNEL, fallback: '' }),
  { name: 'engine', label: 'key.engine', page: 'hardware', group: 'boot', icon: 'gear', privilege: HW },
  boot('smbios1', 'hw.smbios.title', 'log', { fields: SMBIOS }),

  option('name', 'general', 'guest.name', 'edit', one('name', 'guest.name', 'text')),
  option('tags', 'general', 'guest.tags', 'star', one('tags', 'guest.tags', 'text', { help: 'hw.tagsHelp' })),
  option('description', 'general', 'key.description', 'log', one('description', 'key.description', 'lines')),
  option('ostype', 'general', 'key.ostype', 'screen', choice('ostype', 'key.ostype', OS_TYPES, 'other'), { fallback: 'other' }),
  option('onboot', 'start', 'key.onboot', 'power', check('onboot', 'key.onboot', '0'), { fallback: '0' }),
  option('startup', 'start', 'key.startup', 'tasks', STARTUP),
  option('freeze', 'start', 'hw.freeze', 'pause', check('freeze', 'hw.freeze', '0', 'hw.freezeHelp'), { privilege: 'VM.PowerMgmt', fallback: '0' }),
  option('reboot', 'start', 'hw.reboot', 'reload', check('reboot', 'hw.reboot', '1', 'hw.rebootHelp'), { fallback: '1' }),
  option('agent', 'behaviour', 'key.agent', 'gear', AGENT),
  option('hotplug', 'behaviour', 'key.hotplug', 'bolt', HOTPLUG, { privilege: HW, fallback: 'network,disk,usb' }),
  option('protection', 'behaviour', 'key.protection', 'shield', check('protection', 'key.protection', '0'), { fallback: '0' }),
  option('localtime', 'behaviour', 'hw.clock.title', 'reload', CLOCK, { more: ['startdate'] }),
  option('acpi', 'behaviour', 'key.acpi', 'power', check('acpi', 'key.acpi', '1'), { privilege: HW, fallback: '1' }),
  option('kvm', 'behaviour', 'key.kvm', 'chip', check('kvm', 'key.kvm', '1'), { privilege: HW, fallback: '1' }),
  option('tablet', 'behaviour', 'hw.tablet', 'edit', check('tablet', 'hw.tablet', '1', 'hw.tabletHelp'), { privilege: HW, fallback: '1' }),
  option('keyboard', 'behaviour', 'hw.keyboard', 'log', choice('keyboard', 'hw.keyboard', KEYBOARDS, 'en-us'), { fallback: 'en-us' }),
  option('tdf', 'behaviour', 'hw.tdf', 'reload', check('tdf', 'hw.tdf', '0'), { fallback: '0' }),
];

export interface Pending { key: string; value?: string | number; pending?: string | number; delete?: number }

/** A key of which something waits for the next start. */
export interface Waiting { key: string; now: string | null; next: string | null }
export interface ConfigRow { key: string; def: ConfigKey; waiting: readonly Waiting[]; isSet: boolean }

const text = (v: string | number | undefined): string | null => (v === undefined ? null : String(v));
const isWaiting = (p: Pending): boolean => p.pending !== undefined || !!p.delete;

/** Not of a guest's settings: what the server keeps beside them, and what cloud-init has a tab for. */
const ELSEWHERE = new Set(['digest', 'meta', 'template', 'parent', 'snaptime', 'vmstate', 'runningmachine', 'runningcpu', 'running-nets-host-mtu', 'ciuser', 'cipassword', 'citype', 'ciupgrade', 'cicustom', 'sshkeys', 'nameserver', 'searchdomain']);

const keysOf = (def: ConfigKey, keys: readonly string[]): string[] =>
  (def.isNumbered ? keys.filter((k) => k !== def.name && familyOf(k) === def.name).sort(byName) : [def.name]);

/** Keys without a row of their own, and who may set them; what is not here can be looked at only. */
const OTHERS: Readonly<Record<string, string>> = {
  autostart: OPTIONS, migrate_downtime: OPTIONS, migrate_speed: OPTIONS, smp: 'VM.Config.CPU', args: 'root', arch: 'root', lock: 'root', keephugepages: 'root', vmgenid: 'root',
};

function ofAny(key: string): ConfigKey {
  const privilege = OTHERS[key];
  const def = { name: key, label: 'hw.otherKey', page: 'options', group: 'other', icon: 'gear', privilege: privilege ?? '' } as const;
  return privilege ? { ...def, dialog: 'any', isRootOnly: privilege === 'root' } : def;
}

/** The row that shows a key; a key without a row of its own is shown as it is. */
export function defOf(key: string): ConfigKey {
  return CONFIG_KEYS.find((d) => (d.isNumbered ? d.name !== key && familyOf(key) === d.name : d.name === key || d.more?.includes(key))) ?? ofAny(key);
}

/** Shown for the engine vmm only where something is set: it has none of these. */
const QEMU_ONLY = new Set(['vga', 'bios', 'machine', 'scsihw', 'boot', 'agent', 'hotplug', 'localtime', 'acpi', 'kvm', 'tablet', 'keyboard', 'tdf']);

/** Rows of one page, in the order of the table; what waits for the next start stands beside what is. */
export function configRows(page: Page, list: readonly Pending[]): ConfigRow[] {
  const byKey = new Map(list.map((p) => [p.key, p]));
  const keys = [...byKey.keys()];
  const isVmm = byKey.get('engine')?.value === 'vmm';
  const row = (def: ConfigKey, key: string): ConfigRow => {
    const own = [key, ...(def.more ?? [])].flatMap((k) => byKey.get(k) ?? []);
    return { key, def, isSet: own.length > 0, waiting: own.filter(isWaiting).map((p) => ({ key: p.key, now: text(p.value), next: p.delete ? null : text(p.pending) })) };
  };
  const out = CONFIG_KEYS.filter((d) => d.page === page).flatMap((def) => keysOf(def, keys).map((key) => row(def, key)).filter((r) => r.isSet || (def.fallback !== undefined && !(isVmm && QEMU_ONLY.has(def.name)))));
  if (page === 'options') {
    const other = keys.filter((k) => defOf(k).group === 'other' && !ELSEWHERE.has(k) && familyOf(k) !== 'ipconfig').sort(byName);
    out.push(...other.map((key) => row(ofAny(key), key)));
  }
  return out;
}

/** What is in force now. */
export const current = (list: readonly Pending[]): Values => Object.fromEntries(list.flatMap((p) => (p.value === undefined ? [] : [[p.key, String(p.value)]])));
/** What will be, with all that waits. */
export const wanted = (list: readonly Pending[]): Values =>
  Object.fromEntries(list.flatMap((p) => (p.delete ? [] : p.pending !== undefined ? [[p.key, String(p.pending)]] : p.value !== undefined ? [[p.key, String(p.value)]] : [])));
