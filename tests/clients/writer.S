# A boot sector for tests: writes 4 KiB after 4 KiB to 32 MiB of its disk, round and round, by the firmware's own driver,
# and sends a byte to port 0xe9 after each: 'w', or 'E' for one that failed.
    .code16
    .globl _start
_start:
    ljmp $0x7c0, $begin
begin:
    mov %cs, %ax
    mov %ax, %ds
    mov %dl, drive
again:
    mov $0x4300, %ax        # write by block number, without verifying
    mov drive, %dl
    mov $packet, %si
    int $0x13
    mov $'w', %al
    jnc told
    mov $'E', %al
told:
    out %al, $0xe9
    mov block, %eax
    add $8, %eax
    cmp $(2048 + 65536), %eax
    jb next
    mov $2048, %eax
next:
    mov %eax, block
    jmp again

drive:
    .byte 0
packet:
    .byte 16, 0
    .word 8                 # blocks
    .word 0, 0x1000         # from 64 KiB on
block:
    .long 2048, 0

    .org 510
    .word 0xaa55
