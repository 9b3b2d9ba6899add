# An unmodified Debian kernel under holm-vmm: initramfs with one and two vCPUs, bzImage and ELF, ext4 root on virtio-blk
# with fsck after, reboot, poweroff, memory beyond 3 GiB.
# limit: 600
# set: short
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
limit=100

step "one vCPU, ELF by PVH, poweroff"
holm_vm 1 256M "$LEAN"
run_until INIT_REACHED $limit -- "${VM[@]}"

step "two vCPUs, bzImage"
KERNEL=$LAB/vmlinuz holm_vm 2 256M "$LEAN LAB_RUN=\"echo cpus=\$(grep -c ^processor /proc/cpuinfo)\""
run_until cpus=2 $limit -- "${VM[@]}"

step "two vCPUs, ext4 root on virtio-blk: read, write, poweroff, fsck"
root_copy boot
holm_vm 2 512M "$LEAN root=/dev/vda LAB_RUN=\"dd if=/dev/urandom of=/data bs=64k count=64 && sync && sha256sum /data\"" \
    --disk "raw=$DISK"
run_until ROOT_REACHED $limit -- "${VM[@]}"
sum=$(grep -a -o '^[0-9a-f]\{64\}' "$WORK/until.log")
e2fsck -f -n "$DISK"
expect "$(debugfs -R 'cat /data' "$DISK" 2>/dev/null | sha256sum | cut -d ' ' -f 1)" "$sum" "what the guest wrote"

step "reboot: the guest comes up again"
holm_vm 1 256M "$LEAN LAB_END=reboot"
run_until INIT_REACHED $limit -k -n 2 -- "${VM[@]}"

step "4 GiB of memory"
holm_vm 1 4096M "$LEAN LAB_RUN=\"grep 'System RAM' /proc/iomem; grep MemTotal /proc/meminfo\""
run_until MemTotal: $limit -- "${VM[@]}"
grep -a -q '^100000000-.*System RAM' "$WORK/until.log" || fail "no memory above 4 GiB"
kib=$(sed -n 's/.*MemTotal: *\([0-9]*\) kB.*/\1/p' "$WORK/until.log")
[ "$kib" -gt 3800000 ] || fail "the guest sees $kib KiB"
