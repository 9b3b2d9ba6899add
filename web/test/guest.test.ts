import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { effect } from '@preact/signals';
import { appliesTo, type AclEntry } from '../src/core/acl.ts';
import { bytesAsText, isAgentOn, reachable, splitWords, textAsBase64, withAgent } from '../src/core/agent.ts';
import { planBulk, retryBulk, startBulk, sumOf } from '../src/core/bulk.ts';
import { GUEST_ACTIONS, stateOf } from '../src/core/guests.ts';
import { collatorOf, matches, parseSearch, parseSort, sortBy, sortText, toggleTerm } from '../src/core/list.ts';
import { logText, stepText, type PlanStep } from '../src/core/plan.ts';
import { configDifferences, snapshotTree, type Snapshot } from '../src/core/snapshot-tree.ts';
import { Store, type Guest } from '../src/core/store.ts';
import { newTags } from '../src/views/bulk-jobs.ts';
import { csvCell } from '../src/core/csv.ts';

const guest = (vmid: number, more: Partial<Guest> = {}): Guest => ({ id: String(vmid), vmid, name: `g${vmid}`, node: 'n1', status: 'stopped', type: 'qemu', ...more });

test('numbers by a range, states whole', () => {
  const is = (text: string) => matches(parseSearch(text), '', { id: ['104'], state: ['running'], tag: ['web'] });
  for (const text of ['id:104', 'id:100-199', 'id:-104', 'id:104-', 'state:running -id:105', '-id:200-'])
    assert.ok(is(text), text);
  for (const text of ['id:10', 'id:105-199', 'id:-103', 'state:run'])
    assert.ok(!is(text), text);
});

test('a term is put in and taken out, the others stay as they were typed', () => {
  assert.equal(toggleTerm('', 'tag', 'prod'), 'tag:prod');
  assert.equal(toggleTerm('web "a b" -tag:prod', 'tag', 'prod'), 'web "a b" -tag:prod tag:prod');
  assert.equal(toggleTerm('web tag:prod "a b"', 'tag', 'Prod'), 'web "a b"');
  assert.equal(toggleTerm('', 'pool', 'two words'), 'pool:"two words"');
  assert.equal(toggleTerm('x pool:"two words"', 'pool', 'two words'), 'x');
});

test('an order goes through an address, and equal rows keep theirs', () => {
  for (const text of ['name', '-mem'])
    assert.equal(sortText(parseSort(text)), text);
  const rows = [['b', 1], ['a', 2], ['c', 1]] as const;
  assert.deepEqual(sortBy(rows, (r) => r[1], true, collatorOf('en')).map((r) => r[0]), ['a', 'b', 'c']);
});

test('who watches a member of all rows hears of a burst once, and of other members never', async () => {
  const s = new Store();
  s.apply(s.diff('guest', [{ ...guest(100) }, { ...guest(101) }]));
  const runs = { name: 0, cpu: 0 };
  effect(() => { s.tables.guest.version('name'); runs.name++; });
  effect(() => { s.tables.guest.version('pool'); runs.cpu++; });
  for (let i = 0; i < 20; i++)
    s.apply([{ kind: 'guest', id: '100', set: { name: `x${i}`, cpu: i } }]);
  await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual(runs, { name: 2, cpu: 1 });
  s.apply([{ kind: 'guest', id: '100', set: { name: 'y' } }]);
  await new Promise((done) => setTimeout(done, 300));
  assert.equal(runs.name, 3);
});

test('a long chain of snapshots stays in its lane, a branch moves over', () => {
  const chain: Snapshot[] = Array.from({ length: 100 }, (_, i) => ({ name: `s${i}`, snaptime: i, ...(i ? { parent: `s${i - 1}` } : {}) }));
  const tree = snapshotTree([...chain, { name: 'side', parent: 's3', snaptime: 500 }, { name: 'side2', parent: 'side', snaptime: 501 }, { name: 'current', parent: 's99' }]);
  assert.equal(tree.length, 103);
  assert.equal(tree.at(-1)?.snapshot.name, 'current');
  assert.equal(tree.at(-1)?.depth, 100);
  assert.deepEqual(tree.filter((b) => b.lane > 0).map((b) => [b.snapshot.name, b.lane, b.hasLineAbove]), [['side', 1, false], ['side2', 1, true]]);
  assert.deepEqual(tree.slice(3, 7).map((b) => b.snapshot.name), ['s3', 'side', 'side2', 's4']); // the way to now goes on below
});

test('what a rollback would change', () => {
  assert.deepEqual(configDifferences({ memory: 512, name: 'a', snaptime: 1, net10: 'x' }, { memory: '512', name: 'b', digest: 'd', net2: 'y' }),
    [{ key: 'name', then: 'a', now: 'b' }, { key: 'net2', then: '', now: 'y' }, { key: 'net10', then: 'x', now: '' }]);
});

test('the agent: its key, words, bytes, addresses', () => {
  assert.ok(isAgentOn('1') && isAgentOn('enabled=1,type=virtio') && !isAgentOn('0') && !isAgentOn(undefined) && !isAgentOn('fstrim_cloned_disks=1'));
  assert.equal(withAgent('0,fstrim_cloned_disks=1'), '1,fstrim_cloned_disks=1');
  assert.equal(withAgent(undefined), '1');
  assert.deepEqual(splitWords(`/bin/echo "a b" 'c"d' e\\ f "" g"h"`), ['/bin/echo', 'a b', 'c"d', 'e f', '', 'gh']);
  assert.deepEqual(splitWords('  '), []);
  assert.equal(bytesAsText('Gr\u00c3\u00bc\u00c3\u009fe'), 'Grüße');
  assert.equal(bytesAsText('\u00ff\n'), null);
  assert.equal(bytesAsText('a\0b'), null);
  assert.equal(atob(textAsBase64('ü')), '\u00c3\u00bc');
  const address = (a: string) => ({ 'ip-address': a, 'ip-address-type': '', prefix: 0 });
  assert.deepEqual(reachable([{ name: 'lo', 'ip-addresses': [address('127.0.0.1')] }, { name: 'eth0', 'ip-addresses': [address('10.0.0.5'), address('fe80::1')] }, { name: 'eth1' }]),
    [{ name: 'eth0', addresses: ['10.0.0.5'] }]);
});

test('entries that reach a guest: its own, those handed down, those of its pool', () => {
  const entry = (path: string, propagate: number): AclEntry => ({ path, propagate });
  const is = (path: string, propagate = 1) => appliesTo(entry(path, propagate), 100, 'shop/web');
  for (const path of ['/', '/vms', '/vms/100', '/pool/shop/web', '/pool/shop', '/pool'])
    assert.ok(is(path), path);
  for (const path of ['/vms/1000', '/pool/sho', '/pool/other', '/nodes', '/storage'])
    assert.ok(!is(path), path);
  assert.ok(is('/vms/100', 0) && is('/pool/shop/web', 0) && !is('/pool/shop', 0) && !is('/vms', 0) && !is('/', 0));
  assert.ok(!appliesTo(entry('/pool/shop', 1), 100, undefined));
});

test('a guest that stands still is not shown as one that runs, and is offered other things', () => {
  const at = (qmpstatus?: string, status = 'running'): Guest => guest(100, { status, ...(qmpstatus ? { qmpstatus } : {}) });
  assert.deepEqual(['paused', 'suspended', 'io-error', 'panicked', 'watchdog', 'starting', undefined].map((q) => stateOf(at(q))),
    ['paused', 'paused', 'io-error', 'panicked', 'panicked', 'running', 'running']);
  assert.equal(stateOf(at('paused', 'stopped')), 'stopped');
  const offered = (g: Guest) => GUEST_ACTIONS.filter((a) => a.fits(g)).map((a) => a.id);
  assert.deepEqual(offered(at()), ['shutdown', 'reboot', 'suspend', 'stop', 'reset']);
  assert.deepEqual(offered(at('paused')), ['resume', 'stop', 'reset']);
  assert.deepEqual(offered(at('io-error')), ['resume', 'stop', 'reset']);
  assert.deepEqual(offered(at('panicked')), ['stop', 'reset']);
  assert.deepEqual(offered(guest(100)), ['start']);
});

test('tags are added, removed, replaced', () => {
  assert.deepEqual(newTags(['a', 'b'], 'add', ['b', 'c']), ['a', 'b', 'c']);
  assert.deepEqual(newTags(['a', 'b'], 'remove', ['b', 'c']), ['a']);
  assert.deepEqual(newTags(['a', 'b'], 'set', []), []);
});

test('a value of a CSV file', () => {
  assert.deepEqual([csvCell('a,"b"'), csvCell(undefined), csvCell(-1), csvCell('=1+1'), csvCell('a;b')], ['"a,""b"""', '', '-1', "'=1+1", 'a;b']);
});

test('many at once: who does not fit is left out, what fails is tried again alone', async () => {
  const asked: number[] = [];
  const run = planBulk({ title: 'x', fits: (g) => g.vmid !== 101, start: async (g) => {
    asked.push(g.vmid);
    if (g.vmid === 102 && asked.length < 4)
      throw new Error('busy');
    return null;
  } }, [guest(100), guest(101), guest(102), guest(103)]);
  await startBulk(run);
  assert.deepEqual(sumOf(run), { done: 2, failed: 1, skipped: 1, all: 4 });
  assert.equal(run.items[2]?.peek().text, 'busy');
  await retryBulk(run);
  assert.deepEqual(sumOf(run), { done: 3, failed: 0, skipped: 1, all: 4 });
  assert.deepEqual(asked, [100, 102, 103, 102]);
});

test('every step that the server plans has words', () => {
  const named = ['steps.c', 'block_steps.c', 'rename_step.c'].flatMap((file) => [...readFileSync(`../src/guest/${file}`, 'utf8').matchAll(/\.name = "([a-z.]+)"/g)].map((m) => m[1] ?? ''));
  assert.ok(named.length > 9, named.join());
  for (const step of named)
    assert.notEqual(stepText({ step, args: { volume: 'local:100/a.raw' } }).slice(0, step.length), step);
});

const plain = (step: PlanStep): string => stepText(step).replaceAll('\u00a0', ' ').replaceAll('\u202f', ' ');

test('a plan tells images with their layers, sizes and files', () => {
  assert.equal(plain({ step: 'volume.copy', args: { volume: 's:101/b.raw', from: { volume: 's:100/a.raw', layer: 2 }, size: 1 << 30 } }), 'Copy s:100/a.raw @2 to s:101/b.raw (1 GiB)');
  assert.equal(plain({ step: 'volume.copy', args: { volume: 's:101/b.raw', from: { path: '/srv/x.img' }, size: 512 } }), 'Copy /srv/x.img to s:101/b.raw (512 B)');
  assert.equal(stepText({ step: 'volume.reset', args: { volume: 's:100/a.raw', from: 1, layer: 2 } }), 'Put s:100/a.raw back to its layer 1');
  assert.equal(stepText({ step: 'node.new', args: { a: 1 } }), 'node.new {"a":1}');
});

test('steps in a log are words, all else is as it came', () => {
  assert.equal(logText('step 1 volume.delete {"volume":"s:100/a.raw"}'), '2. Delete s:100/a.raw');
  for (const line of ['step 1 volume.delete {"volume":', 'step 1 volume.delete {nothing}', 'undo of step 1: no', '', 'TASK OK'])
    assert.equal(logText(line), line);
});
