/* Refusals: of people who proved nothing per address, of users per user and route. In a window so many of each get a
 * record of their own, the rest are counted and become one record. The two are kept apart, so that strangers cannot use
 * up what is there for users. Strangers choose their addresses, so the table is small, what does not fit shares one
 * entry, and there is a bound for all together. Loop thread. */
#include "audit/audit_priv.h"

#define WINDOW_MS   10000u
#define PER_ADDRESS 20u
#define PER_ALL     200u
#define ADDRESSES   256u

struct source {
    char address[AUDIT_SOURCE_MAX + 1]; /* or user and route; "" = free */
    uint64_t since_ms;
    uint32_t n;
    uint64_t n_more;
};

struct audit_flood {
    struct source all; /* also counts those that fit nowhere */
    struct source sources[ADDRESSES];
    size_t n_counting; /* sources with n_more > 0 */
};

struct audit_flood *audit_flood_new(void)
{
    struct audit_flood *f = calloc(1, sizeof(*f));

    if (f)
        snprintf(f->all.address, sizeof(f->all.address), "others");
    return f;
}

void audit_flood_free(struct audit_flood *f)
{
    free(f);
}

static void count_more(struct audit_flood *f, struct source *s)
{
    f->n_counting += s->n_more++ == 0;
}

/* The address's entry, a free one, or one whose window is over and that has nothing to tell. */
static struct source *find(struct audit_flood *f, const char *address, uint64_t now_ms)
{
    struct source *unused = NULL;

    for (size_t i = 0; i < ADDRESSES; i++) {
        struct source *s = &f->sources[i];
        if (strncmp(s->address, address, sizeof(s->address) - 1) == 0)
            return s;
        if (!unused && s->n_more == 0 && (!s->address[0] || now_ms - s->since_ms > WINDOW_MS))
            unused = s;
    }
    if (unused) {
        *unused = (struct source){.since_ms = now_ms};
        snprintf(unused->address, sizeof(unused->address), "%s", address);
    }
    return unused;
}

static bool is_over(struct source *s, uint64_t now_ms, uint32_t max)
{
    if (now_ms - s->since_ms > WINDOW_MS) {
        s->since_ms = now_ms;
        s->n = 0;
    }
    return s->n >= max;
}

bool audit_flood_check(struct audit_flood *f, const char *address, uint64_t now_ms)
{
    struct source *s = find(f, *address ? address : "unknown", now_ms);

    if (!s || is_over(&f->all, now_ms, PER_ALL)) {
        count_more(f, s ? s : &f->all);
        return true;
    }
    if (is_over(s, now_ms, PER_ADDRESS)) {
        count_more(f, s);
        return true;
    }
    s->n++;
    f->all.n++;
    return false;
}

static void flush_one(struct audit_flood *f, struct source *s, uint64_t now_ms, bool is_end,
                      void (*fn)(void *arg, const char *address, uint64_t count), void *arg)
{
    if (s->n_more == 0 || (!is_end && now_ms - s->since_ms <= WINDOW_MS))
        return;
    fn(arg, s->address, s->n_more);
    s->n_more = 0;
    f->n_counting--;
}

bool audit_flood_flush(struct audit_flood *f, uint64_t now_ms, bool is_end,
                       void (*fn)(void *arg, const char *address, uint64_t count), void *arg)
{
    flush_one(f, &f->all, now_ms, is_end, fn, arg);
    for (size_t i = 0; i < ADDRESSES && f->n_counting; i++)
        flush_one(f, &f->sources[i], now_ms, is_end, fn, arg);
    return f->n_counting > 0;
}
