# The engine vmm in the whole platform: holmd, driven by proxmoxer, runs Debian's kernel under holm-vmm: console, counters,
# a disk that grows, snapshots and a clone of what runs, suspend, reset, kill -9 of holmd with adoption, shutdown and reboot by the power button, kill -9 of
# holm-vmm, what the engine refuses.
# limit: 800
# set: short
# needs: holmd, holm-vmm
. /share/jobs/lib.sh
[ -n "$(find_program holmd)" ] || skip "holmd is not built"
need_holm_vmm
script=/share/tests/lab/jobs/engine.py
[ -e $script ] || script=/caller/engine.py
scratch_only # the guest's disk can be copied by reference
mkdir -p /scratch/holm
export WORK
ip link add vmbr0 type bridge
ip link set vmbr0 up
python3 -u $script /scratch/holm "$LAB" "$LEAN LAB_END=stay" "$HOLM_VMM"
