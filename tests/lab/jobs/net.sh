# A guest of holm-vmm on a tap: ping and TCP both ways, with the root disk's tools.
# limit: 240
# set: short
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
ip tuntap add t0 mode tap vnet_hdr
ip addr add 10.9.1.1/24 dev t0
ip link set t0 up
dd if=/dev/urandom of="$WORK/sent" bs=64k count=64 status=none
sum=$(sha256sum <"$WORK/sent")

root_copy net
# The guest answers on port 7 with what it is sent, and fetches a file from port 8.
guest='ip addr add 10.9.1.2/24 dev eth0 && ip link set eth0 up && (socat TCP-LISTEN:7,fork,reuseaddr EXEC:/bin/cat &)'
guest+=' ; ping -q -c 3 -W 20 10.9.1.1 && echo GUEST_PINGS ; socat -u TCP:10.9.1.1:8,retry=50 - | sha256sum'
guest+=' ; echo GUEST_HAS_READ'
socat -u OPEN:"$WORK/sent" TCP-LISTEN:8,reuseaddr &
holm_vm 1 512M "$LEAN root=/dev/vda net.ifnames=0 LAB_END=stay LAB_RUN=\"$guest\"" --disk "raw=$DISK" --net tap=t0
vm_start net "${VM[@]}"
vm_wait GUEST_PINGS 150
step "the guest reads what it is given"
vm_wait GUEST_HAS_READ 60
grep -a -q "${sum%% *}" "$VM_LOG"
step "ping the guest, and TCP to it and back"
ping -q -c 3 -W 20 10.9.1.2
expect "$(socat -t 60 - TCP:10.9.1.2:7 <"$WORK/sent" | sha256sum)" "$sum" "what came back"
ip -s link show t0
vm_stop
