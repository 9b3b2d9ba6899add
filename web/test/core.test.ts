import test from 'node:test';
import assert from 'node:assert/strict';
import { errorFrom, get } from '../src/core/api.ts';
import { asCsv } from '../src/core/csv.ts';
import { ago, bytes, duration, percent } from '../src/core/format.ts';
import { compareValues, matches, parseSearch, range, windowOf } from '../src/core/list.ts';
import { allows } from '../src/core/perms.ts';
import { parse } from '../src/core/router.ts';
import { snapshotTree } from '../src/core/snapshot-tree.ts';
import { outcome, taskTitle, untilDone } from '../src/core/tasks.ts';

test('sizes, parts and times', () => {
  assert.equal(bytes(0), '0\u00a0B');
  assert.equal(bytes(1023), '1,023\u00a0B');
  assert.equal(bytes(1536), '1.5\u00a0KiB');
  assert.equal(bytes(2 ** 50 * 3000), '3,000\u00a0PiB');
  assert.equal(percent(0.034), '3.4%');
  assert.equal(percent(0.5), '50%');
  assert.equal(duration(0), '0\u00a0s');
  assert.equal(duration(3 * 86400 + 7 * 3600 + 59), '3\u00a0d 7\u00a0h');
  assert.equal(duration(61), '1\u00a0min 1\u00a0s');
  assert.equal(ago(1000, 1000), 'now');
  assert.equal(ago(1000, 1000 + 59), '59 seconds ago');
  assert.equal(ago(1000, 1000 + 3 * 60), '3 minutes ago');
  assert.equal(ago(1000, 1000 + 2 * 3600), '2 hours ago');
  assert.equal(ago(1000, 1000 + 86400), 'yesterday');
  assert.equal(ago(2000, 1000), 'now'); // the server's clock is ahead
});

test('a search: words, fields, quotes and what is not wanted', () => {
  const fields = { tag: ['prod', 'web'], status: ['running'], name: ['shop front'] };
  const is = (text: string) => matches(parseSearch(text), 'shop front 104 n1', fields);
  assert.ok(is(''));
  assert.ok(is('SHOP 104'));
  assert.ok(is('tag:prod -status:stopped'));
  assert.ok(is('name:"shop front"'));
  assert.ok(!is('tag:pro'));
  assert.ok(!is('-tag:web'));
  assert.ok(!is('moon:full'));
});

test('order: numbers as numbers, what is missing last', () => {
  const c = new Intl.Collator('en', { numeric: true });
  assert.ok(compareValues('vm2', 'vm10', false, c) < 0);
  assert.ok(compareValues(2, 10, true, c) > 0);
  assert.ok(compareValues(undefined, 1, false, c) > 0);
  assert.ok(compareValues(undefined, 1, true, c) > 0);
});

test('the window holds what is seen, at both ends and for any length', () => {
  for (const count of [0, 1, 30, 10_000])
    for (const top of [0, 1, 35, 36, 5_000, 359_000]) {
      const w = windowOf(top, 700, 36, count);
      assert.ok(w.first >= 0 && w.first <= Math.min(count, Math.floor(top / 36)), `${count} ${top}`);
      assert.ok(w.end >= Math.min(count, Math.ceil((top + 700) / 36)) && w.end <= count, `${count} ${top}`);
      assert.ok(w.end - w.first < 70);
    }
});

test('a range in either direction; from a row that is gone the one alone', () => {
  assert.deepEqual(range(['a', 'b', 'c', 'd'], 'd', 'b'), ['b', 'c', 'd']);
  assert.deepEqual(range(['a', 'b'], 'x', 'b'), ['b']);
});

test('rights: the nearest path counts, above it only what propagates', () => {
  const all = { '/': { 'VM.Audit': 1, 'Sys.Audit': 0 }, '/vms/100': { 'VM.PowerMgmt': 0 } };
  assert.ok(allows(all, '/', 'Sys.Audit'));
  assert.ok(!allows(all, '/nodes/n1', 'Sys.Audit'));
  assert.ok(allows(all, '/vms/101', 'VM.Audit'));
  assert.ok(allows(all, '/vms/100', 'VM.PowerMgmt'));
  assert.ok(!allows(all, '/vms/100', 'VM.Audit'));
  assert.ok(!allows({}, '/vms/100', 'VM.Audit'));
});

test('errors keep what the server said', () => {
  const e = errorFrom(400, 'Parameter verification failed.', { data: null, message: 'Parameter verification failed.\n', errors: { memory: 'too small\n' }, hint: 'give more' });
  assert.deepEqual([e.message, e.fields['memory'], e.hint, e.status], ['Parameter verification failed.', 'too small', 'give more', 400]);
  assert.equal(errorFrom(502, 'Bad Gateway', null).message, 'Bad Gateway');
  assert.equal(errorFrom(599, '', '<html>').message, '599');
});

test('paths are decoded, broken ones do not throw', () => {
  assert.deepEqual(parse('/guests/a%20b/', '?q=x').path, ['guests', 'a b']);
  assert.deepEqual(parse('/%zz', '').path, ['%zz']);
});

test('snapshots make a tree', () => {
  const tree = snapshotTree([
    { name: 'current', parent: 'b' }, { name: 'b', parent: 'a', snaptime: 2 }, { name: 'c', parent: 'a', snaptime: 1 }, { name: 'a', snaptime: 0 }, { name: 'lost', parent: 'gone', snaptime: 9 },
  ]);
  assert.deepEqual(tree.map((b) => [b.snapshot.name, b.depth]), [['a', 0], ['c', 1], ['b', 1], ['current', 2], ['lost', 0]]);
});

test('a ring of snapshots is cut and shown whole', () => {
  const tree = snapshotTree([{ name: 'a', parent: 'b' }, { name: 'b', parent: 'a' }, { name: 'x', parent: 'x' }]);
  assert.deepEqual(tree.map((b) => b.snapshot.name).sort(), ['a', 'b', 'x']);
});

test('how a task ended', () => {
  assert.equal(outcome({}), 'running');
  assert.equal(outcome({ endtime: 1, status: 'OK' }), 'ok');
  assert.equal(outcome({ endtime: 1, status: 'WARNINGS: 2' }), 'warning');
  assert.equal(outcome({ endtime: 1, status: 'no space' }), 'failed');
});

/** What fetch answers, one after the other; null: nobody can be reached. The result: the addresses that were asked for. */
function answers(t: { after: (undo: () => void) => void }, replies: readonly ({ status: number; data: unknown } | null)[]): string[] {
  const real = globalThis.fetch, asked: string[] = [], left = [...replies];
  t.after(() => { globalThis.fetch = real; });
  globalThis.fetch = (url) => {
    asked.push(String(url));
    const reply = left.shift();
    return reply ? Promise.resolve(new Response(JSON.stringify({ data: reply.data }), { status: reply.status })) : Promise.reject(new TypeError('gone'));
  };
  return asked;
}

test('a name of dots is no address of something else', async (t) => {
  const asked = answers(t, []);
  for (const path of ['/access/groups/..', '/nodes/../tasks', '/access/roles/.'])
    await assert.rejects(get(path), { status: 400 });
  assert.deepEqual(asked, []);
  await assert.rejects(get('/access/groups/a..b'), { status: 0 });
  assert.deepEqual(asked, ['/api2/json/access/groups/a..b']);
});

test('a task goes on while nobody can be asked for it', async (t) => {
  const upid = 'UPID:n/1:0:0:0:qmstart:100:a@pve:';
  const asked = answers(t, [null, { status: 503, data: null }, { status: 200, data: { status: 'stopped', exitstatus: 'OK' } }, { status: 403, data: null }]);
  assert.equal(await untilDone(upid), 'OK');
  assert.equal(asked[0], `/api2/json/nodes/n%2F1/tasks/${encodeURIComponent(upid)}/status`);
  await assert.rejects(untilDone(upid), { status: 403 });
});

test('a type of task that is a word of the language', () => {
  assert.equal(taskTitle('constructor', '7'), 'constructor 7');
});

test('no cell of a table is a formula', () => {
  assert.equal(asCsv([['name', 'n'], ['=HYPERLINK("x")', -1], ['@a', undefined]]), `name,n\r\n"'=HYPERLINK(""x"")",-1\r\n'@a,\r\n`);
});
