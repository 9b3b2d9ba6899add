// Interfaces of a node and what waits to be applied to them, without markup.

export type Kind = 'bridge' | 'bond' | 'vlan' | 'eth';
export type Pending = 'new' | 'change' | 'delete';

export interface Interface {
  iface: string; type: string; pending?: Pending; active?: number; exists?: number; autostart?: number;
  cidr?: string; address?: string; gateway?: string; cidr6?: string; address6?: string; gateway6?: string;
  bridge_ports?: string; bridge_vlan_aware?: number; slaves?: string; bond_mode?: string; bond_xmit_hash_policy?: string;
  'bond-primary'?: string; 'vlan-id'?: number; 'vlan-raw-device'?: string; mtu?: number; comments?: string; nat?: number; 'dhcp-range'?: string;
  /** What is in force while a change or an end of it waits. */
  applied?: Settings;
}

/** What can be set, in the order in which it is shown. */
export const SETTINGS = ['cidr', 'gateway', 'cidr6', 'gateway6', 'bridge_ports', 'slaves', 'bond_mode', 'bond_xmit_hash_policy', 'bond-primary',
  'vlan-raw-device', 'vlan-id', 'bridge_vlan_aware', 'nat', 'dhcp-range', 'mtu', 'autostart', 'comments'] as const;
export type Setting = (typeof SETTINGS)[number];

export const words = (text: string | undefined): string[] => (text ?? '').split(/[\s,;]+/).filter(Boolean);

/** The interfaces that one lies on. */
export const below = (i: Interface): string[] => [...words(i.bridge_ports), ...words(i.slaves), ...words(i['vlan-raw-device'])];

/** Holm changes what it has made itself; of the host's own it can give addresses to cards. */
export function isOurs(i: Interface): boolean {
  if (i.pending)
    return true;
  if (i.type === 'eth')
    return SETTINGS.some((key) => !['cidr', 'cidr6'].includes(key) && i[key] !== undefined);
  return i.bridge_ports !== undefined || i.slaves !== undefined || i['vlan-raw-device'] !== undefined;
}

export type Settings = Pick<Interface, Setting>;

export interface Difference { key: Setting; from: string; to: string }

const textOf = (i: Settings | undefined, key: Setting): string => String(i?.[key] ?? '').trim();

export function differences(before: Settings | undefined, after: Settings | undefined): Difference[] {
  return SETTINGS.map((key) => ({ key, from: textOf(before, key), to: textOf(after, key) })).filter((d) => d.from !== d.to);
}

const bare = (host: string): string => host.replace(/^\[|\]$/g, '').toLowerCase();

/** The interface that has this address. A name of a host says nothing of its addresses. */
export const reachedOver = (list: readonly Interface[], host: string): Interface | undefined =>
  list.find((i) => i.address === bare(host) || (i.address6 !== undefined && bare(i.address6) === bare(host)));

/** The pending change that touches the way to this address: that of the interface itself, or of one below or above it. */
export function inTheWay(list: readonly Interface[], host: string): Interface | undefined {
  const mine = reachedOver(list, host);
  return mine && list.find((i) => i.pending && i.pending !== 'new' && (i.iface === mine.iface || below(mine).includes(i.iface)))
    || (mine && list.find((i) => i.pending && below(i).includes(mine.iface)));
}

/** "vmbr" to "vmbr2", when there are vmbr0 and vmbr1. */
export function freeName(list: readonly Interface[], stem: string): string {
  const names = new Set(list.map((i) => i.iface));
  let n = 0;
  while (names.has(`${stem}${n}`))
    n++;
  return `${stem}${n}`;
}

/** The call's values: what is empty now and was not is named in `delete`. */
export function valuesOf(wanted: Readonly<Partial<Record<Setting, string>>>, before: Settings | undefined): Record<string, string> {
  const values: Record<string, string> = {};
  const gone: string[] = [];
  for (const key of SETTINGS) {
    const now = wanted[key];
    if (now === undefined)
      continue;
    if (now !== '' && now !== '0')
      values[key] = now;
    else if (before?.[key] !== undefined && textOf(before, key) !== '')
      gone.push(key);
  }
  return { ...values, ...(gone.length ? { delete: gone.join(',') } : {}) };
}
