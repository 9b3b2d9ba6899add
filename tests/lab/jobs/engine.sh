# The engine vmm in the whole platform: holmd, driven by proxmoxer, runs Debian's kernel under holm-vmm: console, counters,
# a disk that grows, suspend, reset, kill -9 of holmd with adoption, shutdown and reboot by the power button, kill -9 of
# holm-vmm, what the engine refuses.
# limit: 800
# set: short
# needs: holmd, holm-vmm
. /share/jobs/lib.sh
[ -n "$(find_program holmd)" ] || skip "holmd is not built"
need_holm_vmm
script=/share/tests/lab/jobs/engine.py
[ -e $script ] || script=/caller/engine.py
mkdir -p /var/lib/holm
export WORK
ip link add vmbr0 type bridge
ip link set vmbr0 up
python3 -u $script /var/lib/holm "$LAB" "$LEAN LAB_END=stay" "$HOLM_VMM"
