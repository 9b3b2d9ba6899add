# A boot sector for tests: greets on COM1, then answers each byte with "key X".
    .code16
    .globl _start
_start:
    ljmp $0x7c0, $begin
begin:
    mov %cs, %ax
    mov %ax, %ds
    mov $greeting, %si
    call print
wait:
    mov $0x3fd, %dx         # line status: a byte arrived
    in %dx, %al
    test $1, %al
    jz wait
    mov $0x3f8, %dx
    in %dx, %al
    mov %al, key
    mov $answer, %si
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

greeting:
    .asciz "disk guest is up\r\n"
answer:
    .ascii "key "
key:
    .asciz "?\r\n"

    .org 510
    .word 0xaa55
