# Random reads of 4 KiB at depth 16 from a raw disk: KVM exits and system calls of the hypervisor for 1,000 of them,
# holm-vmm beside QEMU's q35 with an I/O thread, taking turns in one boot of the outer machine. Both go past the host's page
# cache, as they do by default.
# limit: 900
# set: long
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
rounds=3 requests=4000
initrd_with $LAB/randread
scratch
disk=/scratch/reads.img
dd if=/dev/urandom of=$disk bs=1M count=64 status=none

contender() {
    local run="$LEAN LAB_END=stay LAB_RUN=\"/randread /dev/vda $requests 16\"" exits pid began
    case $1 in
    holm) holm_vm 1 256M "$run" --disk "raw=$disk" ;;
    q35) qemu_q35 1 256 "$run" -object iothread,id=t -drive "file=$disk,format=raw,if=none,id=d,cache=none,aio=io_uring" \
        -device virtio-blk-pci,drive=d,iothread=t ;;
    esac
    vm_start "reads-$1" "${VM[@]}"
    vm_wait READS_BEGIN 120
    pid=$(kvm_process)
    exits=$(kvm_count exits)
    count_calls
    began=$(date +%s%N)
    vm_type
    vm_wait READS_END 120
    echo "us=$((($(date +%s%N) - began) / requests)) exits=$((($(kvm_count exits) - exits) * 1000 / requests))" \
        "calls=$(($(calls_of "$pid") * 1000 / requests))"
    vm_stop
}
alternate $rounds contender holm q35
for name in holm q35; do
    for key in us exits calls; do
        echo "bench lab blk $name $key for 1000 reads min/med/max $(turns $name $key | spread)"
    done
done
median_of() { turns "$1" "$2" | median; }
[ "$(median_of holm exits)" -lt "$(median_of q35 exits)" ] || fail "more exits than q35"
[ "$(median_of holm calls)" -lt "$(median_of q35 calls)" ] || fail "more system calls than q35"
