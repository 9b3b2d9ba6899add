// What interfaces and their settings are called.
import { t, type Key } from './i18n.ts';
import type { Setting } from './network.ts';

export const LABELS: Readonly<Record<Setting, Key>> = {
  cidr: 'node.net.cidr', gateway: 'node.net.gateway', cidr6: 'node.net.cidr6', gateway6: 'node.net.gateway6', bridge_ports: 'node.net.ports', slaves: 'node.net.slaves',
  bond_mode: 'node.net.bondMode', bond_xmit_hash_policy: 'node.net.hash', 'bond-primary': 'node.net.primary', 'vlan-raw-device': 'node.net.rawDevice', 'vlan-id': 'node.net.vlanId',
  bridge_vlan_aware: 'node.net.vlanAware', nat: 'node.net.nat', 'dhcp-range': 'node.net.dhcp', mtu: 'node.net.mtu', autostart: 'node.net.autostart', comments: 'node.net.comment',
};

const TYPES: Readonly<Record<string, Key>> = { bridge: 'node.net.bridge', bond: 'node.net.bond', vlan: 'node.net.vlan', eth: 'node.net.eth' };
export const typeName = (type: string): string => (TYPES[type] ? t(TYPES[type]) : type);
