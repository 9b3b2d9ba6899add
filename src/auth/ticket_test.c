/* Tickets, CSRF and API tokens, console tickets and signing keys: forged, replayed, too old, too early, rotated. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/fake_state.h"

static struct auth *auth;
static const struct auth_subject ada = {.user = "ada@pve"}, bob = {.user = "bob@pve"};

static void set_clock(int64_t offset)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)offset);
    setenv("HOLM_CLOCK_OFFSET", text, 1);
}

static int setup(void **arg)
{
    struct err e = ERR_INIT;

    set_clock(0);
    assert_int_equal(auth_new(NULL, &auth, &e), 0);
    fake_commit(auth_upkeep(auth));
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1}");
    fake_feed("shared/auth/user/bob@pve", "{\"format\":1,\"enable\":1}");
    return 0;
}

static int teardown(void **arg)
{
    auth_free(auth);
    return 0;
}

static int verify(const char *ticket)
{
    struct auth_subject s;
    struct err e = ERR_INIT;
    int r = auth_ticket_verify(auth, ticket, &s, &e);

    if (r < 0)
        assert_string_equal(e.text, "permission denied - invalid PVE ticket");
    return r;
}

static void make(const char *user, char ticket[256])
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_ticket_make(auth, user, ticket, 256, &e), 0);
}

static void test_ticket(void **arg)
{
    struct auth_subject s;
    struct err e = ERR_INIT;
    char ticket[256], small[40];

    make("ada@pve", ticket);
    assert_int_equal(auth_ticket_verify(auth, ticket, &s, &e), 0);
    assert_string_equal(s.user, "ada@pve");
    assert_string_equal(s.token, "");
    assert_false(s.is_root);
    make("root@pam", ticket);
    assert_int_equal(auth_ticket_verify(auth, ticket, &s, &e), 0);
    assert_true(s.is_root);
    assert_int_equal(auth_ticket_make(auth, "ada@pve", small, sizeof(small), &e), -ENOBUFS);
    assert_int_equal(auth_csrf_make(auth, "ada@pve", small, sizeof(small), &e), -ENOBUFS);
}

/* Every single bit of a ticket, every cut and every added byte makes it worthless. */
static void test_ticket_bits(void **arg)
{
    char good[256], bad[260];

    make("ada@pve", good);
    size_t n = strlen(good);
    for (size_t i = 0; i < n * 8; i++) {
        memcpy(bad, good, n + 1);
        bad[i / 8] = (char)(bad[i / 8] ^ (1 << (i % 8)));
        assert_true(verify(bad) < 0);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(bad, good, n + 1);
        bad[i] = 0;
        assert_true(verify(bad) < 0);
        memcpy(bad, good, i);
        memcpy(bad + i, good + i + 1, n - i);
        assert_true(verify(bad) < 0);
    }
    for (unsigned c = 1; c < 256; c++) {
        memcpy(bad, good, n);
        bad[n] = (char)c;
        bad[n + 1] = 0;
        assert_true(verify(bad) < 0);
    }
    assert_int_equal(verify(good), 0);
}

static void test_ticket_shapes(void **arg)
{
    static const char *const bad[] = {"",
                                      "PVE:",
                                      "PVE:::",
                                      "::",
                                      "PVE:ada@pve",
                                      "PVE:ada@pve:00000000::",
                                      "PVE:ada@pve:6B010000::AAAA",
                                      "PVE:ada@pve:6b010000::AAAA",
                                      "PBS:ada@pve:6B010000::AAAA",
                                      "PVE::6B010000::AAAA",
                                      "PVE:ada@pve:6B010000:AAAA"};
    char longest[400];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(verify(bad[i]) < 0);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "PVE:", 4);
    memcpy(longest + 300, ":6B010000::AAAA", 16);
    assert_true(verify(longest) < 0);
}

static void test_ticket_age(void **arg)
{
    static const struct {
        int64_t at;
        bool ok;
    } ages[] = {{0, true}, {7195, true}, {7205, false}, {-295, true}, {-305, false}, {86400 * 365, false}};
    char ticket[256];

    make("ada@pve", ticket);
    for (size_t i = 0; i < ARRAY_SIZE(ages); i++) {
        set_clock(ages[i].at);
        assert_int_equal(verify(ticket) == 0, ages[i].ok);
    }
}

static void test_inactive_users(void **arg)
{
    char ticket[256], value[80];

    make("ada@pve", ticket);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":0}");
    assert_true(verify(ticket) < 0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":1}");
    assert_int_equal(verify(ticket), 0);
    snprintf(value, sizeof(value), "{\"format\":1,\"expire\":%lld}", (long long)clock_wall_s() + 100);
    fake_feed("shared/auth/user/ada@pve", value);
    assert_int_equal(verify(ticket), 0);
    set_clock(101);
    assert_true(verify(ticket) < 0);
    set_clock(0);
    fake_feed("shared/auth/user/ada@pve", NULL);
    assert_true(verify(ticket) < 0);
}

/* A realm that is gone or cannot be read opens no door to its users. */
static void test_users_without_realm(void **arg)
{
    char ticket[256];

    make("ada@pve", ticket);
    assert_int_equal(verify(ticket), 0);
    fake_feed("shared/auth/realm/pve", "{\"format\":1,\"type\":5}");
    assert_true(verify(ticket) < 0);
    fake_feed("shared/auth/realm/pve", "{\"format\":1,\"type\":\"pve\"}");
    assert_int_equal(verify(ticket), 0);
    fake_feed("shared/auth/realm/pve", NULL);
    assert_true(verify(ticket) < 0);
}

static void test_rotation(void **arg)
{
    char old[256], late[256], fresh[256];

    make("ada@pve", old);
    assert_null(auth_upkeep(auth));
    set_clock(86400 - 10);
    make("ada@pve", late);
    set_clock(86400 + 10);
    fake_commit(auth_upkeep(auth)); /* the second key */
    assert_int_equal(auth->n_ticket_keys, 2);
    make("ada@pve", fresh);
    assert_int_equal(verify(late), 0);
    assert_int_equal(verify(fresh), 0);
    assert_true(verify(old) < 0);
    set_clock(86400 + 7180);
    assert_int_equal(verify(late), 0);
    set_clock(86400 + 7200);
    assert_true(verify(late) < 0);
    set_clock(2 * 86400 + 20);
    fake_commit(auth_upkeep(auth)); /* the third: the first is of no use to anybody */
    assert_int_equal(auth->n_ticket_keys, 2);
    set_clock(-86400);
    assert_true(auth_ticket_keys_are_due(auth)); /* keys from the future sign no more */
    fake_commit(auth_upkeep(auth));
    make("ada@pve", fresh);
    assert_int_equal(verify(fresh), 0);
    for (int i = 0; i < 10; i++) {
        set_clock(-86400 - i * 1000);
        fake_commit(auth_upkeep(auth));
        assert_true(auth->n_ticket_keys <= TICKET_KEYS_MAX);
    }
}

/* A ticket of the last second before a new key lives for its two hours and no second longer, whatever else happens to
 * the keys; an old key that somebody stole signs nothing any more after that. */
static void test_overlap(void **arg)
{
    struct ticket_key old = auth->ticket_keys[0];
    char last[256], forged[256];

    set_clock(86400 - 1);
    make("ada@pve", last);
    set_clock(86400);
    fake_commit(auth_upkeep(auth));
    assert_int_equal(auth->n_ticket_keys, 2);
    assert_memory_equal(auth->ticket_keys[1].key, old.key, sizeof(old.key));
    assert_memory_not_equal(auth->ticket_keys[0].key, old.key, sizeof(old.key));
    for (int hour = 0; hour < 2; hour++) {
        set_clock(86400 + hour * 3600);
        assert_null(auth_upkeep(auth)); /* once a day, not each hour */
        assert_int_equal(verify(last), 0);
    }
    set_clock(86400 - 1 + 7195);
    assert_int_equal(verify(last), 0);
    set_clock(86400 - 1 + 7202);
    assert_true(verify(last) < 0);
    set_clock(86400 + 7490);
    struct ticket_key now = auth->ticket_keys[0];
    auth->ticket_keys[0] = old;
    make("ada@pve", forged);
    auth->ticket_keys[0] = now;
    assert_int_equal(verify(forged), 0); /* the overlap: 300 s for clocks that differ */
    set_clock(86400 + 7520);
    assert_true(verify(forged) < 0);
    assert_int_equal(auth->n_ticket_keys, 2); /* though it is still in the list */
}

/* The clock jumps: forward for a while, back for good. Nobody stays out, and nothing is accepted for longer than the
 * clock was wrong. */
static void test_clock_jumps(void **arg)
{
    char before[256], wrong[256], after[256];

    make("ada@pve", before);
    set_clock(10 * 86400);
    fake_commit(auth_upkeep(auth));
    make("ada@pve", wrong);
    assert_true(verify(before) < 0);
    set_clock(60);
    assert_int_equal(verify(before), 0); /* its key was kept */
    assert_true(verify(wrong) < 0);      /* of the future */
    assert_true(auth_ticket_keys_are_due(auth));
    fake_commit(auth_upkeep(auth));
    make("ada@pve", after);
    assert_int_equal(verify(after), 0);
    assert_int_equal(verify(before), 0);
    assert_false(auth_ticket_keys_are_due(auth));
    set_clock(-3 * 86400);
    assert_true(verify(after) < 0);
    assert_true(verify(before) < 0);
    fake_commit(auth_upkeep(auth));
    make("ada@pve", after);
    assert_int_equal(verify(after), 0);
}

static void feed_password(int64_t changed)
{
    char value[80];

    snprintf(value, sizeof(value), "{\"format\":1,\"hash\":\"x\",\"changed\":%lld}", (long long)changed);
    fake_feed("shared/secret/password/ada@pve", value);
}

/* A change of the password ends tickets made before it. */
static void test_password_change(void **arg)
{
    struct err e = ERR_INIT;
    struct auth_subject s, token = {.user = "ada@pve", .token = "tok"};
    char ticket[256], of_bob[256];

    make("ada@pve", ticket);
    make("bob@pve", of_bob);
    assert_int_equal(auth_ticket_verify(auth, ticket, &s, &e), 0);
    assert_true(s.ticket_s > 0);
    fake_feed("shared/secret/password/ada@pve", "{\"format\":1,\"hash\":\"x\"}"); /* of an older version */
    assert_int_equal(verify(ticket), 0);
    feed_password(s.ticket_s); /* in the same second */
    assert_int_equal(verify(ticket), 0);
    set_clock(2);
    feed_password(s.ticket_s + 1);
    assert_true(verify(ticket) < 0);
    assert_false(auth_subject_is_active(auth, &s));
    assert_int_equal(verify(of_bob), 0);
    fake_feed("shared/auth/token/ada@pve!tok", "{\"format\":1,\"privsep\":0}");
    assert_true(auth_subject_is_active(auth, &token)); /* tokens are not passwords */
    make("ada@pve", ticket);
    assert_int_equal(verify(ticket), 0);
    feed_password(clock_wall_s() + 5000); /* the clock was wrong then */
    assert_int_equal(verify(ticket), 0);
    fake_feed("shared/secret/password/ada@pve", "{\"format\":1,\"hash\":\"x\",\"changed\":\"now\"}");
    assert_null(auth_password_hash(auth, "ada@pve"));
}

static void test_subject_is_active(void **arg)
{
    struct auth_subject token = {.user = "ada@pve", .token = "tok"};
    char value[80];

    assert_true(auth_subject_is_active(auth, &ada));
    assert_false(auth_subject_is_active(auth, &token));
    snprintf(value, sizeof(value), "{\"format\":1,\"expire\":%lld}", (long long)clock_wall_s() + 100);
    fake_feed("shared/auth/token/ada@pve!tok", value);
    assert_true(auth_subject_is_active(auth, &token));
    set_clock(101);
    assert_false(auth_subject_is_active(auth, &token));
    assert_true(auth_subject_is_active(auth, &ada));
    set_clock(0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":0}");
    assert_false(auth_subject_is_active(auth, &token));
    assert_false(auth_subject_is_active(auth, &ada));
}

static void test_damaged_keys(void **arg)
{
    static const char *const bad[] = {"{}", "{\"format\":1,\"keys\":1}", "{\"format\":1,\"keys\":[{\"key\":\"AAAA\"}]}",
                                      "{\"format\":1,\"keys\":[{\"created\":1,\"key\":\"!\"}]}", "x"};
    struct err e = ERR_INIT;
    char ticket[256], csrf[128];

    make("ada@pve", ticket);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fake_feed("shared/secret/ticket", bad[i]);
        assert_true(verify(ticket) < 0);
        assert_int_equal(auth_ticket_make(auth, "ada@pve", ticket, sizeof(ticket), &e), -EIO);
        assert_int_equal(auth_csrf_make(auth, "ada@pve", csrf, sizeof(csrf), &e), -EIO);
    }
    fake_commit(auth_upkeep(auth));
    make("ada@pve", ticket);
    assert_int_equal(verify(ticket), 0);
}

static void test_csrf(void **arg)
{
    struct err e = ERR_INIT;
    char good[128], bad[128], ticket[256];

    assert_int_equal(auth_csrf_make(auth, "ada@pve", good, sizeof(good), &e), 0);
    assert_int_equal(auth_csrf_verify(auth, good, &ada, &e), 0);
    assert_int_equal(auth_csrf_verify(auth, good, &bob, &e), -EACCES);
    assert_string_equal(e.text, "Permission denied - invalid csrf token");
    for (size_t i = 0; i < strlen(good) * 8; i++) {
        memcpy(bad, good, sizeof(bad));
        bad[i / 8] = (char)(bad[i / 8] ^ (1 << (i % 8)));
        assert_true(auth_csrf_verify(auth, bad, &ada, &e) < 0);
    }
    assert_true(auth_csrf_verify(auth, "", &ada, &e) < 0);
    /* A ticket's proof is no CSRF token's. */
    make("ada@pve", ticket);
    snprintf(bad, sizeof(bad), "%.8s:%s", strstr(ticket, "::") - 8, strstr(ticket, "::") + 2);
    assert_true(auth_csrf_verify(auth, bad, &ada, &e) < 0);
    set_clock(7210);
    assert_true(auth_csrf_verify(auth, good, &ada, &e) < 0);
    set_clock(-310);
    assert_true(auth_csrf_verify(auth, good, &ada, &e) < 0);
}

static void console(const struct auth_subject *s, const char *path, unsigned port, char dst[128])
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_console_ticket_make(auth, s, path, port, dst, 128, &e), 0);
}

static void test_console_password(void **arg)
{
    char one[AUTH_VNC_PASSWORD_SIZE], again[AUTH_VNC_PASSWORD_SIZE], other[AUTH_VNC_PASSWORD_SIZE];

    auth_console_password(auth, "PVEVNC:00000000::AAAA", one);
    auth_console_password(auth, "PVEVNC:00000000::AAAA", again);
    auth_console_password(auth, "PVEVNC:00000000::AAAB", other);
    assert_string_equal(one, again);
    assert_string_not_equal(one, other);
    assert_int_equal(strlen(one), 8);
    for (const char *c = one; *c; c++)
        assert_true(*c >= '!' && *c <= '`');
}

static void test_console(void **arg)
{
    struct auth_subject token = {.user = "ada@pve", .token = "tok"};
    struct err e = ERR_INIT;
    char t[128], small[40];

    console(&ada, "/vms/100", 5900, t);
    assert_true(str_starts(t, "PVEVNC:"));
    assert_true(auth_console_ticket_use(auth, t, &bob, "/vms/100", 5900, &e) < 0);
    assert_true(auth_console_ticket_use(auth, t, &token, "/vms/100", 5900, &e) < 0);
    assert_true(auth_console_ticket_use(auth, t, &ada, "/vms/101", 5900, &e) < 0);
    assert_true(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5901, &e) < 0);
    assert_int_equal(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e), 0);
    assert_true(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e) < 0);
    console(&token, "/vms/100", 5900, t);
    assert_true(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e) < 0);
    assert_int_equal(auth_console_ticket_use(auth, t, &token, "/vms/100", 5900, &e), 0);
    assert_int_equal(auth_console_ticket_make(auth, &ada, "/", 1, small, sizeof(small), &e), -ENOBUFS);
}

static void test_console_bits(void **arg)
{
    struct err e = ERR_INIT;
    char good[128], bad[130];

    console(&ada, "/vms/100", 5900, good);
    for (size_t i = 0; i < strlen(good) * 8; i++) {
        memcpy(bad, good, 128);
        bad[i / 8] = (char)(bad[i / 8] ^ (1 << (i % 8)));
        if (auth_console_ticket_use(auth, bad, &ada, "/vms/100", 5900, &e) == 0)
            fail_msg("'%s' passes for '%s'", bad, good);
    }
    snprintf(bad, sizeof(bad), "%.127sA", good);
    assert_true(auth_console_ticket_use(auth, bad, &ada, "/vms/100", 5900, &e) < 0);
    assert_int_equal(auth_console_ticket_use(auth, good, &ada, "/vms/100", 5900, &e), 0);
}

static void test_console_age(void **arg)
{
    struct err e = ERR_INIT;
    char a[128], b[128], c[128];

    console(&ada, "/vms/100", 5900, a);
    console(&ada, "/vms/100", 5900, b);
    console(&ada, "/vms/100", 5900, c);
    assert_string_not_equal(a, b);
    set_clock(33);
    assert_int_equal(auth_console_ticket_use(auth, a, &ada, "/vms/100", 5900, &e), -EACCES);
    assert_string_equal(e.code, "auth.expired");
    set_clock(-5);
    assert_int_equal(auth_console_ticket_use(auth, a, &ada, "/vms/100", 5900, &e), -EACCES);
    set_clock(25);
    assert_int_equal(auth_console_ticket_use(auth, b, &ada, "/vms/100", 5900, &e), 0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":0}");
    assert_int_equal(auth_console_ticket_use(auth, c, &ada, "/vms/100", 5900, &e), -EACCES);
}

/* Asking uses nothing up; what was used is refused there too. */
static void test_console_check(void **arg)
{
    struct err e = ERR_INIT;
    char t[128];

    console(&ada, "/vms/100", 5900, t);
    for (int i = 0; i < 3; i++)
        assert_int_equal(auth_console_ticket_check(auth, t, &ada, "/vms/100", 5900, &e), 0);
    assert_int_equal(auth_console_used_count(auth), 0);
    assert_true(auth_console_ticket_check(auth, t, &bob, "/vms/100", 5900, &e) < 0);
    assert_true(auth_console_ticket_check(auth, t, &ada, "/vms/101", 5900, &e) < 0);
    assert_true(auth_console_ticket_check(auth, t, &ada, "/vms/100", 5901, &e) < 0);
    set_clock(33);
    assert_int_equal(auth_console_ticket_check(auth, t, &ada, "/vms/100", 5900, &e), -EACCES);
    assert_string_equal(e.code, "auth.expired");
    set_clock(0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":0}");
    assert_true(auth_console_ticket_check(auth, t, &ada, "/vms/100", 5900, &e) < 0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":1}");
    assert_int_equal(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e), 0);
    assert_true(auth_console_ticket_check(auth, t, &ada, "/vms/100", 5900, &e) < 0);
}

/* The memory of used tickets is bounded, for all and for each user, and is free again when they have expired. */
static void test_console_limits(void **arg)
{
    struct err e = ERR_INIT;
    char t[128], user[32], key[64];
    struct auth_subject s = {.token = ""};

    for (unsigned i = 0; i < CONSOLE_USED_USER_MAX; i++) {
        console(&ada, "/vms/100", 5900, t);
        assert_int_equal(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e), 0);
    }
    console(&ada, "/vms/100", 5900, t);
    assert_int_equal(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e), -EACCES);
    assert_string_equal(e.code, "auth.busy");
    console(&bob, "/vms/100", 5900, t);
    assert_int_equal(auth_console_ticket_use(auth, t, &bob, "/vms/100", 5900, &e), 0);
    for (unsigned i = CONSOLE_USED_USER_MAX + 1; i < CONSOLE_USED_MAX; i++) {
        snprintf(user, sizeof(user), "u%u@pve", i);
        snprintf(key, sizeof(key), "shared/auth/user/%s", user);
        fake_feed(key, "{\"format\":1}");
        assert_int_equal(str_copy(s.user, sizeof(s.user), user), 0);
        console(&s, "/", 5900, t);
        assert_int_equal(auth_console_ticket_use(auth, t, &s, "/", 5900, &e), 0);
    }
    assert_int_equal(auth_console_used_count(auth), CONSOLE_USED_MAX);
    console(&bob, "/vms/100", 5900, t);
    assert_int_equal(auth_console_ticket_use(auth, t, &bob, "/vms/100", 5900, &e), -EACCES);
    set_clock(32);
    console(&bob, "/vms/100", 5900, t);
    assert_int_equal(auth_console_ticket_use(auth, t, &bob, "/vms/100", 5900, &e), 0);
    assert_int_equal(auth_console_used_count(auth), 1);
}

/* After a restart a used ticket must not be good again. */
static void test_console_restart(void **arg)
{
    struct err e = ERR_INIT;
    char t[128];

    console(&ada, "/vms/100", 5900, t);
    teardown(NULL);
    setup(NULL);
    assert_true(auth_console_ticket_use(auth, t, &ada, "/vms/100", 5900, &e) < 0);
}

static void make_token(const char *id, const char *value, char dst[128])
{
    char key[128], secret[AUTH_TOKEN_SECRET_CAP];
    struct state_txn *t = state_txn_new();

    snprintf(key, sizeof(key), "shared/auth/token/%s", id);
    fake_feed(key, value);
    auth_txn_token_secret(t, id, secret);
    /* R8: a lower-case UUID */
    assert_int_equal(strspn(secret, "0123456789abcdef-"), 36);
    assert_int_equal(secret[14], '4');
    fake_commit(t);
    snprintf(dst, 128, "%s=%s", id, secret);
}

static int verify_token(const char *token)
{
    struct auth_subject s;
    struct err e = ERR_INIT;

    return auth_token_verify(auth, token, &s, &e);
}

static void test_token(void **arg)
{
    struct auth_subject s;
    struct err e = ERR_INIT;
    char token[128], bad[160];

    make_token("ada@pve!ci", "{\"format\":1}", token);
    assert_int_equal(auth_token_verify(auth, token, &s, &e), 0);
    assert_string_equal(s.user, "ada@pve");
    assert_string_equal(s.token, "ci");
    assert_false(s.is_root);
    for (size_t i = 0; i < strlen(token) * 8; i++) {
        memcpy(bad, token, sizeof(token));
        bad[i / 8] = (char)(bad[i / 8] ^ (1 << (i % 8)));
        assert_true(verify_token(bad) < 0);
    }
    snprintf(bad, sizeof(bad), "%sx", token);
    assert_true(verify_token(bad) < 0);
    static const char *const shapes[] = {
        "", "=", "!=", "ada@pve!ci", "ada@pve!ci=", "ada@pve=x", "ada@pve!=x", "!ci=x", "ada@pve!nope=x"};
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        assert_true(verify_token(shapes[i]) < 0);
    make_token("root@pam!ci", "{\"format\":1,\"privsep\":0}", token);
    assert_int_equal(auth_token_verify(auth, token, &s, &e), 0);
    assert_false(s.is_root);
    fake_feed("shared/secret/token/root@pam!ci", "{\"format\":1,\"hash\":\"00\"}");
    assert_true(verify_token(token) < 0);
}

static void test_token_ends(void **arg)
{
    char token[128], value[80];

    snprintf(value, sizeof(value), "{\"format\":1,\"expire\":%lld}", (long long)clock_wall_s() + 50);
    make_token("ada@pve!ci", value, token);
    assert_int_equal(verify_token(token), 0);
    set_clock(51);
    assert_true(verify_token(token) < 0);
    set_clock(0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1,\"enable\":0}");
    assert_true(verify_token(token) < 0);
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1}");
    assert_int_equal(verify_token(token), 0);
    fake_feed("shared/auth/token/ada@pve!ci", NULL);
    assert_true(verify_token(token) < 0);
}

static void test_upkeep(void **arg)
{
    assert_null(auth_upkeep(auth));
    assert_true(auth_user_is_active(auth, "root@pam"));
    assert_non_null(auth_find(auth, AUTH_REALM, "pve"));
    assert_string_equal(auth_default_realm(auth), "pam");
    fake_feed("shared/auth/realm/pve", "{\"format\":1,\"type\":\"pve\",\"default\":1}");
    assert_string_equal(auth_default_realm(auth), "pve");
    assert_null(auth_password_hash(auth, "ada@pve"));
    fake_feed("shared/secret/password/ada@pve", "{\"format\":1,\"hash\":\"$argon2id$x\"}");
    assert_string_equal(auth_password_hash(auth, "ada@pve"), "$argon2id$x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ticket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ticket_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ticket_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ticket_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inactive_users, setup, teardown),
        cmocka_unit_test_setup_teardown(test_users_without_realm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_password_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subject_is_active, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_password, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_csrf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upkeep, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
