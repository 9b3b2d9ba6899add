# A Debian with systemd on its root disk under holm-vmm, as it is: all units up, none failed, an orderly end, a clean disk.
# limit: 800
# set: long
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
root_copy debian
holm_vm 2 512M "$LEAN root=/dev/vda LAB_INIT=/sbin/init LAB_RUN=\"echo failed=\$(systemctl --failed --plain -q | wc -l)\"" \
    --disk "raw=$DISK"
run_until failed=0 600 -- "${VM[@]}"
grep -a -q SYSTEMD_REACHED "$WORK/until.log"
e2fsck -f -n "$DISK"
