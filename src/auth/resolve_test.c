/* The resolver: one case for each rule of pve-access-control, then random worlds against a second, naive evaluator that
 * works with sets of role names as PVE's own does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/fake_state.h"

static struct auth *auth;

static int setup(void **arg)
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_new(NULL, &auth, &e), 0);
    return 0;
}

static int teardown(void **arg)
{
    auth_free(auth);
    auth = NULL;
    return 0;
}

static void feed(const char *value, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void feed(const char *value, const char *fmt, ...)
{
    char key[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(key, sizeof(key), fmt, ap);
    va_end(ap);
    fake_feed(key, value);
}

static void add_acl(const char *path, const char *who, const char *role, bool propagate)
{
    const char *type = who[0] == '@' ? "group" : strchr(who, '!') ? "token" : "user";

    feed(propagate ? "{\"format\":1,\"propagate\":1}" : "{\"format\":1,\"propagate\":0}", "shared/auth/acl%s %s %s %s",
         path, type, who + (who[0] == '@'), role);
}

/* One line of a world: "user U", "group G", "member G U", "acl PATH WHO ROLE 0|1", "token U!T PRIVSEP", "pool P",
 * "guest VMID P", "storage S P", "role R PRIVS-JSON". */
static void line(const char *text)
{
    char w[5][100] = {{0}}, value[160];
    int n = sscanf(text, "%99s %99s %99s %99s %99s", w[0], w[1], w[2], w[3], w[4]);

    assert_true(n >= 2);
    if (streq(w[0], "user"))
        feed("{\"format\":1}", "shared/auth/user/%s", w[1]);
    else if (streq(w[0], "group"))
        feed("{\"format\":1}", "shared/auth/group/%s", w[1]);
    else if (streq(w[0], "member"))
        feed("{\"format\":1}", "shared/auth/member/group/%s/%s", w[1], w[2]);
    else if (streq(w[0], "acl"))
        add_acl(w[1], w[2], w[3], w[4][0] == '1');
    else if (streq(w[0], "pool"))
        feed("{\"format\":1}", "shared/auth/pool/%s", w[1]);
    else if (streq(w[0], "storage"))
        feed("{\"format\":1}", "shared/auth/member/storage/%s/%s", w[1], w[2]);
    else if (streq(w[0], "token")) {
        snprintf(value, sizeof(value), "{\"format\":1,\"privsep\":%s}", w[2]);
        feed(value, "shared/auth/token/%s", w[1]);
    } else if (streq(w[0], "guest")) {
        snprintf(value, sizeof(value), "{\"format\":1,\"pool\":\"%s\"}", w[2]);
        feed(value, "shared/auth/member/guest/%s", w[1]);
    } else if (streq(w[0], "role")) {
        snprintf(value, sizeof(value), "{\"format\":1,\"privs\":%s}", w[2]);
        feed(value, "shared/auth/role/%s", w[1]);
    } else {
        fail_msg("bad line '%s'", text);
    }
}

/* Union of roles "A+B"; "-" is nothing. */
static priv_mask mask_of(const char *roles)
{
    char name[64];
    priv_mask mask = 0;

    for (const char *p = roles; *p && *p != '-'; p += *p == '+') {
        size_t n = strcspn(p, "+");
        assert_true(n < sizeof(name));
        memcpy(name, p, n);
        name[n] = 0;
        const struct auth_role *r = auth_find(auth, AUTH_ROLE, name);
        assert_non_null(r);
        mask |= r->mask;
        p += n;
    }
    return mask;
}

struct expect {
    const char *who, *path, *all, *propagated;
};

struct scenario {
    const char *name;
    const char *world[14];
    struct expect expect[8];
};

static const struct scenario scenarios[] = {
    {"nobody has anything", {"user a@pve"}, {{"a@pve", "/", "-", "-"}, {"a@pve", "/vms/100", "-", "-"}}},
    {"root@pam has all, its token only what it was granted",
     {"token root@pam!sep 1", "token root@pam!full 0", "token root@pam!own 1", "acl /vms root@pam!own PVEVMUser 1"},
     {{"root@pam", "/vms/100", "Administrator", "Administrator"},
      {"root@pam!sep", "/", "-", "-"},
      {"root@pam!full", "/", "Administrator", "Administrator"},
      {"root@pam!own", "/vms/100", "PVEVMUser", "PVEVMUser"},
      {"root@pam!none", "/", "-", "-"}}},
    {"an entry on the path counts, one above only when it propagates",
     {"acl /vms a@pve PVEVMUser 0", "acl /vms b@pve PVEVMUser 1"},
     {{"a@pve", "/vms", "PVEVMUser", "-"},
      {"a@pve", "/vms/100", "-", "-"},
      {"b@pve", "/vms", "PVEVMUser", "PVEVMUser"},
      {"b@pve", "/vms/100", "PVEVMUser", "PVEVMUser"},
      {"b@pve", "/vmsx", "-", "-"}}},
    {"a deeper entry replaces, also by less",
     {"acl / a@pve Administrator 1", "acl /vms/100 a@pve PVEAuditor 0", "acl /vms/101 a@pve NoAccess 1"},
     {{"a@pve", "/vms", "Administrator", "Administrator"},
      {"a@pve", "/vms/100", "PVEAuditor", "-"},
      {"a@pve", "/vms/101", "-", "-"},
      {"a@pve", "/vms/102", "Administrator", "Administrator"}}},
    {"an entry that does not propagate does not replace further down",
     {"acl / a@pve PVEVMAdmin 1", "acl /sdn a@pve PVESDNUser 0"},
     {{"a@pve", "/sdn", "PVESDNUser", "-"}, {"a@pve", "/sdn/zones/z", "PVEVMAdmin", "PVEVMAdmin"}}},
    {"of two roles at one level only the one that counts replaces",
     {"acl /vms a@pve PVEVMUser 1", "acl /vms a@pve PVEAuditor 0"},
     {{"a@pve", "/vms", "PVEVMUser+PVEAuditor", "PVEVMUser"}, {"a@pve", "/vms/100", "PVEVMUser", "PVEVMUser"}}},
    {"NoAccess beside another role wipes it, and can be replaced below",
     {"acl /vms a@pve PVEVMUser 1", "acl /vms a@pve NoAccess 1", "acl /vms/100 a@pve PVEAuditor 1"},
     {{"a@pve", "/vms", "-", "-"}, {"a@pve", "/vms/99", "-", "-"}, {"a@pve", "/vms/100", "PVEAuditor", "PVEAuditor"}}},
    {"NoAccess that does not propagate wipes its own path only",
     {"acl / a@pve PVEVMUser 1", "acl /vms a@pve NoAccess 0"},
     {{"a@pve", "/vms", "-", "-"}, {"a@pve", "/vms/100", "PVEVMUser", "PVEVMUser"}}},
    {"groups are united, the user's own entry replaces them at the same level",
     {"group g", "group h", "member g a@pve", "member h a@pve", "member g b@pve", "acl /vms @g PVEVMUser 1",
      "acl /vms @h PVEAuditor 0", "acl /vms b@pve PVETemplateUser 1"},
     {{"a@pve", "/vms", "PVEVMUser+PVEAuditor", "PVEVMUser"},
      {"a@pve", "/vms/100", "PVEVMUser", "PVEVMUser"},
      {"b@pve", "/vms", "PVETemplateUser", "PVETemplateUser"},
      {"c@pve", "/vms", "-", "-"}}},
    {"an own entry that does not count leaves the groups in force; NoAccess of one group wipes the other",
     {"group g", "group no", "member g a@pve", "member g b@pve", "member no b@pve", "acl /vms a@pve NoAccess 0",
      "acl /vms @g PVEVMUser 1", "acl /vms @no NoAccess 1"},
     {{"a@pve", "/vms", "-", "-"}, {"a@pve", "/vms/100", "PVEVMUser", "PVEVMUser"}, {"b@pve", "/vms/100", "-", "-"}}},
    {"a group's deeper entry replaces a user's higher one",
     {"group g", "member g a@pve", "acl / a@pve Administrator 1", "acl /vms @g PVEAuditor 1"},
     {{"a@pve", "/vms/100", "PVEAuditor", "PVEAuditor"}, {"a@pve", "/nodes", "Administrator", "Administrator"}}},
    {"a group that is gone says nothing, neither does a role",
     {"member g a@pve", "acl / a@pve PVEAuditor 1", "acl /vms @g NoAccess 1", "acl /vms a@pve Gone 1"},
     {{"a@pve", "/vms", "PVEAuditor", "PVEAuditor"}}},
    {"own roles", {"role R [\"VM.Audit\"]", "acl / a@pve R 1"}, {{"a@pve", "/vms/1000", "R", "R"}}},
    {"a separated token has at most what its user has, and nothing by itself",
     {"acl /vms a@pve PVEVMUser 1", "token a@pve!tk 1", "token a@pve!uk 1", "token a@pve!full 0",
      "acl /vms a@pve!tk PVEVMAdmin 1", "acl /nodes a@pve!tk PVEAuditor 1"},
     {{"a@pve!tk", "/vms/100", "PVEVMUser", "PVEVMUser"},
      {"a@pve!tk", "/nodes", "-", "-"},
      {"a@pve!uk", "/vms/100", "-", "-"},
      {"a@pve!full", "/vms/100", "PVEVMUser", "PVEVMUser"},
      {"a@pve!gone", "/vms/100", "-", "-"}}},
    {"a privilege of a token propagates only if both do",
     {"acl /vms a@pve PVEVMUser 1", "token a@pve!tk 1", "acl /vms a@pve!tk PVEVMUser 0"},
     {{"a@pve!tk", "/vms", "PVEVMUser", "-"}, {"a@pve!tk", "/vms/100", "-", "-"}}},
    {"groups of the user do not reach the token's own side; NoAccess of either side wins",
     {"group g", "member g a@pve", "acl / @g PVEVMUser 1", "token a@pve!tk 1", "acl / a@pve!tk PVEVMAdmin 1",
      "acl /vms/100 a@pve!tk NoAccess 1", "acl /vms/101 a@pve NoAccess 1", "acl /vms @g PVEVMUser 1"},
     {{"a@pve!tk", "/", "PVEVMUser", "PVEVMUser"},
      {"a@pve!tk", "/vms/100", "-", "-"},
      {"a@pve!tk", "/vms/101", "-", "-"},
      {"a@pve!tk", "/vms/102", "PVEVMUser", "PVEVMUser"}}},
    {"a pool's roles reach its members without propagation",
     {"pool p", "guest 100 p", "storage s p", "acl /pool/p a@pve PVEVMUser 1", "acl /vms b@pve PVEAuditor 1",
      "acl /pool/p b@pve PVEVMUser 0"},
     {{"a@pve", "/vms/100", "PVEVMUser", "-"},
      {"a@pve", "/vms/101", "-", "-"},
      {"a@pve", "/storage/s", "PVEVMUser", "-"},
      {"a@pve", "/storage/t", "-", "-"},
      {"b@pve", "/vms/100", "PVEVMUser+PVEAuditor", "PVEAuditor"}}},
    {"NoAccess on the pool trumps what is on the guest, and the other way round",
     {"pool p", "guest 100 p", "acl /pool/p a@pve NoAccess 1", "acl /vms/100 a@pve PVEVMAdmin 1",
      "acl /pool/p b@pve PVEVMAdmin 1", "acl /vms/100 b@pve NoAccess 0"},
     {{"a@pve", "/vms/100", "-", "-"}, {"b@pve", "/vms/100", "-", "-"}}},
    {"nested pools inherit along their path",
     {"pool p", "pool p/q", "guest 100 p/q", "acl /pool/p a@pve PVEVMUser 1", "acl /pool/p b@pve PVEVMUser 0",
      "acl /pool/p/q c@pve PVEAuditor 1", "guest 101 p"},
     {{"a@pve", "/vms/100", "PVEVMUser", "-"},
      {"b@pve", "/vms/100", "-", "-"},
      {"c@pve", "/vms/100", "PVEAuditor", "-"},
      {"c@pve", "/vms/101", "-", "-"},
      {"a@pve", "/pool/p/q", "PVEVMUser", "PVEVMUser"}}},
    {"a pool by group and by token",
     {"pool p", "guest 100 p", "group g", "member g a@pve", "acl /pool @g PVEVMUser 1", "token a@pve!tk 1",
      "acl /pool/p a@pve!tk PVEVMUser 1", "token a@pve!nk 1"},
     {{"a@pve", "/vms/100", "PVEVMUser", "-"},
      {"a@pve!tk", "/vms/100", "PVEVMUser", "-"},
      {"a@pve!nk", "/vms/100", "-", "-"}}},
    {"a storage in two pools has the roles of both; NoAccess of one wipes",
     {"pool p", "pool q", "storage s p", "storage s q", "acl /pool/p a@pve PVEDatastoreUser 1",
      "acl /pool/q a@pve PVEAuditor 1", "acl /pool/p b@pve PVEDatastoreUser 1", "acl /pool/q b@pve NoAccess 1"},
     {{"a@pve", "/storage/s", "PVEDatastoreUser+PVEAuditor", "-"}, {"b@pve", "/storage/s", "-", "-"}}},
    {"a membership in a pool that is gone gives nothing",
     {"guest 100 p", "acl /pool/p a@pve PVEVMUser 1"},
     {{"a@pve", "/vms/100", "-", "-"}, {"a@pve", "/pool/p", "PVEVMUser", "PVEVMUser"}}},
    {"names that begin alike are different people",
     {"acl / a@pve Administrator 1", "acl / a@pve!tk PVEAuditor 1"},
     {{"a@pv", "/", "-", "-"}, {"a@pvee", "/", "-", "-"}, {"xa@pve", "/", "-", "-"}, {"a@pve!tt", "/", "-", "-"}}},
};

static void check(const struct scenario *s, const struct expect *x)
{
    struct auth_subject who;
    struct err e = ERR_INIT;
    priv_mask propagated;

    assert_int_equal(auth_subject_parse(x->who, &who, &e), 0);
    priv_mask all = auth_privileges(auth, &who, x->path, &propagated);
    if (all != mask_of(x->all) || propagated != mask_of(x->propagated))
        fail_msg("%s: %s on %s: %#lx/%#lx instead of %s/%s", s->name, x->who, x->path, (unsigned long)all,
                 (unsigned long)propagated, x->all, x->propagated);
}

static void test_scenarios(void **arg)
{
    for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
        teardown(NULL);
        setup(NULL);
        for (size_t k = 0; k < ARRAY_SIZE(scenarios[i].world) && scenarios[i].world[k]; k++)
            line(scenarios[i].world[k]);
        for (size_t k = 0; k < ARRAY_SIZE(scenarios[i].expect) && scenarios[i].expect[k].who; k++)
            check(&scenarios[i], &scenarios[i].expect[k]);
    }
}

/* ---- the second evaluator ---- */

/* Some begin alike for longer than what searches look at first. */
static const char *const all_users[] = {"a@pve", "b@pve", "c@pam", "long.name@pve", "long.name@pam"};
static const char *const all_groups[] = {"g", "h", "developer", "developers", "developers-a"};
static const char *const all_tokens[] = {"a@pve!tk", "a@pve!uk", "b@pve!tk", "root@pam!tk"};
static const char *const all_roles[] = {"NoAccess", "PVEVMUser", "PVEAuditor", "Administrator", "PVEDatastoreUser"};
static const char *const all_paths[] = {"/",     "/vms",    "/vms/100",  "/vms/101", "/storage", "/storage/s",
                                        "/pool", "/pool/p", "/pool/p/q", "/pool/r",  "/nodes",   "/vms/1001"};
static const char *const all_pools[] = {"p", "p/q", "r"};

#define N_ROLES ARRAY_SIZE(all_roles)

struct entry {
    const char *path, *who;
    size_t role;
    int propagate;
};

static struct world {
    struct entry entries[60];
    size_t n;
    bool member[ARRAY_SIZE(all_users)][ARRAY_SIZE(all_groups)];
    bool is_separated[ARRAY_SIZE(all_tokens)];
    const char *pool_of[2]; /* of 100 and 101 */
    bool storage_in[ARRAY_SIZE(all_pools)];
} world;

/* role -> -1 absent, else the propagation flag: PVE's hash */
typedef int role_set[N_ROLES];

static void clear(role_set r)
{
    for (size_t i = 0; i < N_ROLES; i++)
        r[i] = -1;
}

static bool level(const char *path, const char *who, bool is_final, role_set set)
{
    bool any = false;

    for (size_t i = 0; i < world.n; i++) {
        const struct entry *x = &world.entries[i];
        if (!streq(x->path, path) || !streq(x->who, who) || !(is_final || x->propagate))
            continue;
        if (!any)
            clear(set);
        any = true;
        if (set[x->role] < x->propagate)
            set[x->role] = x->propagate;
    }
    return any;
}

static void groups_level(const char *path, const char *user, bool is_final, role_set set)
{
    role_set sum;
    bool any = false;

    clear(sum);
    for (size_t u = 0; u < ARRAY_SIZE(all_users); u++) {
        for (size_t g = 0; streq(all_users[u], user) && g < ARRAY_SIZE(all_groups); g++) {
            role_set one;
            char name[16];
            snprintf(name, sizeof(name), "@%s", all_groups[g]);
            if (!world.member[u][g] || !level(path, name, is_final, one))
                continue;
            any = true;
            for (size_t r = 0; r < N_ROLES; r++)
                if (one[r] > sum[r])
                    sum[r] = one[r];
        }
    }
    if (any)
        memcpy(set, sum, sizeof(sum));
}

static bool is_above(const char *p, const char *path)
{
    size_t n = strlen(p);

    return streq(p, "/") || streq(p, path) || (strncmp(p, path, n) == 0 && path[n] == '/');
}

static void naive_roles(const char *who, const char *path, role_set set)
{
    clear(set);
    /* all_paths has each path after those above it */
    for (size_t i = 0; i < ARRAY_SIZE(all_paths); i++) {
        if (!is_above(all_paths[i], path))
            continue;
        bool is_final = streq(all_paths[i], path);
        if (!level(all_paths[i], who, is_final, set) && !strchr(who, '!'))
            groups_level(all_paths[i], who, is_final, set);
    }
    if (set[0] >= 0) {
        int flag = set[0];
        clear(set);
        set[0] = flag;
    }
}

static void naive_pool(const char *who, const char *pool, role_set set)
{
    char path[32];
    role_set of_pool;

    snprintf(path, sizeof(path), "/pool/%s", pool);
    naive_roles(who, path, of_pool);
    if (set[0] >= 0)
        return;
    if (of_pool[0] >= 0) {
        clear(set);
        set[0] = 0;
        return;
    }
    for (size_t r = 0; r < N_ROLES; r++)
        if (of_pool[r] >= 0 && set[r] < 0)
            set[r] = 0;
}

static void naive(const char *who, const char *path, priv_mask *ret_all, priv_mask *ret_propagated)
{
    role_set set;

    naive_roles(who, path, set);
    if (streq(path, "/vms/100") && world.pool_of[0])
        naive_pool(who, world.pool_of[0], set);
    if (streq(path, "/vms/101") && world.pool_of[1])
        naive_pool(who, world.pool_of[1], set);
    for (size_t p = 0; streq(path, "/storage/s") && p < ARRAY_SIZE(all_pools); p++)
        if (world.storage_in[p])
            naive_pool(who, all_pools[p], set);
    *ret_all = *ret_propagated = 0;
    for (size_t r = 1; r < N_ROLES && set[0] < 0; r++) {
        *ret_all |= set[r] >= 0 ? mask_of(all_roles[r]) : 0;
        *ret_propagated |= set[r] > 0 ? mask_of(all_roles[r]) : 0;
    }
}

static uint32_t random_state = 1;
static size_t pick(size_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static void make_world(void)
{
    char text[200];

    memset(&world, 0, sizeof(world));
    for (size_t g = 0; g < ARRAY_SIZE(all_groups); g++)
        feed("{\"format\":1}", "shared/auth/group/%s", all_groups[g]);
    for (size_t u = 0; u < ARRAY_SIZE(all_users); u++)
        for (size_t g = 0; g < ARRAY_SIZE(all_groups); g++)
            if ((world.member[u][g] = pick(3) == 0))
                feed("{\"format\":1}", "shared/auth/member/group/%s/%s", all_groups[g], all_users[u]);
    for (size_t t = 0; t < ARRAY_SIZE(all_tokens); t++) {
        world.is_separated[t] = pick(4) != 0;
        snprintf(text, sizeof(text), "token %s %d", all_tokens[t], world.is_separated[t]);
        line(text);
    }
    for (size_t p = 0; p < ARRAY_SIZE(all_pools); p++) {
        feed("{\"format\":1}", "shared/auth/pool/%s", all_pools[p]);
        if ((world.storage_in[p] = pick(3) == 0))
            feed("{\"format\":1}", "shared/auth/member/storage/s/%s", all_pools[p]);
    }
    for (size_t i = 0; i < 2; i++) {
        world.pool_of[i] = pick(3) ? all_pools[pick(ARRAY_SIZE(all_pools))] : NULL;
        snprintf(text, sizeof(text), "guest %zu %s", 100 + i, world.pool_of[i] ? world.pool_of[i] : "");
        if (world.pool_of[i])
            line(text);
    }
}

static void add_random_entry(void)
{
    struct entry x = {.path = all_paths[pick(ARRAY_SIZE(all_paths))], .role = pick(N_ROLES), .propagate = (int)pick(2)};
    static char names[ARRAY_SIZE(all_groups)][16];
    size_t kind = pick(3), g = pick(ARRAY_SIZE(all_groups));

    snprintf(names[g], sizeof(names[g]), "@%s", all_groups[g]);
    x.who = kind == 0   ? all_users[pick(ARRAY_SIZE(all_users))]
            : kind == 1 ? all_tokens[pick(ARRAY_SIZE(all_tokens))]
                        : names[g];
    add_acl(x.path, x.who, all_roles[x.role], x.propagate);
    for (size_t i = 0; i < world.n; i++) {
        struct entry *old = &world.entries[i];
        if (streq(old->path, x.path) && streq(old->who, x.who) && old->role == x.role) {
            *old = x;
            return;
        }
    }
    world.entries[world.n++] = x;
}

static void remove_random_entry(void)
{
    size_t at = pick(world.n);
    const struct entry *x = &world.entries[at];
    bool is_group = x->who[0] == '@';

    feed(NULL, "shared/auth/acl%s %s %s %s", x->path,
         is_group              ? "group"
         : strchr(x->who, '!') ? "token"
                               : "user",
         x->who + is_group, all_roles[x->role]);
    world.entries[at] = world.entries[--world.n];
}

static void compare(const char *who, const char *path)
{
    struct auth_subject s;
    struct err e = ERR_INIT;
    priv_mask all, propagated, got_propagated, user_all, user_propagated;

    assert_int_equal(auth_subject_parse(who, &s, &e), 0);
    naive(who, path, &all, &propagated);
    if (s.token[0] && !streq(s.user, "root@pam")) {
        size_t t = 0;
        while (!streq(all_tokens[t], who))
            t++;
        naive(s.user, path, &user_all, &user_propagated);
        all = world.is_separated[t] ? all & user_all : user_all;
        propagated = world.is_separated[t] ? propagated & user_propagated : user_propagated;
    } else if (s.token[0] && !world.is_separated[ARRAY_SIZE(all_tokens) - 1]) {
        all = propagated = mask_of("Administrator");
    }
    priv_mask got = auth_privileges(auth, &s, path, &got_propagated);
    if (got != all || got_propagated != propagated)
        fail_msg("%s on %s: %#lx/%#lx, the other evaluator says %#lx/%#lx", who, path, (unsigned long)got,
                 (unsigned long)got_propagated, (unsigned long)all, (unsigned long)propagated);
}

/* One look for a whole list says the same as a question for each guest. */
static void compare_list(const char *who)
{
    static const uint32_t vmids[] = {100, 101, 102, 999, 100, 4294967295};
    struct auth_subject s;
    struct err e = ERR_INIT;
    char path[24];

    assert_int_equal(auth_subject_parse(who, &s, &e), 0);
    struct auth_guests *q = auth_guests_new(auth, &s);
    assert_non_null(q);
    for (size_t i = 0; i < ARRAY_SIZE(vmids); i++) {
        snprintf(path, sizeof(path), "/vms/%u", vmids[i]);
        if (auth_guests_privileges(q, vmids[i]) != auth_privileges(auth, &s, path, NULL))
            fail_msg("%s on %s: a list says otherwise", who, path);
    }
    auth_guests_free(q);
}

static void test_random_worlds(void **arg)
{
    for (unsigned round = 0; round < 400; round++) {
        teardown(NULL);
        setup(NULL);
        make_world();
        for (size_t n = pick(ARRAY_SIZE(world.entries)); n > 0; n--)
            add_random_entry();
        for (size_t n = pick(world.n / 2 + 1); n > 0; n--)
            remove_random_entry();
        for (size_t p = 0; p < ARRAY_SIZE(all_paths); p++) {
            for (size_t u = 0; u < ARRAY_SIZE(all_users); u++)
                compare(all_users[u], all_paths[p]);
            for (size_t t = 0; t < ARRAY_SIZE(all_tokens); t++)
                compare(all_tokens[t], all_paths[p]);
        }
        for (size_t u = 0; u < ARRAY_SIZE(all_users); u++)
            compare_list(all_users[u]);
        for (size_t t = 0; t < ARRAY_SIZE(all_tokens); t++)
            compare_list(all_tokens[t]);
    }
}

static void test_texts(void **arg)
{
    struct auth_subject who = {.user = "a@pve"};
    struct err e = ERR_INIT;

    line("acl /vms/100 a@pve PVEAuditor 0");
    assert_int_equal(auth_require(auth, &who, "/vms/100", PRIV_M(VM_AUDIT), false, &e), 0);
    assert_int_equal(auth_require(auth, &who, "/vms/100", PRIV_M(VM_AUDIT) | PRIV_M(VM_CONSOLE), true, &e), 0);
    assert_int_equal(auth_require(auth, &who, "/vms/100", PRIV_M(VM_AUDIT) | PRIV_M(VM_CONSOLE), false, &e), -EPERM);
    assert_string_equal(e.text, "Permission check failed (/vms/100, VM.Console)");
    assert_string_equal(e.code, "auth.denied");
    assert_int_equal(auth_require(auth, &who, "/", PRIV_M(SYS_AUDIT) | PRIV_M(VM_ALLOCATE), true, &e), -EPERM);
    assert_string_equal(e.text, "Permission check failed (/, Sys.Audit|VM.Allocate)");
    assert_int_equal(auth_require(auth, &who, "/", PRIV_M(SYS_AUDIT) | PRIV_M(VM_ALLOCATE), false, &e), -EPERM);
    assert_string_equal(e.text, "Permission check failed (/, Sys.Audit)");
    assert_int_equal(auth_require(auth, &who, "/", ~UINT64_C(0), true, &e), -EPERM);
    who.user[0] = 0;
    assert_false(auth_has(auth, &who, "/", PRIV_M(SYS_AUDIT), true));
}

static void test_groups_param(void **arg)
{
    struct auth_subject who = {.user = "boss@pve"};
    const priv_mask m = PRIV_M(USER_MODIFY);

    line("group g");
    line("group h");
    line("member g a@pve");
    line("member h b@pve");
    line("acl /access/groups/g boss@pve PVEUserAdmin 1");
    assert_true(auth_has_on_groups(auth, &who, m, NULL, "a@pve"));
    assert_false(auth_has_on_groups(auth, &who, m, NULL, "b@pve"));
    assert_false(auth_has_on_groups(auth, &who, m, NULL, "nobody@pve"));
    assert_false(auth_has_on_groups(auth, &who, m, NULL, NULL));
    assert_true(auth_has_on_groups(auth, &who, m, "g", NULL));
    assert_false(auth_has_on_groups(auth, &who, m, "g,h", NULL));
    assert_false(auth_has_on_groups(auth, &who, m, "g gone", NULL));
    assert_false(auth_has_on_groups(auth, &who, m, "", "a@pve"));
    line("acl /access/groups boss@pve PVEUserAdmin 1");
    assert_true(auth_has_on_groups(auth, &who, m, "g,h", NULL));
    assert_true(auth_has_on_groups(auth, &who, m, NULL, "nobody@pve"));
}

static void test_perm_modify(void **arg)
{
    struct auth_subject who = {.user = "a@pve"};
    struct err e = ERR_INIT;

    line("role Alloc [\"VM.Allocate\",\"Datastore.Allocate\",\"Pool.Allocate\"]");
    line("acl / a@pve Alloc 1");
    assert_int_equal(auth_check_perm_modify(auth, &who, "/vms/100", &e), 0);
    assert_int_equal(auth_check_perm_modify(auth, &who, "/storage/s", &e), 0);
    assert_int_equal(auth_check_perm_modify(auth, &who, "/pool/p", &e), 0);
    assert_int_equal(auth_check_perm_modify(auth, &who, "/vms", &e), -EPERM);
    assert_int_equal(auth_check_perm_modify(auth, &who, "/storage", &e), -EPERM);
    assert_int_equal(auth_check_perm_modify(auth, &who, "/", &e), -EPERM);
    line("acl / a@pve Administrator 1");
    assert_int_equal(auth_check_perm_modify(auth, &who, "/", &e), 0);
}

/* What cannot be read must not open a door: everything closes until the record is whole again. */
static void test_damage_closes(void **arg)
{
    static const char *const keys[] = {"shared/auth/acl/vms a@pve",
                                       "shared/auth/acl/vms user a@pve NoAccess more",
                                       "shared/auth/acl/vms robot a@pve NoAccess",
                                       "shared/auth/group/g",
                                       "shared/auth/role/R",
                                       "shared/auth/pool/p",
                                       "shared/auth/member/guest/100"};
    struct auth_subject who = {.user = "a@pve"}, root = {.user = "root@pam", .is_root = true};

    line("acl / a@pve Administrator 1");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        assert_true(auth_has(auth, &who, "/", PRIV_M(SYS_AUDIT), false));
        fake_feed(keys[i], "{\"format\":9}");
        assert_false(auth_has(auth, &who, "/", PRIV_M(SYS_AUDIT), false));
        assert_true(auth_has(auth, &root, "/", PRIV_M(SYS_AUDIT), false));
        fake_feed(keys[i], NULL);
    }
    assert_true(auth_has(auth, &who, "/", PRIV_M(SYS_AUDIT), false));
    fake_feed("shared/auth/user/b@pve", "[]");
    assert_true(auth_has(auth, &who, "/", PRIV_M(SYS_AUDIT), false));
    assert_false(auth_user_is_active(auth, "b@pve"));
    /* A record cannot take the place of a built-in role. */
    fake_feed("shared/auth/role/NoAccess", "{\"format\":1,\"privs\":[\"Sys.Modify\"]}");
    assert_true(mask_of("NoAccess") == 0);
}

static void test_pools(void **arg)
{
    line("pool p");
    line("guest 100 p");
    line("guest 101 gone");
    line("storage s p");
    assert_string_equal(auth_pool_of_guest(auth, 100), "p");
    assert_null(auth_pool_of_guest(auth, 101));
    assert_null(auth_pool_of_guest(auth, 102));
    assert_string_equal(auth_pool_of_storage(auth, "s"), "p");
    assert_true(auth_pool_exists(auth, "p"));
    assert_false(auth_pool_exists(auth, "gone"));
}

static bool stop_at(void *arg, const char *pool)
{
    unsigned *n = arg;

    ++*n;
    return !streq(pool, "q");
}

static void test_each_pool(void **arg)
{
    unsigned n = 0;

    line("pool r");
    line("pool p");
    line("pool q");
    auth_each_pool(auth, stop_at, &n);
    assert_int_equal(n, 2);
}

static void test_builtin_roles(void **arg)
{
    static const struct {
        const char *name;
        int n;
    } sizes[] = {{"Administrator", 47}, {"NoAccess", 0},         {"PVEAdmin", 40},   {"PVEAuditor", 7},
                 {"PVEVMAdmin", 23},    {"PVEVMUser", 10},       {"PVESysAdmin", 3}, {"PVETemplateUser", 2},
                 {"PVEPoolAdmin", 2},   {"PVEDatastoreAdmin", 4}};
    unsigned bit;

    assert_int_equal(auth_objects(auth, AUTH_ROLE)->n, 17);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        assert_int_equal(__builtin_popcountll(mask_of(sizes[i].name)), sizes[i].n);
    for (unsigned i = 0; i < 47; i++) {
        assert_true(priv_find(priv_name(i), &bit));
        assert_int_equal(bit, i);
    }
    assert_null(priv_name(47));
    assert_false(priv_find("VM.Fly", &bit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scenarios, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_worlds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups_param, setup, teardown),
        cmocka_unit_test_setup_teardown(test_perm_modify, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pools, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_builtin_roles, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
