// Names of fields and steps, for what is said of them elsewhere than at their place.
import type { Step } from '../core/create.ts';
import { t, type Key } from '../core/i18n.ts';

export const STEP_TITLE: Readonly<Record<Step, Key>> = {
  source: 'create.step.source', basics: 'create.step.basics', hardware: 'tab.hardware', network: 'key.net', cloudinit: 'tab.cloudinit', review: 'create.step.review',
};

const LABELS: Readonly<Record<string, Key>> = {
  iso: 'create.iso', image: 'create.image', kernel: 'key.kernel', initrd: 'key.initrd', cmdline: 'key.cmdline', template: 'create.template', storage: 'create.storage',
  vmid: 'guest.id', name: 'guest.name', pool: 'guest.pool', tags: 'guest.tags', ostype: 'key.ostype', onboot: 'key.onboot',
  cores: 'key.cores', sockets: 'key.sockets', cpu: 'key.cpu', memory: 'guest.memory', balloon: 'create.balloon', disk: 'key.disk', disks: 'create.disks',
  bios: 'key.bios', machine: 'key.machine', vga: 'key.vga', engine: 'key.engine', tpm: 'create.tpm', serial: 'create.serial', agent: 'key.agent',
  net: 'key.net', mac: 'create.mac', tag: 'create.tag', rate: 'create.rate',
  ciuser: 'create.user', cipassword: 'create.password', sshkeys: 'create.sshkeys', nameserver: 'create.nameserver', searchdomain: 'create.searchdomain', citype: 'tab.cloudinit',
  address: 'create.address', gateway: 'create.gateway', 'address6': 'create.address6', 'gateway6': 'create.gateway6',
};

/** "disk1" is the second of them; what has no name here is called as the API calls it. */
export function labelOf(field: string): string {
  const number = /^(disk|net|mac|tag|rate|address6?|gateway6?)(\d+)$/.exec(field);
  const key = LABELS[number?.[1] ?? field];
  if (!key)
    return field;
  return number?.[2] && number[2] !== '0' ? `${t(key)} ${Number(number[2]) + 1}` : t(key);
}
