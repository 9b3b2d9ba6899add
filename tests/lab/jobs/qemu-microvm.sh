# The inner kernel and initramfs boot under QEMU's microvm with KVM: the lean peer of holm-vmm.
# limit: 180
# set: long
. /share/jobs/lib.sh
qemu_microvm 1 128 "$LEAN"
words=$(run_until INIT_REACHED 150 -- "${VM[@]}")
echo "bench lab microvm $words"
[ "$(value exits "$words")" -gt 0 ]
