import test from 'node:test';
import assert from 'node:assert/strict';
import { effect } from '@preact/signals';
import { Store } from '../src/core/store.ts';

const guest = (id: string, more: Record<string, string | number> = {}) => ({ id, vmid: Number(id), name: `g${id}`, status: 'stopped', ...more });

test('a whole list and deltas lead to the same rows', () => {
  const a = new Store(), b = new Store();
  a.apply(a.diff('guest', [guest('100'), guest('101')]));
  a.apply(a.diff('guest', [guest('101', { status: 'running' }), guest('102')]));
  b.apply([{ kind: 'guest', id: '101', set: guest('101') }, { kind: 'guest', id: '101', set: { status: 'running' } }, { kind: 'guest', id: '102', set: guest('102') }]);
  const rows = (s: Store) => s.tables.guest.all().map((r) => r.value);
  assert.deepEqual(rows(a), rows(b));
  assert.equal(rows(a)[0]?.status, 'running');
});

test('a change wakes the readers of its row alone', () => {
  const s = new Store();
  s.apply(s.diff('guest', [guest('100'), guest('101')]));
  const runs = { one: 0, other: 0, ids: 0 };
  effect(() => { void s.tables.guest.row('100')?.value; runs.one++; });
  effect(() => { void s.tables.guest.row('101')?.value; runs.other++; });
  effect(() => { void s.tables.guest.ids.value; runs.ids++; });
  s.apply([{ kind: 'guest', id: '100', set: { status: 'running' } }]);
  assert.deepEqual(runs, { one: 2, other: 1, ids: 1 });
});

test('what says nothing new wakes nobody', () => {
  const s = new Store();
  const list = [guest('100', { cpu: 0.5 })];
  s.apply(s.diff('guest', list));
  let runs = 0;
  effect(() => { void s.tables.guest.row('100')?.value; void s.tables.guest.ids.value; runs++; });
  s.apply(s.diff('guest', list));
  assert.equal(runs, 1);
});

test('fields that are left out of a list go; unset takes single ones or the row', () => {
  const s = new Store();
  s.apply(s.diff('guest', [guest('100', { lock: 'snapshot', pool: 'p' })]));
  s.apply(s.diff('guest', [guest('100', { pool: 'p' })]));
  assert.equal('lock' in (s.tables.guest.row('100')?.value ?? { lock: 1 }), false);
  s.apply([{ kind: 'guest', id: '100', unset: ['pool'] }]);
  assert.equal('pool' in (s.tables.guest.row('100')?.value ?? { pool: 1 }), false);
  s.apply([{ kind: 'guest', id: '100', unset: true }]);
  assert.equal(s.tables.guest.row('100'), undefined);
  assert.deepEqual(s.tables.guest.ids.value, []);
});

test('a kind that a newer server sends is passed over', () => {
  const s = new Store();
  s.apply([{ kind: 'moon' as 'guest', id: '1', set: {} }, { kind: 'guest', id: '100', set: guest('100') }]);
  assert.equal(s.tables.guest.all().length, 1);
});

test('ten thousand guests come in, and one changes, quickly', () => {
  const s = new Store();
  const list = Array.from({ length: 10_000 }, (_, i) => guest(String(i + 100)));
  s.apply(s.diff('guest', list));
  assert.equal(s.tables.guest.ids.value.length, 10_000);
  s.apply([{ kind: 'guest', id: '5000', set: { status: 'running' } }]);
  assert.equal(s.tables.guest.row('5000')?.value.status, 'running');
});
