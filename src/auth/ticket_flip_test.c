/* A million damaged proofs: each login ticket, CSRF token, API token and console ticket with every single and every
 * double bit flip, every cut, and random extensions, insertions and splices of two proofs. None may pass, and the
 * undamaged one must pass before and after. What single changes mean is in ticket_test.c. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/fake_state.h"

#define PROOF_CAP     256u
#define RANDOM_ROUNDS 150000u
#define TOTAL_MIN     1000000u

static struct auth *auth;
static const struct auth_subject ada = {.user = "ada@pve"};
static unsigned long total;
/* What a user may hold of somebody else's, to splice with. */
static char other[PROOF_CAP];

static int setup(void **arg)
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_new(NULL, &auth, &e), 0);
    fake_commit(auth_upkeep(auth));
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1}");
    fake_feed("shared/auth/user/bob@pve", "{\"format\":1}");
    return 0;
}

static int teardown(void **arg)
{
    auth_free(auth);
    return 0;
}

static int ticket(const char *text)
{
    struct auth_subject s;
    struct err e = ERR_INIT;

    return auth_ticket_verify(auth, text, &s, &e);
}

static int csrf(const char *text)
{
    struct err e = ERR_INIT;

    return auth_csrf_verify(auth, text, &ada, &e);
}

static int token(const char *text)
{
    struct auth_subject s;
    struct err e = ERR_INIT;

    return auth_token_verify(auth, text, &s, &e);
}

static int console(const char *text)
{
    struct err e = ERR_INIT;

    return auth_console_ticket_use(auth, text, &ada, "/vms/100", 5900, &e);
}

typedef int (*verify_fn)(const char *text);

static void must_fail(verify_fn verify, const char *bad, const char *good)
{
    total++;
    if (verify(bad) == 0)
        fail_msg("'%s' passes for '%s'", bad, good);
}

static void flip(char *text, size_t bit)
{
    text[bit / 8] = (char)(text[bit / 8] ^ (1 << (bit % 8)));
}

static void try_flips(verify_fn verify, const char *good)
{
    size_t bits = strlen(good) * 8;
    char bad[PROOF_CAP];

    memcpy(bad, good, strlen(good) + 1);
    for (size_t i = 0; i < bits; i++) {
        flip(bad, i);
        must_fail(verify, bad, good);
        for (size_t k = i + 1; k < bits; k++) {
            flip(bad, k);
            must_fail(verify, bad, good);
            flip(bad, k);
        }
        flip(bad, i);
    }
    assert_string_equal(bad, good);
}

/* Every prefix, every suffix, every text with a piece cut out of its middle. */
static void try_cuts(verify_fn verify, const char *good)
{
    size_t n = strlen(good);
    char bad[PROOF_CAP];

    for (size_t from = 0; from < n; from++)
        for (size_t to = from + 1; to <= n; to++) {
            memcpy(bad, good, from);
            memcpy(bad + from, good + to, n - to + 1);
            must_fail(verify, bad, good);
        }
}

/* Up to 40 random bytes, half of them such as proofs are made of, put in anywhere. */
static void try_insertion(verify_fn verify, const char *good)
{
    static const char usual[] = "0123456789ABCDEFabcdef+/=:!@-";
    size_t n = strlen(good), at = randombytes_uniform((uint32_t)n + 1), more = 1 + randombytes_uniform(40);
    char bad[PROOF_CAP + 64];

    memcpy(bad, good, at);
    for (size_t i = 0; i < more; i++)
        bad[at + i] = randombytes_uniform(2) ? usual[randombytes_uniform(sizeof(usual) - 1)]
                                             : (char)(1 + randombytes_uniform(255));
    memcpy(bad + at + more, good + at, n - at + 1);
    must_fail(verify, bad, good);
}

/* The head of one proof with the tail of another's. */
static void try_splice(verify_fn verify, const char *good)
{
    size_t n = strlen(good), m = strlen(other);
    size_t head = randombytes_uniform((uint32_t)n + 1), tail = randombytes_uniform((uint32_t)m + 1);
    char bad[2 * PROOF_CAP];

    memcpy(bad, good, head);
    memcpy(bad + head, other + tail, m - tail + 1);
    if (strcmp(bad, good) != 0 && strcmp(bad, other) != 0)
        must_fail(verify, bad, good);
}

static void try_all(verify_fn verify, const char *good)
{
    try_flips(verify, good);
    try_cuts(verify, good);
    for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
        if (i % 2)
            try_insertion(verify, good);
        else
            try_splice(verify, good);
    }
}

static void test_tickets(void **arg)
{
    char good[PROOF_CAP];
    struct err e = ERR_INIT;

    assert_int_equal(auth_ticket_make(auth, "ada@pve", good, sizeof(good), &e), 0);
    assert_int_equal(auth_ticket_make(auth, "bob@pve", other, sizeof(other), &e), 0);
    assert_int_equal(ticket(good), 0);
    try_all(ticket, good);
    assert_int_equal(ticket(good), 0);
}

static void test_csrf_tokens(void **arg)
{
    char good[PROOF_CAP];
    struct err e = ERR_INIT;

    assert_int_equal(auth_csrf_make(auth, "ada@pve", good, sizeof(good), &e), 0);
    assert_int_equal(auth_csrf_make(auth, "bob@pve", other, sizeof(other), &e), 0);
    assert_int_equal(csrf(good), 0);
    try_all(csrf, good);
    assert_int_equal(csrf(good), 0);
}

static void make_token(const char *id, char dst[PROOF_CAP])
{
    char key[128], secret[AUTH_TOKEN_SECRET_CAP];
    struct state_txn *t = state_txn_new();

    snprintf(key, sizeof(key), "shared/auth/token/%s", id);
    fake_feed(key, "{\"format\":1}");
    auth_txn_token_secret(t, id, secret);
    fake_commit(t);
    snprintf(dst, PROOF_CAP, "%s=%s", id, secret);
}

static void test_api_tokens(void **arg)
{
    char good[PROOF_CAP];

    make_token("ada@pve!ci", good);
    make_token("bob@pve!ci", other);
    assert_int_equal(token(good), 0);
    try_all(token, good);
    assert_int_equal(token(good), 0);
}

/* A console ticket passes once: the good one is tried last. */
static void test_console_tickets(void **arg)
{
    static const struct auth_subject bob = {.user = "bob@pve"};
    char good[PROOF_CAP];
    struct err e = ERR_INIT;

    assert_int_equal(auth_console_ticket_make(auth, &ada, "/vms/100", 5900, good, sizeof(good), &e), 0);
    assert_int_equal(auth_console_ticket_make(auth, &bob, "/vms/100", 5900, other, sizeof(other), &e), 0);
    try_all(console, good);
    assert_int_equal(auth_console_used_count(auth), 0);
    assert_int_equal(console(good), 0);
    assert_true(console(good) < 0);
}

static void test_there_were_enough(void **arg)
{
    print_message("%lu damaged proofs refused\n", total);
    assert_true(total >= TOTAL_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_csrf_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_api_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console_tickets, setup, teardown),
        cmocka_unit_test(test_there_were_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
