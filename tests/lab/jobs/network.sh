# What Holm's networks are made of works in the outer machine: tap with several queues, bridge between network namespaces,
# VLAN filtering, vhost, nftables.
# limit: 120
# set: long
. /share/jobs/lib.sh

step "a bridge that filters VLANs between three namespaces"
ip link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0
ip link set br0 up
for n in 1 2 3; do
    ip netns add n$n
    ip link add v$n type veth peer name eth0 netns n$n
    ip link set v$n master br0 up
    ip -n n$n link set eth0 up
    ip -n n$n addr add 10.9.0.$n/24 dev eth0
done
bridge vlan add dev v1 vid 5 pvid untagged
bridge vlan add dev v2 vid 5 pvid untagged
bridge vlan add dev v3 vid 6 pvid untagged
wait_for 20 ip netns exec n1 ping -q -c 1 -W 1 10.9.0.2
! ip netns exec n1 ping -q -c 2 -W 1 10.9.0.3 || fail "VLAN 6 is reached from VLAN 5"

step "tap with two queues and virtio headers"
ip tuntap add t0 mode tap multi_queue vnet_hdr
ip link set t0 master br0 up
ip -d link show t0 | grep -q multi_queue

step "vhost"
modprobe -a vhost_net vhost_vsock
[ -c /dev/vhost-net ]
[ -c /dev/vhost-vsock ]

step "nftables with connection tracking on the bridge"
nft -f - <<'RULES'
table bridge lab {
    chain forward { type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "v1" ct state new accept
        ether type arp accept
    }
}
RULES
wait_for 20 ip netns exec n1 ping -q -c 1 -W 1 10.9.0.2
! ip netns exec n2 ping -q -c 2 -W 1 10.9.0.1 || fail "a new connection from v2 passes"

step "a VXLAN device, a VLAN device, a bond"
ip link add vx0 type vxlan id 7 dstport 4789 local 127.0.0.1
ip link add link br0 name br0.5 type vlan id 5
ip link add bond0 type bond mode active-backup
