# A guest that does one thing: its second instruction sends a byte to the serial port, so that somebody can take the time.
# Entered by PVH, in 32-bit mode; as a firmware (FIRMWARE) for QEMU, in 16-bit mode at the reset vector.
#ifdef FIRMWARE
    .code16
    .text
    .skip 0xfff0, 0xf4
    .globl _start
_start:
    mov $0x3f8, %dx
    out %al, %dx
1:  hlt
    jmp 1b
    .org 0x10000, 0xf4
#else
    .section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .code32
    .text
    .globl _start
_start:
    mov $0x3f8, %dx
    out %al, %dx
1:  hlt
    jmp 1b
#endif
