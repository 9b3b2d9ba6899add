/* How long one permission check takes: 10,000 ACL entries, 1,000 groups, a user in 20 of them. Every level of a guest's
 * path names all groups or many users, and the guest is in a nested pool that does too. Prints "NAME NANOSECONDS", one
 * line for each round; tests/bench reads them. A program of its own: the tests' numbers would be those of sanitizers.
 */
#include "auth/fake_state.h"

#include <time.h>

#define GROUPS  1000u
#define GUESTS  1000u
#define ENTRIES 10000u
#define MINE    20u
#define ROUNDS  15u
#define CHECKS  4000u

static unsigned n_entries;

static void feed(const char *value, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void feed(const char *value, const char *fmt, ...)
{
    char key[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(key, sizeof(key), fmt, ap);
    va_end(ap);
    fake_feed(key, value);
}

static void grant(const char *path, const char *kind, const char *prefix, unsigned i, const char *role)
{
    feed("{\"format\":1,\"propagate\":1}", "shared/auth/acl%s %s %s%u%s %s", path, kind, prefix, i,
         streq(kind, "user") ? "@pve" : "", role);
    n_entries++;
}

static void make_subjects(void)
{
    feed("{\"format\":1}", "shared/auth/user/ada@pve");
    feed("{\"format\":1,\"privsep\":1}", "shared/auth/token/ada@pve!bench");
    for (unsigned i = 0; i < GROUPS; i++) {
        feed("{\"format\":1}", "shared/auth/group/team%u", i);
        if (i % (GROUPS / MINE) == 0)
            feed("{\"format\":1}", "shared/auth/member/group/team%u/ada@pve", i);
    }
}

static void make_entries(void)
{
    static const char *const tops[] = {"/", "/vms", "/storage", "/pool"};
    char path[64];

    for (size_t k = 0; k < ARRAY_SIZE(tops); k++)
        for (unsigned i = 0; i < GROUPS; i++)
            grant(tops[k], "group", "team", i, i % 3 ? "PVEAuditor" : "PVEVMUser");
    feed("{\"format\":1}", "shared/auth/pool/dev");
    feed("{\"format\":1}", "shared/auth/pool/dev/web");
    for (unsigned i = 0; i < GROUPS; i++)
        grant(i % 2 ? "/pool/dev" : "/pool/dev/web", "group", "team", i, "PVEVMAdmin");
    for (unsigned i = 0; n_entries < ENTRIES; i++) {
        snprintf(path, sizeof(path), "/vms/%u", 1000 + i % GUESTS);
        grant(path, "user", "user", i, "PVEVMUser");
    }
    for (unsigned i = 0; i < GUESTS; i++)
        feed("{\"format\":1,\"pool\":\"dev/web\"}", "shared/auth/member/guest/%u", 1000 + i);
    feed("{\"format\":1,\"propagate\":1}", "shared/auth/acl/ token ada@pve!bench PVEAdmin");
}

/* Time on a processor: waiting for one on a busy machine is not what a check costs. */
static double cpu_ns(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
        abort();
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(struct auth *a, const char *name, const char *subject, const char *fmt)
{
    struct auth_subject who;
    struct err e = ERR_INIT;
    char paths[64][32];
    unsigned n_allowed = 0;

    if (auth_subject_parse(subject, &who, &e) < 0)
        abort();
    for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
        snprintf(paths[i], sizeof(paths[i]), "%s%u", fmt, 1000 + i * 7);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double began = cpu_ns();
        for (unsigned i = 0; i < CHECKS; i++)
            n_allowed += auth_has(a, &who, paths[i % ARRAY_SIZE(paths)], PRIV_M(VM_AUDIT), false);
        printf("%s %.1f\n", name, (cpu_ns() - began) / CHECKS);
    }
    if (n_allowed != ROUNDS * CHECKS) {
        fprintf(stderr, "%s: refused\n", name);
        exit(1);
    }
}

int main(void)
{
    struct err e = ERR_INIT;
    struct auth *a;

    if (auth_new(NULL, &a, &e) < 0)
        return 1;
    make_subjects();
    make_entries();
    printf("entries %u\n", n_entries);
    measure(a, "user-guest", "ada@pve", "/vms/");
    measure(a, "user-storage", "ada@pve", "/storage/s");
    measure(a, "token-guest", "ada@pve!bench", "/vms/");
    auth_free(a);
    return 0;
}
