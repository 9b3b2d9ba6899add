# One stream of TCP through a tap each way, 32 MiB: holm-vmm beside QEMU's virtio-net without vhost, taking turns in one
# boot of the outer machine. Prints KiB/s, KVM exits a MiB, and the ratio.
# limit: 900
# set: long
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
rounds=2 mib=32
ip tuntap add t0 mode tap vnet_hdr
ip addr add 10.9.1.1/24 dev t0
ip link set t0 up

contender() {
    local run="$LEAN net.ifnames=0 LAB_END=stay" began exits in out
    case $1 in
    holm) holm_vm 1 256M "$run" --net tap=t0 ;;
    q35) qemu_q35 1 256 "$run" -netdev tap,id=n,ifname=t0,script=no,downscript=no,vhost=off \
        -device virtio-net-pci,netdev=n,romfile= ;;
    esac
    vm_start "net-$1" "${VM[@]}"
    vm_wait INIT_REACHED 150
    vm_type "ip addr add 10.9.1.2/24 dev eth0 && ip link set eth0 up ; nc -l -p 7 </dev/null >/dev/null ; echo HERE\$((1))"
    wait_for 60 ping -q -c 1 -W 1 10.9.1.2 >&2
    exits=$(kvm_count exits) began=$(date +%s%N)
    head -c ${mib}M /dev/zero | socat -u -b 65536 - TCP:10.9.1.2:7,retry=100,interval=0.1
    vm_wait HERE1 150
    in="in_kibs=$((mib * 1024 * 1000000000 / ($(date +%s%N) - began))) in_exits=$((($(kvm_count exits) - exits) / mib))"
    # busybox nc writes a kilobyte at a time; its httpd sends a file as it is.
    vm_type "dd if=/dev/zero of=/tmp/zero bs=1M count=$mib 2>/dev/null ; httpd -p 8 -h /tmp ; echo SERVES\$((1))"
    vm_wait SERVES1 60
    exits=$(kvm_count exits) began=$(date +%s%N)
    expect "$(curl -sS http://10.9.1.2:8/zero | wc -c)" $((mib << 20)) "bytes that came"
    out="out_kibs=$((mib * 1024 * 1000000000 / ($(date +%s%N) - began))) out_exits=$((($(kvm_count exits) - exits) / mib))"
    vm_stop
    echo "$in $out"
}
alternate $rounds contender holm q35
for name in holm q35; do
    for key in in_kibs in_exits out_kibs out_exits; do
        echo "bench lab net $name $key min/med/max $(turns $name $key | spread)"
    done
done
for key in in_kibs out_kibs; do
    echo "bench lab net $key holm/q35 $((100 * $(turns holm $key | median) / $(turns q35 $key | median)))%"
done
