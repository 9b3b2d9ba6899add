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

#include "vmm_guest_cpu.h"

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
