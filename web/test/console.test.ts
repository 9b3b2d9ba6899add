import test from 'node:test';
import assert from 'node:assert/strict';
import { ApiError } from '../src/core/api.ts';
import { kindsOf, Session, type Link } from '../src/core/console.ts';
import { keysymOf, layoutNames, missing, strokesOf } from '../src/core/console-keys.ts';
import { CODES, LAYOUTS } from '../src/core/console-layouts.ts';
import { Greeting, inputMessages, isAnswer, withControl } from '../src/core/console-protocol.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array | null): string | null => data && new TextDecoder().decode(data);
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

test('which consoles a guest has', () => {
  assert.deepEqual(kindsOf({ engine: 'qemu' }), ['vnc']);
  assert.deepEqual(kindsOf({ engine: 'qemu', vga: 'virtio,memory=64', serial1: 'socket', serial0: 'socket' }), ['vnc', 'serial0', 'serial1']);
  assert.deepEqual(kindsOf({ engine: 'qemu', vga: 'serial1', serial0: 'socket', serial1: 'socket' }), ['serial1', 'serial0']);
  assert.deepEqual(kindsOf({ engine: 'qemu', vga: 'type=serial0', serial0: 'socket' }), ['serial0']);
  assert.deepEqual(kindsOf({ engine: 'qemu', vga: 'none' }), []);
  assert.deepEqual(kindsOf({ engine: 'vmm', serial0: 'socket' }), ['serial0']);
});

test('input is cut between bytes and its lengths count bytes', () => {
  assert.deepEqual(inputMessages('ü').map((m) => [...m]), [[...bytes('0:2:'), 0xc3, 0xbc]]);
  const long = 'ab€'.repeat(3000);
  const parts = inputMessages(long).map((m) => m.subarray(m.indexOf(58, 2) + 1));
  assert.equal(text(Uint8Array.from(parts.flatMap((p) => [...p]))), long);
  assert.ok(inputMessages(long).every((m) => m.length <= 4096 + 8));
  assert.deepEqual(inputMessages(''), []);
});

test('the OK is found wherever frames part it, and nothing else is taken for it', () => {
  const whole = new Greeting();
  assert.equal(text(whole.take(bytes('OKboot'))), 'boot');
  assert.ok(whole.isDone);
  const parted = new Greeting();
  assert.equal(text(parted.take(bytes('O'))), '');
  assert.ok(!parted.isDone);
  assert.equal(text(parted.take(bytes('K\r\n'))), '\r\n');
  assert.ok(parted.isDone);
  assert.equal(new Greeting().take(bytes('NO')), null);
  assert.equal(new Greeting().take(bytes('Of')), null);
});

test('answers of a terminal are told from what people type', () => {
  for (const answer of ['\x1b[24;80R', '\x1b[?1;2c', '\x1b[>0;276;0c', '\x1b[0n', '\x1b[?2026;2$y', '\x1b]10;rgb:e7e7/ebeb/e7e7\x07', '\x1bP1$r0m\x1b\\'])
    assert.ok(isAnswer(answer), JSON.stringify(answer));
  for (const typed of ['R', '\x1b', '\x1b[A', '\x1bOP', '\x1b[5~', '24;80R', '\x1b[200~x\x1b[201~'])
    assert.ok(!isAnswer(typed), JSON.stringify(typed));
  assert.equal(withControl('c'), '\x03');
  assert.equal(withControl('['), '\x1b');
  assert.equal(withControl(' '), '\0');
  assert.equal(withControl('ü'), 'ü');
});

test('characters become keys of a layout', () => {
  const is = (char: string, layout: string) => strokesOf(char, layout)?.map((s) => `${s.shift ? 'S+' : ''}${s.altgr ? 'G+' : ''}${s.code}`).join(' ');
  assert.equal(is('z', 'en-us'), 'KeyZ');
  assert.equal(is('z', 'de'), 'KeyY');
  assert.equal(is('@', 'de'), 'G+KeyQ');
  assert.equal(is('/', 'de'), 'S+Digit7');
  assert.equal(is('?', 'en-us'), 'S+Slash');
  assert.equal(is('1', 'fr'), 'S+Digit1');
  assert.equal(is('^', 'de'), 'Backquote Space'); // a dead key
  assert.equal(is('é', 'de'), 'Equal KeyE');
  assert.equal(is('\n', 'fr'), 'Enter');
  assert.equal(is('猫', 'de'), undefined);
  assert.deepEqual(missing('grüße 猫\r\n', 'en-us'), ['ü', 'ß', '猫']);
  assert.deepEqual(missing('grüße', 'de'), []);
});

test('every layout is as long as the list of keys and has the digits; letters with few exceptions', () => {
  assert.equal(layoutNames().length, 25);
  for (const name of layoutNames()) {
    for (const level of LAYOUTS[name]?.levels ?? [])
      assert.ok(level.length <= CODES.length, name);
    for (const char of '0123456789-/ \n')
      assert.ok(strokesOf(char, name), `${name} ${char}`);
    if (name !== 'mk')
      assert.deepEqual(missing('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', name), [], name);
  }
});

test('each key of a table has a keysym of its own', () => {
  assert.equal(keysymOf('KeyY', ''), 'y'.charCodeAt(0));
  assert.equal(keysymOf('KeyY', 'de'), 'z'.charCodeAt(0));
  assert.equal(keysymOf('Semicolon', 'fr'), 'm'.charCodeAt(0));
  assert.equal(keysymOf('F12', 'de'), 0xffc9);
  assert.equal(keysymOf('ControlLeft', 'de'), 0xffe3);
  assert.equal(keysymOf('AudioVolumeUp', 'de'), 0);
  for (const name of layoutNames()) {
    const all = CODES.filter((code) => `${name} ${code}` !== 'ja IntlYen') // where QEMU's own table is not clear
      .map((code) => keysymOf(code, name)).filter(Boolean);
    assert.deepEqual(all.filter((k, i) => all.indexOf(k) !== i), [], name);
  }
});

/** A session whose connections are in the test's hands. */
function session() {
  const links: Link[] = [];
  let ended = 0;
  let failure: unknown = null;
  const s = new Session(async (link) => {
    links.push(link);
    if (failure)
      throw failure;
    return () => { ended++; };
  });
  return { s, links, ended: () => ended, fail: (e: unknown) => { failure = e; } };
}

test('a console follows its guest', async () => {
  const { s, links, ended } = session();
  s.setUp(false);
  assert.equal(s.phase.value, 'off');
  s.setUp(true);
  s.setUp(true);
  assert.equal(links.length, 1);
  await turn();
  links[0]?.onOpen();
  assert.equal(s.phase.value, 'connected');
  s.setUp(false);
  assert.equal(s.phase.value, 'off');
  assert.equal(ended(), 1);
  links[0]?.onClose(1000); // what is old is not heard
  assert.equal(s.phase.value, 'off');
  s.drop();
});

test('a connection that breaks is made again, ever more slowly; one that lasted begins anew', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { s, links } = session();
  s.setUp(true);
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    links.at(-1)?.onOpen();
    links.at(-1)?.onClose(1006);
    assert.equal(s.phase.value, 'waiting');
    waits.push(s.nextTry.value - Date.now());
    t.mock.timers.tick(20_000);
    assert.equal(links.length, i + 2);
  }
  assert.ok(waits[0]! < 1300 && waits[6]! > 11_000 && waits[6]! < 19_000, String(waits));
  links.at(-1)?.onOpen();
  t.mock.timers.tick(10_000);
  links.at(-1)?.onClose(1000);
  assert.ok(s.nextTry.value - Date.now() < 1300);
  s.retry(); // now
  assert.equal(s.phase.value, 'connecting');
  s.drop();
});

test('who was told no does not ask again', async () => {
  const { s, links, fail } = session();
  s.setUp(true);
  await turn();
  links[0]?.onOpen();
  links[0]?.onClose(1008);
  assert.equal(s.phase.value, 'ended');
  fail(new ApiError(403, 'permission denied'));
  s.retry();
  await turn();
  assert.equal(s.phase.value, 'ended');
  fail(new ApiError(500, 'no screen', { code: 'guest.no-display' }));
  s.retry();
  await turn();
  assert.equal(s.phase.value, 'ended');
  fail(new ApiError(500, 'VM 100 not running', { code: 'guest.stopped' })); // the list of guests is a moment behind
  s.retry();
  await turn();
  assert.equal(s.phase.value, 'waiting');
  assert.equal(links.length, 4);
  s.drop();
});
