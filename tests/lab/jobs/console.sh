# The console of a guest of holm-vmm takes input: a shell in it answers.
# limit: 300
# set: short
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
holm_vm 1 256M "$LEAN LAB_END=stay"
vm_start console "${VM[@]}"
vm_wait INIT_REACHED 100
vm_type 'echo sum=$((40 + 2))'
vm_wait sum=42 60
# More than a serial line's buffers hold.
vm_type "echo length=\$(printf %s $(head -c 900 /dev/zero | tr '\0' x) | wc -c)"
vm_wait length=900 60
vm_type 'poweroff -f'
vm_end 60
expect "$VM_STATUS" 0 "exit status"
