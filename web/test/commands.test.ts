import test from 'node:test';
import assert from 'node:assert/strict';
import { findCommands, rank } from '../src/core/commands.ts';
import { permissions } from '../src/core/perms.ts';
import { store } from '../src/core/store.ts';

const guest = (vmid: number, name: string, status = 'running') => ({ id: String(vmid), vmid, name, status, node: 'n1', type: 'qemu' });
const views = [{ href: '/guests', icon: 'guests', text: 'nav.guests' }, { href: '/tasks', icon: 'tasks', text: 'nav.tasks' }] as const;
const ids = (text: string): string[] => findCommands(text, views).map((c) => c.id);

store.apply([...store.diff('guest', [guest(100, 'web-1'), guest(101, 'database', 'stopped'), guest(1001, 'my-web')]),
  { kind: 'storage', id: 'storage/n1/local', set: { storage: 'local', node: 'n1', status: 'available' } }]);

test('a whole word before a beginning before a part', () => {
  assert.ok(rank('web-1 100', ['web']) < rank('my-web 1001', ['web']));
  assert.ok(rank('webber', ['web']) < rank('my-webber', ['web']));
  assert.equal(rank('web', ['x']), Infinity);
});

test('guests by name and number, views, storages', () => {
  permissions.value = { '/': { 'VM.Audit': 1 } };
  assert.deepEqual(ids('web'), ['g-100', 'g-1001']);
  assert.equal(ids('100')[0], 'g-100');
  assert.deepEqual(ids('loc'), ['storage/n1/local']);
  assert.equal(ids('task')[0], 'v-/tasks');
});

test('what can be done, with two words, and only by who may', () => {
  permissions.value = { '/': { 'VM.Audit': 1 } };
  assert.deepEqual(ids('data start'), []);
  permissions.value = { '/': { 'VM.Audit': 1, 'VM.PowerMgmt': 1, 'VM.Console': 1, 'VM.Allocate': 1 } };
  assert.deepEqual(ids('data start'), ['a-101-start']);
  assert.deepEqual(ids('web-1 cons'), ['t-100-console']);
  assert.equal(ids('new')[0], 'c-guest');
});
