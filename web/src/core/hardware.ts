// What the keys of a guest's configuration say of its hardware: drives, slots, the order of booting. Pure.
import { parseProperties } from './property.ts';

export type Values = Readonly<Record<string, string>>;
export type Bus = 'scsi' | 'virtio' | 'sata' | 'ide';

/** How many drives each bus takes; the first is what a new disk gets. */
export const SLOTS: Readonly<Record<Bus, number>> = { scsi: 31, virtio: 16, sata: 6, ide: 4 };
export const BUSES = Object.keys(SLOTS) as Bus[];

const NUMBERED = /^([a-z]+)(\d+)$/;
const natural = new Intl.Collator('en', { numeric: true });
export const byName = (a: string, b: string): number => natural.compare(a, b);

/** "scsi3" is of "scsi"; a key without a number is its own. */
export const familyOf = (key: string): string => NUMBERED.exec(key)?.[1] ?? key;
export const isBus = (name: string): name is Bus => name in SLOTS;
export const isBusDrive = (key: string): boolean => NUMBERED.test(key) && isBus(familyOf(key));
export const isVolumeKey = (key: string): boolean => isBusDrive(key) || /^(efidisk|tpmstate|unused)\d+$/.test(key);

/** The first number of a family that no key has, or -1. */
export function freeNumber(family: string, count: number, taken: Iterable<string>): number {
  const names = new Set(taken);
  for (let i = 0; i < count; i++) {
    if (!names.has(`${family}${i}`))
      return i;
  }
  return -1;
}

export function freeSlots(bus: Bus, taken: Iterable<string>): string[] {
  const names = new Set(taken);
  return Array.from({ length: SLOTS[bus] }, (_, i) => `${bus}${i}`).filter((key) => !names.has(key));
}

export type DriveKind = 'disk' | 'cdrom' | 'cloudinit' | 'efi' | 'tpm' | 'unused';

export interface Drive {
  key: string;
  kind: DriveKind;
  /** '' for an empty CD-ROM drive. */
  volid: string;
  storage: string;
  /** As configured, "32G". */
  size: string;
  format: string;
  options: ReadonlyMap<string, string>;
}

const KINDS: Readonly<Record<string, DriveKind>> = { efidisk: 'efi', tpmstate: 'tpm', unused: 'unused' };

function kindOf(key: string, volid: string, isCdrom: boolean): DriveKind {
  const other = KINDS[familyOf(key)];
  if (other)
    return other;
  if (/\/vm-\d+-cloudinit(\.\w+)?$/.test(volid))
    return 'cloudinit';
  return isCdrom ? 'cdrom' : 'disk';
}

export function parseDrive(key: string, value: string): Drive {
  const options = parseProperties(value, 'file');
  const file = options.get('file') ?? options.get('volume') ?? '';
  const volid = file === 'none' ? '' : file;
  const at = volid.lastIndexOf('.');
  return {
    key, kind: kindOf(key, volid, options.get('media') === 'cdrom'), volid, storage: volid.slice(0, Math.max(0, volid.indexOf(':'))),
    size: options.get('size') ?? '', format: at > volid.indexOf('/') ? volid.slice(at + 1) : 'raw', options,
  };
}

const FACTORS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** "1536M" in bytes; NaN for what is no size. */
export function sizeBytes(text: string): number {
  const m = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(text);
  return m ? Number(m[1]) * (FACTORS[m[2] ?? ''] ?? NaN) : NaN;
}

// ---- boot order ----

const isBootable = (key: string, value: string): boolean =>
  /^net\d+$/.test(key) || /^usb\d+$/.test(key) || (isBusDrive(key) && parseDrive(key, value).kind !== 'cloudinit');

/** Everything that a guest could boot from, in natural order. */
export const bootable = (values: Values): string[] => Object.entries(values).filter(([k, v]) => isBootable(k, v)).map(([k]) => k).sort(byName);

const LETTERS: Readonly<Record<string, (key: string, value: string) => boolean>> = {
  c: (key, value) => isBusDrive(key) && parseDrive(key, value).kind === 'disk',
  d: (key, value) => isBusDrive(key) && parseDrive(key, value).kind === 'cdrom',
  n: (key) => /^net\d+$/.test(key),
};

/** The devices that are tried, in their order, also from the old letters; what is not there any more is left out. */
export function bootOrder(values: Values): string[] {
  const text = values['boot'] ?? '';
  if (text.startsWith('order='))
    return text.slice('order='.length).split(';').filter((key) => key !== '' && key in values);
  const letters = (text.startsWith('legacy=') ? text.slice('legacy='.length) : text) || 'cdn';
  const first = values['bootdisk'];
  return [...letters].flatMap((letter) => {
    const keys = bootable(values).filter((key) => LETTERS[letter]?.(key, values[key] ?? ''));
    return letter === 'c' && first && keys.includes(first) ? [first] : letter === 'c' || letter === 'd' ? keys.slice(0, 1) : keys;
  });
}

export function moved<T>(list: readonly T[], from: number, to: number): T[] {
  const out = [...list];
  const [one] = out.splice(from, 1);
  if (one !== undefined)
    out.splice(Math.max(0, Math.min(out.length, to)), 0, one);
  return out;
}

// ---- when a change of a running guest takes effect (doc/guide/engines.md) ----

const AT_ONCE = new Set(['name', 'description', 'tags', 'onboot', 'startup', 'protection', 'lock', 'autostart', 'hotplug', 'migrate_speed', 'migrate_downtime']);
const LIMIT = /^(iops|mbps|bps)/;

export function hotplugOf(values: Values): ReadonlySet<string> {
  const text = values['hotplug'] ?? '1';
  return new Set(text === '1' ? ['network', 'disk', 'usb'] : text === '0' ? [] : text.split(','));
}

/** A drive without what changes while it is in use. */
function fixedPart(value: string): string {
  const parts = [...parseProperties(value, 'file')].filter(([name]) => !LIMIT.test(name)).map(([name, v]) => `${name}=${v}`);
  return parts.sort().join();
}

function isDriveLive(key: string, old: string | undefined, next: string | undefined, can: ReadonlySet<string>): boolean {
  const before = old === undefined ? null : parseDrive(key, old), after = next === undefined ? null : parseDrive(key, next);
  if (after?.kind === 'cloudinit')
    return false;
  if (before && after) {
    if (before.kind === 'cdrom' && after.kind === 'cdrom')
      return true;
    if (old !== undefined && next !== undefined && fixedPart(old) === fixedPart(next))
      return true;
    if (before.volid === after.volid)
      return false;
  }
  return can.has('disk') && /^(scsi|virtio)/.test(key);
}

/** next undefined: the key is taken away. */
export function isLive(key: string, old: string | undefined, next: string | undefined, values: Values): boolean {
  const family = familyOf(key), can = hotplugOf(values);
  if (AT_ONCE.has(key) || family === 'unused')
    return true;
  if (isBusDrive(key))
    return isDriveLive(key, old, next, can);
  if (values['engine'] === 'vmm')
    return false;
  switch (family) {
    case 'net': return can.has('network');
    case 'usb': case 'tablet': return can.has('usb');
    case 'vcpus': return can.has('cpu');
    case 'memory': return can.has('memory') && next !== undefined;
    default: return false;
  }
}
