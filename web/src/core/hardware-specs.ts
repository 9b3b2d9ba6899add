// The fields of each dialog, as tables: which key or property, how it is edited, what holds when it is not set. In a
// path "#" stands for the key that the dialog is of. Enumerations and bounds are those of api/qemu-config.json.
import type { Key } from './i18n.ts';
import { familyOf, type Values } from './hardware.ts';

export type FieldKind = 'text' | 'number' | 'decimal' | 'check' | 'choice' | 'lines' | 'bridge' | 'cputype' | 'flags' | 'machine' | 'bootfile' | 'usbhost' | 'snippet';

/** A text that is the same everywhere (names), or the key of one that is not. */
export interface Option { value: string; text?: string; label?: Key }

export interface Spec {
  path: string;
  label: Key;
  kind: FieldKind;
  help?: Key;
  options?: readonly Option[];
  /** What holds when nothing is set. */
  fallback?: string;
  /** Seldom needed: below a line that opens. */
  isMore?: boolean;
  isRootOnly?: boolean;
  /** For a few families of keys only. */
  families?: readonly string[];
  /** Needs the engine qemu. */
  isQemu?: boolean;
}

const names = (...values: string[]): Option[] => values.map((value) => ({ value, text: value }));

export const CPU: readonly Spec[] = [
  { path: 'sockets', label: 'key.sockets', kind: 'number', fallback: '1' },
  { path: 'cores', label: 'key.cores', kind: 'number', fallback: '1' },
  { path: 'cpu.cputype', label: 'key.cpu', kind: 'cputype', help: 'hw.cpu.typeHelp' },
  { path: 'vcpus', label: 'hw.cpu.vcpus', kind: 'number', help: 'hw.cpu.vcpusHelp' },
  { path: 'cpulimit', label: 'hw.cpu.limit', kind: 'decimal', help: 'hw.cpu.limitHelp', fallback: '0' },
  { path: 'cpuunits', label: 'hw.cpu.units', kind: 'number', help: 'hw.cpu.unitsHelp' },
  { path: 'numa', label: 'hw.cpu.numa', kind: 'check', help: 'hw.cpu.numaHelp', fallback: '0', isQemu: true },
  { path: 'cpu.hidden', label: 'hw.cpu.hidden', kind: 'check', fallback: '0', isMore: true, isQemu: true },
  { path: 'cpu.flags', label: 'hw.cpu.flags', kind: 'flags', isMore: true, isQemu: true },
  { path: 'affinity', label: 'hw.cpu.affinity', kind: 'text', help: 'hw.cpu.affinityHelp', isMore: true, isRootOnly: true },
];

export const MEMORY: readonly Spec[] = [
  { path: 'memory.current', label: 'hw.memory.mib', kind: 'number', fallback: '512' },
  { path: 'balloon', label: 'key.balloon', kind: 'number', help: 'hw.memory.balloonHelp' },
  { path: 'shares', label: 'hw.memory.shares', kind: 'number', help: 'hw.memory.sharesHelp', fallback: '1000', isMore: true },
  { path: 'allow-ksm', label: 'hw.memory.ksm', kind: 'check', help: 'hw.memory.ksmHelp', fallback: '1', isMore: true },
  { path: 'hugepages', label: 'hw.memory.huge', kind: 'choice', help: 'hw.memory.hugeHelp', options: [{ value: 'any', label: 'hw.memory.hugeAny' }, { value: '2', text: '2 MiB' }, { value: '1024', text: '1 GiB' }], isMore: true, isRootOnly: true },
];

const LIMITS: readonly Spec[] = [
  { path: '#.mbps_rd', label: 'hw.disk.mbpsRead', kind: 'decimal', isMore: true },
  { path: '#.mbps_wr', label: 'hw.disk.mbpsWrite', kind: 'decimal', isMore: true },
  { path: '#.mbps_rd_max', label: 'hw.disk.mbpsReadMax', kind: 'decimal', isMore: true },
  { path: '#.mbps_wr_max', label: 'hw.disk.mbpsWriteMax', kind: 'decimal', isMore: true },
  { path: '#.iops_rd', label: 'hw.disk.iopsRead', kind: 'number', isMore: true },
  { path: '#.iops_wr', label: 'hw.disk.iopsWrite', kind: 'number', isMore: true },
  { path: '#.iops_rd_max', label: 'hw.disk.iopsReadMax', kind: 'number', isMore: true },
  { path: '#.iops_wr_max', label: 'hw.disk.iopsWriteMax', kind: 'number', isMore: true },
];

/** Of disks on a bus; what belongs to one bus alone says so. */
export const DISK: readonly Spec[] = [
  { path: '#.cache', label: 'hw.disk.cache', kind: 'choice', help: 'hw.disk.cacheHelp', options: names('none', 'writethrough', 'writeback', 'unsafe', 'directsync') },
  { path: '#.aio', label: 'hw.disk.aio', kind: 'choice', options: names('io_uring', 'native', 'threads') },
  { path: '#.discard', label: 'hw.disk.discard', kind: 'choice', help: 'hw.disk.discardHelp', options: [{ value: 'on', label: 'hw.on' }, { value: 'ignore', label: 'hw.off' }], fallback: 'ignore' },
  { path: '#.ssd', label: 'hw.disk.ssd', kind: 'check', fallback: '0', families: ['scsi', 'sata', 'ide'], isQemu: true },
  { path: '#.iothread', label: 'hw.disk.iothread', kind: 'check', help: 'hw.disk.iothreadHelp', fallback: '0', families: ['scsi', 'virtio'], isQemu: true },
  { path: '#.ro', label: 'hw.disk.readOnly', kind: 'check', fallback: '0', families: ['scsi', 'virtio'] },
  { path: '#.backup', label: 'hw.disk.backup', kind: 'check', fallback: '1' },
  ...LIMITS,
  { path: '#.serial', label: 'hw.disk.serial', kind: 'text', isMore: true },
  { path: '#.queues', label: 'hw.queues', kind: 'number', families: ['scsi'], isMore: true },
  { path: '#.detect_zeroes', label: 'hw.disk.zeroes', kind: 'choice', options: [{ value: '1', label: 'hw.on' }, { value: '0', label: 'hw.off' }], isMore: true, isQemu: true },
  { path: '#.rerror', label: 'hw.disk.readError', kind: 'choice', options: names('report', 'stop', 'ignore'), isMore: true, isQemu: true },
  { path: '#.werror', label: 'hw.disk.writeError', kind: 'choice', options: names('enospc', 'report', 'stop', 'ignore'), isMore: true, isQemu: true },
  { path: '#.wwn', label: 'hw.disk.wwn', kind: 'text', families: ['scsi', 'sata', 'ide'], isMore: true, isQemu: true },
  { path: '#.vendor', label: 'hw.disk.vendor', kind: 'text', families: ['scsi'], isMore: true, isQemu: true },
  { path: '#.product', label: 'hw.disk.product', kind: 'text', families: ['scsi'], isMore: true, isQemu: true },
  { path: '#.model', label: 'hw.disk.model', kind: 'text', families: ['ide'], isMore: true, isQemu: true },
];

export const NET: readonly Spec[] = [
  { path: '#.bridge', label: 'hw.net.bridge', kind: 'bridge' },
  { path: '#.model', label: 'hw.net.model', kind: 'choice', fallback: 'virtio', options: names('virtio', 'e1000', 'e1000e', 'vmxnet3', 'rtl8139', 'pcnet', 'ne2k_pci', 'e1000-82540em', 'e1000-82544gc', 'e1000-82545em', 'i82551', 'i82557b', 'i82559er') },
  { path: '#.tag', label: 'hw.net.vlan', kind: 'number', help: 'hw.net.vlanHelp' },
  { path: '#.macaddr', label: 'hw.net.mac', kind: 'text', help: 'hw.net.macHelp' },
  { path: '#.rate', label: 'hw.net.rate', kind: 'decimal' },
  { path: '#.mtu', label: 'hw.net.mtu', kind: 'number', help: 'hw.net.mtuHelp' },
  { path: '#.link_down', label: 'hw.net.linkDown', kind: 'check', help: 'hw.net.linkDownHelp', fallback: '0' },
  { path: '#.queues', label: 'hw.queues', kind: 'number', isMore: true },
  { path: '#.trunks', label: 'hw.net.trunks', kind: 'text', help: 'hw.net.trunksHelp', isMore: true },
  { path: '#.firewall', label: 'hw.net.firewall', kind: 'check', help: 'hw.net.firewallHelp', fallback: '0', isMore: true },
];

export const VGA: readonly Spec[] = [
  { path: 'vga.type', label: 'key.vga', kind: 'choice', fallback: 'std', options: [
    { value: 'std', text: 'Standard VGA' }, { value: 'virtio', text: 'VirtIO-GPU' }, { value: 'qxl', text: 'QXL' }, { value: 'vmware', text: 'VMware SVGA' }, { value: 'cirrus', text: 'Cirrus' }, { value: 'serial0', label: 'hw.vga.serial0' }, { value: 'serial1', text: 'serial1' }, { value: 'serial2', text: 'serial2' }, { value: 'serial3', text: 'serial3' }, { value: 'none', label: 'hw.none' }] },
  { path: 'vga.memory', label: 'hw.vga.memory', kind: 'number', help: 'hw.vga.memoryHelp' },
];

export const MACHINE: readonly Spec[] = [
  { path: 'machine.type', label: 'key.machine', kind: 'machine' },
  { path: 'machine.viommu', label: 'hw.machine.iommu', kind: 'choice', help: 'hw.machine.iommuHelp', options: names('intel', 'virtio') },
  { path: 'machine.aw-bits', label: 'hw.machine.bits', kind: 'number', isMore: true },
  { path: 'machine.enable-s3', label: 'hw.machine.s3', kind: 'check', fallback: '0', isMore: true },
  { path: 'machine.enable-s4', label: 'hw.machine.s4', kind: 'check', fallback: '0', isMore: true },
];

export const KERNEL: readonly Spec[] = [
  { path: 'kernel', label: 'key.kernel', kind: 'bootfile', help: 'hw.kernel.help' },
  { path: 'initrd', label: 'key.initrd', kind: 'bootfile' },
  { path: 'cmdline', label: 'key.cmdline', kind: 'text' },
];

export const AGENT: readonly Spec[] = [
  { path: 'agent.enabled', label: 'hw.agent.enabled', kind: 'check', help: 'hw.agent.enabledHelp', fallback: '0' },
  { path: 'agent.fstrim_cloned_disks', label: 'hw.agent.trim', kind: 'check', fallback: '0' },
  { path: 'agent.freeze-fs', label: 'hw.agent.freeze', kind: 'check', fallback: '1' },
  { path: 'agent.type', label: 'hw.agent.type', kind: 'choice', fallback: 'virtio', options: names('virtio', 'isa') },
];

export const STARTUP: readonly Spec[] = [
  { path: 'startup.order', label: 'hw.startup.order', kind: 'number', help: 'hw.startup.orderHelp' },
  { path: 'startup.up', label: 'hw.startup.up', kind: 'number' },
  { path: 'startup.down', label: 'hw.startup.down', kind: 'number', help: 'hw.startup.downHelp' },
];

export const HOTPLUG: readonly Spec[] = [
  { path: 'hotplug.disk', label: 'hw.hotplug.disk', kind: 'check' },
  { path: 'hotplug.network', label: 'hw.hotplug.network', kind: 'check' },
  { path: 'hotplug.usb', label: 'hw.hotplug.usb', kind: 'check' },
  { path: 'hotplug.cpu', label: 'hw.hotplug.cpu', kind: 'check' },
  { path: 'hotplug.memory', label: 'hw.hotplug.memory', kind: 'check', help: 'hw.hotplug.memoryHelp' },
  { path: 'hotplug.cloudinit', label: 'hw.hotplug.cloudinit', kind: 'check' },
];

export const CLOCK: readonly Spec[] = [
  { path: 'localtime', label: 'key.localtime', kind: 'choice', help: 'hw.clock.localHelp', options: [{ value: '1', label: 'yes' }, { value: '0', label: 'no' }] },
  { path: 'startdate', label: 'hw.clock.start', kind: 'text', help: 'hw.clock.startHelp', fallback: 'now' },
];

export const RNG: readonly Spec[] = [
  { path: 'rng0.source', label: 'hw.rng.source', kind: 'choice', fallback: '/dev/urandom', options: names('/dev/urandom', '/dev/random') },
  { path: 'rng0.max_bytes', label: 'hw.rng.bytes', kind: 'number', isQemu: true },
  { path: 'rng0.period', label: 'hw.rng.period', kind: 'number', isQemu: true },
];

export const WATCHDOG: readonly Spec[] = [
  { path: 'watchdog.model', label: 'hw.watchdog.model', kind: 'choice', fallback: 'i6300esb', options: names('i6300esb', 'ib700') },
  { path: 'watchdog.action', label: 'hw.watchdog.action', kind: 'choice', fallback: 'none', options: [
    { value: 'reset', label: 'action.reset' }, { value: 'shutdown', label: 'action.shutdown' }, { value: 'poweroff', label: 'action.stop' }, { value: 'pause', label: 'action.suspend' }, { value: 'debug', label: 'hw.watchdog.debug' }, { value: 'none', label: 'hw.watchdog.none' }] },
];

export const AUDIO: readonly Spec[] = [
  { path: 'audio0.device', label: 'hw.audio.device', kind: 'choice', fallback: 'ich9-intel-hda', options: names('ich9-intel-hda', 'intel-hda', 'AC97') },
];

export const USB: readonly Spec[] = [
  { path: '#.host', label: 'hw.usb.device', kind: 'usbhost', help: 'hw.usb.help' },
  { path: '#.usb3', label: 'hw.usb.usb3', kind: 'check', fallback: '0' },
];

export const NUMA: readonly Spec[] = [
  { path: '#.cpus', label: 'hw.numa.cpus', kind: 'text', help: 'hw.numa.cpusHelp' },
  { path: '#.memory', label: 'hw.memory.mib', kind: 'decimal' },
  { path: '#.hostnodes', label: 'hw.numa.host', kind: 'text' },
  { path: '#.policy', label: 'hw.numa.policy', kind: 'choice', options: names('preferred', 'bind', 'interleave') },
];

export const SMBIOS: readonly Spec[] = [
  { path: 'smbios1.uuid', label: 'hw.smbios.uuid', kind: 'text' },
  { path: 'smbios1.manufacturer', label: 'hw.smbios.manufacturer', kind: 'text' },
  { path: 'smbios1.product', label: 'hw.smbios.product', kind: 'text' },
  { path: 'smbios1.version', label: 'hw.smbios.version', kind: 'text' },
  { path: 'smbios1.serial', label: 'hw.disk.serial', kind: 'text' },
  { path: 'smbios1.sku', label: 'hw.smbios.sku', kind: 'text' },
  { path: 'smbios1.family', label: 'hw.smbios.family', kind: 'text' },
];

export const TPM: readonly Spec[] = [{ path: '#.version', label: 'hw.tpm.version', kind: 'choice', fallback: 'v1.2', options: names('v2.0', 'v1.2') }];

export const EFI: readonly Spec[] = [
  { path: '#.efitype', label: 'hw.efi.type', kind: 'choice', help: 'hw.efi.typeHelp', fallback: '2m', options: names('4m', '2m') },
  { path: '#.pre-enrolled-keys', label: 'hw.efi.keys', kind: 'check', help: 'hw.efi.keysHelp', fallback: '0' },
];

export const OS_TYPES: readonly Option[] = [
  { value: 'l26', text: 'Linux 2.6 – 6.x' }, { value: 'l24', text: 'Linux 2.4' }, { value: 'win11', text: 'Windows 11, 2022, 2025' }, { value: 'win10', text: 'Windows 10, 2016, 2019' },
  { value: 'win8', text: 'Windows 8, 2012' }, { value: 'win7', text: 'Windows 7, 2008 R2' }, { value: 'w2k8', text: 'Windows 2008' }, { value: 'wvista', text: 'Windows Vista' }, { value: 'w2k3', text: 'Windows 2003' },
  { value: 'wxp', text: 'Windows XP' }, { value: 'w2k', text: 'Windows 2000' }, { value: 'solaris', text: 'Solaris, illumos' }, { value: 'other', label: 'hw.other' },
];

export const KEYBOARDS = names('en-us', 'en-gb', 'de', 'de-ch', 'fr', 'fr-be', 'fr-ca', 'fr-ch', 'da', 'es', 'fi', 'hu', 'is', 'it', 'ja', 'lt', 'mk', 'nl', 'no', 'pl', 'pt', 'pt-br', 'sv', 'sl', 'tr');
export const SCSI_CONTROLLERS = names('virtio-scsi-single', 'virtio-scsi-pci', 'lsi', 'lsi53c810', 'megasas', 'pvscsi');

/** The fields that a dialog shows, with "#" filled in: without those of other buses, of root alone, of another engine. */
export function fieldsFor(specs: readonly Spec[], key: string, values: Values, isRoot: boolean): Spec[] {
  return specs.filter((s) => (!s.families || s.families.includes(familyOf(key))) && (!s.isRootOnly || isRoot) && (!s.isQemu || values['engine'] !== 'vmm'))
    .map((s) => ({ ...s, path: s.path.replace('#', key) }));
}
