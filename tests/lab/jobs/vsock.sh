# Sockets between programs of the outer machine and of an unmodified Debian guest of holm-vmm: called from either side,
# echo of a file with its checksum, a call that nobody waits for, many links at once.
# limit: 400
# set: short
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
cat >"$WORK/host.py" <<'PY'
import hashlib, os, socket, sys, threading

path = sys.argv[1]


def dial(line):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(200 * int(os.environ["SLOW"]))
    s.connect(path)
    s.sendall(line + b"\n")
    return s, read_line(s)


def read_line(s):
    line = b""
    while not line.endswith(b"\n"):
        byte = s.recv(1)
        assert byte, f"closed after {line!r}"
        line += byte
    return line


def read_all(s, into):
    while part := s.recv(65536):
        into.append(part)


def echo_call(data):
    """Calls the guest's echo and gives back what comes."""
    s, line = dial(b"CONNECT 1234")
    assert line.startswith(b"OK "), line
    parts = []
    reader = threading.Thread(target=read_all, args=(s, parts))
    reader.start()
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    reader.join()
    return b"".join(parts)


verb = sys.argv[2]
if verb == "call":
    data = os.urandom(3 << 20)
    back = echo_call(data)
    assert back == data, (len(back), len(data))
    print("called the guest: 3 MiB came back as they were")
elif verb == "many":
    failed = []

    def one(i):
        data = os.urandom(1000 + i * 997)
        if echo_call(data) != data:
            failed.append(i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failed, failed
    print("20 links at once")
elif verb == "serve":
    s, line = dial(b"LISTEN 5000")
    assert line == b"OK 5000\n", line
    print("WAITING", flush=True)
    line = read_line(s)
    assert line.startswith(b"CONNECT "), line
    total, digest = 0, hashlib.sha256()
    while part := s.recv(65536):
        total += len(part)
        digest.update(part)
        s.sendall(part)
    s.close()
    print(f"the guest called: {total} bytes, sha256 {digest.hexdigest()}")
PY
root_copy vsock
guest='(socat -t 100 VSOCK-LISTEN:1234,fork,backlog=64 EXEC:/bin/cat &) ; head -c 2000000 /dev/urandom >/tmp/sent'
guest+=' ; echo sent=$(sha256sum </tmp/sent) ; echo back=$(socat -t 100 - VSOCK-CONNECT:2:5000 </tmp/sent | sha256sum)'
guest+=' ; socat - VSOCK-CONNECT:2:6000 </dev/null || echo NOBODY_THERE ; echo GUEST_IS_READY'
holm_vm 2 512M "$LEAN root=/dev/vda LAB_END=stay LAB_RUN=\"$guest\"" --disk "raw=$DISK" --vsock "cid=3,socket=$WORK/vsock"
vm_start vsock "${VM[@]}"
wait_for 20 test -S "$WORK/vsock"
step "the guest calls the host"
python3 "$WORK/host.py" "$WORK/vsock" serve >"$WORK/serve.log" 2>&1 &
server=$!
vm_wait GUEST_IS_READY 250
wait $server || { cat "$WORK/serve.log"; fail "the program of the host"; }
cat "$WORK/serve.log"
grep -a -q NOBODY_THERE "$VM_LOG" || fail "a call to nobody was taken"
sent=$(sed -n 's/^sent=\([0-9a-f]*\).*/\1/p' "$VM_LOG")
expect "$(sed -n 's/^back=\([0-9a-f]*\).*/\1/p' "$VM_LOG")" "$sent" "what came back to the guest"
expect "$(sed -n 's/.*sha256 //p' "$WORK/serve.log")" "$sent" "what the host read"
step "the host calls the guest"
python3 "$WORK/host.py" "$WORK/vsock" call
step "many at once"
python3 "$WORK/host.py" "$WORK/vsock" many
vm_stop
