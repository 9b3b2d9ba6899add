"""Orders of tasks that once blocked each other."""
import threading

from lib import guests
from lib.tap import main, test


@test(limit=60)
def a_planned_change_does_not_wait_for_a_start_that_waits_for_it(node):
    """The start found the configuration held by the change, and the change waited behind the start: after 3 s the start
    failed with "VM is locked (config)"."""
    guests.install_demo(node)
    node.create(760, **guests.DEMO)
    node.api.run("POST", node.vm(760, "/status/start"))
    # The demo guest has no ACPI daemon, so this one runs for its four seconds.
    down = node.api.post(node.vm(760, "/status/shutdown"), timeout=4, forceStop=1)
    again = node.api.post(node.vm(760, "/status/start"))
    replies = []
    change = threading.Thread(
        target=lambda: replies.append(node.client().call("PUT", node.vm(760, "/config"), {"scsi3": "local:1"})))
    change.start()
    assert node.api.wait_task(down) == "OK"
    assert node.api.wait_task(again) == "OK"
    change.join()
    assert replies[0].status == 200, replies[0].text
    assert "scsi3" in node.api.get(node.vm(760, "/config"))
    node.remove(760)


if __name__ == "__main__":
    main()
