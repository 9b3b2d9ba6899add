/* One-time passwords against the vectors of RFC 4226 and RFC 6238, HMAC-SHA-1 against RFC 2202, the window and the
 * memory of used steps, and otpauth URIs, good and broken. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/sha1.h"
#include "auth/totp.h"
#include "base/base32.h"

#define SECRET "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" /* 12345678901234567890 */

static struct totp make(enum totp_algorithm algorithm, unsigned digits)
{
    static const size_t lengths[] = {20, 32, 64};
    struct totp t = {.algorithm = algorithm, .digits = digits, .period_s = 30, .secret_n = lengths[algorithm]};

    for (size_t i = 0; i < t.secret_n; i++)
        t.secret[i] = (unsigned char)('0' + (i + 1) % 10);
    return t;
}

static void hex_is(const unsigned char *bytes, size_t n, const char *expected)
{
    char hex[2 * 64 + 1];

    sodium_bin2hex(hex, sizeof(hex), bytes, n);
    assert_string_equal(hex, expected);
}

static void test_sha1(void **arg)
{
    unsigned char out[SHA1_BYTES], key[80];
    char text[1001];

    sha1((const unsigned char *)"", 0, out);
    hex_is(out, sizeof(out), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    sha1((const unsigned char *)"abc", 3, out);
    hex_is(out, sizeof(out), "a9993e364706816aba3e25717850c26c9cd0d89d");
    memset(text, 'a', 1000);
    sha1((const unsigned char *)text, 1000, out);
    hex_is(out, sizeof(out), "291e9a6c66994949b57ba5e650361e98fc36b1ba");
    sha1((const unsigned char *)text, 55, out); /* the length fits into the last block, and one byte later not */
    hex_is(out, sizeof(out), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    sha1((const unsigned char *)text, 56, out);
    hex_is(out, sizeof(out), "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    sha1((const unsigned char *)text, 64, out);
    hex_is(out, sizeof(out), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    /* RFC 2202, 3: cases 1, 2 and 6 */
    memset(key, 0x0b, 20);
    sha1_hmac(key, 20, (const unsigned char *)"Hi There", 8, out);
    hex_is(out, sizeof(out), "b617318655057264e28bc0b6fb378c8ef146be00");
    sha1_hmac((const unsigned char *)"Jefe", 4, (const unsigned char *)"what do ya want for nothing?", 28, out);
    hex_is(out, sizeof(out), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    memset(key, 0xaa, 80);
    sha1_hmac(key, 80, (const unsigned char *)"Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
    hex_is(out, sizeof(out), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

/* RFC 4226, appendix D */
static void test_hotp(void **arg)
{
    static const char *const codes[] = {"755224", "287082", "359152", "969429", "338314",
                                        "254676", "287922", "162583", "399871", "520489"};
    struct totp t = make(TOTP_SHA1, 6);
    char code[TOTP_CODE_CAP];

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        totp_code(&t, i, code);
        assert_string_equal(code, codes[i]);
    }
}

/* RFC 6238, appendix B */
static void test_totp(void **arg)
{
    static const struct {
        int64_t time;
        const char *codes[3];
    } rows[] = {
        {59, {"94287082", "46119246", "90693936"}},         {1111111109, {"07081804", "68084774", "25091201"}},
        {1111111111, {"14050471", "67062674", "99943326"}}, {1234567890, {"89005924", "91819424", "93441116"}},
        {2000000000, {"69279037", "90698825", "38618901"}}, {20000000000, {"65353130", "77737706", "47863826"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (unsigned k = 0; k < 3; k++) {
            struct totp t = make((enum totp_algorithm)k, 8);
            char code[TOTP_CODE_CAP];
            int64_t step = 0;
            assert_true(totp_is_valid(&t));
            totp_code(&t, (uint64_t)rows[i].time / 30, code);
            assert_string_equal(code, rows[i].codes[k]);
            assert_true(totp_match(&t, code, rows[i].time, TOTP_NO_STEP, &step));
            assert_int_equal(step, rows[i].time / 30);
            code[7] = code[7] == '0' ? '1' : '0';
            assert_false(totp_match(&t, code, rows[i].time, TOTP_NO_STEP, &step));
        }
    }
}

static void test_window(void **arg)
{
    struct totp t = make(TOTP_SHA1, 6);
    char code[TOTP_CODE_CAP];
    int64_t step = 77;

    totp_code(&t, 1000, code);
    for (int64_t at = 997; at <= 1003; at++) {
        bool is_near = at >= 999 && at <= 1001;
        assert_int_equal(totp_match(&t, code, at * 30, TOTP_NO_STEP, &step), is_near);
        assert_int_equal(totp_match(&t, code, at * 30 + 29, TOTP_NO_STEP, &step), is_near);
    }
    assert_int_equal(step, 1000);
    assert_true(totp_match(&t, code, 1000 * 30, 999, &step));
    assert_false(totp_match(&t, code, 1000 * 30, 1000, &step)); /* used */
    assert_false(totp_match(&t, code, 1000 * 30, 1001, &step)); /* a later one was used */
    totp_code(&t, 0, code);
    assert_true(totp_match(&t, code, 10, TOTP_NO_STEP, &step));
    assert_false(totp_match(&t, code, -10, TOTP_NO_STEP, &step));
}

static void test_code_form(void **arg)
{
    struct totp t = make(TOTP_SHA1, 6);
    int64_t step;

    for (const char *const *bad = (const char *[]){"", "75522", "7552244", " 55224", "+55224", "755224 ", NULL}; *bad;
         bad++)
        assert_false(totp_match(&t, *bad, 5, TOTP_NO_STEP, &step));
}

static void test_uri(void **arg)
{
    struct err e = ERR_INIT;
    struct totp t, expected = make(TOTP_SHA1, 6);

    assert_int_equal(totp_parse_uri("otpauth://totp/Holm:ada%40pve?secret=" SECRET, &t, &e), 0);
    assert_int_equal(t.digits, 6);
    assert_int_equal(t.period_s, 30);
    assert_int_equal(t.algorithm, TOTP_SHA1);
    assert_int_equal(t.secret_n, expected.secret_n);
    assert_memory_equal(t.secret, expected.secret, t.secret_n);
    assert_int_equal(
        totp_parse_uri("otpauth://totp/a?period=60&algorithm=SHA512&digits=8&issuer=Holm%20at%20home&secret="
                       "gezdgnbvgy3tqojqgezdgnbvgy%3D%3D%3D%3D%3D%3D",
                       &t, &e),
        0);
    assert_int_equal(t.digits, 8);
    assert_int_equal(t.period_s, 60);
    assert_int_equal(t.algorithm, TOTP_SHA512);
    assert_int_equal(t.secret_n, 16);
}

static void test_uri_refused(void **arg)
{
    static const char *const bad[] = {
        "",
        "otpauth://totp/",
        "otpauth://totp/a",
        "otpauth://totp/a?",
        "otpauth://totp/?secret=" SECRET,
        "otpauth://hotp/a?secret=" SECRET "&counter=1",
        "OTPAUTH://totp/a?secret=" SECRET,
        "otpauth://totp/a?secret=",
        "otpauth://totp/a?secret",
        "otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ",           /* ten bytes */
        "otpauth://totp/a?secret=GEZDGNBVGY3TQOJQGEZDGNB",    /* no such length */
        "otpauth://totp/a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGZ", /* bits that are no byte's */
        "otpauth://totp/a?secret=1EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "otpauth://totp/a?secret=" SECRET SECRET SECRET SECRET,
        "otpauth://totp/a?secret=" SECRET "=",
        "otpauth://totp/a?secret=" SECRET "&secret=" SECRET,
        "otpauth://totp/a?secret=" SECRET "&digits=5",
        "otpauth://totp/a?secret=" SECRET "&digits=9",
        "otpauth://totp/a?secret=" SECRET "&digits=06",
        "otpauth://totp/a?secret=" SECRET "&digits=-6",
        "otpauth://totp/a?secret=" SECRET "&digits=4294967302",
        "otpauth://totp/a?secret=" SECRET "&digits=",
        "otpauth://totp/a?secret=" SECRET "&period=9",
        "otpauth://totp/a?secret=" SECRET "&period=121",
        "otpauth://totp/a?secret=" SECRET "&period=0",
        "otpauth://totp/a?secret=" SECRET "&algorithm=MD5",
        "otpauth://totp/a?secret=" SECRET "&algorithm=sha1",
        "otpauth://totp/a?secret=" SECRET "&counter=1",
        "otpauth://totp/a?secret=" SECRET "&",
        "otpauth://totp/a?&secret=" SECRET,
        "otpauth://totp/a?secret=" SECRET "#x",
        "otpauth://totp/a?secret=" SECRET "&issuer=%",
        "otpauth://totp/a?secret=" SECRET "&issuer=%4",
        "otpauth://totp/a?secret=" SECRET "&issuer=%zz",
        "otpauth://totp/a?secret=" SECRET "&issuer=%00",
        "otpauth://totp/a?secret=" SECRET "&issuer=a b",
        "otpauth://totp/a b?secret=" SECRET,
        "otpauth://totp/a\x80?secret=" SECRET,
    };
    char text[TOTP_URI_MAX + 64];
    struct totp t = {.digits = 77};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e = ERR_INIT;
        if (totp_parse_uri(bad[i], &t, &e) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_string_equal(e.code, "tfa.uri");
        assert_null(strstr(e.text, "GEZD"));
    }
    assert_int_equal(t.digits, 77); /* untouched */
    for (size_t label = 255; label <= 257; label++) {
        struct err e = ERR_INIT;
        snprintf(text, sizeof(text), "otpauth://totp/%0*d?secret=" SECRET, (int)label, 0);
        assert_int_equal(totp_parse_uri(text, &t, &e), label <= 256 ? 0 : -EINVAL);
    }
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "otpauth://totp/", 15);
    text[sizeof(text) - 1] = 0;
    struct err e = ERR_INIT;
    assert_int_equal(totp_parse_uri(text, &t, &e), -EINVAL);
}

/* RFC 4648, 10 */
static void test_base32(void **arg)
{
    static const char *const texts[] = {"", "MY", "MZXQ", "MZXW6", "MZXW6YQ", "MZXW6YTB", "MZXW6YTBOI"};
    unsigned char bytes[8];
    char text[BASE32_CHARS(8) + 1];
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        base32_encode((const unsigned char *)"foobar", i, text);
        assert_string_equal(text, texts[i]);
        assert_int_equal(strlen(text), BASE32_CHARS(i));
        assert_int_equal(base32_decode(text, strlen(text), bytes, sizeof(bytes), &n), 0);
        assert_int_equal(n, i);
        assert_memory_equal(bytes, "foobar", n);
    }
    assert_int_equal(base32_decode("MY======", 8, bytes, sizeof(bytes), &n), 0);
    for (const char *const *bad =
             (const char *[]){"M", "MY=====", "MY=======", "MZ", "=", "========", "M=ZXW6YT", "M0", NULL};
         *bad; bad++)
        if (base32_decode(*bad, strlen(*bad), bytes, sizeof(bytes), &n) != -EINVAL)
            fail_msg("accepted: %s", *bad);
    assert_int_equal(base32_decode("MZXW6YTBOI", 10, bytes, 5, &n), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha1),        cmocka_unit_test(test_hotp),      cmocka_unit_test(test_totp),
        cmocka_unit_test(test_window),      cmocka_unit_test(test_code_form), cmocka_unit_test(test_uri),
        cmocka_unit_test(test_uri_refused), cmocka_unit_test(test_base32),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
