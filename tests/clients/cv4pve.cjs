/* npm's @corsinvest/cv4pve-api-javascript on a guest: JSON bodies, a realm of its own, every route a method with all its
 * parameters in a row; run by test_npm.py.
 *
 *   node cv4pve.cjs '{"modules":FOLDER,"port":N,"node":NAME,"user":U@REALM,"password":P}'
 */
const assert = require('node:assert/strict');
const process = require('node:process');

const config = JSON.parse(process.argv[2]);
const { PveClient } = require(`${config.modules}/@corsinvest/cv4pve-api-javascript`);

/** Its methods take up to a hundred parameters in a row: finds the places of some by their names. */
function call(object, method, named = {}) {
    const source = object[method].toString();
    const names = source.slice(source.indexOf('(') + 1, source.indexOf(')')).split(',').map((s) => s.trim()).filter(Boolean);
    for (const name of Object.keys(named)) assert.ok(names.includes(name), `${method} has no parameter ${name}`);
    return object[method](...names.map((name) => named[name]));
}

async function data(result) {
    const r = await result;
    assert.equal(r.statusCode, 200, `${r.requestResource}: ${r.statusCode} ${r.reasonPhrase} ${JSON.stringify(r.response.errors)}`);
    assert.equal(r.responseInError, false);
    return r.response.data;
}

async function refused(result, status, reason) {
    const r = await result;
    assert.equal(r.statusCode, status, r.reasonPhrase);
    assert.match(r.reasonPhrase, reason);
    assert.equal(r.response.data, null);
    return r.response;
}

async function main() {
    const client = new PveClient('127.0.0.1', config.port);
    const [name, realm] = config.user.split('@');
    client.logEnabled = false;
    assert.equal(await client.login(name, 'wrong', realm), false);
    assert.equal(await client.login(name, config.password, realm), true);
    const finish = async (upid) => {
        assert.ok(await client.waitForTaskToFinish(upid, 100, 60000 * config.slow), `${upid} runs`);
        assert.equal(await client.getExitStatusTask(upid), 'OK');
    };
    const node = client.nodes.get(config.node);
    assert.match((await data(client.version.version())).version, /^\d+\.\d+/);
    assert.equal((await data(client.nodes.index())).length, 1);
    const vmid = Number(await data(client.cluster.nextid.nextid()));
    // Parameters with a number are sent by the general call: createVm of this version spells their names wrong.
    await finish(await data(client.create(`/nodes/${config.node}/qemu`, { vmid, name: 'js', memory: 64, cores: 1, onboot: true, kvm: false,
                                                                         agent: '1', scsi0: 'local:1', net0: 'virtio', tags: 'a;b' })));
    const vm = node.qemu.get(vmid);
    const first = await data(vm.config.vmConfig());
    assert.deepEqual([first.name, first.onboot, first.kvm, first.agent, first.tags], ['js', 1, 0, '1', 'a;b']);
    assert.match(first.scsi0, /^local:\d+\/vm-\d+-disk-0\.\w+,size=1G$/);
    assert.equal(await data(call(vm.config, 'updateVm', { cores: 2, description: 'line\nline', digest: first.digest })), null);
    await finish(await data(call(vm.config, 'updateVmAsync', { startup: 'order=1', protection: false })));
    await finish(await data(client.create(`/nodes/${config.node}/qemu/${vmid}/config`, { scsi1: 'local:1' })));
    await data(vm.unlink.unlink('scsi1', true));
    assert.ok(!('scsi1' in await data(vm.config.vmConfig())));
    await finish(await data(vm.resize.resizeVm('scsi0', '+1G')));
    assert.ok((await data(vm.pending.vmPending())).every((row) => !('pending' in row)));
    await finish(await data(vm.status.start.vmStart()));
    const current = await data(vm.status.current.vmStatus());
    assert.deepEqual([current.status, current.cpus, current.agent], ['running', 2, 1]);
    const rows = await data(client.cluster.resources.resources('vm'));
    assert.deepEqual(rows.map((r) => [r.vmid, r.status, r.maxdisk]), [[vmid, 'running', 2 * 1024 ** 3]]);
    await refused(vm.agent.ping.ping(), 500, /^QEMU guest agent is not running$/);
    await finish(await data(vm.status.suspend.vmSuspend()));
    await finish(await data(vm.status.resume.vmResume()));
    await finish(await data(vm.status.reset.vmReset()));
    assert.match(await data(vm.monitor.monitor('info status')), /running/);
    await data(vm.sendkey.vmSendkey('ret'));
    await refused(vm.destroyVm(), 500, /is running - destroy failed$/);
    await finish(await data(call(vm.status.shutdown, 'vmShutdown', { timeout: 1, forceStop: true })));
    await data(client.pools.createPool('js', 'by JSON'));
    await data(call(client.pools, 'updatePool', { poolid: 'js', vms: String(vmid) }));
    assert.deepEqual((await data(client.pools.index('js')))[0].members.map((m) => m.vmid), [vmid]);
    await data(call(client.pools, 'updatePool', { poolid: 'js', vms: String(vmid), delete_: true }));
    await data(client.pools.deletePool('js'));
    await data(call(client.access.users, 'createUser', { userid: 'js@pve', enable: false, comment: 'ä' }));
    const user = await data(client.access.users.get('js@pve').readUser());
    assert.deepEqual([user.enable, user.comment], [0, 'ä']);
    const token = await data(call(client.access.users.get(config.user).token.get('js'), 'generateToken', { privsep: false }));
    const machine = new PveClient('127.0.0.1', config.port);
    machine.apiToken = `${token['full-tokenid']}=${token.value}`;
    await finish(await data(call(machine.nodes.get(config.node).qemu.get(vmid), 'destroyVm', { purge: true })));
    await data(client.access.users.get(config.user).token.get('js').removeToken());
    await data(client.access.users.get('js@pve').deleteUser());
    const wrong = await refused(call(node.qemu, 'createVm', { vmid: 'x', cores: 0 }), 400, /^Parameter verification failed\.$/);
    assert.deepEqual(Object.keys(wrong.errors).sort(), ['cores', 'vmid']);
    await refused(vm.config.vmConfig(), 500, /^Configuration file 'nodes\/\S+\/qemu-server\/\d+\.conf' does not exist$/);
    await refused(client.cluster.ha.resources.index(), 501, /not implemented$/);
    assert.ok((await data(call(node.tasks, 'nodeTasks', { vmid, limit: 100 }))).every((t) => t.id === String(vmid)));
}

main().catch((e) => {
    console.error(e);
    process.exitCode = 1;
});
