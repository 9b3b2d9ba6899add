# A Debian with cloud-init (tools/cloud-image), unmodified, under holm-vmm by holmd, as doc/guide/cloud-init.md has it: started
# with its own kernel and initramfs and the cloud-init drive as a disk, it has the name, user, key, address and servers it
# was given, lets its administrator in, and ends by the power button.
# limit: 1800
# set: long
# image: cloud-image
# needs: holmd, holm-vmm
. /share/jobs/lib.sh
[ -n "$(find_program holmd)" ] || skip "holmd is not built"
need_holm_vmm
scratch
root=/scratch/holm image=$WORK/image address=192.0.2.7
mkdir -p $root "$image"
ip link add vmbr0 type bridge
ip addr add 192.0.2.1/24 dev vmbr0
ip link set vmbr0 up
cd "$WORK"

holmd --root $root --listen 127.0.0.1:8006 --node lab >holmd.log 2>&1 &
daemon=$!
guest_ssh() {
    chroot "$image" ssh -F none -i /mnt/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/mnt/known \
        -o LogLevel=ERROR -o ConnectTimeout=60 "admin@$address" "$@" </dev/null
}
tell_why() {
    [ ! -e tries ] || tail -n 2 tries
    tail -n 20 holmd.log
    timeout 60 holm --root $root vm console web --idle 20 </dev/null | tail -n 20
} >&2
trap 'status=$?; [ $status = 0 ] || tell_why; exit $status' EXIT
is_up() {
    kill -0 $daemon || fail "holmd ended"
    holm --root $root api GET /version >/dev/null 2>&1
}
wait_for 60 is_up

step "a raw image, its kernel and initramfs out of it"
raw=$root/var/storage/local/import/debian.raw
mkdir -p "${raw%/*}"
qemu-img convert -O raw /share/images/cloud-image.qcow2 $raw
modprobe loop
start=$(partx -g -r -o START -n 3 $raw)
mount -o ro,noload,loop,offset=$((start * 512)) $raw "$image"
cp -L "$image/vmlinuz" "$image/initrd.img" .
for name in vmlinuz initrd.img; do
    holm --root $root storage upload $name --content boot
done
# It has the ssh that this machine has not.
mount --bind /dev "$image/dev"
mount -t tmpfs keys "$image/mnt"
chroot "$image" ssh-keygen -q -t ed25519 -N '' -C me -f /mnt/key

step "the guest"
holm --root $root vm create 100 --name web --engine vmm --memory 512 --cores 2 --serial0 socket --rng0 source=/dev/urandom \
    --kernel local:boot/vmlinuz --initrd local:boot/initrd.img --cmdline "$LEAN root=/dev/vda3 ro" \
    --virtio0 local:0,format=raw,import-from=local:import/debian.raw --virtio1 local:cloudinit --net0 virtio,bridge=vmbr0 \
    --ciuser admin --sshkeys "$image/mnt/key.pub" --ipconfig0 ip=$address/24,gw=192.0.2.1 --nameserver 192.0.2.1 \
    --searchdomain example.com --ciupgrade 0
holm --root $root vm start web
step "started"
lets_in() {
    [ "$(holm --root $root vm show web -o json | jq -r .status)" = running ] || fail "the guest is gone"
    guest_ssh true 2>>tries
}
wait_for 900 lets_in
step "its administrator is in"
guest_ssh 'cloud-init status --wait --long; cat /proc/uptime; systemd-analyze; cloud-init analyze blame | head -n 8' | tee status
grep -q 'status: done' status

step "what it was told"
ask() { expect "$(guest_ssh "$1")" "$2" "$1"; }
ask hostname web
ask 'hostname -f' web.example.com
ask 'id -un' admin
ask "grep -v '^#' .ssh/authorized_keys" "$(cat "$image/mnt/key.pub")"
ask "ip -4 -o addr show scope global | awk '{ print \$2, \$4 }'" "eth0 $address/24"
ask "ip route show default | cut -d' ' -f 1-5" 'default via 192.0.2.1 dev eth0'
ask "awk '/^nameserver|^search/' /run/systemd/resolve/resolv.conf" "nameserver 192.0.2.1"$'\n'"search example.com"
ask 'sudo cat /var/lib/cloud/data/instance-id' "$(holm --root $root vm cloudinit dump web meta | sed -n 's/.*instance-id: //p')"
ask 'cat /sys/block/vdb/ro' 1

step "the power button"
holm --root $root vm stop web --grace $((240 * SLOW))
expect "$(holm --root $root vm show web -o json | jq -r .status)" stopped state
kill $daemon
wait $daemon
