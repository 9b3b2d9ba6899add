# What jobs of the lab share. A job begins with `. /share/jobs/lib.sh`; it fails at the first command that fails.
#
# Places: /lab vmlinux, vmlinuz, initrd.img of inner guests and the lab's C programs; /dev/vdb the inner root disk, only to
# read; the programs of the build where a package puts them; /caller the folder of `run --folder`; $WORK, a folder of the job's.
# shellcheck shell=bash
set -eu -o pipefail
LAB=/lab
ROOT_DISK=/dev/vdb
WORK=$(mktemp -d /tmp/job.XXXXXX)
SKIP_STATUS=77 LATE_STATUS=75
SLOW=$(cat /share/slow) # every wait is stretched by it
export SLOW
# For every inner guest: what takes time and shows nothing is left out.
LEAN="console=ttyS0 quiet panic=-1 reboot=t mitigations=off tsc=reliable no_timer_check cryptomgr.notests random.trust_cpu=1"
VM_PID='' VM_LOG='' VM_IN=''
trap 'echo "line $LINENO: $BASH_COMMAND: status $?" >&2' ERR

step() { echo "--- at $SECONDS s: $*"; }
fail() { echo "FAIL $*" >&2; exit 1; }
late() { echo "LATE $*" >&2; exit "$LATE_STATUS"; } # what was waited for did not come
skip() { echo "$*"; exit "$SKIP_STATUS"; }
expect() { [ "$1" = "$2" ] || fail "${3:-value}: '$1', wanted '$2'"; }

# find_program NAME: where the program is: in the caller's folder, or as the build installs it; nothing if nowhere.
find_program() {
    local path
    for path in /caller /usr/bin /usr/sbin /usr/libexec/holm; do
        [ ! -x "$path/$1" ] || { echo "$path/$1"; return; }
    done
}

# pause: a moment, without a process.
exec {never}<> <(:)
pause() { read -r -t 0.1 -u "$never" || true; }

# wait_for SECONDS COMMAND...: until it succeeds; fails at the limit.
wait_for() {
    local end=$((SECONDS + $1 * SLOW))
    shift
    until "$@"; do
        [ $SECONDS -le $end ] || late "$*"
        pause
    done
}

# --- a machine that goes on while the job does something with it ---

# vm_start NAME COMMAND...: its output goes to $WORK/NAME.log (VM_LOG), its input comes from vm_type (VM_IN).
vm_start() {
    VM_LOG=$WORK/$1.log
    shift
    rm -f "$WORK/in"
    mkfifo "$WORK/in"
    exec {VM_IN}<>"$WORK/in"
    "$@" <"$WORK/in" >"$VM_LOG" 2>&1 &
    VM_PID=$!
}
vm_type() { printf '%s\n' "$*" >&"$VM_IN"; }
vm_is_alive() { [ -n "$VM_PID" ] && kill -0 "$VM_PID" 2>/dev/null; }
count_in() { grep -a -c -- "$1" "$2" || true; }

# vm_wait MARKER SECONDS [TIMES]: until the log holds it.
vm_wait() {
    local end=$((SECONDS + $2 * SLOW)) is_alive=true
    while :; do
        vm_is_alive || is_alive=false # before the last look at what it said
        [ "$(count_in "$1" "$VM_LOG")" -lt "${3:-1}" ] || return 0
        if [ $SECONDS -gt $end ] || ! $is_alive; then
            tail -n 20 "$VM_LOG" >&2
            $is_alive || fail "the guest did not say '$1': its hypervisor is gone"
            vm_look
            late "the guest did not say '$1'"
        fi
        pause
    done
}

# vm_look: what the machine does that does not answer: its threads, and what KVM counts in two seconds.
vm_look() {
    local counts=/sys/kernel/debug/kvm names="exits halt_exits irq_injections io_exits mmio_exits" name
    for name in $names; do echo "$name $(cat $counts/*-*/"$name" 2>/dev/null | paste -sd' ')"; done >&2
    ps -L -o tid,stat,time,wchan:24,comm -p "$VM_PID" --ppid "$VM_PID" >&2 || true
    sleep 2
    for name in $names; do echo "$name $(cat $counts/*-*/"$name" 2>/dev/null | paste -sd' ')"; done >&2
}

# vm_end SECONDS: waits for its end; its exit status is in VM_STATUS.
vm_end() {
    wait_for "$1" vm_is_gone
    VM_STATUS=0
    { wait "$VM_PID" || VM_STATUS=$?; } 2>/dev/null # bash tells who was killed
    VM_PID=''
    exec {VM_IN}>&-
}
vm_is_gone() { ! vm_is_alive; }
vm_stop() {
    kill -KILL "$VM_PID"
    vm_end 20
}

# kvm_count NAME: a counter of /sys/kernel/debug/kvm over the machines alive, as exits.
kvm_count() { cat /sys/kernel/debug/kvm/*-*/"$1" 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'; }

# kvm_process: which process holds the machine that runs; a jail may have moved it to a child.
kvm_process() { grep -l -v -x 0 /sys/kernel/debug/kvm/*-*/exits | sed -E 's|.*/([0-9]+)-[0-9]+/exits|\1|'; }

# count_calls PID: counts the system calls of a process from here on; calls_of PID: how many there were.
count_calls() {
    local event=/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter
    echo '!hist:keys=common_pid' >$event/trigger 2>/dev/null || true
    echo 'hist:keys=common_pid:size=4096' >$event/trigger
}
calls_of() {
    local tasks
    tasks=$(ls "/proc/$1/task")
    awk -v tasks="$tasks" 'BEGIN { n = split(tasks, list); for (i = 1; i <= n; i++) wanted[list[i]] = 1 }
        /common_pid:/ { gsub(/[{},]/, " "); if ($2 in wanted) sum += $NF } END { print sum + 0 }' \
        /sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/hist
}

# --- the machines themselves: each function sets VM, the command ---

# initrd_with FILE...: sets INITRD to the initramfs with these programs beside it, in its root folder.
initrd_with() {
    rm -rf "$WORK/extra"
    mkdir "$WORK/extra"
    cp "$@" "$WORK/extra/"
    INITRD=$WORK/initrd.img
    { cat $LAB/initrd.img; cd "$WORK/extra"; find . -type f | cpio --quiet -o -H newc -R 0:0; } >"$INITRD"
    cd "$WORK"
}

# holm_vm CPUS MEMORY CMDLINE [OPTION...]: VM runs the kernel and initramfs of the lab under holm-vmm.
holm_vm() {
    local cpus=$1 memory=$2 cmdline=$3
    shift 3
    VM=("$HOLM_VMM" run --kernel "${KERNEL:-$LAB/vmlinux}" --initrd "${INITRD:-$LAB/initrd.img}" --cmdline "$cmdline"
        --cpus "$cpus" --memory "$memory" --console stdio "$@")
}

# qemu_q35, qemu_microvm CPUS MEMORY_MB CMDLINE [OPTION...]: the peers, as lean as they go.
qemu_q35() {
    local cpus=$1 memory=$2 cmdline=$3
    shift 3
    VM=(qemu-system-x86_64 -accel kvm -M q35,sata=off,smbus=off,usb=off,vmport=off,hpet=off,graphics=off -cpu host
        -smp "$cpus" -m "$memory" -nodefaults -no-user-config -display none -no-reboot -serial stdio
        -kernel "${KERNEL:-$LAB/vmlinuz}" -initrd "${INITRD:-$LAB/initrd.img}" -append "$cmdline" "$@")
}
qemu_microvm() {
    local cpus=$1 memory=$2 cmdline=$3
    shift 3
    VM=(qemu-system-x86_64 -accel kvm -M microvm,acpi=on,pit=off,pic=off,rtc=off,isa-serial=on,pcie=off -cpu host
        -smp "$cpus" -m "$memory" -nodefaults -no-user-config -display none -no-reboot -serial stdio
        -kernel "${KERNEL:-$LAB/vmlinux}" -initrd "${INITRD:-$LAB/initrd.img}" -append "$cmdline" "$@")
}

need_holm_vmm() {
    HOLM_VMM=${HOLM_VMM:-$(find_program holm-vmm)}
    [ -n "$HOLM_VMM" ] || skip "holm-vmm is not built"
}

# until MARKER SECONDS OPTION... -- COMMAND...: see src/until.c; the guest's words are shown when it fails.
run_until() {
    local marker=$1 limit=$2 status=0
    shift 2
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    $LAB/until -t $((limit * SLOW)) -l "$WORK/until.log" "${options[@]}" "$marker" "$@" </dev/null || status=$?
    [ $status = 0 ] || tail -n 30 "$WORK/until.log" >&2
    return $status
}

# value KEY WORDS...: of a line of KEY=VALUE words.
value() {
    local key=$1 word
    shift
    for word in $*; do
        [ "${word%%=*}" != "$key" ] || echo "${word#*=}"
    done
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%s/%s/%s\n", v[1], v[int((NR + 1) / 2)], v[NR] }'; }

# alternate ROUNDS FUNCTION NAME...: FUNCTION NAME prints KEY=VALUE words; the contenders take turns, so that drift of the
# machine meets all alike. The words of contender N are collected in $WORK/turns.NAME, one line a turn.
alternate() {
    local rounds=$1 function=$2 round name
    shift 2
    for name in "$@"; do rm -f "$WORK/turns.$name"; done
    for round in $(seq "$rounds"); do
        for name in "$@"; do
            "$function" "$name" >>"$WORK/turns.$name"
        done
    done
}
# turns NAME KEY: the values of a key, one a line.
turns() {
    local line
    while read -r line; do value "$2" "$line"; done <"$WORK/turns.$1"
}

# --- disks ---

# scratch_only: /scratch, an XFS of 16 GiB on a disk of the outer machine's; copies there are made by reference.
scratch_only() {
    mountpoint -q /scratch && return
    blkid /dev/vdc >/dev/null 2>&1 || mkfs.xfs -q -f -m reflink=1 /dev/vdc
    mount -o discard /dev/vdc /scratch
}
# scratch: the same, with the root disk in it.
scratch() {
    scratch_only
    [ -e /scratch/root.img ] || { dd if=$ROOT_DISK of=/scratch/root.part bs=1M conv=sparse status=none; mv /scratch/root.part /scratch/root.img; }
}
# root_copy NAME: a writable copy of the inner root disk; its path in DISK.
root_copy() {
    scratch
    DISK=/scratch/$1.img
    rm -f "$DISK"
    cp --reflink=always /scratch/root.img "$DISK"
}
