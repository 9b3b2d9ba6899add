/* Tickets and tokens as real clients send them. */
#include "front/credentials.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T "PVE:root@pam:6B010000::c2ln+/=="

static const struct {
    const char *headers, *ticket, *token; /* ticket NULL: refused */
} cases[] = {
    {"", "", ""},
    {"Cookie: PVEAuthCookie=" T "\r\n", T, ""},
    {"Cookie: PVEAuthCookie=PVE%3Aroot%40pam%3A6B010000%3A%3Ac2ln%2B%2F%3D%3D\r\n", T, ""},
    {"Cookie: PVEAuthCookie=" T "; version=0; path=/; domain=h; secure\r\n", T, ""},
    {"Cookie: a=b; PVEAuthCookie=" T "; c=d\r\n", T, ""},
    {"Cookie: PVEAuthCookie=other; __Host-HolmAuthCookie=" T "\r\n", T, ""},
    {"Cookie: PVEAuthCookie=other\r\nCookie: __Host-HolmAuthCookie=" T "\r\n", T, ""},
    {"Cookie: __Host-HolmAuthCookie=" T "\r\nAuthorization: PVEAuthCookie=other\r\n", T, ""},
    {"Cookie: __Host-HolmAuthCookie=\r\n", "", ""},
    {"Cookie: X__Host-HolmAuthCookie=" T "; Host-HolmAuthCookie=" T "\r\n", "", ""},
    {"Cookie: a=b;PVEAuthCookie=" T "\r\n", T, ""},
    {"Cookie: a=b\r\nCookie: PVEAuthCookie=" T "\r\n", T, ""},
    {"Cookie: PVEAuthCookie=\"" T "\"\r\n", T, ""},
    {"Cookie: XPVEAuthCookie=no; PVEAuthCookieX=no\r\n", "", ""},
    {"Cookie: PVEAuthCookie=\r\nAuthorization: PVEAuthCookie=" T "\r\n", T, ""},
    {"Authorization: PVEAuthCookie=" T "\r\n", T, ""},
    {"Authorization: PVEAuthCookie " T "\r\n", T, ""},
    {"Authorization: PVEAPIToken=root@pam!t=12345678-1234\r\n", "", "root@pam!t=12345678-1234"},
    {"Authorization: PVEAPIToken root@pam!t=1\r\n", "", "root@pam!t=1"},
    {"Authorization: PVEAPIToken=root@pam%21t=1; x\r\n", "", "root@pam!t=1"},
    {"Authorization: Basic cm9vdDpwYXNz\r\n", "", ""},
    {"Cookie: PVEAPIToken=root@pam!t=1\r\n", "", ""},
    {"Cookie: PVEAuthCookie=" T "\r\nAuthorization: PVEAPIToken=a@b!c=d\r\n", T, "a@b!c=d"},
    {"Cookie: PVEAuthCookie=100%\r\n", "100%", ""},
    {"Cookie: PVEAuthCookie=a%00b\r\n", NULL, NULL},
    {"Cookie: PVEAuthCookie=a%0d%0ab\r\n", NULL, NULL},
    {"Cookie: PVEAuthCookie=a%ff\r\n", NULL, NULL},
    {"Authorization: PVEAPIToken=a\tb\r\n", NULL, NULL},
};

static void check(const char *headers, int *ret_r, struct credentials *c)
{
    struct http1_head h;
    struct err e = ERR_INIT;
    char text[8000];
    size_t used;

    http1_head_init(&h);
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
    assert_int_equal(http1_head_feed(&h, text, strlen(text), &used, &e), 1);
    *ret_r = credentials_read(&h, c, &e);
    http1_head_done(&h);
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct credentials c;
        int r;
        check(cases[i].headers, &r, &c);
        if ((r == 0) != (cases[i].ticket != NULL))
            fail_msg("case %zu: %d", i, r);
        if (r == 0) {
            assert_string_equal(buf_str(&c.ticket), cases[i].ticket);
            assert_string_equal(buf_str(&c.token), cases[i].token);
        }
        credentials_done(&c);
    }
}

static void test_too_long(void **state)
{
    struct credentials c;
    char header[6000] = "Cookie: PVEAuthCookie=";
    int r;

    memset(header + 22, 'x', 5000);
    memcpy(header + 5022, "\r\n", 3);
    check(header, &r, &c);
    assert_int_equal(r, -EINVAL);
    credentials_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_too_long)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
