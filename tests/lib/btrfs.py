"""A btrfs file system of the test's own."""
from lib import smallfs


def mount(path, mebibytes=256, is_mixed=False):
    """As smallfs.mount. is_mixed: data and what describes them share the space, so that a full one has no room for
    either."""
    smallfs.mount(path, "btrfs", mebibytes, ["--mixed"] if is_mixed else [])
