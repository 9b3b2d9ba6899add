"""proxmoxer, the Python library, unchanged, through the recording proxy: a VM's life, and what it makes of errors."""
import time

import urllib3

from proxmoxer import ProxmoxAPI, ResourceException
from proxmoxer.backends.https import AuthenticationError

from lib.holm import PASSWORD
from lib.otp import add_totp
from lib.proxy import Proxy
from lib.tap import main, test
from lib.wait import wait_for

urllib3.disable_warnings()


def connect(proxy, **more):
    more = more or {"user": "admin@pve", "password": PASSWORD}
    return ProxmoxAPI("127.0.0.1", port=proxy.port, verify_ssl=False, **more)


def finish(api, node, upid):
    """Waits as the Ansible modules do."""
    def is_done():
        status = api.nodes(node.name).tasks(upid).status.get()
        return status["status"] == "stopped" and status
    status = wait_for(is_done, 30, f"task {upid}")
    assert status["exitstatus"] == "OK", (status, api.nodes(node.name).tasks(upid).log.get())


@test(limit=60)
def life_of_a_vm(node):
    with Proxy(node) as proxy:
        api = connect(proxy)
        vmid = int(api.cluster.nextid.get())
        host = api.nodes(node.name)
        finish(api, node, host.qemu.create(vmid=vmid, name="by-proxmoxer", memory=64, cores=1, scsi0="local:1",
                                           net0="virtio", ostype="l26"))
        vm = host.qemu(vmid)
        assert vm.config.get()["name"] == "by-proxmoxer"
        finish(api, node, vm.status.start.post())
        row = [r for r in api.cluster.resources.get(type="vm") if r["vmid"] == vmid][0]
        assert row["status"] == "running" and row["name"] == "by-proxmoxer", row
        finish(api, node, vm.status.stop.post())
        assert vm.config.put(description="changed") is None
        finish(api, node, vm.delete(purge=1))
        assert [v for v in host.qemu.get() if v["vmid"] == vmid] == []


@test
def token(node):
    with Proxy(node) as proxy:
        answer = connect(proxy).access.users("admin@pve").token("lib").post(privsep=0)
        api = connect(proxy, user="admin@pve", token_name="lib", token_value=answer["value"])
        assert api.version.get()["release"] == "9.2"
        connect(proxy).access.users("admin@pve").token("lib").delete()


@test(limit=60)
def one_time_password(node):
    """Its parameter otp goes with the password in one step; renewing the ticket asks for none."""
    node.create_user("second@pve")
    phone = add_totp(node, "second@pve")
    code = phone.code()
    with Proxy(node) as proxy:
        api = connect(proxy, user="second@pve", password=PASSWORD, otp=code)
        assert api.version.get()["release"] == "9.2"
        auth = api._backend.auth
        before = auth.pve_auth_ticket
        wait_for(lambda: time.time() > int(before.split(":")[2], 16) + 1, 5, "a ticket of another second")
        auth._getNewTokens()
        assert auth.pve_auth_ticket != before and api.version.get()["release"] == "9.2"
        for wrong in (code, phone.wrong()):
            try:
                connect(proxy, user="second@pve", password=PASSWORD, otp=wrong)
            except AuthenticationError as e:
                assert "Couldn't authenticate user: second@pve" in str(e), e
            else:
                raise AssertionError("logged in with a used or wrong one-time password")


@test
def wrong_password(node):
    with Proxy(node) as proxy:
        try:
            connect(proxy, user="admin@pve", password="wrong")
        except AuthenticationError as e:
            assert "Couldn't authenticate user: admin@pve" in str(e), e
        else:
            raise AssertionError("logged in with a wrong password")


@test
def errors_carry_the_reason(node):
    with Proxy(node) as proxy:
        api = connect(proxy)
        for call, wanted in (
                (lambda: api.nodes(node.name).qemu(999).config.get(),
                 f"Configuration file 'nodes/{node.name}/qemu-server/999.conf' does not exist"),
                (lambda: api.nodes(node.name).qemu.create(vmid="x"), "400 Bad Request: Parameter verification failed."),
                (lambda: api.nope.get(), "Method 'GET /nope' not implemented")):
            try:
                call()
            except ResourceException as e:
                assert wanted in str(e), e
            else:
                raise AssertionError(f"no error: {wanted}")


if __name__ == "__main__":
    main()
