/* The key `cpu` as QEMU's -cpu. Proxmox VE's own model names (x86-64-v2-AES) are written out as a base model and its
 * flags, so that they mean the same on each QEMU. Pure. */
#include <ctype.h>

#include "engine/qemu_priv.h"

#define FLAGS_V2    "+cx16,+lahf-lm,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3"
#define FLAGS_V2AES FLAGS_V2 ",+aes"
#define FLAGS_V3    FLAGS_V2AES ",+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+abm,+movbe,+xsave"
#define FLAGS_V4    FLAGS_V3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

static const struct {
    const char *name, *base, *flags;
} models[] = {
    {"x86-64-v2", "qemu64", FLAGS_V2}, {"x86-64-v2-AES", "qemu64", FLAGS_V2AES}, {"x86-64-v3", "qemu64", FLAGS_V3},
    {"x86-64-v4", "qemu64", FLAGS_V4}, {"kvm64", "kvm64", "+lahf_lm,+sep"},      {"kvm32", "kvm32", "+sep"},
};

static bool is_word(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i]))
            return false;
    return n > 0 && n <= 40;
}

/* "+aes;-pcid" */
static int add_flags(const char *flags, struct buf *ret, struct err *e)
{
    for (const char *p = flags; *p;) {
        size_t n = strcspn(p, ";");
        if (n < 2 || (*p != '+' && *p != '-') || !is_word(p + 1, n - 1))
            return err_set(e, -EINVAL, "param.invalid", "cpu: '%.*s' is not a CPU flag", (int)(n < 40 ? n : 40), p);
        buf_printf(ret, ",%.*s", (int)n, p);
        p += n + (p[n] == ';');
    }
    return 0;
}

static int add_model(bool is_kvm, const char *type, struct buf *ret, struct err *e)
{
    if (!is_word(type, strlen(type)))
        return err_set(e, -EINVAL, "param.invalid", "cpu: '%.40s' is not a CPU model", type);
    /* Without KVM there is no host CPU to show: all that the emulator can do instead. */
    if (streq(type, "host") && !is_kvm)
        type = "max";
    for (size_t i = 0; i < ARRAY_SIZE(models); i++)
        if (streq(models[i].name, type)) {
            buf_printf(ret, "%s,%s", models[i].base, models[i].flags);
            return 0;
        }
    buf_append_str(ret, type);
    return 0;
}

static int add_phys_bits(const char *value, bool is_kvm, struct buf *ret, struct err *e)
{
    uint64_t bits;

    if (streq(value, "host")) {
        if (is_kvm)
            buf_append_str(ret, ",host-phys-bits=true");
        return 0;
    }
    if (str_to_u64(value, &bits) < 0 || bits < 8 || bits > 64)
        return err_set(e, -EINVAL, "param.invalid", "cpu: phys-bits is 8 to 64 or host");
    buf_printf(ret, ",phys-bits=%u", (unsigned)bits);
    return 0;
}

static int parse(const char *value, const char *const *known, struct propstr *ret, struct err *e)
{
    int r = propstr_parse(value, "cputype", ret, e);

    if (r < 0)
        return err_wrap(e, r, "cpu");
    for (size_t i = 0; i < ret->n; i++) {
        const char *const *k = known;
        while (*k && !streq(ret->items[i].key, *k))
            k++;
        if (!*k)
            return engine_unsupported(e, "qemu", "cpu", "%s", ret->items[i].key);
    }
    return 0;
}

/* The guest's own word wins over that of its custom model. */
static const char *word(const struct propstr *own, const struct propstr *custom, const char *key)
{
    const char *value = propstr_get(own, key);

    return value ? value : propstr_get(custom, key);
}

/* What only a custom model has. */
static int add_custom(const struct propstr *m, struct buf *ret, struct err *e)
{
    const char *vendor = propstr_get(m, "hv-vendor-id"), *level = propstr_get(m, "level");
    uint64_t number;

    if (level && (str_to_u64(level, &number) < 0 || number > UINT32_MAX))
        return err_set(e, -EINVAL, "param.invalid", "cpu: level");
    if (vendor && !is_word(vendor, strlen(vendor)))
        return err_set(e, -EINVAL, "param.invalid", "cpu: hv-vendor-id");
    if (vendor)
        buf_printf(ret, ",hv-vendor-id=%s", vendor);
    if (level)
        buf_printf(ret, ",level=%s", level);
    return 0;
}

int qemu_cpu(bool is_kvm, const char *value, const char *custom, struct buf *ret, struct err *e)
{
    static const char *const known[] = {"cputype", "flags", "hidden", "phys-bits", NULL};
    static const char *const of_model[] = {"reported-model", "flags",     "hidden", "hv-vendor-id",
                                           "level",          "phys-bits", NULL};
    struct propstr p, m;
    bool is_hidden = false;
    int r = parse(value ? value : "", known, &p, e);

    if (r == 0)
        r = parse(custom ? custom : "", of_model, &m, e);
    if (r < 0)
        return r;
    const char *type = propstr_get(&p, "cputype"), *reported = propstr_get(&m, "reported-model");
    bool is_custom = type && str_starts(type, "custom-");
    if (is_custom && !custom)
        return err_set(e, -EINVAL, "cpu.missing", "cpu: the model '%.60s' does not exist", type);
    r = add_model(is_kvm, is_custom ? (reported ? reported : "kvm64") : type ? type : "host", ret, e);
    if (r == 0 && propstr_get(&m, "flags"))
        r = add_flags(propstr_get(&m, "flags"), ret, e);
    if (r == 0 && propstr_get(&p, "flags"))
        r = add_flags(propstr_get(&p, "flags"), ret, e);
    const char *hidden = word(&p, &m, "hidden"), *phys_bits = word(&p, &m, "phys-bits");
    if (r == 0 && hidden && propstr_bool(hidden, &is_hidden) < 0)
        r = err_set(e, -EINVAL, "param.invalid", "cpu: hidden");
    if (r == 0 && is_hidden)
        buf_append_str(ret, ",kvm=off");
    if (r == 0 && phys_bits)
        r = add_phys_bits(phys_bits, is_kvm, ret, e);
    return r < 0 ? r : add_custom(&m, ret, e);
}
