// From a draft to calls of the API: one that makes the guest, and what else is needed until it is as it was asked for.
import { quote } from './shell.ts';
import type { Method, Values } from './api.ts';
import { isWindows, type Bus, type Disk, type Draft, type Nic } from './create.ts';
import { nodePath } from './paths.ts';
import { formatProperties } from './property.ts';

export interface Call {
  what: 'create' | 'clone' | 'configure' | 'resize' | 'start';
  method: Method;
  path: string;
  values: Values;
  /** The same for a shell. */
  command: string;
}

/** Which key of the request a drive, or something else of a draft, became: refusals come back by key. */
export interface Request { calls: readonly Call[]; diskKeys: readonly string[]; cloudInitKey: string }

type May = (privilege: string) => boolean;

const HIDDEN = '**********';
const CD_KEY = 'ide2';
const flag = (value: boolean): string | undefined => (value ? '1' : undefined);

/** The next free key of a bus; the CD drive has its place. */
function freeKey(bus: Bus, taken: readonly string[]): string {
  for (let i = 0; ; i++) {
    const key = `${bus}${i}`;
    if (!taken.includes(key) && key !== CD_KEY)
      return key;
  }
}

function diskValue(d: Disk, image: string): string {
  const file = image ? `${d.storage}:0` : `${d.storage}:${d.size.trim()}`;
  return formatProperties([
    ['file', file], ['import-from', image], ['format', d.format], ['cache', d.cache], ['discard', d.discard ? 'on' : ''],
    ['ssd', d.ssd && d.bus !== 'virtio' ? '1' : ''], ['iothread', d.iothread && (d.bus === 'scsi' || d.bus === 'virtio') ? '1' : ''],
  ], 'file');
}

function netValue(n: Nic): string {
  const first = n.mac.trim() ? `${n.model}=${n.mac.trim()}` : n.model;
  if (!n.bridge)
    return first;
  return [first, `bridge=${n.bridge}`, ...(n.tag.trim() ? [`tag=${n.tag.trim()}`] : []), ...(n.rate.trim() ? [`rate=${n.rate.trim()}`] : [])].join(',');
}

function addressOf(n: Nic): string {
  return formatProperties([
    ['ip', n.ip === 'static' ? n.address.trim() : n.ip], ['gw', n.ip === 'static' ? n.gateway.trim() : ''],
    ['ip6', n.ip6 === 'static' ? n.address6.trim() : n.ip6], ['gw6', n.ip6 === 'static' ? n.gateway6.trim() : ''],
  ], '');
}

/** Keys of cloud-init, with the password that is not part of the draft. */
function cloudInit(d: Draft, password: string): Values {
  const out: Record<string, string | undefined> = {
    ciuser: d.ciuser.trim() || undefined, cipassword: password || undefined,
    sshkeys: d.sshkeys.trim() ? encodeURIComponent(d.sshkeys.trim()) : undefined,
    nameserver: d.nameserver.trim() || undefined, searchdomain: d.searchdomain.trim() || undefined,
    ciupgrade: d.ciupgrade ? undefined : '0',
  };
  for (const [i, nic] of d.nics.entries())
    out[`ipconfig${i}`] = addressOf(nic) || undefined;
  return out;
}

interface Drives { values: Record<string, string>; diskKeys: string[]; cloudInitKey: string; boot: string[] }

function drives(d: Draft, may: May): Drives {
  const out: Drives = { values: {}, diskKeys: [], cloudInitKey: '', boot: [] };
  const taken = (): string[] => Object.keys(out.values);
  for (const [i, disk] of (may('VM.Config.Disk') ? d.disks : []).entries()) {
    const key = freeKey(disk.bus, taken());
    out.values[key] = diskValue(disk, i === 0 && d.source === 'image' ? d.image : '');
    out.diskKeys.push(key);
  }
  if (out.diskKeys[0])
    out.boot.push(out.diskKeys[0]);
  if (d.source === 'iso' && may('VM.Config.CDROM')) {
    out.values[CD_KEY] = `${d.iso},media=cdrom`;
    out.boot.push(CD_KEY);
  }
  if (d.source === 'empty' && d.nics.length > 0 && may('VM.Config.Network'))
    out.boot.push('net0');
  if (d.hasCloudInit && may('VM.Config.Disk')) {
    const bus = d.disks[0]?.bus ?? (d.source === 'kernel' ? 'virtio' : 'scsi');
    out.cloudInitKey = freeKey(bus, taken());
    out.values[out.cloudInitKey] = `${stateStorage(d)}:cloudinit`;
  }
  if (d.bios === 'ovmf' && d.hasEfiDisk && may('VM.Config.Disk'))
    out.values['efidisk0'] = `${stateStorage(d)}:1,efitype=4m,pre-enrolled-keys=${d.hasKeys ? 1 : 0}`;
  if (d.hasTpm && may('VM.Config.Disk'))
    out.values['tpmstate0'] = `${stateStorage(d)}:1,version=v2.0`;
  return out;
}

/** Small volumes lie beside the first disk. */
const stateStorage = (d: Draft): string => d.disks[0]?.storage || d.stateStorage;

/** Keys by the privilege that setting them needs; without it the server's own defaults hold. */
function configOf(d: Draft, hasScsi: boolean): Record<string, Values> {
  const isKernel = d.source === 'kernel';
  const nets = Object.fromEntries(d.nics.map((n, i) => [`net${i}`, netValue(n)] as const));
  return {
    'VM.Config.Options': {
      tags: d.tags.trim() || undefined, ostype: d.ostype, onboot: flag(d.onboot), agent: flag(d.agent),
      bios: d.bios === 'ovmf' ? 'ovmf' : undefined,
    },
    'VM.Config.CPU': { sockets: d.sockets === '1' ? undefined : d.sockets, cores: d.cores, cpu: d.cpu || undefined },
    'VM.Config.Memory': { memory: d.memory, balloon: d.balloon ? undefined : '0' },
    'VM.Config.HWType': {
      machine: d.machine || undefined, vga: d.vga === 'std' ? undefined : d.vga, serial0: d.serial ? 'socket' : undefined,
      engine: d.engine === 'auto' ? undefined : d.engine,
      scsihw: hasScsi && !isWindows(d.ostype) ? 'virtio-scsi-single' : undefined,
      ...(isKernel ? { kernel: d.kernel, initrd: d.initrd || undefined, cmdline: d.cmdline.trim() || undefined } : {}),
    },
    'VM.Config.Network': nets,
  };
}

const pairs = (values: Values): [string, string][] => Object.entries(values).flatMap(([key, v]) => (v === undefined ? [] : [[key, String(v)] as [string, string]]));

/** Options of `holm vm …`; secrets and keys come from files there. */
function options(values: Values, flags: readonly string[]): string {
  return pairs(values).map(([key, value]) => {
    const text = flags.includes(key) ? `--${key}` : key === 'cipassword' ? '--data-file cipassword=FILE' : key === 'sshkeys' ? '--sshkeys FILE' : `--${key} ${quote(value)}`;
    return ` \\\n  ${text}`;
  }).join('');
}

function startOf(d: Draft): Call[] {
  const path = `${nodePath(d.node)}/qemu/${d.vmid}/status/start`;
  return d.isStarted ? [{ what: 'start', method: 'POST', path, values: {}, command: `holm vm start ${d.vmid}` }] : [];
}

function ofTemplate(d: Draft, name: string, password: string, hasDrive: boolean): Request {
  const own = `${nodePath(d.node)}/qemu/${d.vmid}/config`;
  const copy: Values = { name, full: d.isFull ? 1 : undefined, storage: d.isFull ? d.cloneStorage || undefined : undefined, pool: d.pool || undefined };
  const more: Values = { tags: d.tags.trim() || undefined, onboot: flag(d.onboot), ...(hasDrive && d.hasCloudInit ? cloudInit(d, password) : {}) };
  const calls: Call[] = [{
    what: 'clone', method: 'POST', path: `${nodePath(d.node)}/qemu/${d.template}/clone`, values: { newid: d.vmid, ...copy },
    command: `holm vm clone ${d.template} ${d.vmid}${options(copy, ['full'])}`,
  }];
  if (pairs(more).length)
    calls.push({ what: 'configure', method: 'PUT', path: own, values: more, command: `holm vm set ${d.vmid}${options(more, [])}` });
  return { calls: [...calls, ...startOf(d)], diskKeys: [], cloudInitKey: '' };
}

/** d: settled and limited. name: what is used when none was typed. hasDrive: the template has one of cloud-init. */
export function requestOf(d: Draft, name: string, password: string, may: May, hasDrive = false): Request {
  const title = d.name.trim() || name;
  if (d.source === 'template')
    return ofTemplate(d, title, password, hasDrive);
  const own = drives(d, may);
  const allowed = Object.entries(configOf(d, Object.keys(own.values).some((key) => key.startsWith('scsi')))).filter(([privilege]) => may(privilege)).map(([, values]) => values);
  const mayInit = may('VM.Config.Cloudinit') || may('VM.Config.Network');
  const values: Values = Object.assign({}, { name: may('VM.Config.Options') ? title : undefined, pool: d.pool || undefined }, ...allowed, own.values,
    own.boot.length && may('VM.Config.Disk') ? { boot: `order=${own.boot.join(';')}` } : {}, d.hasCloudInit && mayInit ? cloudInit(d, password) : {}) as Values;
  const calls: Call[] = [{
    what: 'create', method: 'POST', path: `${nodePath(d.node)}/qemu`, values: { vmid: d.vmid, ...values },
    command: `holm vm create ${d.vmid}${options(values, [])}`,
  }];
  const first = own.diskKeys[0];
  const size = Number(d.disks[0]?.size);
  if (d.source === 'image' && first && size > d.imageSize)
    calls.push({
      what: 'resize', method: 'PUT', path: `${nodePath(d.node)}/qemu/${d.vmid}/resize`, values: { disk: first, size: `${size}G` },
      command: `holm vm resize ${d.vmid} ${first} ${size}G`,
    });
  return { calls: [...calls, ...startOf(d)], diskKeys: own.diskKeys, cloudInitKey: own.cloudInitKey };
}

/** As it may be shown. */
export const shown = (call: Call): Values => ('cipassword' in call.values && call.values['cipassword'] !== undefined ? { ...call.values, cipassword: HIDDEN } : call.values);
