/* What a guest shows its picture on and is pointed at with: the graphics card and QEMU's VNC server (the tablet is
 * qemu_usb.c's). The VNC
 * server has no listener anywhere: holm-guest hands it one connection per viewer through the control channel, so
 * neither a TCP port nor a socket file can be reached by somebody else, and it wants a password that holm-guest sets
 * for each viewer anew. A guest with `vga` none or serialN has none of all this. Pure. */
#include "engine/qemu_priv.h"

/* share=ignore: a viewer that wants the screen for itself (clients do so unasked) gets it beside the others. */
/* Connections that have not shown the password yet; holm-guest lets one in at a time. */
#define VNC_UNKNOWN_MAX "4"

static const struct card {
    const char *type, *driver;
    const char *memory;        /* the property in MiB; NULL: `memory` cannot be set */
    unsigned min_mib, max_mib; /* 0: as the configuration allows */
    const char *ram, *ram2;    /* further regions, four and two times as big */
} cards[] = {
    {"std", "VGA", "vgamem_mb", 0, 0, NULL, NULL},
    {"cirrus", "cirrus-vga", "vgamem_mb", 4, 16, NULL, NULL},
    {"virtio", "virtio-vga", "max_hostmem", 0, 0, NULL, NULL},
    {"vmware", "vmware-svga", "vgamem_mb", 4, 128, NULL, NULL},
    {"qxl", "qxl-vga", "vgamem_mb", 4, 256, "ram_size_mb", "vram_size_mb"},
};

static const struct card *find_card(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(cards); i++)
        if (streq(cards[i].type, type))
            return &cards[i];
    return NULL;
}

static bool has_no_card(const char *type)
{
    return streq(type, "none") || (str_starts(type, "serial") && strlen(type) == 7 && type[6] >= '0' && type[6] <= '3');
}

/* NULL: no card. */
static int parse(const char *value, const struct card **ret, uint64_t *ret_memory_mib, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value ? value : "std", "type", &p, e);

    if (r < 0)
        return err_wrap(e, r, "vga");
    const char *type = propstr_get(&p, "type");
    *ret = find_card(type ? type : "std");
    if (!*ret && !has_no_card(type))
        return engine_unsupported(e, "qemu", "vga", "%.32s", type);
    if (propstr_get(&p, "clipboard"))
        return engine_unsupported(e, "qemu", "vga", "clipboard: text is not exchanged with the viewer");
    r = propstr_get_u64(&p, "memory", 0, ret_memory_mib, e);
    if (r < 0 || !*ret || !*ret_memory_mib)
        return r;
    uint64_t mib = *ret_memory_mib;
    bool is_power = (mib & (mib - 1)) == 0;
    const struct card *card = *ret;
    if (card->max_mib && (mib < card->min_mib || mib > card->max_mib || !is_power))
        return engine_unsupported(e, "qemu", "vga", "memory of %s is a power of two from %u to %u", card->type,
                                  card->min_mib, card->max_mib);
    return 0;
}

int qemu_check_display(const char *value, struct err *e)
{
    const struct card *card;
    uint64_t memory_mib;

    return parse(value, &card, &memory_mib, e);
}

bool qemu_has_display(const char *vga)
{
    const struct card *card;
    uint64_t memory_mib;
    struct err e = ERR_INIT;

    return parse(vga, &card, &memory_mib, &e) == 0 && card;
}

static int add_card(struct qemu_build *q, const struct card *card, uint64_t memory_mib, struct err *e)
{
    struct qemu_json d;

    qemu_device_begin(&d, card->driver, "vga");
    if (memory_mib)
        jw_kv_u64(&d.w, card->memory, streq(card->memory, "max_hostmem") ? memory_mib << 20 : memory_mib);
    if (memory_mib && card->ram) {
        jw_kv_u64(&d.w, card->ram, memory_mib * 4);
        jw_kv_u64(&d.w, card->ram2, memory_mib * 2);
    }
    int r = qemu_device_at(q, &d, QEMU_VGA, 0, e);
    qemu_device_end(q, &d);
    return r;
}

/* The values of `keyboard` are names of QEMU's key tables. */
static void add_vnc(struct qemu_build *q)
{
    const char *keyboard = qemu_config(q, "keyboard");

    qemu_arg(q, "-vnc");
    qemu_arg(q, "none,password=on,share=ignore,connections=" VNC_UNKNOWN_MAX);
    /* With a layout QEMU goes by what keys mean in it; without one by the keys' codes, where the client sends those. */
    if (keyboard) {
        qemu_arg(q, "-k");
        qemu_arg(q, keyboard);
    }
}

int qemu_add_display(struct qemu_build *q, struct err *e)
{
    const struct card *card;
    uint64_t memory_mib;
    int r = parse(qemu_config(q, "vga"), &card, &memory_mib, e);

    if (r < 0)
        return r;
    if (card) {
        r = add_card(q, card, memory_mib, e);
        if (r < 0)
            return r;
        add_vnc(q);
    }
    return qemu_add_usb(q, card, e);
}
