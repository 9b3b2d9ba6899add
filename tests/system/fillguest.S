# A boot sector for tests: says that it is up on COM1; for the first byte that it gets it writes 8 MiB to the disk that it
# was started from, from the second MiB on, each block of 32 KiB with its number in every byte, and says how that ended.
    .code16
    .globl _start
_start:
    ljmp $0x7c0, $begin
begin:
    mov %cs, %ax
    mov %ax, %ds
    mov %dl, drive
    mov $greeting, %si
    call print
wait:
    mov $0x3fd, %dx         # line status: a byte arrived
    in %dx, %al
    test $1, %al
    jz wait
    mov $0x3f8, %dx
    in %dx, %al
next:
    mov $0x2000, %ax
    mov %ax, %es
    xor %di, %di
    mov $0x4000, %cx        # words
    mov block, %al
    mov %al, %ah
    cld
    rep stosw
    mov drive, %dl
    mov $packet, %si
    mov $0x4300, %ax        # extended write
    int $0x13
    jc bad
    addw $64, where
    incb block
    jnz next
    mov $well, %si
    call print
    jmp wait
bad:
    mov $badly, %si
    call print
    jmp wait

print:
    lodsb
    test %al, %al
    jz done
    mov %al, %ah
ready:
    mov $0x3fd, %dx         # line status: room for a byte
    in %dx, %al
    test $0x20, %al
    jz ready
    mov %ah, %al
    mov $0x3f8, %dx
    out %al, %dx
    jmp print
done:
    ret

drive:
    .byte 0
block:
    .byte 0
packet:
    .byte 16, 0
    .word 64                # sectors
    .word 0, 0x2000         # from
where:
    .quad 4096              # sector
greeting:
    .asciz "disk guest is up\r\n"
well:
    .asciz "written\r\n"
badly:
    .asciz "an error\r\n"

    .org 510
    .word 0xaa55
