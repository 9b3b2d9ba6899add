# The platform itself in the outer machine: holmd as root with its own users, cgroup v2 and KVM; a guest made and started
# by proxmoxer boots, is stopped and removed.
# limit: 240
# set: long
# needs: holmd
. /share/jobs/lib.sh
[ -n "$(find_program holmd)" ] || skip "holmd is not built"
root=/var/lib/holm
mkdir -p $root

step "holmd starts and answers"
holmd --root $root --listen 127.0.0.1:8006 --node lab >"$WORK/holmd.log" 2>&1 &
daemon=$!
trap 'status=$?; [ $status = 0 ] || tail -n 30 "$WORK/holmd.log" >&2; exit $status' EXIT
is_up() {
    kill -0 $daemon || fail "holmd ended"
    holm --root $root api GET /version >/dev/null 2>&1
}
wait_for 60 is_up
openssl rand -hex 12 >"$WORK/password"
holm --root $root user create admin@pve --role Administrator --password-file "$WORK/password"
ticket=$(curl -s -k -d username=admin@pve --data-urlencode "password=$(cat "$WORK/password")" \
    https://127.0.0.1:8006/api2/json/access/ticket | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["ticket"])')
curl -s -k -f -b "PVEAuthCookie=$ticket" https://127.0.0.1:8006/api2/json/version | grep '"version"'

step "a guest by proxmoxer"
for name in vmlinuz initrd.img; do
    holm --root $root storage upload $LAB/$name --content boot
done
python3 /share/tests/lab/jobs/platform.py "$(cat "$WORK/password")" $root "$LEAN LAB_END=stay"

step "holmd ends when told"
kill $daemon
wait $daemon
