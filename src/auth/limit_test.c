/* Limits on guessing: who is slowed by whom, for how long, what memory it costs, what a restart keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/fake_state.h"
#include "auth/limit_priv.h"

static struct auth_limit *limit;
static uint64_t now_ms;
static size_t n_commits;
/* What a restart finds: the keys that were written. */
static char kept[64][STATE_KEY_MAX];
static int64_t kept_last[64];
static size_t n_kept;

static uint64_t fake_now(void)
{
    return now_ms;
}

void state_commit(struct state *s, struct state_txn *t, state_done_fn done, void *arg)
{
    n_commits++;
    for (size_t i = 0; i < t->n; i++) {
        size_t at = 0;
        while (at < n_kept && !streq(kept[at], t->ops[i].key))
            at++;
        if (t->ops[i].kind == FAKE_PUT) {
            assert_true(at < ARRAY_SIZE(kept));
            snprintf(kept[at], sizeof(kept[at]), "%s", t->ops[i].key);
            json_t *root = auth_record_parse(t->ops[i].value);
            kept_last[at] = json_integer_value(json_object_get(root, "last"));
            json_decref(root);
            n_kept = at == n_kept ? n_kept + 1 : n_kept;
        } else if (at < n_kept) {
            n_kept--;
            memmove(kept[at], kept[n_kept], sizeof(kept[at]));
            kept_last[at] = kept_last[n_kept];
        }
    }
    state_txn_free(t);
}

static void set_clock(int64_t offset)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)offset);
    setenv("HOLM_CLOCK_OFFSET", text, 1);
}

static void start(void)
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_limit_new(NULL, &limit, &e), 0);
    limit->now_ms = fake_now;
    limit->state = (struct state *)&n_commits; /* never followed: state_commit above takes it */
}

static int setup(void **arg)
{
    set_clock(0);
    now_ms = 1000000;
    n_commits = n_kept = 0;
    start();
    return 0;
}

static int teardown(void **arg)
{
    auth_limit_free(limit);
    return 0;
}

static unsigned try(const char *address, const char *user)
{
    struct err e = ERR_INIT;
    unsigned wait;
    int r = auth_limit_check(limit, address, user, &wait, &e);

    assert_int_equal(r, wait ? -EBUSY : 0);
    if (r < 0) {
        char text[64];
        assert_string_equal(e.code, "auth.limited");
        snprintf(text, sizeof(text), "try again in %u s", wait);
        assert_non_null(strstr(e.text, text));
    }
    return wait;
}

/* How many attempts pass until one is refused. */
static unsigned drain(const char *address, const char *user)
{
    unsigned n = 0;

    while (n < 10000 && try(address, user) == 0)
        n++;
    return n;
}

static void succeed(const char *address, const char *user)
{
    assert_int_equal(try(address, user), 0);
    auth_limit_succeeded(limit, address, user);
}

static const char *address_of(unsigned i)
{
    static char text[32];

    snprintf(text, sizeof(text), "10.%u.%u.%u", (i >> 16) & 255, (i >> 8) & 255, i & 255);
    return text;
}

static void test_address(void **arg)
{
    char a[LIMIT_ADDRESS_CAP];

    limit_address("192.0.2.7", a);
    assert_string_equal(a, "192.0.2.7");
    limit_address("::ffff:192.0.2.7", a);
    assert_string_equal(a, "192.0.2.7");
    limit_address("2001:db8:1:2:3:4:5:6", a);
    assert_string_equal(a, "2001:db8:1:2::/64");
    limit_address("no address", a);
    assert_string_equal(a, "unknown");
    drain("2001:db8:1:2::1", "ada@pve");
    assert_true(try("2001:db8:1:2:ffff::9", "ada@pve") > 0);
    assert_int_equal(try("2001:db8:1:3::1", "ada@pve"), 0);
}

static void test_pair(void **arg)
{
    assert_int_equal(drain("192.0.2.1", "ada@pve"), 10);
    assert_int_equal(try("192.0.2.1", "ada@pve"), 30);
    assert_int_equal(try("192.0.2.1", "bob@pve"), 0);
    assert_int_equal(try("192.0.2.2", "ada@pve"), 0);
    now_ms += 29001;
    assert_int_equal(try("192.0.2.1", "ada@pve"), 1);
    now_ms += 999;
    assert_int_equal(try("192.0.2.1", "ada@pve"), 0);
    assert_int_equal(try("192.0.2.1", "ada@pve"), 30);
    now_ms += 3600000;
    assert_int_equal(drain("192.0.2.1", "ada@pve"), 10);
}

/* One address, many names. */
static void test_one_address(void **arg)
{
    char user[32];

    for (unsigned i = 0; i < 30; i++) {
        snprintf(user, sizeof(user), "u%u@pve", i);
        assert_int_equal(try("192.0.2.1", user), 0);
    }
    assert_int_equal(try("192.0.2.1", "one-more@pve"), 10);
    assert_int_equal(try("192.0.2.2", "one-more@pve"), 0);
    now_ms += 10000;
    assert_int_equal(try("192.0.2.1", "one-more@pve"), 0);
}

/* Many addresses, one name: strangers are slowed, the owner where he has been before is not. */
static void test_owner_is_not_locked_out(void **arg)
{
    unsigned n = 0;

    succeed("198.51.100.7", "ada@pve");
    while (n < 10000 && try(address_of(n), "ada@pve") == 0)
        n++;
    assert_int_equal(n, 60);
    assert_true(try("203.0.113.5", "ada@pve") > 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(try("198.51.100.7", "ada@pve"), 0);
    assert_true(try("198.51.100.7", "ada@pve") > 0); /* but he may not guess without end either */
    now_ms += 10000;
    succeed("198.51.100.7", "ada@pve");
    assert_int_equal(drain("198.51.100.7", "ada@pve"), 20);
}

/* Somebody else's guesses from the owner's own address cost the address, not the owner. */
static void test_shared_address(void **arg)
{
    char user[32];

    succeed("198.51.100.7", "ada@pve");
    for (unsigned i = 0; i < 100; i++) {
        snprintf(user, sizeof(user), "u%u@pve", i);
        (void)try("198.51.100.7", user);
    }
    assert_true(try("198.51.100.7", "new@pve") > 0);
    succeed("198.51.100.7", "ada@pve");
}

/* There is no such account: the same answers, one by one. */
static void test_no_oracle(void **arg)
{
    succeed("198.51.100.7", "ada@pve");
    for (unsigned i = 0; i < 100; i++) {
        unsigned of_ada = try("192.0.2.1", "ada@pve"), of_nobody = try("192.0.2.2", "nobody@pve");
        assert_int_equal(of_ada, of_nobody);
        now_ms += 700;
    }
}

static void test_success_and_undo(void **arg)
{
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(try("192.0.2.1", "ada@pve"), 0);
        auth_limit_undo(limit, "192.0.2.1", "ada@pve");
    }
    assert_false(auth_limit_is_known(limit, "192.0.2.1", "ada@pve"));
    assert_int_equal(drain("192.0.2.1", "ada@pve"), 10);
    auth_limit_undo(limit, "192.0.2.9", "ada@pve"); /* never more than full */
    assert_int_equal(drain("192.0.2.9", "ada@pve"), 10);
}

static void test_local_is_free(void **arg)
{
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(try(NULL, "root@pam"), 0);
    auth_limit_succeeded(limit, NULL, "root@pam");
    auth_limit_undo(limit, NULL, "root@pam");
    assert_true(auth_limit_forged(limit, NULL));
    assert_true(auth_limit_is_known(limit, NULL, "root@pam"));
    assert_int_equal(n_commits, 0);
}

/* More addresses and names than there are places: known pairs stay, memory does. */
static void test_flood(void **arg)
{
    char user[32];

    succeed("198.51.100.7", "ada@pve");
    for (unsigned i = 0; i < 5 * LIMIT_TABLE_PLACES; i++) {
        snprintf(user, sizeof(user), "u%u@pve", i);
        (void)try(address_of(i), user);
        assert_true(auth_limit_forged(limit, address_of(i)));
    }
    assert_int_equal(limit->addresses.n, LIMIT_TABLE_PLACES);
    assert_int_equal(limit->pairs.n, LIMIT_TABLE_PLACES);
    assert_int_equal(limit->accounts.n, LIMIT_TABLE_PLACES);
    assert_int_equal(limit->forged.n, LIMIT_TABLE_PLACES);
    assert_true(auth_limit_is_known(limit, "198.51.100.7", "ada@pve"));
    assert_int_equal(limit->known.n, 1);
    assert_int_equal(n_commits, 1); /* of the success before */
    /* The newest are there, the oldest left. */
    assert_non_null(bucket_table_find(&limit->accounts, auth_hash(user, strlen(user))));
    assert_null(bucket_table_find(&limit->accounts, auth_hash("u0@pve", 6)));
}

static void test_table_order(void **arg)
{
    struct bucket_table t;

    assert_int_equal(bucket_table_init(&t, 4, (struct bucket_rate){2, 1000}), 0);
    for (uint64_t id = 0; id < 4; id++) /* all in one chain */
        assert_non_null(bucket_table_need(&t, id * 4, 0));
    bucket_table_need(&t, 0, 0);   /* 0 is young again */
    bucket_table_need(&t, 400, 0); /* so 4 leaves */
    assert_null(bucket_table_find(&t, 4));
    assert_non_null(bucket_table_find(&t, 0));
    bucket_table_need(&t, 401, 0);
    assert_null(bucket_table_find(&t, 8));
    assert_int_equal(t.n, 4);
    bucket_table_done(&t);
}

static void test_known_is_bounded(void **arg)
{
    char user[32];

    for (unsigned i = 0; i < 40; i++) {
        set_clock(i);
        now_ms += 60000;
        succeed(address_of(i), "ada@pve");
    }
    assert_int_equal(limit->known.n, LIMIT_KNOWN_USER_MAX);
    assert_int_equal(n_kept, LIMIT_KNOWN_USER_MAX);
    assert_true(auth_limit_is_known(limit, address_of(39), "ada@pve"));
    assert_false(auth_limit_is_known(limit, address_of(0), "ada@pve"));
    /* Another account with the same beginning has its own share. */
    succeed("192.0.2.1", "ada@pv");
    assert_int_equal(limit->known.n, LIMIT_KNOWN_USER_MAX + 1);
    limit->state = NULL;
    for (unsigned i = 0; i < LIMIT_KNOWN_MAX + 100; i++) {
        set_clock(100 + i);
        now_ms += 60000;
        snprintf(user, sizeof(user), "u%u@pve", i);
        succeed(address_of(i), user);
    }
    assert_int_equal(limit->known.n, LIMIT_KNOWN_MAX);
    assert_false(auth_limit_is_known(limit, address_of(39), "ada@pve"));
}

static void test_writes_are_rare(void **arg)
{
    for (unsigned i = 0; i < 100; i++) {
        set_clock(i);
        succeed("192.0.2.1", "ada@pve");
    }
    assert_int_equal(n_commits, 1);
    set_clock(LIMIT_KNOWN_WRITE_S);
    succeed("192.0.2.1", "ada@pve");
    assert_int_equal(n_commits, 2);
    drain("192.0.2.1", "ada@pve");
    drain("192.0.2.2", "ada@pve");
    assert_int_equal(n_commits, 2); /* no failure is ever written */
}

/* What state_watch of the fake store does not do: deliver what is there. */
static void restart(void)
{
    auth_limit_free(limit);
    start();
    for (size_t i = 0; i < n_kept; i++) {
        const char *pair = kept[i] + strlen(LIMIT_KNOWN_PREFIX);
        char value[64];
        snprintf(value, sizeof(value), "{\"format\":1,\"last\":%lld}", (long long)kept_last[i]);
        known_on_key(limit, NULL, pair, value);
    }
}

static void test_restart(void **arg)
{
    succeed("198.51.100.7", "ada@pve");
    succeed("2001:db8::7", "bob@pve");
    restart();
    assert_true(auth_limit_is_known(limit, "198.51.100.7", "ada@pve"));
    assert_true(auth_limit_is_known(limit, "2001:db8::99", "bob@pve"));
    assert_false(auth_limit_is_known(limit, "198.51.100.7", "bob@pve"));
    set_clock(-1000000); /* the clock went back */
    restart();
    assert_int_equal(limit->known.n, 2);
    set_clock(LIMIT_KNOWN_LIFE_S + 10);
    restart();
    assert_int_equal(limit->known.n, 0);
    set_clock(0);
    assert_false(known_on_key(limit, NULL, "no-blank", "{\"format\":1,\"last\":1}"));
    assert_false(known_on_key(limit, NULL, "ada@pve 192.0.2.1", "not json"));
}

static void test_forged(void **arg)
{
    unsigned n = 0;

    while (n < 1000 && auth_limit_forged(limit, "192.0.2.1"))
        n++;
    assert_int_equal(n, 100);
    assert_true(auth_limit_forged(limit, "192.0.2.2"));
    assert_int_equal(try("192.0.2.1", "ada@pve"), 0); /* logins do not suffer */
    now_ms += 1000;
    assert_true(auth_limit_forged(limit, "192.0.2.1"));
    assert_false(auth_limit_forged(limit, "192.0.2.1"));
}

static void test_long_names(void **arg)
{
    char name[400];

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(drain("192.0.2.1", name), 10);
    auth_limit_succeeded(limit, "192.0.2.1", name);
    assert_int_equal(limit->known.n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(address),        T(pair),        T(one_address),      T(owner_is_not_locked_out),
        T(shared_address), T(no_oracle),   T(success_and_undo), T(local_is_free),
        T(flood),          T(table_order), T(known_is_bounded), T(writes_are_rare),
        T(restart),        T(forged),      T(long_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
