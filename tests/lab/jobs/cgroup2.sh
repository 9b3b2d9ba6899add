# The outer machine has cgroup v2 alone, with the controllers that Holm limits guests by, and they limit.
# limit: 180
# set: long
. /share/jobs/lib.sh
expect "$(stat -f -c %T /sys/fs/cgroup)" cgroup2fs "file system"
for controller in cpu memory io pids cpuset; do
    grep -q -w $controller /sys/fs/cgroup/cgroup.controllers || fail "no controller $controller"
done
group=/sys/fs/cgroup/try
mkdir $group

step "memory.max ends a process that wants more"
echo $((24 << 20)) >$group/memory.max
echo 0 >$group/memory.swap.max 2>/dev/null || true
! sh -c "echo \$\$ >$group/cgroup.procs; head -c 100m /dev/zero | tail >/dev/null" || fail "100 MB fit in 24"
grep -q -E '^oom_kill [1-9]' $group/memory.events

step "pids.max refuses a process"
echo max >$group/memory.max
echo 2 >$group/pids.max
! sh -c "echo \$\$ >$group/cgroup.procs; (sleep 1 & sleep 1 & sleep 1 & wait)" 2>/dev/null || fail "four processes of two"
echo max >$group/pids.max

step "cpu.max throttles, cgroup.freeze stops, cgroup.kill ends"
echo "5000 100000" >$group/cpu.max
sh -c "echo \$\$ >$group/cgroup.procs; while :; do :; done" &
is_throttled() { awk '$1 == "nr_throttled" && $2 > 2 { found = 1 } END { exit !found }' $group/cpu.stat; }
wait_for 30 is_throttled
echo 1 >$group/cgroup.freeze
is_frozen() { grep -q 'frozen 1' $group/cgroup.events; }
wait_for 20 is_frozen
echo 1 >$group/cgroup.kill
is_empty() { grep -q 'populated 0' $group/cgroup.events; }
wait_for 20 is_empty
grep -q . /proc/pressure/cpu
