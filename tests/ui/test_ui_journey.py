"""The page as playwright-core finds it: by roles and names alone. A guest made in the wizard and seen to boot in both kinds of
console, snapshot, rolled back, copied, stopped with others and destroyed; an auditor refused; a daemon that goes and comes back.
The script is journey.mjs; here is what it asks for."""
import functools
import json
import os
import subprocess
import threading

from lib import facts
from lib.guests import boot_sector, install_demo
from lib.holm import PASSWORD
from lib.npm import modules
from lib.tap import main, test
from lib.wait import slow
from ui.look_console import PICTURE, Picture
from ui.scene import Scene, end_with

PLAYWRIGHT = "playwright-core@1.65.1"
MIB = 1 << 20


@functools.cache
def scene():
    s = Scene()
    s.node.create_user("auditor@pve", "PVEAuditor")
    install_demo(s.node)
    folder = s.node.path("var/storage/local/import")
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/greeter.raw", "wb") as f:
        f.write(boot_sector("screen"))
        f.truncate(MIB)
    return s


def answer(s, question):
    if "read" in question:
        return {"text": Picture(question["read"]).text()}
    if "stop" in question:
        s.node.stop()
    elif "start" in question:
        s.node.start()
    else:
        vmid, name = question["rename"]
        s.node.api.put(s.node.vm(vmid, "/config"), name=name)
    return {}


@test(limit=240)
def a_day_by_roles_and_names():
    s = scene()
    config = {"modules": modules(PLAYWRIGHT), "picture": PICTURE, "cdp": f"http://127.0.0.1:{s.browser.port}", "base": s.base, "password": PASSWORD, "slow": slow(1)}
    with subprocess.Popen(["node", f"{facts.TOP}/tests/ui/journey.mjs", json.dumps(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as script:
        errors = []
        reader = threading.Thread(target=lambda: errors.append(script.stderr.read()))
        reader.start()
        try:
            for line in script.stdout:
                script.stdin.write(json.dumps(answer(s, json.loads(line))) + "\n")
                script.stdin.flush()
            status = script.wait(slow(20))
        finally:
            script.kill()
            reader.join()
        assert status == 0, errors[0][:6000]
    assert not s.node.api.get("/cluster/resources", type="vm")


if __name__ == "__main__":
    end_with(scene)
    main()
