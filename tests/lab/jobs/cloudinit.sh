# A Debian with cloud-init (tools/cloud-image), unmodified, under holm-vmm by holmd: started with its own kernel and initramfs
# and the cloud-init drive as a disk, it has the name, user, key and address it was given, and an administrator logs in to it.
# limit: 1800
# set: long
# image: cloud-image
# needs: holmd, holm-vmm
. /share/jobs/lib.sh
[ -n "$(find_program holmd)" ] || skip "holmd is not built"
need_holm_vmm
script=/share/tests/lab/jobs/cloudinit.py
[ -e $script ] || script=/caller/cloudinit.py
scratch
root=/scratch/holm image=$WORK/image
mkdir -p $root/var/storage/local/import "$image"
ip link add vmbr0 type bridge
ip addr add 192.0.2.1/24 dev vmbr0
ip link set vmbr0 up

step "the image as a raw one, its kernel and initramfs out of it"
raw=$root/var/storage/local/import/debian.raw
qemu-img convert -O raw /share/images/cloud-image.qcow2 $raw
modprobe loop
mount -o ro,noload,loop,offset=$((20480 * 512)) $raw "$image"
cp -L "$image/vmlinuz" "$image/initrd.img" "$WORK/"

# It has the ssh that this machine has not.
mount --bind /dev "$image/dev"
mount -t tmpfs keys "$image/mnt"
chroot "$image" ssh-keygen -q -t ed25519 -N '' -f /mnt/key
export WORK
python3 -u $script $root "$WORK" "$LEAN" "$HOLM_VMM" "$image"
