// What a storage holds: names and kinds of volumes, and what of them the page shows. No markup.
import type { Key } from './i18n.ts';
import { storageRow } from './storages.ts';
import { store } from './store.ts';
import { outcome } from './tasks.ts';

/** As GET …/content lists it. */
export interface Volume {
  volid: string; content: string; format: string; size: number; used?: number; ctime?: number; notes?: string; vmid?: number;
  parent?: string; protected?: number;
}

export const KINDS = ['images', 'rootdir', 'iso', 'import', 'vztmpl', 'boot', 'backup', 'snippets'] as const;
export type ContentKind = (typeof KINDS)[number];

interface KindText { name: Key; many: Key; help: Key }
export const KIND_TEXTS: Readonly<Record<ContentKind, KindText>> = {
  images: { name: 'storage.kind.images', many: 'storage.kinds.images', help: 'storage.kindHelp.images' },
  rootdir: { name: 'storage.kind.rootdir', many: 'storage.kinds.rootdir', help: 'storage.kindHelp.rootdir' },
  iso: { name: 'storage.kind.iso', many: 'storage.kinds.iso', help: 'storage.kindHelp.iso' },
  import: { name: 'storage.kind.import', many: 'storage.kinds.import', help: 'storage.kindHelp.import' },
  vztmpl: { name: 'storage.kind.vztmpl', many: 'storage.kinds.vztmpl', help: 'storage.kindHelp.vztmpl' },
  boot: { name: 'storage.kind.boot', many: 'storage.kinds.boot', help: 'storage.kindHelp.boot' },
  backup: { name: 'storage.kind.backup', many: 'storage.kinds.backup', help: 'storage.kindHelp.backup' },
  snippets: { name: 'storage.kind.snippets', many: 'storage.kinds.snippets', help: 'storage.kindHelp.snippets' },
};

export const isKind = (text: string): text is ContentKind => (KINDS as readonly string[]).includes(text);

/** "iso,images" in the order of the page; what is not known here is left out. */
export const kindsOf = (content: string): ContentKind[] => {
  const named = new Set(content.split(/[,; ]+/));
  return KINDS.filter((k) => named.has(k));
};

/** "local:iso/debian.iso" is debian.iso, "local:100/vm-100-disk-0.raw" vm-100-disk-0.raw. */
export const volumeName = (volid: string): string => volid.slice(Math.max(volid.indexOf(':'), volid.lastIndexOf('/')) + 1);

// ---- files that somebody brings ----

/** What can be brought; the rest is made by the server. */
export const UPLOAD_KINDS = ['iso', 'import', 'vztmpl', 'boot'] as const satisfies readonly ContentKind[];

const ENDINGS: readonly (readonly [ContentKind, RegExp])[] = [
  ['iso', /\.(iso|img)$/i],
  ['vztmpl', /\.tar(\.(gz|xz|zst|bz2))?$/i],
  ['import', /\.(qcow2|raw|vmdk|ova|ovf)$/i],
  ['boot', /^(vmlinuz|vmlinux|bzimage|initrd|initramfs)/i],
];

/** By the name; of what the storage takes. A name that says nothing may be a kernel. */
export function guessKind(name: string, possible: readonly ContentKind[]): ContentKind | null {
  const fits = ENDINGS.filter(([kind, ending]) => ending.test(name) && possible.includes(kind)).map(([kind]) => kind);
  return fits.find((kind) => kind === 'boot') ?? fits[0] ?? (possible.includes('boot') && !name.includes('.') ? 'boot' : null);
}

const NAME = /^[A-Za-z0-9_+=@~()][A-Za-z0-9._+=@~()-]{0,199}$/;
const NAME_ENDINGS: Readonly<Partial<Record<ContentKind, RegExp>>> = {
  iso: /\.(iso|img)$/, vztmpl: /\.tar(\.(gz|xz|zst|bz2))?$/, import: /\.(qcow2|raw|vmdk|ova|ovf)$/,
};

/** Why a storage would not take this name, or null. */
export function nameProblem(name: string, kind: ContentKind): 'letters' | 'ending' | null {
  if (!NAME.test(name) || name.endsWith('.'))
    return 'letters';
  return NAME_ENDINGS[kind]?.test(name) === false ? 'ending' : null;
}

/** A name that a storage takes, of one that it does not. */
export function cleanName(name: string): string {
  const clean = name.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').replace(/[^A-Za-z0-9._+=@~()-]+/g, '-').replace(/^[.-]+|[.-]+$/g, '');
  return clean.slice(0, 200);
}

const ALGORITHMS: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' };

/** Checksums tell by their length what they are; null for what is none. A file name behind it is left out. */
export function readChecksum(text: string): { algorithm: string; value: string } | null {
  const value = text.trim().replace(/^\w+:/, '').split(/\s/)[0] ?? '';
  const algorithm = ALGORITHMS[value.length];
  return algorithm && /^[0-9a-f]+$/i.test(value) ? { algorithm, value: value.toLowerCase() } : null;
}

// ---- cloud images ----

export interface CloudImage { name: string; format: string; url: string; 'checksum-algorithm': string; 'checksum-url': string; source: string }

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/^debian\b/, 'Debian'], [/^ubuntu\b/, 'Ubuntu'], [/^alma(linux)?\b/, 'AlmaLinux'], [/^rocky\b/, 'Rocky Linux'], [/^centos-stream\b/, 'CentOS Stream'],
  [/^fedora\b/, 'Fedora'], [/^opensuse\b/, 'openSUSE Leap'], [/^arch\b/, 'Arch Linux'], [/^alpine\b/, 'Alpine Linux'], [/^freebsd\b/, 'FreeBSD'],
  [/^oracle(linux)?\b/, 'Oracle Linux'], [/^gentoo\b/, 'Gentoo'], [/^flatcar\b/, 'Flatcar'],
];

/** "ubuntu-24.04" as its makers write it. */
export function imageTitle(name: string): string {
  const found = SYSTEMS.find(([start]) => start.test(name));
  return found ? `${found[1]} ${name.replace(found[0], '').replace(/^-/, '').replaceAll('-', ' ')}`.trim() : name;
}

/** As the address tells it; '' when it does not. */
export function architecture(url: string): string {
  const found = /amd64|x86_64|x86-64|aarch64|arm64|riscv64|ppc64le|s390x/i.exec(url)?.[0].toLowerCase() ?? '';
  return found === 'amd64' || found === 'x86-64' ? 'x86_64' : found === 'arm64' ? 'aarch64' : found;
}

export const imageFile = (image: Pick<CloudImage, 'name' | 'format'>): string => `${image.name}.${image.format}`;

/** The file's name in an address, unpacked if it can be. */
export function urlFile(url: string): { name: string; compression: '' | 'gz' | 'zst' } {
  let path = '';
  try {
    path = decodeURIComponent(new URL(url).pathname);
  } catch {
    return { name: '', compression: '' };
  }
  const name = path.slice(path.lastIndexOf('/') + 1);
  const packed = /\.tar\./.test(name) ? null : /\.(gz|zst)$/.exec(name);
  return { name: cleanName(packed ? name.slice(0, -packed[0].length) : name), compression: (packed?.[1] ?? '') as '' | 'gz' | 'zst' };
}

// ---- when to look again ----

const TOUCHING = new Set(['imgcopy', 'imgdel', 'download', 'qmcreate', 'qmdestroy', 'qmclone', 'qmmove', 'qmconfig', 'qmsnapshot',
  'qmdelsnapshot', 'qmrollback', 'qmtemplate', 'qmrestore', 'resize', 'vzdump']);
const STEP_BYTES = 32 * 2 ** 20;

/** Changes when what lies on the storage may have changed. Subscribes to tasks and to the storage's row. */
export function contentVersion(node: string, storage: string): string {
  let n = 0, last = 0;
  for (const row of store.tables.task.all()) {
    const task = row.value;
    if (task.node === node && TOUCHING.has(task.type) && outcome(task) !== 'running') {
      n++;
      last = Math.max(last, task.endtime ?? 0);
    }
  }
  const s = storageRow(node, storage);
  return `${n} ${last} ${s?.status ?? ''} ${Math.round((s?.disk ?? 0) / STEP_BYTES)}`;
}
