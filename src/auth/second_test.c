/* Second factors: records there and back, answers that are right, wrong, used or locked, damaged records, and the
 * challenge of a login: forged, another's, too old, taken for a ticket. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/fake_state.h"
#include "auth/second.h"

#define KEY "shared/secret/tfa/ada@pve"

static struct auth *auth;
static int64_t offset;
static char codes[AUTH_RECOVERY_CODES][AUTH_RECOVERY_CAP];

static void advance(int64_t seconds)
{
    char text[32];

    offset += seconds;
    snprintf(text, sizeof(text), "%lld", (long long)offset);
    setenv("HOLM_CLOCK_OFFSET", text, 1);
}

static void store(const struct auth_tfa *t)
{
    struct state_txn *txn = state_txn_new();

    auth_txn_tfa(txn, "ada@pve", t);
    fake_commit(txn);
}

static const struct auth_tfa *stored(void)
{
    return auth_tfa_of(auth, "ada@pve");
}

static struct totp secret(void)
{
    struct totp t = {.digits = 6, .period_s = 30, .secret_n = 20};

    memcpy(t.secret, "12345678901234567890", 20);
    return t;
}

static int setup(void **arg)
{
    struct err e = ERR_INIT;
    struct auth_tfa t = {.n_totp = 1};

    offset = 0;
    advance(0);
    assert_int_equal(auth_new(NULL, &auth, &e), 0);
    fake_commit(auth_upkeep(auth));
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1}");
    fake_feed("shared/auth/user/bob@pve", "{\"format\":1}");
    t.totp[0] = (struct auth_tfa_totp){.id = "one",
                                       .description = (char *)"my phone",
                                       .created = 5,
                                       .is_enabled = true,
                                       .totp = secret(),
                                       .last_step = TOTP_NO_STEP};
    auth_recovery_make(&t.recovery, codes);
    store(&t);
    assert_non_null(stored());
    return 0;
}

static int teardown(void **arg)
{
    auth_free(auth);
    return 0;
}

/* Judges as the login does, and keeps what follows. */
static enum auth_tfa_verdict answer(const char *text)
{
    struct auth_tfa t = *stored();
    const char *why;
    enum auth_tfa_verdict v = auth_tfa_answer(&t, text, &why);

    assert_int_equal(v == AUTH_TFA_RIGHT, why == NULL);
    if (v != AUTH_TFA_REFUSED)
        store(&t);
    return v;
}

static enum auth_tfa_verdict answer_step(int delta)
{
    struct totp t = secret();
    char text[5 + TOTP_CODE_CAP] = "totp:";

    totp_code(&t, (uint64_t)(clock_wall_s() / 30 + delta), text + 5);
    return answer(text);
}

static enum auth_tfa_verdict answer_recovery(unsigned i)
{
    char text[64];

    snprintf(text, sizeof(text), "recovery:%s", codes[i]);
    return answer(text);
}

static void test_record(void **arg)
{
    const struct auth_tfa *t = stored();

    assert_false(t->is_damaged);
    assert_int_equal(t->n_totp, 1);
    assert_string_equal(t->totp[0].id, "one");
    assert_string_equal(t->totp[0].description, "my phone");
    assert_int_equal(t->totp[0].created, 5);
    assert_int_equal(t->totp[0].last_step, TOTP_NO_STEP);
    assert_int_equal(t->totp[0].totp.secret_n, 20);
    assert_true(t->recovery.is_there && t->recovery.is_enabled);
    assert_true(auth_tfa_is_needed(auth, "ada@pve"));
    assert_false(auth_tfa_is_needed(auth, "bob@pve"));
    struct auth_tfa changed = *t;
    changed.totp[0].last_step = 77;
    changed.totp_failures = 3;
    changed.failures = 9;
    changed.is_totp_locked = true;
    changed.locked_until = 1234;
    changed.recovery.is_used[4] = true;
    store(&changed);
    t = stored();
    assert_int_equal(t->totp[0].last_step, 77);
    assert_int_equal(t->totp_failures, 3);
    assert_int_equal(t->failures, 9);
    assert_true(t->is_totp_locked && t->recovery.is_used[4] && !t->recovery.is_used[3]);
    assert_int_equal(t->locked_until, 1234);
    changed = *t;
    changed.n_totp = 0;
    changed.recovery.is_there = false;
    store(&changed);
    assert_null(stored());
}

static void test_disabled(void **arg)
{
    struct auth_tfa t = *stored();

    t.totp[0].is_enabled = false;
    store(&t);
    assert_int_equal(answer_step(0), AUTH_TFA_WRONG);
    assert_true(auth_tfa_is_needed(auth, "ada@pve"));
    t = *stored();
    t.recovery.is_enabled = false;
    store(&t);
    assert_int_equal(answer_recovery(0), AUTH_TFA_WRONG);
    assert_false(auth_tfa_is_needed(auth, "ada@pve"));
}

static void test_totp_once(void **arg)
{
    assert_int_equal(answer_step(0), AUTH_TFA_RIGHT);
    assert_int_equal(answer_step(0), AUTH_TFA_WRONG);
    assert_int_equal(answer_step(-1), AUTH_TFA_WRONG); /* earlier than the last used one */
    assert_int_equal(answer_step(1), AUTH_TFA_RIGHT);
    advance(30);
    assert_int_equal(answer_step(0), AUTH_TFA_WRONG);
    advance(30);
    assert_int_equal(answer_step(0), AUTH_TFA_RIGHT);
    assert_int_equal(answer_step(2), AUTH_TFA_WRONG);
    assert_int_equal(answer_step(-2), AUTH_TFA_WRONG);
}

static void test_recovery_once(void **arg)
{
    char upper[64];

    for (unsigned i = 0; i < AUTH_RECOVERY_CODES; i++) {
        assert_int_equal(strlen(codes[i]), AUTH_RECOVERY_CAP - 1);
        assert_int_equal(answer_recovery(i), AUTH_TFA_RIGHT);
        assert_int_equal(answer_recovery(i), AUTH_TFA_WRONG);
    }
    assert_true(auth_tfa_is_needed(auth, "ada@pve")); /* no code is left: nobody gets in, rather than everybody */
    struct auth_tfa t = *stored();
    auth_recovery_make(&t.recovery, codes);
    store(&t);
    snprintf(upper, sizeof(upper), "recovery:%s", codes[0]);
    for (char *p = upper + 9; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'f' ? *p - 32 : *p);
    assert_int_equal(answer(upper), AUTH_TFA_RIGHT);
    for (const char *const *bad = (const char *[]){"recovery:", "recovery:0000-0000-0000-0000", "recovery:-", NULL};
         *bad; bad++)
        assert_int_equal(answer(*bad), AUTH_TFA_WRONG);
}

static void test_unknown_answers(void **arg)
{
    for (const char *const *bad = (const char *[]){"", "123456", "yubico:x", "webauthn:{}", "u2f:{}", "TOTP:1", NULL};
         *bad; bad++)
        assert_int_equal(answer(*bad), AUTH_TFA_REFUSED);
}

static void test_totp_lock(void **arg)
{
    for (unsigned i = 0; i < AUTH_TOTP_FAILURES - 1; i++)
        assert_int_equal(answer("totp:x"), AUTH_TFA_WRONG);
    assert_int_equal(answer_step(0), AUTH_TFA_RIGHT); /* a right one forgives the wrong ones before it */
    for (unsigned i = 0; i < AUTH_TOTP_FAILURES; i++) {
        assert_false(stored()->is_totp_locked);
        assert_int_equal(answer("totp:x"), AUTH_TFA_WRONG);
    }
    assert_true(stored()->is_totp_locked);
    assert_int_equal(answer_step(1), AUTH_TFA_REFUSED);
    assert_int_equal(answer_recovery(3), AUTH_TFA_RIGHT);
    assert_false(stored()->is_totp_locked);
    assert_int_equal(answer_step(1), AUTH_TFA_RIGHT);
}

static void test_lock_for_an_hour(void **arg)
{
    for (unsigned i = 0; i < AUTH_TFA_FAILURES; i++) {
        assert_false(auth_tfa_is_locked(stored()));
        assert_int_equal(answer("recovery:x"), AUTH_TFA_WRONG);
    }
    assert_true(auth_tfa_is_locked(stored()));
    assert_int_equal(answer_recovery(0), AUTH_TFA_REFUSED);
    assert_int_equal(answer_step(0), AUTH_TFA_REFUSED);
    advance(AUTH_TFA_LOCK_S - 1);
    assert_int_equal(answer_recovery(0), AUTH_TFA_REFUSED);
    advance(2);
    assert_int_equal(answer_recovery(0), AUTH_TFA_RIGHT);
    assert_int_equal(stored()->locked_until, 0);
}

static void test_damage(void **arg)
{
    static const char *const bad[] = {
        "",
        "x",
        "{\"format\":2,\"entries\":[]}",
        "{\"format\":1}",
        "{\"format\":1,\"entries\":[1]}",
        "{\"format\":1,\"entries\":[{\"type\":\"webauthn\",\"id\":\"x\"}]}",
        "{\"format\":1,\"entries\":[{\"type\":\"totp\",\"id\":\"x\",\"secret\":\"AAAA\",\"algorithm\":\"SHA1\"}]}",
        "{\"format\":1,\"entries\":[{\"type\":\"recovery\",\"id\":\"recovery\",\"salt\":\"00\",\"codes\":[]}]}",
        "{\"format\":1,\"entries\":[],\"failures\":-1}",
        "{\"format\":1,\"entries\":[],\"totp-locked\":\"no\"}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fake_feed(KEY, bad[i]);
        assert_non_null(stored());
        assert_true(stored()->is_damaged);
        assert_true(auth_tfa_is_needed(auth, "ada@pve"));
        assert_int_equal(answer_step(0), AUTH_TFA_REFUSED);
        assert_int_equal(answer_recovery(0), AUTH_TFA_REFUSED);
    }
    fake_feed(KEY, NULL);
    assert_null(stored());
    assert_false(auth_tfa_is_needed(auth, "ada@pve"));
}

static void test_forgotten_with_the_user(void **arg)
{
    struct state_txn *t = state_txn_new();

    assert_int_equal(auth_txn_forget(auth, t, AUTH_USER, "ada@pve", 100), 1);
    fake_commit(t);
    assert_null(stored());
}

static int verify(const char *challenge, const char *user)
{
    struct err e = ERR_INIT;

    return auth_challenge_verify(auth, challenge, user, &e);
}

static void test_challenge(void **arg)
{
    struct err e = ERR_INIT;
    struct auth_subject s;
    char text[AUTH_CHALLENGE_CAP];

    assert_int_equal(auth_challenge_make(auth, "bob@pve", text, &e), -ENOENT);
    assert_int_equal(auth_challenge_make(auth, "ada@pve", text, &e), 0);
    assert_true(str_starts(text, "PVE:!tfa!%7B%22totp%22%3Atrue%2C%22recovery%22%3A%5B0%2C1%2C"));
    assert_int_equal(verify(text, "ada@pve"), 0);
    assert_int_equal(verify(text, "bob@pve"), -EACCES);
    assert_int_equal(verify(text, "ada@pv"), -EACCES);
    assert_int_equal(auth_ticket_verify(auth, text, &s, &e), -EACCES);
    assert_int_equal(auth_csrf_verify(auth, text, &(struct auth_subject){.user = "ada@pve"}, &e), -EACCES);
    advance(AUTH_CHALLENGE_LIFE_S);
    assert_int_equal(verify(text, "ada@pve"), 0);
    advance(1);
    assert_int_equal(verify(text, "ada@pve"), -EACCES);
    advance(-AUTH_CHALLENGE_LIFE_S - 10);
    assert_int_equal(verify(text, "ada@pve"), -EACCES); /* from the future */
}

static void test_challenge_bits(void **arg)
{
    struct err e = ERR_INIT;
    char good[AUTH_CHALLENGE_CAP], bad[AUTH_CHALLENGE_CAP + 1];

    assert_int_equal(auth_challenge_make(auth, "ada@pve", good, &e), 0);
    size_t n = strlen(good);
    for (size_t i = 0; i < n; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bad, good, n + 1);
            bad[i] = (char)(bad[i] ^ 1 << bit);
            assert_int_equal(verify(bad, "ada@pve"), -EACCES);
        }
        memcpy(bad, good, i);
        bad[i] = 0;
        assert_int_equal(verify(bad, "ada@pve"), -EACCES);
    }
    snprintf(bad, sizeof(bad), "%sx", good);
    assert_int_equal(verify(bad, "ada@pve"), -EACCES);
    memset(bad, 'a', sizeof(bad) - 1);
    memcpy(bad, "PVE:!tfa!", 9);
    bad[sizeof(bad) - 1] = 0;
    assert_int_equal(verify(bad, "ada@pve"), -EACCES);
}

/* Another password, another proof; a ticket of either kind is not the other. */
static void test_challenge_and_password(void **arg)
{
    struct err e = ERR_INIT;
    char text[AUTH_CHALLENGE_CAP], ticket[256];

    assert_int_equal(auth_challenge_make(auth, "ada@pve", text, &e), 0);
    fake_feed("shared/secret/password/ada@pve", "{\"format\":1,\"hash\":\"x\"}");
    assert_int_equal(verify(text, "ada@pve"), -EACCES);
    assert_int_equal(auth_ticket_make(auth, "ada@pve", ticket, sizeof(ticket), &e), 0);
    assert_int_equal(verify(ticket, "ada@pve"), -EACCES);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_record),           TEST(test_disabled),        TEST(test_totp_once),
        TEST(test_recovery_once),    TEST(test_unknown_answers), TEST(test_totp_lock),
        TEST(test_lock_for_an_hour), TEST(test_damage),          TEST(test_forgotten_with_the_user),
        TEST(test_challenge),        TEST(test_challenge_bits),  TEST(test_challenge_and_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
