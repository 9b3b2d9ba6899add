/* A guest without a kernel for tests of holm-vmm: begins at the PVH entry in 32-bit mode, prints on the serial port and
 * does what its command line names, one letter each, from left to right. Built by tests/lib/vmm.py (gcc -m32, then made
 * an ELF file of 64 bits). It touches little memory and takes interrupts only where they are what is tested: on a host
 * whose KVM interprets the guest's kernel it is still done in milliseconds. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define ECAM   0xe0000000u
#define PLACE  0xc8000000u /* where a BAR is moved to */
#define SECTOR 512u

#define REG8(a)  (*(volatile u8 *)(a))
#define REG16(a) (*(volatile u16 *)(a))
#define REG32(a) (*(volatile u32 *)(a))

/* Read by the loader: the entry (Xen's note 18). */
extern void _start(void);
__attribute__((section(".note.pvh"), used)) static const struct {
    u32 name_size, size, type;
    char name[4];
    u32 entry;
} note = {4, 4, 18, "Xen", (u32)&_start};

__asm__(".globl _start\n_start:\n mov $stack_end, %esp\n push %ebx\n call guest\n");
static u8 stack[16384] __attribute__((aligned(16), used));
__asm__(".set stack_end, stack + 16384");

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void print(const char *text)
{
    while (*text)
        outb(0x3f8, (u8)*text++);
}

static void print_number(u32 n)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        outb(0x3f8, (u8) "0123456789abcdef"[n >> shift & 15]);
}

static void stop(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* --- virtio ------------------------------------------------------------------------------------------------------- */

#define RING 64u

struct ring {
    struct {
        u64 address;
        u32 length;
        u16 flags, next;
    } descriptors[RING];
    struct {
        u16 flags, index, ring[RING];
    } available;
    struct {
        u16 flags, index;
        struct {
            u32 id, length;
        } ring[RING];
    } used __attribute__((aligned(4)));
};

static struct ring ring __attribute__((aligned(4096))), sending, control;
static struct {
    u32 type, reserved;
    u64 sector;
} header, flush;
static u32 range[4];
static u8 data[4096], status;
static u32 config, bar;

/* The function whose PCI device number is 0x1040 + id; its BAR is where it was put at power on. */
static int find(u32 id)
{
    for (u32 slot = 0; slot < 32; slot++) {
        config = ECAM + (slot << 15);
        if (REG32(config) == ((0x1040u + id) << 16 | 0x1af4u)) {
            REG16(config + 4) = 6; /* memory, master */
            bar = REG32(config + 0x10) & ~15u;
            return 1;
        }
    }
    print("no device\n");
    return 0;
}

/* MSI-X with the first vector to a place where nobody listens: interrupts are off. */
static void enable_vector(void)
{
    for (u8 at = REG8(config + 0x34); at; at = REG8(config + at + 1))
        if (REG8(config + at) == 0x11) {
            u32 entry = bar + (REG32(config + at + 4) & ~7u);

            REG32(entry) = 0xfee00000u;
            REG32(entry + 4) = 0;
            REG32(entry + 8) = 0x41;
            REG32(entry + 12) = 0;
            REG16(config + at + 2) = 0x8000;
        }
}

/* The features of the device among these, of its first 32; all of the device but its queues. */
static u32 negotiate(u32 wanted)
{
    u32 found;

    REG8(bar + 0x14) = 0;
    while (REG8(bar + 0x14))
        ;
    REG8(bar + 0x14) = 3;
    REG32(bar + 0x08) = 1;
    REG32(bar + 0x0c) = 1; /* VERSION_1 */
    REG32(bar + 0x08) = 0;
    REG32(bar + 0x0c) = wanted; /* what a device may offer */
    REG32(bar + 0x00) = 0;
    found = REG32(bar + 0x04) & wanted;
    REG32(bar + 0x0c) = found;
    REG8(bar + 0x14) = 11;
    return found;
}

static void place(u16 index, struct ring *r)
{
    for (u32 i = 0; i < sizeof(r->available) / 2; i++)
        ((volatile u16 *)&r->available)[i] = 0;
    r->used.index = 0;
    REG16(bar + 0x16) = index;
    REG16(bar + 0x18) = RING;
    REG16(bar + 0x1a) = 0;
    REG32(bar + 0x20) = (u32)r->descriptors;
    REG32(bar + 0x24) = 0;
    REG32(bar + 0x28) = (u32)&r->available;
    REG32(bar + 0x2c) = 0;
    REG32(bar + 0x30) = (u32)&r->used;
    REG32(bar + 0x34) = 0;
    REG16(bar + 0x1c) = 1;
}

static void begin(void)
{
    (void)negotiate(1u << 9 | 1u << 13 | 1u << 14); /* of a disk: flush, discard, write zeroes */
    place(0, &ring);
    REG8(bar + 0x14) = 15;
}

static void describe_in(struct ring *r, u16 i, void *at, u32 length, u16 flags)
{
    r->descriptors[i].address = (u32)at;
    r->descriptors[i].length = length;
    r->descriptors[i].flags = flags; /* 1: more follow, 2: the device writes */
    r->descriptors[i].next = (u16)(i + 1);
}

static void offer_in(struct ring *r, u16 queue, u16 head)
{
    r->available.ring[r->available.index % RING] = head;
    __asm__ volatile("" ::: "memory");
    (*(volatile u16 *)&r->available.index)++;
    REG16(bar + 0x3000 + 4 * queue) = queue;
}

static void wait_in(struct ring *r)
{
    while (*(volatile u16 *)&r->used.index != r->available.index)
        (void)inb(0x3fd); /* leaves the guest, so that whoever is to answer runs */
}

static void describe(u16 i, void *at, u32 length, u16 flags)
{
    describe_in(&ring, i, at, length, flags);
}

static void offer(u16 head)
{
    offer_in(&ring, 0, head);
}

static void request(u32 type, u32 sector, void *bytes, u32 length, u16 flags)
{
    header.type = type;
    header.sector = sector;
    describe(0, &header, sizeof(header), 1);
    describe(1, bytes, length, (u16)(flags | 1));
    describe(length ? 2 : 1, &status, 1, 2);
    status = 0xff;
    offer(0);
}

static void finish(const char *what)
{
    wait_in(&ring);
    print(what);
    print(status == 0 ? " ok\n" : " failed\n");
}

static void disk(void)
{
    if (!find(2))
        return;
    enable_vector();
    begin();
    request(0, 0, data, SECTOR, 2);
    finish("read");
    print_number(*(u32 *)data);
    print("\n");
    *(u32 *)data = 0x600df00d;
    request(1, 1, data, SECTOR, 0);
    finish("write");
    request(4, 0, 0, 0, 0);
    finish("flush");
    range[0] = 8;
    range[2] = 8;
    request(11, 0, range, 16, 0);
    finish("discard");
    range[3] = 1;
    request(13, 0, range, 16, 0);
    finish("zeroes");
    range[3] = 0;
    request(13, 0, range, 16, 0);
    finish("zeroes");
}

/* Writes and flushes, which take their time. */
static void offer_slow(void)
{
    header.type = 1;
    header.sector = 16;
    flush.type = 4;
    for (u16 i = 0; i < 60; i += 5) {
        describe(i, &header, sizeof(header), 1);
        describe((u16)(i + 1), data, sizeof(data), 1);
        describe((u16)(i + 2), &status, 1, 2);
        describe((u16)(i + 3), &flush, sizeof(flush), 1);
        describe((u16)(i + 4), &status, 1, 2);
    }
    for (u16 i = 0; i < 60; i += 5) {
        ring.available.ring[ring.available.index++ % RING] = i;
        ring.available.ring[ring.available.index++ % RING] = (u16)(i + 3);
    }
    __asm__ volatile("" ::: "memory");
    REG16(bar + 0x3000) = 0;
}

/* Resets the disk with requests on their way, again and again. */
static void resets(void)
{
    if (!find(2))
        return;
    enable_vector();
    for (u32 i = 0; i < 40; i++) {
        begin();
        offer_slow();
        for (u32 j = 0; j < i; j++)
            (void)inb(0x3fd);
    }
    REG8(bar + 0x14) = 0;
    print("resets ok\n");
}

/* Resets the machine, with requests on their way, until a number on the disk says that it was often enough. */
static void reset_often(void)
{
    if (!find(2))
        return;
    enable_vector();
    begin();
    request(0, 4, data, SECTOR, 2);
    finish("count");
    if (*(u32 *)data == 10)
        return;
    (*(u32 *)data)++;
    request(1, 4, data, SECTOR, 0);
    finish("count");
    offer_slow();
    outb(0x602, 1);
    stop();
}

static void entropy(void)
{
    if (!find(4))
        return;
    enable_vector();
    begin();
    describe(0, data, 64, 2);
    offer(0);
    wait_in(&ring);
    print(ring.used.ring[0].length == 64 ? "entropy ok\n" : "entropy failed\n");
}

/* --- Devices with two ways: what comes goes back -------------------------------------------------------------------
 */

/* Into data; how many bytes. */
static u32 take(void)
{
    describe(0, data, sizeof(data), 2);
    offer(0);
    wait_in(&ring);
    return ring.used.ring[(ring.used.index - 1) % RING].length;
}

static void give(u32 length)
{
    describe_in(&sending, 0, data, length, 0);
    offer_in(&sending, 1, 0);
    wait_in(&sending);
}

/* Until what comes has a dot there. */
static void give_back(u32 at)
{
    u32 length;

    print("ready\n");
    do {
        length = take();
        give(length);
    } while (length <= at || data[at] != '.');
}

static void console(void)
{
    if (!find(3))
        return;
    enable_vector();
    (void)negotiate(0);
    place(0, &ring);
    place(1, &sending);
    REG8(bar + 0x14) = 15;
    give_back(0);
}

static void order_network(u8 class, u32 what, u32 length)
{
    static u32 order[3];

    order[0] = class;
    order[1] = what;
    status = 0xff;
    describe_in(&control, 0, order, 2, 1);
    describe_in(&control, 1, order + 1, length, 1);
    describe_in(&control, 2, &status, 1, 2);
    offer_in(&control, 4, 0);
    wait_in(&control);
    print(status == 0 ? "order ok\n" : "order failed\n");
}

/* Where the device has two pairs of queues the second one is used for a moment, too. A buffer is left to it at the end:
 * it goes on listening. */
static void network(void)
{
    u32 features;

    if (!find(1))
        return;
    enable_vector();
    features = negotiate(1u << 1 | 1u << 2 | 1u << 17 | 1u << 22); /* checksums are left to us, or not; queues */
    place(0, &ring);
    place(1, &sending);
    if (features & 1u << 22)
        place(4, &control);
    REG8(bar + 0x14) = 15;
    if (features & 1u << 22) {
        order_network(4, 2, 2);
        order_network(4, 1, 2);
        order_network(5, 0, 8);
    }
    give_back(12 + 14);
    describe(0, data, sizeof(data), 2);
    offer(0);
}

/* A call from the host is taken, its bytes are sent back; after a dot we say that no more will come. */
static void calls(void)
{
    struct {
        u64 from, to;
        u32 from_port, to_port, length;
        u16 type, what;
        u32 flags, room, taken;
    } *h = (void *)data;
    u32 taken = 0;
    u64 cid;

    if (!find(19))
        return;
    enable_vector();
    (void)negotiate(0);
    place(0, &ring);
    place(1, &sending);
    place(2, &control);
    REG8(bar + 0x14) = 15;
    print("ready\n");
    for (;;) {
        u32 length = take(), port = h->from_port;
        int is_last = length > 44 && data[length - 1] == '.';

        cid = h->from;
        h->from = h->to;
        h->to = cid;
        h->from_port = h->to_port;
        h->to_port = port;
        h->room = 1u << 16;
        taken += h->length;
        h->taken = taken;
        if (h->what == 1)
            h->what = 2;
        else if (h->what == 4)
            h->what = 3;
        else if (h->what != 5)
            continue;
        give(length);
        if (h->what == 3)
            return;
        if (is_last) {
            h->what = 4;
            h->flags = 2;
            h->length = 0;
            give(44);
        }
    }
}

/* A driver that lies: a request without a header. The device needs a reset, the machine goes on. */
static void lie(void)
{
    if (!find(2))
        return;
    begin();
    describe(0, &status, 1, 2);
    offer(0);
    while (!(REG8(bar + 0x14) & 0x40))
        ;
    print("needs reset\n");
}

static void move(void)
{
    if (!find(4))
        return;
    REG32(config + 0x10) = PLACE;
    bar = PLACE;
    print(REG16(bar + 0x12) == 1 ? "moved\n" : "lost\n");
}

/* KVM's clock (its documentation: x86/msr.rst): is the guest told that it was paused? Then it waits for a byte. */
static struct {
    u32 version, pad;
    u64 tsc, time;
    u32 factor;
    u8 shift, flags, rest[2];
} clock __attribute__((aligned(32)));

/* KVM writes it some time after the guest goes on: looks for a while, each time leaving the guest. */
static void clock_flags(u32 tries)
{
    while (--tries && !(*(volatile u8 *)&clock.flags & 2))
        (void)inb(0x3fd);
    print(tries ? "was paused\n" : "not paused\n");
}

static void paused(void)
{
    __asm__ volatile("wrmsr" : : "c"(0x4b564d01), "a"((u32)&clock | 1), "d"(0));
    clock_flags(10);
    while (!(inb(0x3fd) & 1))
        ;
    (void)inb(0x3f8);
    clock_flags(20000);
}

static void echo(void)
{
    char c = 0;

    print("listening\n");
    while (c != '.')
        if (inb(0x3fd) & 1) {
            c = (char)inb(0x3f8);
            outb(0x3f8, (u8)c);
        }
}

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

__attribute__((used)) static void guest(u8 *info)
{
    for (const char *c = *(const char **)(info + 24); *c; c++)
        switch (*c) {
        case 'h':
            print("hello\n");
            break;
        case 'd':
            disk();
            break;
        case 'x':
            resets();
            break;
        case 'r':
            entropy();
            break;
        case 'l':
            lie();
            break;
        case 'm':
            move();
            break;
        case 'e':
            echo();
            break;
        case 'j': /* into nothing */
            ((void (*)(void))0xd0000000u)();
            break;
        case 'k':
            paused();
            break;
        case 'p':
            outb(0x505, 1);
            break;
        case 'B':
            reset_often();
            break;
        case 'V':
            console();
            break;
        case 'N':
            network();
            break;
        case 'S':
            calls();
            break;
        case 'I':
            serial_interrupt();
            break;
        case 'G':
            button();
            break;
        case 'T':
            timer();
            break;
        case 'M':
            messages();
            break;
        case 'K':
            masked();
            break;
        case 'C':
            processors();
            break;
        case 'P':
            ports();
            break;
        case 'A':
            memory();
            break;
        case 'E':
            exits();
            break;
        case 'b':
            outb(0x602, 1);
            stop();
            break;
        case 's':
            stop();
            break;
        case 'o':
            outb(0x600, 0x34);
            stop();
            break;
        default:
            break;
        }
    stop();
}
