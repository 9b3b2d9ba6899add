import test from 'node:test';
import assert from 'node:assert/strict';
import schema from '../../api/qemu-config.json';
import { ApiError } from '../src/core/api.ts';
import { configRows, current, defOf, wanted } from '../src/core/config-keys.ts';
import { bootOrder, freeSlots, isLive, moved, parseDrive, sizeBytes } from '../src/core/hardware.ts';
import { atFields, changesOf, fieldValue, parametersOf, propertiesOf, valueOf } from '../src/core/hardware-form.ts';

test('rows: numbered ones in their order, a dialog of several keys once, what waits beside what is', () => {
  const list = [{ key: 'scsi10', value: 'l:1' }, { key: 'scsi2', value: 'l:2' }, { key: 'scsihw', value: 'lsi' }, { key: 'memory', value: 512, pending: 1024 }, { key: 'sockets', value: 2, delete: 1 }, { key: 'migrate_speed', value: 3 }];
  const rows = configRows('hardware', list);
  assert.deepEqual(rows.filter((r) => r.def.name === 'scsi').map((r) => r.key), ['scsi2', 'scsi10']);
  assert.deepEqual(rows.find((r) => r.key === 'memory')?.waiting, [{ key: 'memory', now: '512', next: '1024' }]);
  assert.deepEqual(rows.find((r) => r.key === 'cores')?.waiting, [{ key: 'sockets', now: '2', next: null }]);
  assert.equal(rows.filter((r) => r.key === 'scsihw').length, 1);
  assert.ok(configRows('options', list).some((r) => r.key === 'migrate_speed' && r.def.group === 'other'));
  assert.equal(defOf('numa').name, 'cores');
  assert.equal(defOf('numa1').name, 'numa');
  assert.deepEqual([current(list)['sockets'], wanted(list)['sockets'], wanted(list)['memory']], ['2', undefined, '1024']);
});

test('every key that the API can set has its row or the dialog for any key, and the privilege that the API says', () => {
  const CLOUD_INIT = /^(ci\w+|sshkeys|nameserver|searchdomain|ipconfig.*)$/;
  for (const [name, info] of Object.entries(schema.keys as Record<string, { class: string; privilege: string }>)) {
    const key = name.replace('[n]', '0');
    const def = defOf(key);
    const isOfRow = [...(def.fields ?? [])].some((f) => f.path === key && f.isRootOnly);
    if (info.class === 'refused' || CLOUD_INIT.test(key) || isOfRow || key === 'cdrom')
      continue;
    assert.equal(def.privilege, info.privilege, key);
  }
});

test('drives: kinds, formats, sizes, free places', () => {
  const kinds = [['scsi0', 'local:100/vm-100-disk-0.qcow2,size=32G'], ['ide2', 'none,media=cdrom'], ['scsi1', 'local:100/vm-100-cloudinit.raw,media=cdrom'], ['unused0', 'local:100/x.raw'], ['efidisk0', 'local:100/e.raw'], ['tpmstate0', 'lvm:vm-1-disk-2']]
    .map(([key, value]) => parseDrive(key ?? '', value ?? ''));
  assert.deepEqual(kinds.map((d) => d.kind), ['disk', 'cdrom', 'cloudinit', 'unused', 'efi', 'tpm']);
  assert.deepEqual(kinds.map((d) => d.format), ['qcow2', 'raw', 'raw', 'raw', 'raw', 'raw']);
  assert.equal(kinds[1]?.volid, '');
  assert.deepEqual([sizeBytes('1536M'), sizeBytes('1.5G'), sizeBytes('x')], [1536 * 2 ** 20, 1.5 * 2 ** 30, NaN]);
  assert.deepEqual(freeSlots('ide', ['ide0', 'ide2']), ['ide1', 'ide3']);
});

test('the order of booting, also in the old letters', () => {
  const values = { scsi0: 'l:100/a.raw', scsi1: 'l:100/b.raw', ide2: 'none,media=cdrom', net0: 'virtio', net1: 'virtio' };
  assert.deepEqual(bootOrder({ ...values, boot: 'order=net0;gone0;scsi1' }), ['net0', 'scsi1']);
  assert.deepEqual(bootOrder(values), ['scsi0', 'ide2', 'net0', 'net1']);
  assert.deepEqual(bootOrder({ ...values, boot: 'dc', bootdisk: 'scsi1' }), ['ide2', 'scsi1']);
  assert.deepEqual(bootOrder({ ...values, boot: 'order=' }), []);
  assert.deepEqual(moved(['a', 'b', 'c'], 0, 2), ['b', 'c', 'a']);
});

test('fields to keys and back', () => {
  const values = { net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1', cores: '2', cpu: 'host,flags=+aes', memory: '512', hotplug: '0' };
  assert.equal(fieldValue(values, 'net0.model'), 'virtio');
  assert.equal(fieldValue(values, 'net0.macaddr'), 'BC:24:11:00:00:01');
  assert.deepEqual(changesOf(values, { 'net0.tag': '5', 'net0.firewall': '' }).set, { net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5' });
  assert.deepEqual(changesOf(values, { 'net0.macaddr': '', 'net0.model': 'e1000' }).set, { net0: 'e1000,bridge=vmbr0,firewall=1' });
  assert.deepEqual(changesOf(values, { cores: '2', 'cpu.flags': '+aes' }), { set: {}, remove: [] });
  assert.deepEqual(parametersOf(changesOf(values, { cores: '', 'memory.current': '1024', 'cpu.cputype': '', 'cpu.flags': '' })), { memory: '1024', delete: 'cores,cpu' });
  assert.deepEqual(changesOf(values, { 'hotplug.disk': '1' }).set, { hotplug: 'disk' });
  assert.deepEqual(changesOf({}, { 'hotplug.usb': '' }).set, { hotplug: 'network,disk' });
  assert.deepEqual(changesOf({}, { 'audio0.device': 'AC97' }).set, { audio0: 'device=AC97,driver=none' });
  assert.deepEqual(changesOf({ agent: '1,type=isa' }, { 'agent.enabled': '' }).set, { agent: '0,type=isa' });
  assert.deepEqual([...propertiesOf('smbios1', valueOf('smbios1', new Map([['uuid', 'u'], ['product', 'Größe, 1']])))], [['uuid', 'u'], ['product', 'Größe, 1']]);
});

test('a refusal is at the field that it is about', () => {
  const paths = ['net0.tag', 'net0.macaddr', 'cores'];
  const of = (errors: Record<string, string>, message = 'x') => (atFields(new ApiError(400, message, { fields: errors }), ['net0', 'cores', 'watchdog'], paths) as ApiError).fields;
  assert.deepEqual(of({ net0: 'invalid format - format error\ntag: value must have a maximum value of 4094', cores: 'no' }), { 'net0.tag': 'value must have a maximum value of 4094', cores: 'no' });
  assert.deepEqual(of({ net0: "'tag' needs a bridge: without one" }), { 'net0.tag': "'tag' needs a bridge: without one" });
  assert.deepEqual(of({ net0: 'invalid format - format error\nvirtio: invalid format - value does not look like a valid unicast MAC address' }), { 'net0.macaddr': 'invalid format - value does not look like a valid unicast MAC address' });
  assert.deepEqual(of({}, "watchdog: model 'foo' is not known"), { watchdog: "model 'foo' is not known" });
});

test('what a running guest gets at once', () => {
  const values = { net0: 'virtio=BC:24:11:00:00:01', scsi0: 'l:100/a.raw,size=1G', ide2: 'none,media=cdrom', cores: '1' };
  const is = (key: string, next: string | undefined, more: Record<string, string> = {}) => isLive(key, { ...values, ...more }[key], next, { ...values, ...more });
  assert.ok(is('scsi1', 'l:1') && is('scsi0', undefined) && is('ide2', 'l:iso/x.iso,media=cdrom') && is('net0', undefined) && is('name', 'x'));
  assert.ok(is('scsi0', 'l:100/a.raw,size=1G,iops_rd=100'));
  assert.ok(!is('scsi0', 'l:100/a.raw,size=1G,cache=none') && !is('sata0', 'l:1') && !is('cores', '2') && !is('scsi3', 'l:100/vm-100-cloudinit.raw'));
  assert.ok(!is('scsi1', 'l:1', { hotplug: 'network' }) && !is('vcpus', '2') && is('vcpus', '2', { hotplug: 'cpu' }));
});
