import test from 'node:test';
import assert from 'node:assert/strict';
import { below, differences, freeName, inTheWay, isOurs, reachedOver, valuesOf, type Interface } from '../src/core/network.ts';
import { paceOf, withLook, type Look } from '../src/core/progress.ts';
import { inOrder, orderOf } from '../src/core/start-order.ts';

const card: Interface = { iface: 'eth0', type: 'eth', cidr: '192.0.2.10/24', address: '192.0.2.10', address6: '2001:DB8::10' };
const bridge: Interface = { iface: 'vmbr0', type: 'bridge', bridge_ports: 'eth1 eth2', cidr: '10.0.0.1/24', address: '10.0.0.1' };

test('the way to the page is known by its address alone, whatever form that has', () => {
  assert.equal(reachedOver([bridge, card], '192.0.2.10'), card);
  assert.equal(reachedOver([bridge, card], '[2001:db8::10]'), card);
  assert.equal(reachedOver([bridge, card], 'n1.example'), undefined);
});

test('a change is in the way when it is of that interface, of one below it or of one above it', () => {
  const waits = (i: Interface, pending: Interface['pending']): Interface => ({ ...i, ...(pending ? { pending } : {}) });
  assert.equal(inTheWay([waits(card, 'change'), bridge], '192.0.2.10')?.iface, 'eth0');
  assert.equal(inTheWay([card, waits(bridge, 'delete')], '192.0.2.10'), undefined);
  assert.equal(inTheWay([card, waits({ ...bridge, bridge_ports: 'eth0' }, 'new')], '192.0.2.10')?.iface, 'vmbr0');
  assert.equal(inTheWay([waits({ iface: 'eth1', type: 'eth' }, 'change'), bridge], '10.0.0.1')?.iface, 'eth1');
  assert.equal(inTheWay([waits(card, 'change')], 'n1.example'), undefined);
});

test('what lies below, what is Holm\'s, and the next free name', () => {
  assert.deepEqual(below({ iface: 'v', type: 'vlan', 'vlan-raw-device': 'eth0' }), ['eth0']);
  assert.deepEqual([isOurs(card), isOurs({ ...card, mtu: 1400 }), isOurs(bridge), isOurs({ iface: 'docker0', type: 'bridge' })], [false, true, true, false]);
  assert.equal(freeName([bridge, { ...bridge, iface: 'vmbr2' }], 'vmbr'), 'vmbr1');
});

test('a change is told setting by setting', () => {
  assert.deepEqual(differences(bridge, { ...bridge, mtu: 1400 }), [{ key: 'mtu', from: '', to: '1400' }]);
  assert.deepEqual(differences(undefined, { mtu: 1400 }), [{ key: 'mtu', from: '', to: '1400' }]);
  assert.deepEqual(differences({ ...bridge, comments: 'a\n' }, { ...bridge, comments: 'a' }), []);
});

test('what is emptied is named in delete, and what never was is not', () => {
  assert.deepEqual(valuesOf({ cidr: '', mtu: '', nat: '0', autostart: '1' }, { ...bridge, nat: 1 }), { autostart: '1', delete: 'cidr,nat' });
  assert.deepEqual(valuesOf({ cidr: '', nat: '0' }, undefined), {});
});

test('rate and time left come from looks of the same phase', () => {
  const look = (at: number, done: number, phase = 'copy'): Look => ({ at, phase, done, total: 1000 });
  let looks = withLook([], look(0, 0));
  assert.deepEqual(paceOf(looks), { part: 0, rate: 0, left: undefined });
  looks = withLook(looks, look(2000, 200));
  assert.deepEqual(paceOf(looks), { part: 0.2, rate: 100, left: 8 });
  looks = withLook(looks, look(3000, 0, 'merge'));
  assert.equal(looks.length, 1);
  looks = withLook(withLook(looks, look(4000, 10, 'merge')), look(60_000, 500, 'merge'));
  assert.equal(looks.length, 1); // the others are too old to tell
  assert.equal(paceOf([{ at: 0, phase: '', done: 5, total: 0 }]), null);
});

test('guests start by their order, those without one last, then by number', () => {
  const list = [{ vmid: 103, startup: '' }, { vmid: 102, startup: 'order=2,up=5' }, { vmid: 101, startup: '' }, { vmid: 104, startup: '1' }];
  assert.deepEqual(inOrder(list, false).map((x) => x.vmid), [104, 102, 101, 103]);
  assert.deepEqual(inOrder(list, true).map((x) => x.vmid), [103, 101, 102, 104]);
  assert.equal(orderOf('up=5'), undefined);
});
