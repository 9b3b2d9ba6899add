// What is wrong with a draft, by field: as far as the server's rules are known here. The server decides all the same,
// and what it says of a key is shown at the key's field.
import type { ApiError } from './api.ts';
import { isWindows, type Disk, type Draft, type Nic, type Step } from './create.ts';
import { diskStorages, mayNew, type Offer } from './create-offer.ts';
import type { Request } from './create-request.ts';
import type { Key } from './i18n.ts';

/** isMissing: not typed yet, which is said only when somebody wants to be done. */
export interface Problem { text: Key; isMissing?: boolean }
export type Problems = Readonly<Record<string, Problem>>;

const CIDR4 = /^(\d{1,3}\.){3}\d{1,3}\/([1-9]|[12]\d|3[0-2])$/;
const IP4 = /^(\d{1,3}\.){3}\d{1,3}$/;
const IP6 = /^[0-9a-f:]*:[0-9a-f:.]*$/i;
const KEY = /^(ssh-ed25519|ssh-rsa|ssh-dss|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/=]{16,}( .*)?$/;

const octets = (text: string): boolean => (text.split('/')[0] ?? '').split('.').every((n) => Number(n) < 256);
const isIp4 = (text: string): boolean => IP4.test(text) && octets(text);
const isIp = (text: string): boolean => isIp4(text) || IP6.test(text);
const isCidr4 = (text: string): boolean => CIDR4.test(text) && octets(text);

function isCidr6(text: string): boolean {
  const [address = '', bits = ''] = text.split('/');
  return IP6.test(address) && /^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= 128;
}

export const isName = (text: string): boolean =>
  text.length <= 253 && text.split('.').every((label) => /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(label) && label.length <= 63);
export const isVmid = (text: string): boolean => /^[1-9]\d{2,8}$/.test(text);
const isWhole = (text: string, least: number, most: number): boolean => /^\d+$/.test(text.trim()) && Number(text) >= least && Number(text) <= most;
export const words = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean);

type Out = Record<string, Problem>;

function sourceProblems(d: Draft, out: Out): void {
  const field = d.source === 'empty' ? '' : d.source;
  if (field && !d[field])
    out[field] = { text: 'create.wrong.choose', isMissing: true };
}

function basicProblems(d: Draft, isTaken: (vmid: string) => boolean, out: Out): void {
  if (!isVmid(d.vmid))
    out['vmid'] = { text: 'create.wrong.vmid' };
  else if (isTaken(d.vmid))
    out['vmid'] = { text: 'create.wrong.taken' };
  else if (!mayNew(d, 'VM.Allocate'))
    out['pool'] = { text: 'create.wrong.right' };
  if (d.name.trim() && !isName(d.name.trim()))
    out['name'] = { text: 'create.wrong.name' };
  if (words(d.tags).some((tag) => !/^[a-z0-9_][\w+.-]{0,123}$/i.test(tag)))
    out['tags'] = { text: 'create.wrong.tags' };
}

function diskProblem(d: Disk, most: Readonly<Record<string, number>>, count: number): Problem | null {
  if (!d.storage)
    return { text: 'create.wrong.storage' };
  const size = Number(d.size.trim().replace(',', '.'));
  if (!d.size.trim() || !(size > 0) || size > 1048576 || !/^\d+(\.\d+)?$/.test(d.size.trim()))
    return { text: 'create.wrong.size' };
  return count > (most[d.bus] ?? 1) ? { text: 'create.wrong.bus' } : null;
}

// The CD drive and that of cloud-init have a place as well.
const BUS_MOST: Readonly<Record<string, number>> = { scsi: 30, virtio: 15, sata: 5, ide: 2 };

function hardwareProblems(d: Draft, out: Out): void {
  const most = d.engine === 'vmm' ? 64 : 255;
  if (!isWhole(d.cores, 1, most))
    out['cores'] = { text: 'create.wrong.number' };
  if (!isWhole(d.sockets, 1, most) || (!out['cores'] && Number(d.cores) * Number(d.sockets) > most))
    out['sockets'] = { text: 'create.wrong.cpus' };
  if (!isWhole(d.memory, 16, 16 * 1024 * 1024))
    out['memory'] = { text: 'create.wrong.memory' };
  for (const [i, disk] of d.disks.entries()) {
    const problem = diskProblem(disk, BUS_MOST, d.disks.slice(0, i + 1).filter((x) => x.bus === disk.bus).length);
    if (problem)
      out[`disk${i}`] = problem;
  }
}

function nicProblems(n: Nic, i: number, out: Out): void {
  if (n.tag.trim() && !isWhole(n.tag, 1, 4094))
    out[`tag${i}`] = { text: 'create.wrong.tag' };
  if (n.mac.trim() && !/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(n.mac.trim()))
    out[`mac${i}`] = { text: 'create.wrong.mac' };
  if (n.rate.trim() && !(Number(n.rate) >= 0 && Number(n.rate) <= 100000))
    out[`rate${i}`] = { text: 'create.wrong.rate' };
}

function addressProblems(n: Nic, i: number, out: Out): void {
  if (n.ip === 'static' && !isCidr4(n.address.trim()))
    out[`address${i}`] = { text: 'create.wrong.cidr', isMissing: !n.address.trim() };
  if (n.ip === 'static' && n.gateway.trim() && !isIp4(n.gateway.trim()))
    out[`gateway${i}`] = { text: 'create.wrong.address' };
  if (n.ip6 === 'static' && !isCidr6(n.address6.trim()))
    out[`address6${i}`] = { text: 'create.wrong.cidr6', isMissing: !n.address6.trim() };
  if (n.ip6 === 'static' && n.gateway6.trim() && !IP6.test(n.gateway6.trim()))
    out[`gateway6${i}`] = { text: 'create.wrong.address' };
}

function cloudInitProblems(d: Draft, out: Out): void {
  if (d.ciuser.trim() && !/^[a-z0-9_][\w.@$-]{0,63}$/i.test(d.ciuser.trim()))
    out['ciuser'] = { text: 'create.wrong.user' };
  if (d.sshkeys.trim() && d.sshkeys.trim().split('\n').some((line) => line.trim() && !KEY.test(line.trim())))
    out['sshkeys'] = { text: 'create.wrong.key' };
  if (words(d.nameserver).length > 8 || words(d.nameserver).some((word) => !isIp(word)))
    out['nameserver'] = { text: 'create.wrong.address' };
  if (words(d.searchdomain).length > 8 || words(d.searchdomain).some((word) => !isName(word)))
    out['searchdomain'] = { text: 'create.wrong.domain' };
  for (const [i, nic] of d.nics.entries())
    addressProblems(nic, i, out);
}

/** d: settled and limited. */
export function problemsOf(d: Draft, offer: Offer, isTaken: (vmid: string) => boolean): Problems {
  const out: Out = {};
  sourceProblems(d, out);
  basicProblems(d, isTaken, out);
  if (d.source !== 'template') {
    hardwareProblems(d, out);
    for (const [i, nic] of d.nics.entries())
      nicProblems(nic, i, out);
  }
  if (d.hasCloudInit)
    cloudInitProblems(d, out);
  if (d.source !== 'template' && d.disks.length === 0 && (d.hasCloudInit || d.hasTpm) && !diskStorages(offer).length)
    out['disks'] = { text: 'create.wrong.storage' };
  return out;
}

const STEP_FIELDS: readonly (readonly [Step, RegExp])[] = [
  ['source', /^(iso|image|kernel|initrd|cmdline|template|full|storage)$/],
  ['basics', /^(vmid|name|pool|tags|ostype|onboot|start)$/],
  ['network', /^(net|tag|mac|rate)\d*$/],
  ['cloudinit', /^(ci\w+|sshkeys|nameserver|searchdomain|ipconfig\d+|address6?\d+|gateway6?\d+)$/],
];

/** Where a field is. */
export const stepOf = (field: string): Step => STEP_FIELDS.find(([, fits]) => fits.test(field))?.[0] ?? 'hardware';

/** Our field for a key of the request. */
function fieldOf(key: string, text: string, request: Request): string {
  const disk = request.diskKeys.indexOf(key);
  if (disk === 0 && text.includes('import-from'))
    return 'image';
  if (disk >= 0)
    return `disk${disk}`;
  if (key === request.cloudInitKey)
    return 'citype';
  const names: Readonly<Record<string, string>> = { ide2: 'iso', newid: 'vmid', efidisk0: 'bios', tpmstate0: 'tpm', serial0: 'serial' };
  return names[key] ?? key.replace(/^ipconfig(\d+)$/, 'address$1');
}

const WHOLE: readonly (readonly [RegExp, string])[] = [
  [/^unable to create VM|already exists/, 'vmid'], [/^pool '/, 'pool'], [/\(\/pool\/|\(\/vms\/\d+, VM\.Allocate\)/, 'pool'],
  [/the engine (vmm|qemu) needs/, 'engine'], [/\(\/sdn\//, 'net0'], [/\(\/storage\//, 'disk0'],
];

/** What a refusal says of single fields: by its parameters, by the key before a colon, by what it is about. */
export function refusals(error: ApiError, request: Request): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, text] of Object.entries(error.fields))
    out[fieldOf(key, text, request)] = text;
  const before = /^([a-z]+\d*): (.+)$/s.exec(error.message);
  const about = WHOLE.find(([fits]) => fits.test(error.message))?.[1];
  if (!Object.keys(out).length && before?.[1] && before[2])
    out[fieldOf(before[1], before[2], request)] = before[2];
  else if (!Object.keys(out).length && about)
    out[about] = error.message;
  return out;
}

/** Advice that is no error: Windows' installer has no drivers for these. */
export const lacksDrivers = (d: Draft): boolean =>
  d.source === 'iso' && isWindows(d.ostype) && (d.disks.some((x) => x.bus === 'scsi' || x.bus === 'virtio') || d.nics.some((n) => n.model === 'virtio'));
