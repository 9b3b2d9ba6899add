import test from 'node:test';
import assert from 'node:assert/strict';
import { Reader } from '../src/core/live.ts';
import { store } from '../src/core/store.ts';

const guest = (vmid: string) => store.tables.guest.row(vmid)?.peek() as Record<string, unknown> | undefined;
const lines = (...all: object[]): string => all.map((m) => `${JSON.stringify(m)}\n`).join('');
const row = (vmid: number, more: object = {}) => ({ type: 'row', kind: 'guest', id: `qemu/${vmid}`, row: { id: `qemu/${vmid}`, type: 'qemu', vmid, name: `g${vmid}`, status: 'stopped', ...more } });

function clean(): void {
  store.apply([...store.names()].map((name) => ({ kind: name.split(' ')[0] as 'guest', id: name.slice(name.indexOf(' ') + 1), unset: true as const })));
}

test('a full telling fills the store, and its end is known by the cursor', () => {
  clean();
  const r = new Reader();
  assert.equal(r.take(lines({ type: 'hello', node: 'n1', is_complete: false }, row(100), row(101, { lock: 'backup' }))), false);
  assert.equal(r.take(lines({ type: 'ping', cursor: 'c1' })), true);
  assert.equal(r.cursor, 'c1');
  assert.equal(guest('101')?.['lock'], 'backup');
  assert.equal(guest('100')?.['id'], '100'); // the store's names are numbers, as with lists
});

test('deltas set, unset and remove; other kinds and types are passed over', () => {
  const r = new Reader();
  r.take(lines({ type: 'delta', kind: 'guest', id: 'qemu/101', set: { status: 'running', cpu: 0.5 }, unset: ['lock', 'nothing'] },
    { type: 'news', kind: 'guest', id: 'qemu/101' }, { type: 'row', kind: 'weather', id: 'x', row: { id: 'x' } }, { type: 'removed', kind: 'guest', id: 'qemu/100' }));
  assert.equal(guest('100'), undefined);
  assert.equal(guest('101')?.['status'], 'running');
  assert.equal('lock' in (guest('101') ?? {}), false);
});

test('what a new full telling does not mention is gone at its end, not before', () => {
  clean();
  const r = new Reader();
  r.take(lines({ type: 'hello', is_complete: false }, row(1), row(2), { type: 'ping', cursor: 'a' }));
  r.take(lines({ type: 'hello', is_complete: false }, row(2, { tags: 'x' })));
  assert.ok(guest('1'));
  r.take(lines({ type: 'ping', cursor: 'b' }));
  assert.equal(guest('1'), undefined);
  assert.equal(guest('2')?.['tags'], 'x');
});

test('a telling that goes on from a cursor keeps what is there', () => {
  const r = new Reader();
  r.take(lines({ type: 'hello', is_complete: true }, { type: 'delta', kind: 'guest', id: 'qemu/2', set: { status: 'running' } }, { type: 'ping', cursor: 'c' }));
  assert.equal(guest('2')?.['status'], 'running');
});

test('a whole row takes away what it does not have', () => {
  const r = new Reader();
  r.take(lines(row(2)));
  assert.equal('tags' in (guest('2') ?? {}), false);
  assert.equal(guest('2')?.['status'], 'stopped');
});

test('messages end anywhere, in the middle of a letter too', () => {
  clean();
  const r = new Reader();
  const bytes = new TextEncoder().encode(lines({ type: 'hello', is_complete: false }, row(7, { name: 'büro-京' }), { type: 'ping', cursor: 'z' }));
  let ended = 0;
  for (const byte of bytes)
    ended += r.take(new Uint8Array([byte]).buffer) ? 1 : 0;
  assert.equal(ended, 1);
  assert.equal(guest('7')?.['name'], 'büro-京');
});
