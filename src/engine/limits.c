/* See limits.h. */
#include "engine/limits.h"

static const struct limit limits[] = {
    {"bps", "bps-total", 1},
    {"bps_rd", "bps-read", 1},
    {"bps_wr", "bps-write", 1},
    {"mbps", "bps-total", 1 << 20},
    {"mbps_rd", "bps-read", 1 << 20},
    {"mbps_wr", "bps-write", 1 << 20},
    {"mbps_max", "bps-total-max", 1 << 20},
    {"mbps_rd_max", "bps-read-max", 1 << 20},
    {"mbps_wr_max", "bps-write-max", 1 << 20},
    {"bps_max_length", "bps-total-max-length", 1},
    {"bps_rd_max_length", "bps-read-max-length", 1},
    {"bps_wr_max_length", "bps-write-max-length", 1},
    {"iops", "iops-total", 1},
    {"iops_rd", "iops-read", 1},
    {"iops_wr", "iops-write", 1},
    {"iops_max", "iops-total-max", 1},
    {"iops_rd_max", "iops-read-max", 1},
    {"iops_wr_max", "iops-write-max", 1},
    {"iops_max_length", "iops-total-max-length", 1},
    {"iops_rd_max_length", "iops-read-max-length", 1},
    {"iops_wr_max_length", "iops-write-max-length", 1},
};

const struct limit *limit_find(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        if (streq(limits[i].key, key))
            return &limits[i];
    return NULL;
}

int limit_parse(const struct limit *limit, const char *s, uint64_t *ret)
{
    char whole[24];
    uint64_t n, thousandths = 0, weight = 100;
    size_t len = strcspn(s, ".");

    if (len == 0 || len >= sizeof(whole))
        return -EINVAL;
    memcpy(whole, s, len);
    whole[len] = 0;
    if (str_to_u64(whole, &n) < 0 || n > UINT32_MAX)
        return -EINVAL;
    for (const char *p = s[len] ? s + len + 1 : ""; *p; p++, weight /= 10) {
        if (*p < '0' || *p > '9')
            return -EINVAL;
        thousandths += (uint64_t)(*p - '0') * weight;
    }
    *ret = n * limit->scale + thousandths * limit->scale / 1000;
    return 0;
}

/* A burst is more than a limit: QEMU wants the limit, too. */
static int check_burst(const char *key, const struct propstr *p, const char *burst, struct err *e)
{
    static const char *const ends[] = {"_max_length", "_max"};
    char name[32];

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        if (!str_ends(burst, ends[i]))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(strlen(burst) - strlen(ends[i])), burst);
        char mega[40];
        snprintf(mega, sizeof(mega), "m%s", name);
        if (propstr_get(p, name) || propstr_get(p, mega) || (name[0] == 'm' && propstr_get(p, name + 1)))
            return 0;
        return err_set(e, -EINVAL, "param.invalid", "%s: %s without %s", key, burst, name);
    }
    return 0;
}

int limit_check(const char *key, const struct propstr *p, const struct propstr_item *item, struct err *e)
{
    const struct limit *limit = limit_find(item->key);
    uint64_t number;

    if (!limit)
        return 0;
    if (limit_parse(limit, item->value, &number) < 0)
        return err_set(e, -EINVAL, "param.invalid", "%s: %s=%.32s", key, item->key, item->value);
    return check_burst(key, p, item->key, e);
}

/* What a says beside limits, b says, too. */
static bool is_within(const struct propstr *a, const struct propstr *b)
{
    for (size_t i = 0; i < a->n; i++) {
        const char *other = propstr_get(b, a->items[i].key);

        if (!limit_find(a->items[i].key) && (!other || !streq(other, a->items[i].value)))
            return false;
    }
    return true;
}

bool limit_is_all_that_differs(const char *a, const char *b)
{
    struct propstr p, q;
    struct err e = ERR_INIT;

    return propstr_parse(a, "file", &p, &e) == 0 && propstr_parse(b, "file", &q, &e) == 0 && is_within(&p, &q) &&
           is_within(&q, &p);
}
