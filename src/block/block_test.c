/* Requests are parsed strictly and the graph says every node; the program as a whole: tests/system/test_block.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "block/block.h"

static int parse(const char *verb, const char *const *args, size_t n_fds, struct block_request *ret, struct err *e)
{
    autobuf struct buf b;

    buf_init(&b, FRAME_PAYLOAD_MAX);
    if (verb)
        field_str(&b, FIELD_VERB, verb);
    for (; *args; args++)
        field_str(&b, FIELD_ARG, *args);
    return block_request_parse(b.data, b.len, n_fds, ret, e);
}

static void test_requests(void **state)
{
    const struct {
        const char *verb, *args[5];
        size_t n_fds;
        int expected;
    } rows[] = {
        {"copy", {"raw", "0", "raw"}, 2, 0},
        {"copy", {"qcow2,qcow2,raw", "1000", "qcow2"}, 4, 0},
        {"import", {"qcow2", "0", "raw"}, 2, 0},
        {"import", {"raw", "9", "qcow2"}, 2, 0},
        {"import", {"qcow2,qcow2", "0", "raw"}, 3, -EPROTO},
        {"import", {"qcow2", "0"}, 1, -EPROTO},
        {"commit", {"qcow2,qcow2", "0"}, 2, 0},
        {"commit", {"qcow2,raw", "0"}, 2, 0},
        {"commit", {"qcow2,qcow2", "5"}, 2, -EPROTO},
        {"commit", {"raw,qcow2", "0"}, 2, -EPROTO},
        {"commit", {"qcow2", "0"}, 1, -EPROTO},
        {"commit", {"qcow2,qcow2", "0", "raw"}, 2, -EPROTO},
        {"copy", {"raw", "0"}, 2, -EPROTO},
        {"copy", {"raw", "0", "raw"}, 1, -EPROTO},
        {"copy", {"raw", "0", "raw"}, 3, -EPROTO},
        {"copy", {"raw", "0", "vmdk"}, 2, -EPROTO},
        {"copy", {"raw,", "0", "raw"}, 2, -EPROTO},
        {"copy", {",raw", "0", "raw"}, 3, -EPROTO},
        {"copy", {"", "0", "raw"}, 1, -EPROTO},
        {"copy", {"raw", "-1", "raw"}, 2, -EPROTO},
        {"copy", {"raw", "", "raw"}, 2, -EPROTO},
        {"copy", {"raw", "9223372036854775808", "raw"}, 2, -EPROTO},
        {"copy", {"raw", "0", "raw", "raw"}, 2, -EPROTO},
        {"resize", {"raw", "0", "raw"}, 2, -ENOSYS},
        {NULL, {"raw", "0", "raw"}, 2, -EPROTO},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        struct block_request q;
        int r = parse(rows[i].verb, rows[i].args, rows[i].n_fds, &q, &e);
        if (r != rows[i].expected)
            fail_msg("row %zu: %d %s", i, r, e.text);
    }
}

static void test_most_images(void **state)
{
    static char text[(BLOCK_IMAGES_MAX + 1) * 6];
    const char *args[] = {text, "0", "raw", NULL};
    struct err e = ERR_INIT;
    struct block_request q;

    for (size_t i = 0; i < BLOCK_IMAGES_MAX + 1; i++)
        memcpy(text + 6 * i, "qcow2,", 6);
    text[BLOCK_IMAGES_MAX * 6 - 1] = 0;
    assert_int_equal(parse("copy", args, BLOCK_FDS_MAX, &q, &e), 0);
    assert_int_equal(q.n, BLOCK_IMAGES_MAX);
    assert_false(q.is_qcow2[q.n]);
    text[BLOCK_IMAGES_MAX * 6 - 1] = ',';
    text[(BLOCK_IMAGES_MAX + 1) * 6 - 1] = 0;
    assert_int_equal(parse("copy", args, BLOCK_FDS_MAX + 1, &q, &e), -EPROTO);
}

static void expect_image(const struct block_work *w, size_t i, const char *expected)
{
    autobuf struct buf b;

    buf_init(&b, 8192);
    graph_image(&b, w, i);
    assert_string_equal(buf_str(&b), expected);
}

static void expect_job(const struct block_request *q, const char *command, const char *expected)
{
    autobuf struct buf b;

    buf_init(&b, 8192);
    graph_job(&b, q);
    assert_string_equal(buf_str(&b), expected);
    assert_string_equal(graph_job_command(q), command);
}

#define FILE_NODE(number, discard, ro)                                                                                 \
    "\"file\":{\"driver\":\"file\",\"node-name\":\"file" number "\",\"filename\":\"/dev/fdset/" number                 \
    "\",\"locking\":\"off\",\"discard\":\"" discard "\",\"read-only\":" ro ",\"auto-read-only\":false}}"

static void test_copy_graph(void **state)
{
    struct block_work w = {.q = {.n = 2, .is_qcow2 = {true, true, false}, .bwlimit = 7}};

    expect_image(
        &w, 0,
        "{\"driver\":\"qcow2\",\"node-name\":\"image0\",\"read-only\":true,\"discard\":\"ignore\",\"detect-"
        "zeroes\":\"off\",\"backing\":\"image1\",\"l2-cache-size\":33554432," FILE_NODE("0", "ignore", "true"));
    expect_image(
        &w, 1,
        "{\"driver\":\"qcow2\",\"node-name\":\"image1\",\"read-only\":true,\"discard\":\"ignore\",\"detect-"
        "zeroes\":\"off\",\"backing\":\"target\",\"l2-cache-size\":33554432," FILE_NODE("1", "ignore", "true"));
    expect_image(&w, 2,
                 "{\"driver\":\"raw\",\"node-name\":\"target\",\"read-only\":false,\"discard\":\"unmap\",\"detect-"
                 "zeroes\":\"unmap\"," FILE_NODE("2", "unmap", "false"));
    expect_job(&w.q, "block-commit", "{\"job-id\":\"job\",\"device\":\"image0\",\"base-node\":\"target\",\"speed\":7}");
    /* what is preallocated stays so */
    w.is_target_reserved = true;
    expect_image(&w, 2,
                 "{\"driver\":\"raw\",\"node-name\":\"target\",\"read-only\":false,\"discard\":\"ignore\",\"detect-"
                 "zeroes\":\"off\"," FILE_NODE("2", "ignore", "false"));
    /* nothing can be put below a raw image */
    w.q = (struct block_request){.n = 2, .is_qcow2 = {true, false, true}};
    expect_job(&w.q, "blockdev-mirror",
               "{\"job-id\":\"job\",\"device\":\"image0\",\"target\":\"target\",\"sync\":\"full\",\"buf-size\":"
               "16777216}");
    autobuf struct buf b;
    buf_init(&b, 8192);
    graph_image(&b, &w, 1);
    assert_null(strstr(buf_str(&b), "backing"));
    graph_image(&b, &w, 2);
    assert_non_null(strstr(buf_str(&b), "\"backing\":null"));
}

static void test_commit_graph(void **state)
{
    struct block_work w = {.q = {.n = 2, .is_commit = true, .is_qcow2 = {true, true}}};

    expect_image(&w, 1,
                 "{\"driver\":\"qcow2\",\"node-name\":\"image1\",\"read-only\":false,\"discard\":\"unmap\",\"detect-"
                 "zeroes\":\"off\",\"backing\":null,\"l2-cache-size\":33554432," FILE_NODE("1", "unmap", "false"));
    expect_job(&w.q, "block-commit", "{\"job-id\":\"job\",\"device\":\"image0\",\"base-node\":\"image1\"}");
}

static void test_failures(void **state)
{
    const struct {
        const char *text, *code;
    } rows[] = {{"No space left on device", "storage.full"},
                {"Disk quota exceeded", "storage.full"},
                {"Failed to get shared \"write\" lock", "image.locked"},
                {"whatever it says %s%n", "block.failed"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        assert_true(qemu_failure(rows[i].text, &e) < 0);
        assert_string_equal(e.code, rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),     cmocka_unit_test(test_most_images), cmocka_unit_test(test_copy_graph),
        cmocka_unit_test(test_commit_graph), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
