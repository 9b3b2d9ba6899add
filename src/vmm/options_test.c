/* The command line and files of options: what is wrong is one clear error with a stable code, before anything runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "vmm/options.h"

static int parse(struct options *o, struct err *e, const char *const *words)
{
    char *argv[64];
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    *e = (struct err)ERR_INIT;
    return options_parse(o, argc, argv, e);
}
#define PARSE(o, e, ...) parse(o, e, (const char *const[]){__VA_ARGS__, NULL})
#define KERNEL           "--kernel", "/dev/null"

static void test_all(void **state)
{
    struct options o;
    struct err e;

    (void)state;
    assert_int_equal(PARSE(&o, &e, KERNEL, "--initrd", "/dev/zero", "--cmdline", "a b", "--cpus", "3", "--memory",
                           "512M,hugepages=2M", "--console", "stdio", "--paused", "on", "--disk", "x.img,readonly=on",
                           "--rng", "host"),
                     0);
    assert_true(o.kernel_fd >= 0 && o.initrd_fd >= 0);
    assert_string_equal(o.cmdline, "a b");
    assert_int_equal(o.n_cpus, 3);
    assert_int_equal(o.memory_bytes, 512ull << 20);
    assert_int_equal(o.page_bytes, 2ull << 20);
    assert_true(o.is_paused);
    assert_int_equal(o.n_devices, 2);
    assert_string_equal(o.devices[0].kind, "disk");
    assert_string_equal(o.devices[0].text, "x.img,readonly=on");
    options_done(&o);
    assert_int_equal(o.kernel_fd, -1);
    assert_int_equal(PARSE(&o, &e, KERNEL), 0);
    assert_int_equal(o.n_cpus, 1);
    assert_int_equal(o.memory_bytes, 256ull << 20);
    assert_string_equal(o.console, "none");
    options_done(&o);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *value, *code;
    } cases[] = {
        {"--cpus", "0", "option.value"},          {"--cpus", "65", "option.value"},
        {"--cpus", "-1", "option.value"},         {"--cpus", "1x", "option.value"},
        {"--memory", "15M", "option.value"},      {"--memory", "2T", "option.value"},
        {"--memory", "17M,x=1", "option.value"},  {"--memory", "64M,hugepages=4M", "option.value"},
        {"--memory", "16777217", "option.value"}, {"--memory", "18446744073709551615", "option.value"},
        {"--console", "tty", "option.value"},     {"--control", "/tmp/x", "option.value"},
        {"--control", "fd=99999", "option.fd"},   {"--kernel", "fd=-1", "option.fd"},
        {"--kernel", "fd=60000", "option.fd"},    {"--initrd", "fd=x", "option.fd"},
        {"--paused", "maybe", "option.value"},    {"--nonsense", "1", "option.unknown"},
        {"cpus", "1", "option.unknown"},          {"--", "1", "option.unknown"},
    };
    struct options o;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(PARSE(&o, &e, KERNEL, cases[i].name, cases[i].value) < 0);
        if (!streq(e.code, cases[i].code))
            fail_msg("%s %s: %s, not %s (%s)", cases[i].name, cases[i].value, e.code, cases[i].code, e.text);
        options_done(&o);
    }
    assert_true(PARSE(&o, &e, KERNEL, "--initrd", "/nonexistent/file") == -ENOENT);
    options_done(&o);
    assert_true(PARSE(&o, &e, KERNEL, "--cpus") < 0);
    assert_string_equal(e.code, "option.value");
    options_done(&o);
    assert_true(PARSE(&o, &e, "--cpus", "1") < 0);
    assert_string_equal(e.code, "option.missing");
    options_done(&o);
}

/* The last of several counts; the others' descriptors are closed. */
static void test_twice(void **state)
{
    struct options o;
    struct err e;
    int lowest = dup(0);

    (void)state;
    close(lowest);
    assert_int_equal(
        PARSE(&o, &e, KERNEL, "--kernel", "/dev/zero", "--kernel", "/dev/null", "--cmdline", "a", "--cmdline", "b"), 0);
    assert_string_equal(o.cmdline, "b");
    options_done(&o);
    assert_int_equal(dup(0), lowest);
    close(lowest);
}

static void test_devices_limit(void **state)
{
    static char text[OPTIONS_TEXT_MAX + 1];
    const char *words[3 + 2 * (OPTIONS_DEVICES_MAX + 1)] = {KERNEL};
    struct options o;
    struct err e;

    (void)state;
    for (unsigned i = 0; i <= OPTIONS_DEVICES_MAX; i++) {
        words[2 + 2 * i] = "--rng";
        words[3 + 2 * i] = "host";
    }
    words[2 + 2 * OPTIONS_DEVICES_MAX] = NULL;
    assert_int_equal(parse(&o, &e, words), 0);
    assert_int_equal(o.n_devices, OPTIONS_DEVICES_MAX);
    options_done(&o);
    words[2 + 2 * OPTIONS_DEVICES_MAX] = "--rng";
    assert_int_equal(parse(&o, &e, words), -ENOSPC);
    assert_string_equal(e.code, "option.devices");
    options_done(&o);
    memset(text, 'a', OPTIONS_TEXT_MAX);
    assert_int_equal(PARSE(&o, &e, KERNEL, "--disk", text), -EINVAL);
    options_done(&o);
}

static int parse_file(const char *text, size_t n, struct options *o, struct err *e)
{
    int fd = memfd_create("options", 0), r;
    char name[32];

    assert_true(fd >= 0 && write(fd, text, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(name, sizeof(name), "fd=%d", fd);
    r = PARSE(o, e, "--config", name);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was ours to close */
    return r;
}

static void test_file(void **state)
{
    static const char good[] = "# a machine\n\nkernel /dev/null\ncmdline root=/dev/vda  quiet\ncpus 2\nrng host";
    static const struct {
        const char *text;
        size_t n;
    } bad[] = {{"kernel", 6},
               {"kernel /dev/null\nconfig /dev/null", 33},
               {"kernel /dev/null\ncpus 2\0", 24},
               {" kernel /dev/null", 17},
               {"--kernel /dev/null", 18},
               {"kernel /dev/null\r\ncpus 2", 24}};
    autofree char *large = malloc(300u << 10);
    struct options o;
    struct err e;

    (void)state;
    assert_int_equal(parse_file(good, strlen(good), &o, &e), 0);
    assert_string_equal(o.cmdline, "root=/dev/vda  quiet");
    assert_int_equal(o.n_cpus, 2);
    options_done(&o);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_true(parse_file(bad[i].text, bad[i].n, &o, &e) < 0);
        assert_true(e.text[0]);
        options_done(&o);
    }
    memset(large, '\n', 300u << 10);
    assert_int_equal(parse_file(large, 300u << 10, &o, &e), -EFBIG);
    options_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),           cmocka_unit_test(test_refused), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_devices_limit), cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
