/* npm's proxmox-api through an administrator's day on guests that really boot; run by test_npm.py.
 *
 *   node proxmox_api.mjs '{"modules":FOLDER,"port":N,"node":NAME,"user":U,"password":P,"storage":FOLDER,"sector":FILE}'
 *
 * modules is where npm put the package; storage the folder of the storage `local`, sector a boot sector for its disk. The
 * kernel and the initrd with Debian's guest agent are in the storage already. Ends with 0 when every answer was right. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';

const config = JSON.parse(process.argv[2]);
const { proxmoxApi, ProxmoxEngine, QmMonitor } = await import(`${config.modules}/proxmox-api/esm/index.js`);
const { WebSocket } = await import(`${config.modules}/undici/index.js`);

const AGENT = 100;
const DISK = 110;
const MAC = 'BC:24:11:00:00:01';
const WRONG = /return Error 400 Parameter verification failed\./;

const engine = new ProxmoxEngine({ host: '127.0.0.1', port: config.port, username: config.user, password: config.password });
const api = proxmoxApi(engine);
const host = api.nodes.$(config.node);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until the function gives something true. */
async function waitFor(what, fn, seconds = 90) {
    const end = Date.now() + seconds * 1000 * config.slow;
    for (;;) {
        const value = await fn();
        if (value) return value;
        assert.ok(Date.now() < end, `not within ${seconds} s: ${what}`);
        await later(100);
    }
}

async function exitOf(upid) {
    const task = host.tasks.$(upid);
    const status = await waitFor(upid, async () => {
        const now = await task.status.$get();
        assert.ok(now.status === 'stopped' || !('exitstatus' in now), JSON.stringify(now));
        return now.status === 'stopped' && now;
    });
    return status.exitstatus;
}

async function done(upid, kind) {
    assert.equal(upid.split(':')[5], kind, upid);
    const exit = await exitOf(upid);
    assert.equal(exit, 'OK', JSON.stringify(await host.tasks.$(upid).log.$get()));
}

const find = (rows, key, value) => rows.filter((row) => row[key] === value);

async function clusterAndNode() {
    const version = await api.version.$get();
    assert.match(version.version, /^\d+\.\d+\.\d+$/);
    assert.equal((await host.version.$get()).release, version.release);
    const nodes = await api.nodes.$get();
    assert.deepEqual(nodes.map((n) => [n.node, n.status]), [[config.node, 'online']]);
    const own = find(await api.cluster.status.$get(), 'type', 'node')[0];
    assert.equal(own.online, 1);
    assert.equal(await api.cluster.nextid.$get(), '100');
    assert.equal(await api.cluster.nextid.$get({ vmid: 4711 }), '4711');
    assert.ok((await api.cluster.resources.$get()).some((r) => r.type === 'storage' && r.storage === 'local'));
    assert.ok((await api.cluster.$get()).some((r) => r.name === 'resources'));
    const status = await host.status.$get();
    assert.ok(status.memory.total > status.memory.used && status.cpuinfo.cpus > 0);
    assert.ok(Array.isArray(await host.rrddata.$get({ timeframe: 'hour', cf: 'AVERAGE' })));
    assert.ok(Math.abs((await host.time.$get()).time - Date.now() / 1000) < 60);
    assert.ok((await host.hosts.$get()).data.includes('localhost'));
    assert.equal(typeof await host.dns.$get(), 'object');
    assert.ok((await host.report.$get()).includes(config.node));
    assert.ok(Array.isArray(await host.syslog.$get({ limit: 5 })));
    assert.ok(Array.isArray(await host.aplinfo.$get()));
    assert.ok(Array.isArray(await host.services.$get()));
    assert.ok(Array.isArray(await host.netstat.$get()));
    assert.ok((await host.disks.list.$get()).every((d) => d.devpath.startsWith('/dev/')));
    assert.ok((await host.hardware.pci.$get()).every((d) => /^[0-9a-f]{4}:/.test(d.id)));
    assert.ok((await host.capabilities.qemu.cpu.$get()).some((m) => m.name === 'qemu64'));
    assert.ok((await host.capabilities.qemu.machines.$get()).some((m) => m.id.startsWith('pc-q35')));
    assert.ok(['notfound', 'active'].includes((await host.subscription.$get()).status));
    await api.cluster.options.$put({ description: 'from node', keyboard: 'fr' });
    const options = await api.cluster.options.$get();
    assert.deepEqual([options.description, options.keyboard], ['from node', 'fr']);
    await api.cluster.options.$put({ delete: 'description,keyboard' });
    assert.ok(Array.isArray(await api.cluster.log.$get({ max: 3 })));
    await host.config.$put({ description: 'small' });
    assert.equal((await host.config.$get()).description, 'small');
    await host.network.$post({ iface: 'vmbr8', type: 'bridge', cidr: '10.8.0.1/24' });
    assert.equal((await host.network.$('vmbr8').$get()).cidr, '10.8.0.1/24');
    await host.network.$delete();
    assert.equal(find(await host.network.$get(), 'iface', 'vmbr8').length, 0);
}

async function usersAndRights() {
    const { access } = api;
    assert.ok((await access.domains.$get()).some((d) => d.realm === 'pve'));
    await access.roles.$post({ roleid: 'Looker', privs: 'VM.Audit' });
    assert.deepEqual(await access.roles.$('Looker').$get(), { 'VM.Audit': 1 });
    await access.groups.$post({ groupid: 'devs', comment: 'ä & b=c' });
    await access.users.$post({ userid: 'bob@pve', password: 'his own words', groups: 'devs', enable: true });
    await access.users.$('bob@pve').$put({ comment: 'day shift' });
    const bob = await access.users.$('bob@pve').$get();
    assert.deepEqual([bob.comment, bob.enable, bob.groups], ['day shift', 1, ['devs']]);
    assert.equal(find(await access.users.$get({ full: true }), 'userid', 'bob@pve')[0].groups, 'devs');
    assert.deepEqual(await access.groups.$('devs').$get(), { comment: 'ä & b=c', members: ['bob@pve'] });
    assert.equal(find(await access.groups.$get(), 'groupid', 'devs')[0].users, 'bob@pve');
    await access.acl.$put({ path: '/vms', roles: 'Looker', groups: 'devs', propagate: true });
    assert.equal(find(await access.acl.$get(), 'ugid', 'devs')[0].roleid, 'Looker');
    assert.deepEqual(await access.permissions.$get({ userid: 'bob@pve', path: '/vms/100' }), { '/vms/100': { 'VM.Audit': 1 } });
    await byToken();
    const his = proxmoxApi({ host: '127.0.0.1', port: config.port, username: 'bob@pve', password: 'his own words' });
    assert.equal((await his.version.$get()).release, (await api.version.$get()).release);
    await assert.rejects(his.nodes.$(config.node).qemu.$post({ vmid: 999 }), /connection failed with 403 Permission check failed/);
    await access.acl.$put({ path: '/vms', roles: 'Looker', groups: 'devs', delete: true });
    await access.users.$('bob@pve').$delete();
    await access.groups.$('devs').$delete();
    await access.roles.$('Looker').$delete();
    await assert.rejects(access.users.$('bob@pve').$get(), /return Error 500 no such user \('bob@pve'\)/);
}

async function byToken() {
    const token = api.access.users.$('bob@pve').token;
    const made = await token.$('ci').$post({ privsep: false });
    const machine = proxmoxApi({ host: '127.0.0.1', port: config.port, tokenID: made['full-tokenid'], tokenSecret: made.value });
    assert.ok((await machine.version.$get()).repoid);
    await token.$('ci').$put({ comment: 'nightly' });
    assert.equal((await token.$('ci').$get()).comment, 'nightly');
    assert.deepEqual((await token.$get()).map((t) => t.tokenid), ['ci']);
    await token.$('ci').$delete();
    await assert.rejects(machine.version.$get(), /return Error 401 invalid token value!/);
}

/** A ticket that is not valid any more: the client knows the text and logs in again. */
async function newLogin() {
    const good = engine.ticket;
    engine.ticket = good.replace(/:[0-9A-F]{8}::/, ':00000001::');
    assert.ok((await api.access.roles.$get()).length > 5);
    assert.notEqual(engine.ticket, undefined);
    assert.ok(!engine.ticket.includes(':00000001::'));
}

async function storages() {
    const folder = path.join(path.dirname(config.sector), 'more');
    await api.storage.$post({ storage: 'more', type: 'dir', path: folder, content: 'images,iso' });
    await api.storage.$('more').$put({ content: 'images' });
    assert.equal((await api.storage.$('more').$get()).content, 'images');
    assert.deepEqual((await api.storage.$get({ type: 'dir' })).map((s) => s.storage).sort(), ['local', 'more']);
    const more = host.storage.$('more');
    await waitFor('an active storage', async () => (await more.status.$get()).active === 1);
    assert.ok((await host.storage.$get()).some((s) => s.storage === 'more'));
    const volume = await more.content.$post({ filename: 'vm-900-disk-0.qcow2', vmid: 900, size: '8M', format: 'qcow2' });
    assert.equal(volume, 'more:900/vm-900-disk-0.qcow2');
    await more.content.$(volume).$put({ notes: 'from node' });
    const row = await more.content.$(volume).$get();
    assert.deepEqual([row.size, row.format, row.notes], [8 << 20, 'qcow2', 'from node']);
    assert.deepEqual((await more.content.$get({ vmid: 900 })).map((v) => v.volid), [volume]);
    const upid = await more.content.$(volume).$delete();
    if (upid) await done(upid, 'imgdel');
    assert.deepEqual(await more.content.$get(), []);
    assert.ok(!fs.existsSync(`${folder}/images/900/vm-900-disk-0.qcow2`));
    assert.ok(Array.isArray(await more.rrddata.$get({ timeframe: 'day' })));
    await api.storage.$('more').$delete();
    await assert.rejects(api.storage.$('more').$get(), /storage 'more' does not exist/);
}

async function pools() {
    await api.pools.$post({ poolid: 'lab' });
    await api.pools.$('lab').$put({ vms: String(AGENT), comment: 'two of them' });
    const lab = await api.pools.$('lab').$get();
    assert.deepEqual([lab.comment, lab.members.map((m) => m.vmid)], ['two of them', [AGENT]]);
    assert.equal(find(await api.cluster.resources.$get({ type: 'vm' }), 'vmid', AGENT)[0].pool, 'lab');
    await api.pools.$('lab').$put({ vms: String(AGENT), delete: true });
    await api.pools.$('lab').$delete();
    assert.deepEqual(await api.pools.$get(), []);
}

async function configurations() {
    await done(await host.qemu.$post({ vmid: DISK, name: 'disk', memory: 64, scsi0: 'local:1,format=raw', serial0: 'socket',
                                       net0: 'virtio', onboot: false }), 'qmcreate');
    const vm = host.qemu.$(DISK);
    const first = await vm.config.$get();
    assert.deepEqual([first.name, Number(first.memory), first.onboot], ['disk', 64, 0]);
    assert.equal(await vm.config.$put({ cores: 2, digest: first.digest, tags: undefined }), null);
    await assert.rejects(vm.config.$put({ cores: 3, digest: first.digest }), /return Error 500 detected modified configuration/);
    await done(await vm.config.$post({ virtio1: 'local:1' }), 'qmconfig');
    await vm.unlink.$put({ idlist: 'virtio1' });
    const unused = (await vm.config.$get()).unused0;
    assert.match(unused, /^local:110\/vm-110-disk-/);
    await vm.unlink.$put({ idlist: 'unused0', force: true });
    assert.ok(!('unused0' in await vm.config.$get()));
    assert.ok((await vm.pending.$get()).every((row) => !('pending' in row)));
    assert.ok((await vm.$get()).some((row) => row.subdir === 'config'));
    assert.ok([0, 1].includes((await vm.feature.$get({ feature: 'snapshot' })).hasFeature));
    assert.equal(find(await host.qemu.$get({ full: true }), 'vmid', DISK)[0].status, 'stopped');
    const volume = first.scsi0.split(',')[0].replace('local:', '');
    const fd = fs.openSync(`${config.storage}/images/${volume}`, 'r+');
    fs.writeSync(fd, fs.readFileSync(config.sector), 0, 512, 0);
    fs.closeSync(fd);
}

/** The serial console through termproxy and a WebSocket: what the page for terminals does. */
async function terminal(vm, expected, typed, answer) {
    const proxy = await vm.termproxy.$post();
    const query = new URLSearchParams({ port: String(proxy.port), vncticket: proxy.ticket });
    const url = `wss://127.0.0.1:${config.port}/api2/json/nodes/${config.node}/qemu/${DISK}/vncwebsocket?${query}`;
    const ws = new WebSocket(url, { protocols: ['binary'], headers: { cookie: `PVEAuthCookie=${engine.ticket}` } });
    ws.binaryType = 'arraybuffer';
    let text = '';
    ws.onmessage = (event) => { text += Buffer.from(event.data).toString(); };
    await new Promise((resolve, reject) => { ws.onopen = resolve; ws.onerror = (e) => reject(e.error ?? e); });
    assert.equal(ws.protocol, 'binary');
    ws.send(Buffer.from(`${proxy.user}:${proxy.ticket}\n`));
    await waitFor('the console', () => text.startsWith('OK'), 20);
    await waitFor(expected, () => text.includes(expected));
    ws.send(Buffer.from(`0:${typed.length}:${typed}`));
    await waitFor(answer, () => text.includes(answer), 20);
    ws.close();
}

async function running() {
    const vm = host.qemu.$(DISK);
    await done(await vm.status.start.$post(), 'qmstart');
    const current = await vm.status.current.$get();
    assert.deepEqual([current.status, current.qmpstatus, current.cpus], ['running', 'running', 2]);
    await terminal(vm, 'disk guest is up', 'Z', 'key Z');
    const screen = await vm.vncproxy.$post({ websocket: true });
    assert.ok(screen.ticket.startsWith(`${screen.password}:PVEVNC:`) && screen.cert.includes('BEGIN CERTIFICATE'));
    const monitor = new QmMonitor(api, config.node, DISK);
    assert.match(await monitor.info('status'), /running/);
    assert.deepEqual((await monitor.infoUsb()).map((d) => d.id), ['tablet']);
    assert.deepEqual(await monitor.infoUsbhost(), []);
    assert.equal(await vm.sendkey.$put({ key: 'ctrl-alt-f1' }), null);
    await vm.config.$put({ memory: 96 });
    assert.equal(String(find(await vm.pending.$get(), 'key', 'memory')[0].pending), '96');
    await vm.config.$put({ revert: 'memory' });
    await done(await vm.resize.$put({ disk: 'scsi0', size: '+1G' }), 'resize');
    assert.match((await vm.config.$get()).scsi0, /size=2G/);
    await done(await vm.status.suspend.$post(), 'qmpause');
    assert.equal((await vm.status.current.$get()).qmpstatus, 'paused');
    await done(await vm.status.resume.$post(), 'qmresume');
    await done(await vm.status.reset.$post(), 'qmreset');
    assert.ok(Array.isArray(await vm.rrddata.$get({ timeframe: 'hour' })));
    await assert.rejects(vm.spiceproxy.$post(), /return Error 500 there is no SPICE here/);
    await assert.rejects(host.qemu.$(DISK).$delete(), /VM 110 is running - destroy failed/);
    await done(await vm.status.shutdown.$post({ timeout: 1, forceStop: true }), 'qmshutdown');
}

async function agent() {
    const vm = host.qemu.$(AGENT);
    const ask = vm.agent;
    await waitFor('the agent', async () => {
        try {
            return await ask.ping.$post();
        } catch (e) {
            assert.match(e.message, /return Error 500 QEMU guest agent is not running/);
            return false;
        }
    });
    assert.equal((await vm.status.current.$get()).agent, 1);
    assert.ok((await ask.$get()).some((c) => c.name === 'get-fsinfo'));
    assert.deepEqual(await ask.$post({ command: 'fsfreeze-status' }), { result: 'thawed' });
    assert.equal((await ask['get-osinfo'].$get()).result.machine, 'x86_64');
    assert.equal((await ask['get-host-name'].$get()).result['host-name'], 'holm');
    const cards = (await ask['network-get-interfaces'].$get()).result;
    assert.equal(find(cards, 'name', 'eth0')[0]['hardware-address'], MAC.toLowerCase());
    assert.ok(Array.isArray((await ask['get-fsinfo'].$get()).result));
    assert.deepEqual((await ask['get-users'].$get()).result, []);
    assert.equal((await ask['get-vcpus'].$get()).result.length, 1);
    assert.ok((await ask.info.$get()).result.supported_commands.length > 20);
    assert.ok(Math.abs((await ask['get-time'].$get()).result / 1e9 - Date.now() / 1000) < 3600);
    const { pid } = await ask.exec.$post({ command: ['/bin/sh', '-c', 'echo "$1"; exit 4', 'sh', 'two words & more'] });
    const ended = await waitFor('the program', async () => {
        const status = await ask['exec-status'].$get({ pid });
        return status.exited && status;
    }, 20);
    assert.deepEqual([ended.exitcode, ended['out-data']], [4, 'two words & more\n']);
    await ask['file-write'].$post({ file: '/tmp/n', content: 'a+b=c&d\n' });
    assert.deepEqual(await ask['file-read'].$get({ file: '/tmp/n' }), { content: 'a+b=c&d\n' });
    await assert.rejects(ask['file-read'].$get({ file: '/no/such' }), /return Error 500 Agent error/);
    await ask['fsfreeze-freeze'].$post();
    await ask['fsfreeze-thaw'].$post();
    assert.deepEqual(await ask['fsfreeze-status'].$post(), { result: 'thawed' });
    await done(await vm.status.shutdown.$post({ timeout: 60 }), 'qmshutdown');
    assert.equal((await vm.status.current.$get()).status, 'stopped');
    await assert.rejects(ask.ping.$post(), /VM 100 is not running/);
}

async function tasksAndErrors() {
    const rows = await host.tasks.$get({ vmid: AGENT });
    assert.deepEqual([...new Set(rows.map((t) => t.type))].sort(), ['qmcreate', 'qmshutdown', 'qmstart']);
    assert.ok(rows.every((t) => t.status === 'OK' && t.endtime >= t.starttime));
    const log = await host.tasks.$(rows[0].upid).log.$get({ start: 0, limit: 50 });
    assert.equal(log.at(-1).t, 'TASK OK');
    assert.deepEqual((await host.tasks.$(rows[0].upid).$get()).map((r) => r.name).sort(), ['log', 'status']);
    assert.ok((await api.cluster.tasks.$get()).some((t) => t.upid === rows[0].upid));
    await assert.rejects(host.qemu.$(999).config.$get(), /return Error 500 Configuration file 'nodes\/\S+\/qemu-server\/999.conf' does not exist/);
    await assert.rejects(host.qemu.$post({ vmid: AGENT }), /VM 100 already exists on node/);
    await assert.rejects(host.qemu.$post({ vmid: 998, cores: 'x' }), (e) => WRONG.test(e.message) && e.message.includes('"cores":'));
    await assert.rejects(api.cluster.nextid.$get({ vmid: AGENT }), /"vmid":"VM 100 already exists"/);
    await assert.rejects(host.tasks.$('UPID:x').status.$get(), WRONG);
    await assert.rejects(host.vzdump.$post({ vmid: AGENT }), /connection failed with 501 Method 'POST \/nodes\/\S+\/vzdump' not implemented/);
    const waiting = host.qemu.$(DISK);
    await done(await waiting.status.start.$post(), 'qmstart');
    const upid = await waiting.status.shutdown.$post({ timeout: 300 });
    await waitFor('an active task', async () => find(await host.tasks.$get({ source: 'active' }), 'upid', upid).length);
    await host.tasks.$(upid).$delete();
    assert.notEqual(await exitOf(upid), 'OK');
    await done(await waiting.status.stop.$post(), 'qmstop');
}

async function remove() {
    await done(await host.qemu.$(DISK).$delete({ purge: true }), 'qmdestroy');
    await done(await host.qemu.$(AGENT).$delete(), 'qmdestroy');
    assert.deepEqual(await host.qemu.$get(), []);
}

await clusterAndNode();
await done(await host.qemu.$post({ vmid: AGENT, name: 'agent', memory: 256, agent: '1', net0: `virtio=${MAC}`, serial0: 'socket',
                                   kernel: 'local:boot/vmlinuz', initrd: 'local:boot/initrd.img', cmdline: 'console=ttyS0' }), 'qmcreate');
const booting = await host.qemu.$(AGENT).status.start.$post();
await usersAndRights();
await newLogin();
await storages();
await pools();
await configurations();
await running();
await done(booting, 'qmstart');
await agent();
await tasksAndErrors();
await remove();
