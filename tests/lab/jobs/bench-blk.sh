# Random reads of 4 KiB at depth 16 from a raw disk: KVM exits and system calls of the hypervisor for 1,000 of them, and of
# the exits those that the requests cause: doorbells, and interrupts of the disk. The others are ticks of both kernels, as
# many as the reads take time.
# holm-vmm beside QEMU's q35 with an I/O thread, taking turns in one boot of the outer machine. Both go past the host's page
# cache, as they do by default.
# limit: 900
# set: long
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
rounds=5 requests=3000
initrd_with $LAB/randread
scratch
disk=/scratch/reads.img
dd if=/dev/urandom of=$disk bs=1M count=64 status=none

TIMER_VECTOR=236 # of Linux, each processor's own

# count_events EVENT KEY: counts an event of KVM from here on, by key; events_of EVENT [KEY]: how many there were, but of
# this key.
count_events() {
    echo "hist:keys=$2" >"$EVENTS/$1/trigger"
}
events_of() {
    awk -v but="${2:-none}" '/hitcount:/ && /^{/ { if ($3 != but) sum += $NF } END { print sum + 0 }' "$EVENTS/$1/hist"
    echo "!$(cat "$EVENTS/$1/trigger")" >"$EVENTS/$1/trigger" || true
}
EVENTS=/sys/kernel/debug/tracing/events/kvm

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
    count_events kvm_mmio gpa
    count_events kvm_inj_virq vector
    count_calls
    began=$(date +%s%N)
    vm_type
    vm_wait READS_END 120
    echo "us=$((($(date +%s%N) - began) / requests)) exits=$((($(kvm_count exits) - exits) * 1000 / requests))" \
        "bells=$(($(events_of kvm_mmio) * 1000 / requests))" \
        "interrupts=$(($(events_of kvm_inj_virq $TIMER_VECTOR) * 1000 / requests))" \
        "calls=$(($(calls_of "$pid") * 1000 / requests))"
    vm_stop
}
alternate $rounds contender holm q35
for name in holm q35; do
    for key in us exits bells interrupts calls; do
        echo "bench lab blk $name $key for 1000 reads min/med/max $(turns $name $key | spread)"
    done
done
median_of() { turns "$1" "$2" | median; }
caused_by() { echo $(($(median_of "$1" bells) + $(median_of "$1" interrupts))); }
[ "$(caused_by holm)" -lt "$(caused_by q35)" ] || fail "the requests cause more exits than q35's"
[ "$(median_of holm calls)" -lt "$(median_of q35 calls)" ] || fail "more system calls than q35"
