# A guest for tests of holm-vmm where the host's KVM runs no kernel: greets on the serial port, then obeys bytes.
#   q powers off   r resets   t resets by a triple fault   p says that it panicked   h stops for good
#   d prints the sectors of the disk in PCI slot 1, in hexadecimal   others are answered with "key X"
# Entered by PVH: 32-bit protected mode, flat segments, no paging.
    .code32
    .section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .text
    .globl _start
_start:
    mov $stack, %esp
    mov $greeting, %esi
    call print
wait:
    mov $0x3fd, %dx         # line status: a byte arrived
    in %dx, %al
    test $1, %al
    jz wait
    mov $0x3f8, %dx
    in %dx, %al
    cmp $'q', %al
    je off
    cmp $'r', %al
    je reset
    cmp $'t', %al
    je fault
    cmp $'p', %al
    je panic
    cmp $'h', %al
    je stop
    cmp $'d', %al
    je disk
    mov %al, key
    mov $answer, %esi
    call print
    jmp wait

off:
    mov $0x600, %dx         # ACPI: sleep type 5, enable
    mov $0x34, %al
    out %al, %dx
    jmp stop
reset:
    mov $0x602, %dx
    mov $1, %al
    out %al, %dx
    jmp stop
fault:
    lidt no_table
    ud2
panic:
    mov $0x505, %dx
    mov $1, %al
    out %al, %dx
    jmp wait
stop:
    cli
    hlt
    jmp stop

disk:
    movl $6, 0xe0008004     # configuration of slot 1: memory and bus master on
    mov 0xe0008010, %ebx    # its BAR
    and $0xfffffff0, %ebx
    mov 0x2000(%ebx), %ebx  # virtio-blk: capacity
    mov $8, %ecx
digit:
    rol $4, %ebx
    mov %bl, %al
    and $15, %al
    cmp $10, %al
    jb decimal
    add $('a' - '0' - 10), %al
decimal:
    add $'0', %al
    mov %al, number
    mov $number, %esi
    call print
    loop digit
    mov $line_end, %esi
    call print
    jmp wait

print:
    lodsb
    test %al, %al
    jz done
    mov $0x3f8, %dx
    out %al, %dx
    jmp print
done:
    ret

    .data
greeting:
    .asciz "BARE GUEST UP\n"
answer:
    .ascii "key "
key:
    .asciz "?\n"
number:
    .asciz "0"
line_end:
    .asciz " sectors\n"
no_table:
    .word 0
    .long 0
    .bss
    .skip 4096
stack:
