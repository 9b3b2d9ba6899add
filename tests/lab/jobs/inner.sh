# The lab's own inner guest does what it is told, under QEMU: a script from a disk, the root disk, writes that last.
# limit: 180
# set: long
. /share/jobs/lib.sh

step "a script on a disk, programs beside the initramfs"
printf 'echo "script=$((6 * 7))"\n/until 2>&1 | head -n 1\nfalse\n' >"$WORK/script"
truncate -s 4096 "$WORK/script"
initrd_with $LAB/until
qemu_q35 1 128 "$LEAN LAB_DISK=vda" -drive "file=$WORK/script,format=raw,if=none,id=d" -device virtio-blk-pci,drive=d
run_until LAB_STATUS 120 -- "${VM[@]}"
grep -a -q '^script=42' "$WORK/until.log"
grep -a -q '^usage: until' "$WORK/until.log"
grep -a -q '^LAB_STATUS 1' "$WORK/until.log"
unset INITRD

step "two vCPUs and the root disk, twice: what is written in the first boot is there in the second"
root_copy inner
for command in 'echo kept >/kept' 'cat /kept'; do
    qemu_q35 2 256 "$LEAN root=/dev/vda LAB_RUN=\"$command\"" -drive "file=$DISK,format=raw,if=none,id=d" \
        -device virtio-blk-pci,drive=d
    run_until ROOT_REACHED 120 -- "${VM[@]}"
    e2fsck -f -n "$DISK" >/dev/null
done
grep -a -q '^kept' "$WORK/until.log"
