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
    if (str_starts(type, "custom-"))
        return qemu_unsupported(e, "cpu", "custom models");
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

int qemu_cpu(bool is_kvm, const char *value, struct buf *ret, struct err *e)
{
    static const char *const known[] = {"cputype", "flags", "hidden", "phys-bits"};
    struct propstr p;
    bool is_hidden = false;
    int r = propstr_parse(value ? value : "", "cputype", &p, e);

    if (r < 0)
        return err_wrap(e, r, "cpu");
    for (size_t i = 0; i < p.n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_SIZE(known); k++)
            is_known = is_known || streq(p.items[i].key, known[k]);
        if (!is_known)
            return qemu_unsupported(e, "cpu", "%s", p.items[i].key);
    }
    const char *type = propstr_get(&p, "cputype"), *flags = propstr_get(&p, "flags");
    const char *phys_bits = propstr_get(&p, "phys-bits");
    r = add_model(is_kvm, type ? type : "host", ret, e);
    if (r == 0 && flags)
        r = add_flags(flags, ret, e);
    if (r == 0)
        r = propstr_get_bool(&p, "hidden", false, &is_hidden, e);
    if (r == 0 && is_hidden)
        buf_append_str(ret, ",kvm=off");
    if (r == 0 && phys_bits)
        r = add_phys_bits(phys_bits, is_kvm, ret, e);
    return r;
}
