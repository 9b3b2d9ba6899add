/* base: strings, buffers, JSON, names, durable files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/capture.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"

static void test_numbers(void **state)
{
    uint64_t v = 7;

    assert_int_equal(str_to_u64("18446744073709551615", &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_to_u64("18446744073709551616", &v), -ERANGE);
    for (const char *const *bad = (const char *[]){"", "-1", "+1", " 1", "1 ", "0x1", NULL}; *bad; bad++)
        assert_int_equal(str_to_u64(*bad, &v), -EINVAL);
    assert_true(v == UINT64_MAX); /* untouched by failures */
}

static void test_buf_limit(void **state)
{
    struct buf b;

    buf_init(&b, 10);
    buf_append_str(&b, "12345");
    buf_printf(&b, "%s", "67890");
    assert_string_equal(buf_str(&b), "1234567890");
    assert_false(b.is_failed);
    buf_append_char(&b, 'x');
    assert_true(b.is_failed);
    buf_append_str(&b, "");
    assert_int_equal(b.len, 10);
    assert_null(buf_take(&b));
    buf_reset(&b);
    buf_append_str(&b, "abc");
    buf_consume(&b, 2);
    assert_string_equal(buf_str(&b), "c");
    buf_done(&b);
}

static void test_json_strings(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "\"plain\""},
        {"q\"b\\", "\"q\\\"b\\\\\""},
        {"\n\t\x01", "\"\\n\\t\\u0001\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"a\xc3", "\"a\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong NUL */
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf b;
        struct jw w;
        buf_init(&b, 1000);
        jw_init(&w, &b);
        jw_str(&w, cases[i].in);
        assert_string_equal(buf_str(&b), cases[i].out);
        buf_done(&b);
    }
}

static void test_json_structure(void **state)
{
    struct buf b;
    struct jw w;

    buf_init(&b, 1000);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_int(&w, "a", -5);
    jw_key(&w, "b");
    jw_array(&w);
    jw_u64(&w, UINT64_MAX);
    jw_num(&w, 0.1);
    jw_null(&w);
    jw_object(&w);
    jw_object_end(&w);
    jw_array_end(&w);
    jw_kv_str(&w, "c", "x");
    jw_object_end(&w);
    assert_string_equal(buf_str(&b), "{\"a\":-5,\"b\":[18446744073709551615,0.1,null,{}],\"c\":\"x\"}");
    assert_int_equal(json_depth(buf_str(&b), b.len), 3);
    assert_int_equal(json_depth("\"[[[\\\"[[\"", 10), 0);
    assert_int_equal(json_values("\"[[[\\\"[[\"", 10), 0);
    assert_int_equal(json_values("{\"a\":[1,2,{}],\"b,\":3}", 21), 6);
    buf_done(&b);
}

static void test_json_check(void **state)
{
    static const char *const good[] = {"1",       "-0.5e+3", "\"\\u00e4\\n\"",
                                       " [ ] ",   "{}",      "[1,{\"a\":[null,true]},\"\xc3\xa4\"]",
                                       "[[[[]]]]"},
                             *const bad[] = {"",           " ",     "1 2",    "01",         "[1,]",    "{\"a\"}",
                                             "{\"a\":1,}", "{1:2}", "\"\n\"", "\"\xff\"",   "\"\\x\"", "\"\\u12\"",
                                             "[}",         "[1}",   "]",      "{\"a\":1}}", "tru",     "+1",
                                             "1.",         ".5",    "\"open", "[[[[[]]]]]", "1,2",     "-"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!json_is_value(good[i], strlen(good[i]), 4))
            fail_msg("refused %s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (json_is_value(bad[i], strlen(bad[i]), 4))
            fail_msg("accepted %s", bad[i]);
}

static void test_names(void **state)
{
    struct err e = ERR_INIT;

    assert_int_equal(path_name_check("debian-12.iso", 100, &e), 0);
    for (const char *const *bad =
             (const char *[]){"", ".", "..", ".x", "-x", "a/b", "a\\b", "a b", "x.", "\xc3\xa9", "a\nb", NULL};
         *bad; bad++)
        assert_int_equal(path_name_check(*bad, 100, &e), -EINVAL);
    assert_int_equal(path_name_check("12345", 4, &e), -EINVAL);
}

static int temp_dir(char *path)
{
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_files(void **state)
{
    char path[] = "/tmp/holm-base-XXXXXX";
    int dir = temp_dir(path);
    struct err e = ERR_INIT;
    struct buf b;

    assert_int_equal(fs_replace_durable(dir, "f", "one", 3, 0640, &e), 0);
    assert_int_equal(fs_replace_durable(dir, "f", "two!", 4, 0600, &e), 0);
    buf_init(&b, 4);
    assert_int_equal(fs_read_file(dir, "f", &b, &e), 0);
    assert_string_equal(buf_str(&b), "two!");
    buf_done(&b);
    buf_init(&b, 3);
    assert_int_equal(fs_read_file(dir, "f", &b, &e), -EFBIG);
    buf_done(&b);
    char target[16] = "";
    assert_int_equal(fs_replace_link_durable(dir, "f", "old", &e), 0);
    assert_int_equal(fs_replace_link_durable(dir, "f", "new", &e), 0);
    assert_int_equal(readlinkat(dir, "f", target, sizeof(target)), 3);
    assert_string_equal(target, "new");
    assert_int_equal(fs_mkdirs(dir, "a/b/c", 0700, &e), 0);
    assert_int_equal(fs_replace_link_durable(dir, "a", "new", &e), -EISDIR);
    assert_int_equal(symlinkat("/etc", dir, "a/link"), 0);
    assert_true(path_open_beneath(dir, "a/link/passwd", O_RDONLY, 0, &e) < 0);
    assert_true(path_open_beneath(dir, "../etc/passwd", O_RDONLY, 0, &e) < 0);
    int fd = path_open_beneath(dir, "a/b/new", O_WRONLY | O_CREAT, 0600, &e);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fs_remove_tree(dir, "a", &e), 0);
    assert_int_equal(fs_remove_tree(dir, "a", &e), 0);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    close(dir);
    assert_int_equal(fs_remove_tree(AT_FDCWD, path, &e), 0);
}

static void test_arena_cap(void **state)
{
    struct arena a;

    arena_init(&a, 10000);
    assert_non_null(arena_alloc(&a, 9000));
    assert_null(arena_alloc(&a, 1001));
    char *s = arena_printf(&a, "%d-%s", 5, "x");
    assert_string_equal(s, "5-x");
    arena_done(&a);
}

static void test_processes(void **state)
{
    uint64_t ticks = 0;

    assert_int_equal(proc_start_time(getpid(), &ticks), 0);
    int fd = proc_open_checked(getpid(), ticks);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(proc_open_checked(getpid(), ticks + 1), -ESRCH);
}

static void test_spawn_failure(void **state)
{
    const char *argv[] = {"x", NULL};
    struct proc_spawn s = {.path = "/tmp", .argv = argv};
    struct err e = ERR_INIT;
    pid_t pid;

    assert_int_equal(proc_spawn_start(&s, &pid, NULL, &e), -EACCES);
    s.path = "/nowhere/x";
    assert_int_equal(proc_spawn_start(&s, &pid, NULL, &e), -ENOENT);
}

static bool take_piece(void *arg, const char *data, size_t n)
{
    struct buf *b = arg;

    buf_append(b, data, n);
    return b->len < 100000; /* enough is enough */
}

static int capture(struct buf *b, uint32_t timeout_ms, uint64_t max_bytes, const char *input, const char *const *argv)
{
    struct capture c = {.path = argv[0],
                        .argv = argv,
                        .input = input,
                        .timeout_ms = timeout_ms,
                        .max_bytes = max_bytes,
                        .take = take_piece,
                        .arg = b};
    struct err e = ERR_INIT;

    buf_reset(b);
    return capture_run(&c, &e);
}

static void test_capture(void **state)
{
    struct buf b;

    buf_init(&b, 1u << 20);
    assert_int_equal(capture(&b, 10000, 1000, "in\nand out", (const char *[]){"/bin/cat", NULL}), 0);
    assert_string_equal(buf_str(&b), "in\nand out");
    assert_int_equal(capture(&b, 10000, 1000, NULL, (const char *[]){"/bin/cat", NULL}), 0); /* nothing to read */
    assert_int_equal(b.len, 0);
    assert_int_equal(capture(&b, 10000, 1000, NULL, (const char *[]){"/bin/ls", "/nonexistent", NULL}), 0);
    assert_int_equal(b.len, 0); /* its complaint is not output */
    assert_int_equal(capture(&b, 50, 1000, NULL, (const char *[]){"/bin/sleep", "1000", NULL}), -ETIMEDOUT);
    assert_int_equal(capture(&b, 10000, 50000, NULL, (const char *[]){"/bin/cat", "/dev/zero", NULL}), -EFBIG);
    assert_int_equal(capture(&b, 10000, 1u << 20, NULL, (const char *[]){"/bin/cat", "/dev/zero", NULL}), 0);
    assert_true(b.len >= 100000 && b.len < 200000); /* ended by us */
    assert_true(capture(&b, 1000, 1000, NULL, (const char *[]){"/bin/not-there", NULL}) < 0);
    buf_done(&b);
}

static int capture_status(struct buf *b, uint32_t timeout_ms, const char *script, int *ret_status)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct capture c = {.path = argv[0],
                        .argv = argv,
                        .timeout_ms = timeout_ms,
                        .max_bytes = 1000,
                        .take = take_piece,
                        .arg = b,
                        .has_errors = true,
                        .ret_status = ret_status};
    struct err e = ERR_INIT;

    buf_reset(b);
    return capture_run(&c, &e);
}

/* How it ends is waited for, also after it has closed its output. */
static void test_capture_status(void **state)
{
    int status = -5;
    struct buf b;

    buf_init(&b, 1000);
    assert_int_equal(capture_status(&b, 10000, "echo out; echo err >&2; exit 7", &status), 0);
    assert_string_equal(buf_str(&b), "out\nerr\n");
    assert_int_equal(status, 7);
    assert_int_equal(capture_status(&b, 10000, "exec >&- 2>&-; read x < /dev/null; exit 3", &status), 0);
    assert_int_equal(status, 3);
    assert_int_equal(capture_status(&b, 10000, "kill -9 $$", &status), 0);
    assert_int_equal(status, -1);
    assert_int_equal(capture_status(&b, 50, "exec >&- 2>&-; exec sleep 1000", &status), -ETIMEDOUT);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_buf_limit),
        cmocka_unit_test(test_json_strings),  cmocka_unit_test(test_json_structure),
        cmocka_unit_test(test_json_check),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_arena_cap),
        cmocka_unit_test(test_processes),     cmocka_unit_test(test_capture),
        cmocka_unit_test(test_spawn_failure), cmocka_unit_test(test_capture_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
