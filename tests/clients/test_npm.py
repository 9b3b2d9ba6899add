"""Clients from npm, unchanged, through the recording proxy: `proxmox-api` over a day of an administrator on guests that
really boot, and Corsinvest's with JSON bodies. The scripts beside this file look at each answer."""
import json
import os
import subprocess

from lib import facts, netns
from lib.guests import boot_sector, install_agent
from lib.holm import PASSWORD
from lib.npm import fetch, modules
from lib.proxy import Proxy
from lib.tap import main, test
from lib.wait import slow

PROXMOX_API = "proxmox-api@1.1.1"
CORSINVEST = "@corsinvest/cv4pve-api-javascript@9.2.0"


def run(node, script, package, timeout):
    """The script to its end; the different routes that it asked for with success."""
    folder = modules(package)
    sector = os.path.join(node.base, "sector")
    with open(sector, "wb") as f:
        f.write(boot_sector())
    with Proxy(node) as proxy:
        config = {"modules": folder, "port": proxy.port, "node": node.name, "user": "admin@pve", "password": PASSWORD,
                  "storage": node.path("var/storage/local"), "sector": sector, "slow": slow(1)}
        done = subprocess.run(["node", f"{facts.TOP}/tests/clients/{script}", json.dumps(config)], capture_output=True, text=True,
                              check=False, timeout=slow(timeout), env={**os.environ, "NODE_TLS_REJECT_UNAUTHORIZED": "0"})
        assert done.returncode == 0, f"{script}: {done.returncode}: {done.stdout[-500:]}{done.stderr[-3000:]}"
        routes = {(method, facts.template_of(path.removeprefix("/api2/json"))) for method, path, status in proxy.requests
                  if status < 400}
        print(f"{len(proxy.requests)} calls, {len(routes)} different routes")
        assert None not in {template for _, template in routes}, routes
        return routes


@test(limit=300)
def proxmox_api(node):
    install_agent(node)
    routes = run(node, "proxmox_api.mjs", PROXMOX_API, 240)
    assert len(routes) >= 100, sorted(routes)
    assert node.images() == []


@test(limit=120)
def corsinvest(node):
    routes = run(node, "cv4pve.cjs", CORSINVEST, 90)
    assert len(routes) >= 30, sorted(routes)
    assert node.images() == []


if __name__ == "__main__":
    fetch(PROXMOX_API, CORSINVEST)
    netns.enter()  # before any thread; guests' user-mode networks are in here
    main()
