# The inner kernel and initramfs boot under QEMU's q35 with KVM: the peer of holm-vmm.
# limit: 180
# set: long
. /share/jobs/lib.sh
qemu_q35 1 128 "$LEAN"
words=$(run_until INIT_REACHED 150 -- "${VM[@]}")
echo "bench lab q35 $words"
[ "$(value exits "$words")" -gt 0 ]
