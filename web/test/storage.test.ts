import test from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { ApiError } from '../src/core/api.ts';
import { Rate } from '../src/core/rate.ts';
import { Sha256 } from '../src/core/sha256.ts';
import { createValues, formOf, hasNode, updateValues, type StorageConfig } from '../src/core/storages.ts';
import { DifferentFile, Sender, type Part, type Source, type Transport } from '../src/core/upload.ts';
import { architecture, cleanName, guessKind, imageTitle, kindsOf, nameProblem, readChecksum, urlFile, volumeName } from '../src/core/volumes.ts';

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

test('SHA-256 is the one of everybody, in whatever pieces it comes', () => {
  const data = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7 + (i >> 3)) & 255);
  for (const n of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000]) {
    const all = data.subarray(0, n);
    const hash = new Sha256();
    for (let at = 0, step = 1; at < n; at += step, step = (step * 3) % 101 + 1)
      hash.update(all.subarray(at, Math.min(n, at + step)));
    assert.equal(hash.hex(), digest(all), String(n));
    assert.equal(hash.hex(), digest(all), 'asking changes nothing');
  }
  const a = new Sha256();
  a.update(data.subarray(0, 100));
  const b = a.clone();
  b.update(data.subarray(100));
  assert.equal(a.hex(), digest(data.subarray(0, 100)));
  assert.equal(b.hex(), digest(data));
});

// ---- uploads ----

const MIB = 2 ** 20;
// Larger than a piece; no MiB of it is like another.
const DATA = new Uint8Array(20 * MIB);
for (let i = 0; i < DATA.length; i += 1021)
  DATA[i] = i >> 12;

/** A server in memory. breaks: after so many bytes of a piece the connection is gone. */
class Server implements Transport {
  parts = new Map<string, Part & { data: Uint8Array }>();
  files = new Map<string, Uint8Array>();
  breaks: number[] = [];
  isFinishLost = false;
  sent = 0;

  add(id: string, filename: string, data: Uint8Array, size: number, busy = 0): void {
    this.parts.set(id, { id, volid: `x:iso/${filename}`, content: 'iso', filename, user: 'u', size, received: data.length, sha256: digest(data), expires: 0, data, ...(busy ? { busy } : {}) });
  }
  async list(): Promise<Part[]> { return [...this.parts.values()]; }
  async look(id: string): Promise<Part & { data: Uint8Array }> {
    const part = this.parts.get(id);
    if (!part)
      throw new ApiError(404, 'no such upload');
    return part;
  }
  async begin(filename: string, _content: string, size: number): Promise<Part> {
    this.add('new', filename, new Uint8Array(), size);
    return await this.look('new');
  }
  async send(id: string, offset: number, piece: Blob, onProgress: (n: number) => void, signal: AbortSignal): Promise<Part> {
    const part = await this.look(id);
    if (offset !== part.received)
      throw new ApiError(409, 'another offset');
    const whole = new Uint8Array(await piece.arrayBuffer());
    const stop = this.breaks.shift();
    const got = stop === undefined ? whole : whole.subarray(0, stop);
    onProgress(got.length);
    this.sent += got.length;
    const data = new Uint8Array(part.received + got.length);
    data.set(part.data);
    data.set(got, part.received);
    this.add(id, part.filename, data, part.size);
    if (stop !== undefined || signal.aborted)
      throw new ApiError(0, 'unreachable');
    return await this.look(id);
  }
  async finish(id: string, checksum: { algorithm: string; value: string }): Promise<void> {
    const part = this.parts.get(id);
    assert.ok(part && part.received === part.size);
    assert.equal(checksum.value, checksum.algorithm === 'sha256' ? part.sha256 : 'given');
    this.parts.delete(id);
    this.files.set(part.filename, part.data);
    if (this.isFinishLost)
      throw new ApiError(0, 'unreachable');
  }
  async stamp(_content: string, filename: string): Promise<string> { return String(this.files.get(filename)?.length ?? ''); }
}

const source = (data: Uint8Array<ArrayBuffer>): Source => ({ size: data.length, slice: (a, b) => new Blob([data.subarray(a, b)]) });
const never = (): AbortSignal => new AbortController().signal;

async function send(server: Server, data = DATA, more: { id?: string } = {}): Promise<string[]> {
  const steps: string[] = [];
  await new Sender({ source: source(data), filename: 'a.iso', content: 'iso', ...more }, server, (step) => { if (steps.at(-1) !== step) steps.push(step); }).run(never());
  assert.equal(digest(server.files.get('a.iso') ?? new Uint8Array()), digest(data));
  return steps;
}

test('a file goes in pieces', async () => {
  const server = new Server();
  assert.deepEqual(await send(server), ['checking', 'sending', 'finishing']);
  assert.equal(server.sent, DATA.length);
});

test('an empty file has nothing to send', async () => {
  assert.deepEqual(await send(new Server(), new Uint8Array()), ['checking', 'finishing']);
});

test('what breaks off goes on where it broke', async () => {
  const server = new Server();
  server.breaks = [5 * MIB + 3, 0];
  const steps = await send(server);
  assert.equal(server.sent, DATA.length, 'nothing is sent twice');
  assert.ok(steps.includes('waiting'));
});

test('the same file goes on behind what is there; another of that name and size begins anew', async () => {
  const server = new Server();
  server.add('old', 'a.iso', DATA.slice(0, 19 * MIB), DATA.length);
  await send(server);
  assert.equal(server.sent, MIB);
  const other = new Server();
  other.add('old', 'a.iso', new Uint8Array(1000).fill(1), DATA.length);
  await send(other);
  assert.equal(other.sent, DATA.length);
  assert.ok(other.parts.has('old'), 'it is somebody else\'s');
});

test('a file that was chosen for a certain upload is not that one\'s', async () => {
  const server = new Server();
  server.add('old', 'a.iso', new Uint8Array(1000).fill(1), DATA.length);
  await assert.rejects(send(server, DATA, { id: 'old' }), DifferentFile);
  assert.equal(server.sent, 0);
});

test('the answer to the last call was lost: the file is there', async () => {
  const server = new Server();
  server.isFinishLost = true;
  await send(server);
});

test('an older file of the name is no sign that the new one is there', async () => {
  const server = new Server();
  server.files.set('a.iso', new Uint8Array(7));
  let n = 0;
  server.finish = async (id) => { server.parts.delete(id); if (n++ === 0) throw new ApiError(0, 'unreachable'); throw new ApiError(500, 'the checksum does not match'); };
  const sender = new Sender({ source: source(DATA), filename: 'a.iso', content: 'iso' }, server, () => undefined);
  await assert.rejects(sender.run(never()), { status: 404 });
  await assert.rejects(sender.run(never()), /checksum/);
});

test('an upload that was deleted meanwhile begins anew when it is tried again', async () => {
  const server = new Server();
  await send(server, DATA, { id: 'gone' });
  assert.equal(server.sent, DATA.length);
});

test('a refusal ends it, and so does whoever wants no more', async () => {
  const server = new Server();
  server.begin = () => Promise.reject(new ApiError(500, 'storage is full'));
  await assert.rejects(send(server), /storage is full/);
  const stop = new AbortController();
  const sender = new Sender({ source: source(DATA), filename: 'a.iso', content: 'iso' }, new Server(), (step) => { if (step === 'sending') stop.abort(); });
  await assert.rejects(sender.run(stop.signal), { name: 'AbortError' });
  assert.equal(sender.id, 'new');
});

test('a rate is of the last seconds', () => {
  const rate = new Rate();
  assert.equal(rate.mark(0, 0), 0);
  assert.equal(rate.mark(1000, 100), 0);
  assert.equal(rate.mark(1000, 1000), 1000);
  for (let s = 2; s < 30; s++)
    rate.mark(1000 + s * 500, s * 1000);
  assert.equal(Math.round(rate.mark(1000 + 30 * 500, 30_000)), 500);
});

// ---- names ----

test('what a file is, by its name and by what the storage takes', () => {
  const all = ['iso', 'import', 'vztmpl', 'boot'] as const;
  const table = { 'debian-12.7.0-amd64-netinst.iso': 'iso', 'disk.IMG': 'iso', 'noble.qcow2': 'import', 'a.tar.zst': 'vztmpl', 'vmlinuz-6.1': 'boot', 'initrd.img': 'boot', 'kernel': 'boot', 'readme.txt': null };
  for (const [name, kind] of Object.entries(table))
    assert.equal(guessKind(name, all), kind, name);
  assert.equal(guessKind('initrd.img', ['iso']), 'iso');
  assert.equal(guessKind('a.qcow2', ['iso']), null);
});

test('names that a storage takes', () => {
  assert.equal(nameProblem('debian 12.iso', 'iso'), 'letters');
  assert.equal(nameProblem('.hidden.iso', 'iso'), 'letters');
  assert.equal(nameProblem('debian.qcow2', 'iso'), 'ending');
  assert.equal(nameProblem('debian-12_(1)~x.iso', 'iso'), null);
  assert.equal(nameProblem('vmlinuz', 'boot'), null);
  assert.equal(cleanName('Größe & Maß (1).iso'), 'Gro-e-Ma-(1).iso');
  assert.equal(cleanName('../../etc/passwd'), 'etc-passwd');
  assert.equal(volumeName('local:100/vm-100-disk-0.raw'), 'vm-100-disk-0.raw');
  assert.equal(volumeName('local:iso/x.iso'), 'x.iso');
  assert.deepEqual(kindsOf('iso,backup,images,new'), ['images', 'iso', 'backup']);
});

test('checksums tell what they are', () => {
  assert.deepEqual(readChecksum(`  ${'A'.repeat(64)}  debian.iso\n`), { algorithm: 'sha256', value: 'a'.repeat(64) });
  assert.deepEqual(readChecksum(`sha512:${'0'.repeat(128)}`), { algorithm: 'sha512', value: '0'.repeat(128) });
  assert.equal(readChecksum('x'.repeat(64)), null);
  assert.equal(readChecksum('abc'), null);
});

test('addresses tell the file, the architecture and the packing', () => {
  assert.deepEqual(urlFile('https://a.example/x/disk%20one.raw.gz?token=1'), { name: 'disk-one.raw', compression: 'gz' });
  assert.deepEqual(urlFile('https://a.example/a.tar.zst'), { name: 'a.tar.zst', compression: '' });
  assert.deepEqual(urlFile('nonsense'), { name: '', compression: '' });
  assert.equal(architecture('https://x/debian-12-genericcloud-amd64.qcow2'), 'x86_64');
  assert.equal(architecture('https://x/Rocky.aarch64.qcow2'), 'aarch64');
  assert.equal(architecture('https://x/image.qcow2'), '');
  assert.equal(imageTitle('centos-stream-9'), 'CentOS Stream 9');
  assert.equal(imageTitle('arch'), 'Arch Linux');
  assert.equal(imageTitle('own-thing'), 'own-thing');
});

// ---- settings ----

test('a form sends what differs, and names what is not set any more', () => {
  const config: StorageConfig = { storage: 'data', type: 'dir', path: '/srv/data', content: 'images,iso', digest: 'd', nodes: 'n1', bwlimit: 'clone=100', shared: 1 };
  const form = formOf(config);
  assert.deepEqual(updateValues(config, form), {});
  assert.deepEqual(updateValues(config, { ...form, content: ['iso'], nodes: [], limits: { ...form.limits, move: '5' }, isShared: false }),
    { content: 'iso', bwlimit: 'clone=100,move=5', delete: 'nodes,shared', digest: 'd' });
  assert.deepEqual(updateValues(config, { ...form, isEnabled: false, content: [] }), { content: 'none', disable: 1, digest: 'd' });
  assert.deepEqual(updateValues({ ...config, mkdir: 0 }, { ...formOf({ ...config, mkdir: 0 }), makesFolders: true }), { delete: 'mkdir', digest: 'd' });
  assert.deepEqual(createValues({ ...formOf(null), storage: 'fast', path: '/mnt/fast', type: 'btrfs', isNocow: true, mountpoint: 'yes' }),
    { storage: 'fast', type: 'btrfs', path: '/mnt/fast', content: 'images,iso,import', is_mountpoint: 'yes', nocow: 1 });
  assert.ok(hasNode({ nodes: 'n1,n2' }, 'n2') && hasNode({}, 'n9') && !hasNode({ nodes: 'n1' }, 'n2'));
});
