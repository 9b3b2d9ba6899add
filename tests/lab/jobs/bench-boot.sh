# From exec to /init: time, KVM exits and memory of holm-vmm beside QEMU's q35 and microvm, same kernel and initramfs,
# taking turns in one boot of the outer machine.
# limit: 900
# set: long
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
rounds=5

contender() {
    case $1 in
    holm) holm_vm 1 128M "$LEAN" ;;
    q35) qemu_q35 1 128 "$LEAN" ;;
    microvm) qemu_microvm 1 128 "$LEAN" ;;
    esac
    run_until INIT_REACHED 120 -k -- "${VM[@]}"
}
alternate $rounds contender holm q35 microvm
for name in holm q35 microvm; do
    for key in ms exits io_exits mmio_exits rss_kib; do
        echo "bench lab boot $name $key min/med/max $(turns $name $key | spread)"
    done
done
median_of() { turns "$1" "$2" | median; }
[ "$(median_of holm exits)" -le $(($(median_of q35 exits) / 2)) ] || fail "more exits than half of q35's"
[ "$(median_of holm exits)" -lt "$(median_of microvm exits)" ] || fail "more exits than microvm's"
[ "$(median_of holm ms)" -lt "$(median_of q35 ms)" ] || fail "slower than q35"
[ "$(median_of holm ms)" -lt "$(median_of microvm ms)" ] || fail "slower than microvm"
echo "bench lab boot holm own_kib min/med/max $(turns holm own_kib | spread)" # QEMU's memory has other pieces
[ "$(median_of holm own_kib)" -le 3072 ] || fail "more than 3 MiB beyond the guest's memory"
