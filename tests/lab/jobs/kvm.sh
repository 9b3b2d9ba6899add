# KVM in the outer machine is a real one: capabilities, a guest of seven bytes, counters.
# limit: 120
# set: short
. /share/jobs/lib.sh
grep -q -w svm /proc/cpuinfo
$LAB/kvm-check
[ -e /sys/kernel/debug/kvm/exits ]
grep -q held /run/hold-kvm # the agent's machine, see there
expect "$(cat /sys/module/kvm/parameters/halt_poll_ns)" 0 halt_poll_ns
