# Twenty boots in a row under holm-vmm, with one and two vCPUs in turn: each reaches /init and powers off by itself.
# limit: 1200
# set: long
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
for n in $(seq 20); do
    holm_vm $((1 + n % 2)) 256M "$LEAN"
    echo "boot $n $(run_until INIT_REACHED 100 -- "${VM[@]}")"
done
