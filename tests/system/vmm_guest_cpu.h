/* The part of vmm_guest.c (which includes it, once, after its devices) that is about processors: interrupts of each
 * kind, a second processor, accesses to ports and memory, and what of all that leaves KVM. */
#ifndef VMM_GUEST_CPU_H
#define VMM_GUEST_CPU_H

/* --- Interrupts --------------------------------------------------------------------------------------------------- */

#define LAPIC  0xfee00000u
#define IOAPIC 0xfec00000u

enum { ON_SERIAL = 0x31, ON_BUTTON = 0x32, ON_TIMER = 0x33, ON_MESSAGE = 0x41, ON_CALL = 0x51, ON_ANSWER = 0x52 };

static volatile u32 n_taken[256], is_second_up;
static u64 idt[256] __attribute__((aligned(8), used));
static u8 second_stack[4096] __attribute__((aligned(16), used));
static volatile u8 typed;

/* Flat code 8 and data 16, for both processors. The second one begins in the first MiB, in 16-bit mode, with what lies
 * between the two labels. */
__asm__(".balign 8\n"
        "gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
        "gdt_place: .word 23\n .long gdt\n"
        "idt_place: .word 2047\n .long idt\n"
        ".set second_end, second_stack + 4096\n"
        "load_tables: lgdt gdt_place\n lidt idt_place\n ljmp $8, $1f\n"
        "1: mov $16, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n ret\n"
        "second_begin: mov $second_end, %esp\n call load_tables\n call second\n"
        ".code16\n"
        "trampoline: mov %cs, %ax\n mov %ax, %ds\n lgdtl trampoline_gdt - trampoline\n"
        "mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n ljmpl $8, $trampoline_flat\n"
        "trampoline_gdt: .word 23\n .long gdt\n"
        "trampoline_end: .code32\n"
        "trampoline_flat: mov $16, %ax\n mov %ax, %ds\n mov %ax, %ss\n jmp second_begin\n");
extern void load_tables(void);
extern u8 trampoline[], trampoline_end[];

static void end_of_interrupt(u32 vector)
{
    n_taken[vector]++;
    REG32(LAPIC + 0xb0) = 0;
}

/* Without iret, which a KVM that interprets the guest's kernel may not know in this mode: back with interrupts off, as
 * everybody who sleeps wants them. */
#define HANDLER(name)                                                                                                  \
    extern void name(void);                                                                                            \
    __attribute__((used)) static void name##_body(void);                                                               \
    __asm__(#name ": pushal\n cld\n call " #name "_body\n popal\n lret $4\n");                                         \
    static void name##_body(void)

HANDLER(on_button)
{
    end_of_interrupt(ON_BUTTON);
}

HANDLER(on_timer)
{
    end_of_interrupt(ON_TIMER);
}

HANDLER(on_message)
{
    end_of_interrupt(ON_MESSAGE);
}

HANDLER(on_answer)
{
    end_of_interrupt(ON_ANSWER);
}

/* The reason, then the byte: two exits. */
HANDLER(on_serial)
{
    if ((inb(0x3fa) & 0x0f) == 4)
        typed = inb(0x3f8);
    end_of_interrupt(ON_SERIAL);
}

static void send(u32 apic, u32 order)
{
    REG32(LAPIC + 0x310) = apic << 24;
    REG32(LAPIC + 0x300) = order;
    while (REG32(LAPIC + 0x300) & 1u << 12)
        ;
}

/* On the second processor: answers the first. */
HANDLER(on_call)
{
    end_of_interrupt(ON_CALL);
    send(0, ON_ANSWER);
}

HANDLER(on_spurious)
{
}

HANDLER(on_exception)
{
    print("exception\n");
    stop();
}

static void gate(u32 vector, void (*handler)(void))
{
    u32 at = (u32)handler;

    idt[vector] = (u64)(at & 0xffff0000u) << 32 | 0x8e0000000000ull | 8u << 16 | (at & 0xffff);
}

static void take_interrupts(void)
{
    for (u32 i = 0; i < 256; i++) {
        gate(i, i < 32 ? on_exception : on_spurious);
        n_taken[i] = 0;
    }
    gate(ON_SERIAL, on_serial);
    gate(ON_BUTTON, on_button);
    gate(ON_TIMER, on_timer);
    gate(ON_MESSAGE, on_message);
    gate(ON_CALL, on_call);
    gate(ON_ANSWER, on_answer);
    load_tables();
    REG32(LAPIC + 0xf0) = 0x1ff;
    outb(0x21, 0xff); /* the controllers of old PCs */
    outb(0xa1, 0xff);
}

/* Sleeps until the vector was taken this often. */
static void sleep_until(u32 vector, u32 times)
{
    for (;;) {
        __asm__ volatile("cli");
        if (n_taken[vector] >= times)
            return;
        __asm__ volatile("sti; hlt");
    }
}

static void route(u32 pin, u32 vector)
{
    REG32(IOAPIC) = 0x11 + 2 * pin;
    REG32(IOAPIC + 0x10) = 0;
    REG32(IOAPIC) = 0x10 + 2 * pin;
    REG32(IOAPIC + 0x10) = vector;
}

/* The port's "I can send", which comes as soon as it may. */
static void serial_interrupt(void)
{
    take_interrupts();
    route(4, ON_SERIAL);
    outb(0x3fc, 8);
    outb(0x3f9, 2);
    sleep_until(ON_SERIAL, 1);
    outb(0x3f9, 0);
    print("serial interrupt\n");
}

static void button(void)
{
    take_interrupts();
    route(5, ON_BUTTON);
    print("waiting\n");
    sleep_until(ON_BUTTON, 1);
    print("pressed\n");
}

static void timer(void)
{
    take_interrupts();
    REG32(LAPIC + 0x3e0) = 0x0b; /* undivided */
    REG32(LAPIC + 0x320) = ON_TIMER | 1u << 17;
    REG32(LAPIC + 0x380) = 100000;
    sleep_until(ON_TIMER, 5);
    REG32(LAPIC + 0x380) = 0;
    print("timer\n");
}

/* A request of the entropy device; it tells of the end by a message. */
static void ask_entropy(void)
{
    u32 before = n_taken[ON_MESSAGE];

    describe(0, data, 8, 2);
    offer(0);
    sleep_until(ON_MESSAGE, before + 1);
}

static int begin_entropy(void)
{
    if (!find(4))
        return 0;
    take_interrupts();
    enable_vector();
    begin();
    return 1;
}

static void messages(void)
{
    if (!begin_entropy())
        return;
    for (u32 i = 0; i < 20; i++)
        ask_entropy();
    print(n_taken[ON_MESSAGE] == 20 && ring.used.index == 20 ? "messages\n" : "lost messages\n");
}

/* Masked while the device has something to say: the message waits in the table and comes when the mask is lifted. */
static void masked(void)
{
    u32 entry, waits = 0;

    if (!begin_entropy())
        return;
    entry = bar;
    for (u8 at = REG8(config + 0x34); at; at = REG8(config + at + 1))
        if (REG8(config + at) == 0x11)
            entry = bar + (REG32(config + at + 4) & ~7u);
    REG32(entry + 12) = 1;
    __asm__ volatile("sti");
    describe(0, data, 8, 2);
    offer(0);
    while (*(volatile u16 *)&ring.used.index != 1 || waits++ < 50)
        (void)inb(0x3fd);
    __asm__ volatile("cli");
    print(n_taken[ON_MESSAGE] ? "not masked\n" : "masked\n");
    REG32(entry + 12) = 0;
    sleep_until(ON_MESSAGE, 1);
    print("unmasked\n");
}

__attribute__((used)) static void second(void)
{
    REG32(LAPIC + 0xf0) = 0x1ff;
    is_second_up = REG32(LAPIC + 0x20) >> 24;
    for (;;)
        __asm__ volatile("sti; hlt");
}

static void processors(void)
{
    u8 *low = (u8 *)0x8000;

    take_interrupts();
    for (u32 i = 0; i < (u32)(trampoline_end - trampoline); i++)
        low[i] = trampoline[i];
    is_second_up = 0;
    send(1, 0xc500);
    send(1, 0x4608);
    while (!is_second_up)
        (void)inb(0x3fd);
    print(is_second_up == 1 ? "second processor\n" : "a stranger\n");
    for (u32 i = 1; i <= 20; i++) {
        send(1, ON_CALL);
        sleep_until(ON_ANSWER, i);
    }
    print(n_taken[ON_CALL] == 20 ? "calls\n" : "lost calls\n");
}

/* --- Ports, memory, exits ------------------------------------------------------------------------------------------
 */

static void check(const char *what, u32 is, u32 wanted)
{
    if (is == wanted)
        return;
    print(what);
    print_number(is);
    print("\n");
}

static u32 in_wide(u16 port, u32 width)
{
    u32 value = 0;

    if (width == 2)
        __asm__ volatile("inw %1, %w0" : "+a"(value) : "Nd"(port));
    else
        __asm__ volatile("inl %1, %0" : "+a"(value) : "Nd"(port));
    return value;
}

/* Each width, strings, and ports where nobody is. */
static void ports(void)
{
    static const char text[] = "a string\n";
    const char *from = text;
    u32 n = sizeof(text) - 1;

    __asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"((u16)0x3f8) : "memory");
    outb(0x3ff, 0x5a); /* scratch */
    check("scratch ", inb(0x3ff), 0x5a);
    check("nobody ", inb(0x1234), 0xff);
    check("nobody ", in_wide(0x1234, 2), 0xffff);
    check("nobody ", in_wide(0x1234, 4), 0xffffffff);
    check("last port ", inb(0xffff), 0xff);
    outb(0x1234, 1);
    print("ports\n");
}

static void memory(void)
{
    u32 id = REG32(ECAM);

    check("low half ", REG16(ECAM), id & 0xffff);
    check("high half ", REG16(ECAM + 2), id >> 16);
    for (u32 i = 0; i < 4; i++)
        check("byte ", REG8(ECAM + i), id >> 8 * i & 0xff);
    check("no function ", REG32(ECAM + (31u << 15)), 0xffffffff);
    check("no bus ", REG32(ECAM + (1u << 20)), 0xffffffff);
    check("hole ", REG32(0xd0000000u), 0xffffffff);
    check("border ", REG16(ECAM - 1), (id & 0xff) << 8 | 0xff);
    REG32(0xd0000000u) = 1;
    check("cross ", REG32(ECAM + 0xffffeu), 0xffffffff);
    print("memory\n");
}

#define OFTEN 200u

/* Obeys bytes, asleep between them, so that the exits of each are its own. */
static void exits(void)
{
    if (!begin_entropy())
        return;
    route(4, ON_SERIAL);
    outb(0x3fc, 8);
    outb(0x3f9, 1);
    print("ready\n");
    for (u32 n = n_taken[ON_SERIAL] + 1; typed != '.'; n++) {
        sleep_until(ON_SERIAL, n);
        for (u32 i = 0; i < OFTEN; i++)
            switch (typed) {
            case 'p':
                outb(0x80, 0);
                break;
            case 'm':
                (void)REG32(ECAM);
                break;
            case 'd':
                REG16(bar + 0x3000) = 0; /* a doorbell with nothing behind it */
                break;
            case 'i':
                ask_entropy();
                break;
            case 'a':
                REG32(LAPIC + 0x80) = 0;
                (void)REG32(IOAPIC + 0x10);
                break;
            default:
                break;
            }
        outb(0x3f8, typed);
    }
    outb(0x3f9, 0);
}

#endif
