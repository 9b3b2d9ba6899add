// One line in words for each row, and a second one with what is configured besides.
import type { ConfigKey } from './config-keys.ts';
import { bytes } from './format.ts';
import { bootOrder, familyOf, isVolumeKey, parseDrive, sizeBytes, type Drive, type Values } from './hardware.ts';
import { propertiesOf } from './hardware-form.ts';
import type { Option } from './hardware-specs.ts';
import { t } from './i18n.ts';

export interface Said { main: string; detail?: string; isMono?: boolean }

const MIB = 2 ** 20;
const number = (text: string | undefined, fallback: number): number => (text === undefined || text === '' ? fallback : Number(text));
export const mib = (text: string): string => bytes(number(text, 0) * MIB);

/** "cache=none, discard=on": without the parts that the first line says. */
function rest(options: ReadonlyMap<string, string>, without: readonly string[]): string {
  return [...options].filter(([name]) => !without.includes(name)).map(([name, value]) => `${name}=${value}`).join(', ');
}

const join = (...parts: readonly (string | undefined | false)[]): string => parts.filter(Boolean).join(' · ');
export const volumeName = (volid: string): string => volid.slice(volid.lastIndexOf('/') + 1);

function size(d: Drive): string {
  const n = sizeBytes(d.size);
  return Number.isFinite(n) ? bytes(n) : '';
}

function ofDrive(d: Drive): Said {
  const options = rest(d.options, ['file', 'volume', 'size', 'media']);
  switch (d.kind) {
    case 'cdrom': return d.volid ? { main: t('hw.drive.on', { what: volumeName(d.volid), storage: d.storage }), detail: join(size(d), options) } : { main: t('hw.drive.empty'), detail: options };
    case 'cloudinit': return { main: t('hw.drive.on', { what: t('hw.drive.cloudinit'), storage: d.storage }), detail: options };
    case 'unused': return { main: t('hw.drive.on', { what: volumeName(d.volid), storage: d.storage }) };
    default: return { main: size(d) ? t('hw.drive.on', { what: size(d), storage: d.storage }) : d.volid, detail: join(volumeName(d.volid), options), isMono: true };
  }
}

function ofCpu(v: Values): Said {
  const sockets = number(v['sockets'] ?? v['smp'], 1), cores = number(v['cores'], 1);
  const p = propertiesOf('cpu', v['cpu'] ?? '');
  const plugged = v['vcpus'] ? t('hw.cpu.plugged', { n: v['vcpus'] }) : '';
  const limit = v['cpulimit'] && v['cpulimit'] !== '0' ? t('hw.cpu.limited', { n: v['cpulimit'] }) : '';
  return {
    main: join(t('guest.cpus', { n: sockets * cores }), p.get('cputype') ?? 'host', plugged),
    detail: join(sockets * cores > 1 && t('hw.cpu.shape', { sockets: String(sockets), cores: String(cores) }), limit, v['cpuunits'] && `cpuunits=${v['cpuunits']}`, v['numa'] === '1' && 'NUMA', rest(p, ['cputype']), v['affinity'] && `affinity=${v['affinity']}`),
  };
}

function ofMemory(v: Values): Said {
  const p = propertiesOf('memory', v['memory'] ?? '512');
  const balloon = v['balloon'] === '0' ? t('hw.memory.noBalloon') : v['balloon'] ? t('hw.memory.least', { size: mib(v['balloon']) }) : '';
  return { main: mib(p.get('current') ?? '512'), detail: join(balloon, v['shares'] && `shares=${v['shares']}`, v['hugepages'] && `hugepages=${v['hugepages']}`, v['allow-ksm'] === '0' && 'allow-ksm=0') };
}

function ofNet(value: string): Said {
  const p = propertiesOf('net0', value);
  const bridge = p.get('bridge');
  return {
    main: join(bridge ? bridge + (p.get('tag') ? `, VLAN ${p.get('tag')}` : '') : 'NAT', p.get('model') ?? 'virtio', p.get('link_down') === '1' && t('hw.net.unplugged')),
    detail: join(p.get('macaddr'), rest(p, ['model', 'macaddr', 'bridge', 'tag', 'link_down'])), isMono: true,
  };
}

function optionText(options: readonly Option[] | undefined, value: string): string {
  const option = options?.find((o) => o.value === value);
  return option?.label ? t(option.label) : (option?.text ?? value);
}

function ofAgent(value: string): Said {
  const p = propertiesOf('agent', value);
  return { main: p.get('enabled') === '1' ? t('hw.on') : t('hw.off'), detail: rest(p, ['enabled']) };
}

function ofStartup(value: string): Said {
  const p = propertiesOf('startup', value.includes('=') && !/^\d/.test(value) ? value : `order=${value}`);
  const seconds = (name: string): string => `${p.get(name) ?? ''} ${t('unit.second')}`;
  return { main: join(p.get('order') && `${t('hw.startup.order')} ${p.get('order')}`, p.get('up') && `↑ ${seconds('up')}`, p.get('down') && `↓ ${seconds('down')}`) };
}

function ofKernel(v: Values): Said {
  return v['kernel'] ? { main: join(volumeName(v['kernel']), v['initrd'] && volumeName(v['initrd'])), detail: v['cmdline'] ?? '', isMono: true } : { main: t('hw.kernel.none') };
}

function ofClock(v: Values): Said {
  const local = v['localtime'] === undefined ? t('hw.clock.byOs') : v['localtime'] === '1' ? t('hw.clock.local') : 'UTC';
  return { main: join(local, v['startdate'] && v['startdate'] !== 'now' && v['startdate']) };
}

function ofSmbios(value: string): Said {
  const p = propertiesOf('smbios1', value);
  return { main: join(p.get('manufacturer'), p.get('product'), p.get('serial')) || (p.get('uuid') ?? ''), detail: p.get('uuid') && p.size > 1 ? p.get('uuid') ?? '' : '', isMono: p.size === 1 };
}

/** values: those in force. key: of a numbered row, "scsi3". */
export function said(def: ConfigKey, key: string, values: Values): Said {
  const value = values[key] ?? def.fallback ?? '';
  if (isVolumeKey(key))
    return value ? ofDrive(parseDrive(key, value)) : { main: '–' };
  switch (familyOf(key)) {
    case 'memory': return ofMemory(values);
    case 'cores': return ofCpu(values);
    case 'net': return value ? ofNet(value) : { main: '–' };
    case 'boot': return { main: bootOrder(values).join(', ') || t('hw.none') };
    case 'kernel': return ofKernel(values);
    case 'agent': return ofAgent(value);
    case 'startup': return value ? ofStartup(value) : { main: t('hw.any') };
    case 'localtime': return ofClock(values);
    case 'smbios': return ofSmbios(value);
    case 'serial': return { main: t('hw.serial.text') };
    case 'hotplug': return { main: [...propertiesOf('hotplug', value).keys()].map((name) => t(`hw.hotplug.${name as 'disk'}`)).join(', ') || t('hw.none') };
    default: return ofFields(def, key, value);
  }
}

/** A value in the words of its field, or of its first one. */
function ofFields(def: ConfigKey, key: string, value: string): Said {
  const whole = def.fields?.find((f) => f.path === def.name);
  if (whole?.kind === 'check')
    return { main: value === '1' ? t('yes') : t('no') };
  if (whole || !value)
    return { main: optionText(whole?.options, value) || '–' };
  const first = def.fields?.[0], name = first?.path.split('.')[1] ?? '';
  const p = propertiesOf(key, value);
  return first ? { main: optionText(first.options, p.get(name) ?? first.fallback ?? '') || value, detail: rest(p, [name]) } : { main: value };
}

/** A single key that waits: as short as can be. */
export function saidShort(key: string, value: string): string {
  if (isVolumeKey(key))
    return ofDrive(parseDrive(key, value)).main;
  if (key === 'memory' || key === 'balloon')
    return mib(propertiesOf('memory', value).get('current') ?? value);
  return familyOf(key) === 'net' ? join(ofNet(value).main, propertiesOf(key, value).get('macaddr')) : value;
}
