# A boot sector for tests: greets on the screen, then answers each key with "key X" there.
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
    xor %ah, %ah            # BIOS: wait for a key
    int $0x16
    mov %al, key
    mov $answer, %si
    call print
    jmp wait

print:
    lodsb
    test %al, %al
    jz done
    mov $0x0e, %ah          # BIOS: a character at the cursor
    mov $0x0007, %bx
    int $0x10
    jmp print
done:
    ret

greeting:
    .asciz "The screen is up.\r\n"
answer:
    .ascii "key "
key:
    .asciz "?\r\n"

    .org 510
    .word 0xaa55
