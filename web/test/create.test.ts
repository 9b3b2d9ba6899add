import test from 'node:test';
import assert from 'node:assert/strict';
import { ApiError } from '../src/core/api.ts';
import { changed, guessOs, newDraft, newNic, stepsOf, suggestedName, type Draft } from '../src/core/create.ts';
import { problemsOf, refusals, stepOf } from '../src/core/create-check.ts';
import { limited, settled, usablePools, type Offer } from '../src/core/create-offer.ts';
import { requestOf, shown } from '../src/core/create-request.ts';
import { permissions } from '../src/core/perms.ts';

const offer: Offer = {
  node: 'n1', nextid: '104', pools: ['shop'], templates: [],
  storages: [{ storage: 'iso-only', type: 'dir', content: 'iso' }, { storage: 'fast', type: 'dir', content: 'images,iso', active: 1 }],
  bridges: [{ iface: 'vmbr0' }],
};
const all = (): boolean => true;
permissions.value = { '/': { 'VM.Allocate': 1, 'Datastore.AllocateSpace': 1, 'SDN.Use': 1 } };

const made = (patch: Partial<Draft>): Draft => limited(settled(changed(newDraft(), patch), offer));
const values = (patch: Partial<Draft>): Record<string, unknown> => ({ ...requestOf(made(patch), 'x', '', all).calls[0]?.values });

test('a CD, and all else as it is assumed', () => {
  const v = values({ iso: 'fast:iso/a.iso' });
  assert.equal(v['vmid'], '104');
  assert.equal(v['scsi0'], 'fast:32');
  assert.equal(v['ide2'], 'fast:iso/a.iso,media=cdrom');
  assert.equal(v['boot'], 'order=scsi0;ide2');
  assert.equal(v['net0'], 'virtio,bridge=vmbr0');
  assert.equal(v['scsihw'], 'virtio-scsi-single');
  assert.equal(v['engine'], undefined);
});

test('Windows gets what its installer knows, unless somebody has said otherwise', () => {
  const v = values({ iso: 'fast:iso/w.iso', ostype: 'win11' });
  assert.equal(v['sata0'], 'fast:64');
  assert.equal(v['bios'], 'ovmf');
  assert.equal(v['net0'], 'e1000e,bridge=vmbr0');
  assert.equal(v['tpmstate0'], 'fast:1,version=v2.0');
  const own = changed(changed(newDraft(), { memory: '8192' }), { ostype: 'win11' });
  assert.equal(own.memory, '8192');
  assert.equal(changed(own, { ostype: 'l26' }).bios, 'seabios');
  assert.equal(guessOs('Win11_24H2_English_x64.iso'), 'win11');
  assert.equal(guessOs('en-us_windows_server_2019.iso'), 'win10');
  assert.equal(guessOs('debian-13.1.0-amd64-netinst.iso'), 'l26');
});

test('a cloud image grows after it was copied, and its password is not shown', () => {
  const d = made({ source: 'image', image: 'fast:import/d.qcow2', imageSize: 2, ciuser: 'anna', sshkeys: 'ssh-ed25519 AAAA a b' });
  const { calls, cloudInitKey } = requestOf(d, 'web', 'secret', all);
  assert.deepEqual(calls.map((c) => c.what), ['create', 'resize', 'start']);
  const first = calls[0];
  assert.ok(first);
  assert.equal(first.values['scsi0'], 'fast:0,import-from=fast:import/d.qcow2');
  assert.equal(first.values[cloudInitKey], 'fast:cloudinit');
  assert.equal(first.values['ipconfig0'], 'ip=dhcp');
  assert.equal(first.values['sshkeys'], 'ssh-ed25519%20AAAA%20a%20b');
  assert.equal(first.values['cipassword'], 'secret');
  assert.equal(shown(first)['cipassword'], '**********');
  assert.ok(!first.command.includes('secret') && first.command.includes('--data-file cipassword=FILE') && first.command.includes('--sshkeys FILE'));
  assert.deepEqual(requestOf({ ...d, imageSize: 20 }, 'web', '', all).calls.map((c) => c.what), ['create', 'start']);
});

test('the engine vmm is asked for nothing that it has not', () => {
  const d = made({ source: 'kernel', kernel: 'fast:boot/k', engine: 'vmm', bios: 'ovmf', hasTpm: true, vga: 'std',
    disks: [{ storage: '', size: '8', bus: 'sata', format: 'qcow2', cache: 'unsafe', discard: true, ssd: true, iothread: false }], nics: [{ ...newNic({ ostype: 'l26' }), bridge: '', model: 'e1000' }] });
  const v = { ...requestOf(d, 'x', '', all).calls[0]?.values } as Record<string, unknown>;
  assert.equal(v['virtio0'], 'fast:8,format=raw,discard=on');
  assert.equal(v['vga'], 'serial0');
  for (const key of ['bios', 'tpmstate0', 'efidisk0', 'net0', 'machine', 'agent', 'cpu'])
    assert.equal(v[key], undefined, key);
  assert.equal(made({ source: 'iso', engine: 'vmm' }).engine, 'auto');
});

test('a template is copied, then set up, then started', () => {
  const d = made({ source: 'template', template: '101', hasCloudInit: true, ciuser: 'anna', tags: 'a', isFull: true, cloneStorage: 'fast' });
  const { calls } = requestOf(d, 'copy', '', all, true);
  assert.deepEqual(calls.map((c) => [c.method, c.path]), [['POST', '/nodes/n1/qemu/101/clone'], ['PUT', '/nodes/n1/qemu/104/config'], ['POST', '/nodes/n1/qemu/104/status/start']]);
  assert.equal(calls[0]?.command, 'holm vm clone 101 104 \\\n  --name copy \\\n  --full \\\n  --storage fast');
  assert.deepEqual(stepsOf(d), ['source', 'basics', 'cloudinit', 'review']);
});

test('keys that need a privilege which is missing are left out', () => {
  const { calls } = requestOf(made({ source: 'empty' }), 'x', '', (p) => p === 'VM.Config.Disk');
  assert.deepEqual(Object.keys(calls[0]?.values ?? {}).filter((k) => calls[0]?.values[k] !== undefined).sort(), ['boot', 'scsi0', 'vmid']);
});

test('what is wrong, by field', () => {
  const wrong = (patch: Partial<Draft>): string[] => Object.keys(problemsOf(made(patch), offer, (id) => id === '100'));
  assert.deepEqual(wrong({ source: 'empty' }), []);
  assert.deepEqual(wrong({ source: 'empty', name: 'a b', vmid: '100', tags: 'x!' }), ['vmid', 'name', 'tags']);
  assert.deepEqual(wrong({ source: 'empty', cores: '0', memory: '8' }), ['cores', 'memory']);
  assert.deepEqual(wrong({ source: 'empty', nics: [{ ...newNic({ ostype: 'l26' }), tag: '4095', mac: '01:00:00:00:00:00', rate: 'x' }] }), ['tag0', 'mac0', 'rate0']);
  assert.deepEqual(wrong({ source: 'empty', hasCloudInit: true, sshkeys: 'ssh-rsa', nameserver: 'one', nics: [{ ...newNic({ ostype: 'l26' }), ip: 'static', address: '192.0.2.300/24' }] }), ['sshkeys', 'nameserver', 'address0']);
  assert.ok(problemsOf(made({}), offer, () => false)['iso']?.isMissing);
  assert.deepEqual(['iso', 'name', 'disk1', 'tag0', 'address0', 'cores'].map(stepOf), ['source', 'basics', 'hardware', 'network', 'cloudinit', 'hardware']);
});

test('what the server refuses comes to its field', () => {
  const d = made({ source: 'image', image: 'fast:import/d.qcow2' });
  const request = requestOf(d, 'x', '', all);
  const of = (message: string, fields: Record<string, string> = {}): Record<string, string> => refusals(new ApiError(500, message, { fields }), request);
  assert.deepEqual(of('Parameter verification failed.', { name: 'bad', scsi0: 'too large', scsi1: 'no', ipconfig0: 'ip' }), { name: 'bad', disk0: 'too large', citype: 'no', address0: 'ip' });
  assert.deepEqual(of("scsi0: storage 'nix' does not exist"), { disk0: "storage 'nix' does not exist" });
  assert.deepEqual(Object.keys(of("unable to create VM 100 - VM 100 already exists on node 'n1'")), ['vmid']);
  assert.deepEqual(Object.keys(of('the engine vmm needs hardware KVM: none')), ['engine']);
  assert.deepEqual(of('something else'), {});
});

test('names and pools', () => {
  assert.equal(suggestedName(made({ source: 'image', image: 'fast:import/ubuntu-24.04.qcow2' }), '104', ''), 'ubuntu-24-04-104');
  assert.equal(suggestedName(made({ source: 'empty' }), '104', ''), 'guest-104');
  permissions.value = { '/pool/shop': { 'VM.Allocate': 1 }, '/pool/look': { 'Pool.Audit': 1 } };
  assert.deepEqual(usablePools(['look']), ['shop']);
  assert.equal(settled(newDraft(), offer).pool, 'shop');
});
