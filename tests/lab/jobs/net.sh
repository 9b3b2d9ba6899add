# A guest of holm-vmm on taps: ping and 64 MiB of TCP each way with checksums; several streams with two queues; a cable that is
# out; a tap that is removed under the guest.
# limit: 400
# set: short
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
limit=120
# new_file SIZE: what is sent from here on, and its checksum.
new_file() {
    head -c "$1" /dev/urandom >"$WORK/sent"
    sum=$(sha256sum <"$WORK/sent")
    sum=${sum%% *}
}
new_file 64M

# make_tap NAME N [OPTION...]: the host is 10.9.N.1, the guest 10.9.N.2.
make_tap() {
    ip tuntap add "$1" mode tap vnet_hdr "${@:3}"
    ip addr add "10.9.$2.1/24" dev "$1"
    ip link set "$1" up
}
# guest WORD COMMAND: runs it in the guest's shell until that has said WORD1, which what is typed does not hold.
guest() {
    local marker=$1
    shift
    vm_type "$* ; echo $marker\$((1))"
    vm_wait "${marker}1" $limit
}
guest_up() {
    vm_wait INIT_REACHED $limit
    guest "UP$2" "ip addr add 10.9.$2.2/24 dev $1 && ip link set $1 up"
}
# both_ways N PORT: a file goes to the guest, and comes back from it.
both_ways() {
    local got=$WORK/got.$2
    timeout $limit socat -u "TCP-LISTEN:$2,reuseaddr" "OPEN:$got,creat,trunc" &
    local listener=$!
    vm_type "nc -l -p $2 >/tmp/f$2 </dev/null ; sha256sum /tmp/f$2 ; nc -w 60 10.9.$1.1 $2 </tmp/f$2 ; rm /tmp/f$2"
    socat -u "OPEN:$WORK/sent" "TCP:10.9.$1.2:$2,retry=300,interval=0.2"
    wait $listener
    expect "$(sha256sum <"$got")" "$sum  -" "what came back"
    vm_wait "$sum" 60
}

make_tap t0 1
make_tap t1 2
step "one queue: ping both ways, 64 MiB both ways"
holm_vm 1 512M "$LEAN net.ifnames=0 LAB_END=stay" --net tap=t0,mac=52:54:00:00:00:01,mtu=1500 --net tap=t1,link_down=on
vm_start one "${VM[@]}"
guest_up eth0 1
grep -q 52:54:00:00:00:01 "$VM_LOG" || guest MAC "cat /sys/class/net/eth0/address"
ping -q -c 3 -W 20 10.9.1.2
guest PINGED "ping -q -c 3 -W 20 10.9.1.1 && echo REACHED\$((2))"
vm_wait REACHED2 10
both_ways 1 7
step "a cable that is out"
guest CARRIER "ip link set eth1 up ; echo carriers=\$(cat /sys/class/net/eth0/carrier)\$(cat /sys/class/net/eth1/carrier)"
vm_wait carriers=10 10
step "the tap is removed: the guest sees its cable out and goes on, and nothing spins"
ip link del t0
guest GONE "for i in \$(seq 50); do [ \$(cat /sys/class/net/eth0/carrier) = 0 ] && break; sleep 0.2; done ; echo carrier=\$(cat /sys/class/net/eth0/carrier)"
vm_wait carrier=0 10
ticks() { awk '/\(net/ { n += $14 + $15 } END { print n + 0 }' /proc/"$VM_PID"/task/*/stat; }
before=$(ticks)
guest PINGLESS "ping -q -c 2 -W 1 10.9.1.1 || echo alone=\$((3))"
vm_wait alone=3 10
[ $(($(ticks) - before)) -lt 50 ] || fail "the threads of the network used $(($(ticks) - before)) ticks"
vm_type 'poweroff -f'
vm_end 60
expect "$VM_STATUS" 0 "exit status"

step "two queues and two vCPUs: several streams at once"
new_file 12M
make_tap t2 3 multi_queue
holm_vm 2 1024M "$LEAN net.ifnames=0 LAB_END=stay" --net tap=t2,queues=2
vm_start two "${VM[@]}"
guest_up eth0 3
guest QUEUES "echo queues=\$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
vm_wait queues=2 10
ping -q -c 3 -W 20 10.9.3.2
for port in 21 22 23 24; do
    vm_type "(nc -l -p $port </dev/null | sha256sum) &"
done
pids=()
for port in 21 22 23 24; do
    socat -u "OPEN:$WORK/sent" "TCP:10.9.3.2:$port,retry=300,interval=0.2" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
vm_wait "$sum" $limit 4
both_ways 3 7
# One packet in a flow of its own to each of many ports: both queues get some, whatever the hash.
for port in $(seq 4000 4031); do echo x >"/dev/udp/10.9.3.2/$port"; done
guest IRQS "grep -c 'virtio.-input' /proc/interrupts ; awk '/virtio.-input/ { if (\$2 + \$3 == 0) n++ } END { print \"idle=\" n + 0 }' /proc/interrupts"
vm_wait idle=0 10
vm_type 'poweroff -f'
vm_end 60
expect "$VM_STATUS" 0 "exit status"
