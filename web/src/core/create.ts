// What a new guest shall be, as the steps of creating one ask for it, and what is assumed until somebody says otherwise.
// Numbers are kept as they were typed: a half-typed one is no error yet.

export const STEPS = ['source', 'basics', 'hardware', 'network', 'cloudinit', 'review'] as const;
export type Step = (typeof STEPS)[number];

export const SOURCES = ['iso', 'image', 'kernel', 'template', 'empty'] as const;
export type Source = (typeof SOURCES)[number];
export const BUSES = ['scsi', 'virtio', 'sata', 'ide'] as const;
export type Bus = (typeof BUSES)[number];
export const ENGINES = ['auto', 'qemu', 'vmm'] as const;
export type Engine = (typeof ENGINES)[number];

export interface Disk {
  /** '' is the first storage that takes disks. */
  storage: string;
  /** GiB. */
  size: string;
  bus: Bus;
  /** '' is the storage's own. */
  format: '' | 'raw' | 'qcow2';
  /** '' is the engine's choice. */
  cache: '' | 'none' | 'writeback' | 'writethrough' | 'directsync' | 'unsafe';
  discard: boolean;
  ssd: boolean;
  iothread: boolean;
}

export interface Nic {
  /** null is the first bridge that may be used, or none; '' is NAT. */
  bridge: string | null;
  model: string;
  tag: string;
  mac: string;
  rate: string;
  /** Of cloud-init: '' leaves the family alone. */
  ip: '' | 'dhcp' | 'static';
  address: string;
  gateway: string;
  ip6: '' | 'auto' | 'dhcp' | 'static';
  address6: string;
  gateway6: string;
}

export interface Draft {
  source: Source;
  /** Volumes: a CD image, a disk image, a kernel and its initial RAM disk. */
  iso: string;
  image: string;
  /** GiB; a disk that begins as the image is at least so large. */
  imageSize: number;
  kernel: string;
  initrd: string;
  cmdline: string;
  /** The number of a template of ours. */
  template: string;
  isFull: boolean;
  /** Where a full clone's disks are made; '' is where the template's are. */
  cloneStorage: string;
  /** Of firmware variables, TPM and cloud-init in a guest without disks. */
  stateStorage: string;
  /** '' is the only node. */
  node: string;
  /** '' is the next free number. */
  vmid: string;
  name: string;
  pool: string;
  tags: string;
  ostype: string;
  onboot: boolean;
  isStarted: boolean;
  sockets: string;
  cores: string;
  cpu: string;
  memory: string;
  balloon: boolean;
  agent: boolean;
  disks: readonly Disk[];
  bios: 'seabios' | 'ovmf';
  hasEfiDisk: boolean;
  hasKeys: boolean;
  hasTpm: boolean;
  machine: '' | 'pc';
  vga: string;
  serial: boolean;
  engine: Engine;
  nics: readonly Nic[];
  hasCloudInit: boolean;
  ciuser: string;
  sshkeys: string;
  nameserver: string;
  searchdomain: string;
  ciupgrade: boolean;
}

export const isWindows = (ostype: string): boolean => ostype.startsWith('w');

/** With drivers that an installer has: Windows' knows no virtio. */
export const newDisk = (draft: Pick<Draft, 'ostype' | 'source'>): Disk => ({
  storage: '', size: isWindows(draft.ostype) ? '64' : draft.source === 'kernel' ? '8' : draft.source === 'image' ? '10' : '32',
  bus: isWindows(draft.ostype) ? 'sata' : draft.source === 'kernel' ? 'virtio' : 'scsi',
  format: '', cache: '', discard: false, ssd: false, iothread: false,
});

export const newNic = (draft: Pick<Draft, 'ostype'>): Nic => ({
  bridge: null, model: isWindows(draft.ostype) ? 'e1000e' : 'virtio', tag: '', mac: '', rate: '',
  ip: 'dhcp', address: '', gateway: '', ip6: '', address6: '', gateway6: '',
});

type Assumed = Pick<Draft, 'memory' | 'disks' | 'nics' | 'bios' | 'hasEfiDisk' | 'hasKeys' | 'hasTpm' | 'vga' | 'serial' | 'hasCloudInit'>;

/** What follows from where the system comes from and which it is. */
function assumed(draft: Pick<Draft, 'ostype' | 'source'>): Assumed {
  const isWin11 = draft.ostype === 'win11';
  const isLinuxImage = draft.source === 'image' || draft.source === 'kernel';
  return {
    memory: isWindows(draft.ostype) ? '4096' : draft.source === 'kernel' ? '512' : '2048',
    disks: draft.source === 'kernel' ? [] : [newDisk(draft)],
    nics: [newNic(draft)],
    bios: isWin11 ? 'ovmf' : 'seabios', hasEfiDisk: true, hasKeys: isWin11, hasTpm: isWin11,
    vga: draft.source === 'kernel' ? 'serial0' : 'std', serial: isLinuxImage, hasCloudInit: draft.source === 'image',
  };
}

const FIRST: Pick<Draft, 'ostype' | 'source'> = { source: 'iso', ostype: 'l26' };

export const newDraft = (): Draft => ({
  ...FIRST, ...assumed(FIRST),
  iso: '', image: '', imageSize: 0, kernel: '', initrd: '', cmdline: 'console=ttyS0', template: '', isFull: false, cloneStorage: '', stateStorage: '',
  node: '', vmid: '', name: '', pool: '', tags: '', onboot: false, isStarted: true,
  sockets: '1', cores: '2', cpu: '', balloon: true, agent: false, machine: '', engine: 'auto',
  ciuser: '', sshkeys: '', nameserver: '', searchdomain: '', ciupgrade: true,
});

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** A change that others follow from: what nobody has touched becomes what is assumed now. */
export function changed(draft: Draft, patch: Partial<Draft>): Draft {
  const before = assumed(draft);
  const next: Draft = { ...draft, ...patch };
  const after = assumed(next);
  const untouched = (Object.keys(before) as (keyof Assumed)[]).filter((key) => !(key in patch) && same(draft[key], before[key]));
  return Object.assign(next, ...untouched.map((key) => ({ [key]: after[key] })) as Partial<Draft>[]) as Draft;
}

/** Windows by the name of its CD; all else is taken for Linux. */
export function guessOs(file: string): string {
  const name = file.toLowerCase();
  if (!/win|server_?20/.test(name) || /darwin/.test(name))
    return 'l26';
  return /11|2022|2025/.test(name) ? 'win11' : /2012|win.*8/.test(name) ? 'win8' : /2008|win.*7/.test(name) ? 'win7' : 'win10';
}

export const fileOf = (volid: string): string => volid.slice(volid.indexOf(':') + 1).replace(/^[a-z]+\//, '');

/** A name for a guest whose name nobody typed: of what it is made of, and its number. */
export function suggestedName(draft: Draft, vmid: string, templateName: string): string {
  const from = { iso: fileOf(draft.iso), image: fileOf(draft.image), kernel: fileOf(draft.kernel), template: templateName, empty: 'guest' }[draft.source];
  const base = from.replace(/\.(iso|img|qcow2|raw)$/i, '').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 40).replace(/-+$/, '');
  return `${base || 'guest'}-${vmid}`;
}

/** Steps that this source has: a template brings its hardware and its network with it. */
export const stepsOf = (draft: Draft): Step[] =>
  STEPS.filter((step) => draft.source !== 'template' || (step !== 'hardware' && step !== 'network'));
