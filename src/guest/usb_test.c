/* Unit tests: which device of the host a value of usbN means, in a made-up /sys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/util.h"
#include "guest/usb.h"

static char top[] = "/tmp/holm-usb-XXXXXX";

static void put(const char *name, const char *file, const char *text)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/%s", top, name);
    if (mkdir(path, 0700) < 0)
        assert_int_equal(errno, EEXIST);
    snprintf(path, sizeof(path), "%s/%s/%s", top, name, file);
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void device(const char *name, const char *vendor, const char *product, const char *bus, const char *number)
{
    put(name, "idVendor", vendor);
    put(name, "idProduct", product);
    put(name, "busnum", bus);
    put(name, "devnum", number);
}

static int set_up(void **state)
{
    assert_non_null(mkdtemp(top));
    device("2-1.4", "0951\n", "1666\n", "2\n", "7\n");
    device("1-3", "0951\n", "1666\n", "1\n", "12\n");
    device("1-1", "abcd\n", "00ff\n", "1\n", "3\n");
    device("1-9", "1111\n", "2222\n", "1\n", "many\n");
    put("1-3:1.0", "bInterfaceNumber", "00\n");
    return 0;
}

static void test_found(void **state)
{
    static const struct {
        const char *text;
        unsigned bus, device;
    } cases[] = {{"0951:1666", 1, 12}, {"0x0951:0X1666", 1, 12}, {"ABCD:00FF", 1, 3}, {"2-1.4", 2, 7}, {"1-1", 1, 3}};
    struct usb_place place;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(usb_find(top, cases[i].text, &place, &e), 0);
        assert_int_equal(place.bus, cases[i].bus);
        assert_int_equal(place.device, cases[i].device);
    }
}

static void test_missing(void **state)
{
    static const char *const gone[] = {"0951:1667", "3-1", "1-9", "1111:2222", "1-3.1"};
    static const char *const bad[] = {"spice", "951:1666", "0951:16666", "1-", "-1", "1-.1", "../1-1", "1-1/..", ""};
    struct usb_place place;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
        assert_int_equal(usb_find(top, gone[i], &place, &e), -ENODEV);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(usb_find(top, bad[i], &place, &e), -EINVAL);
    assert_int_equal(usb_find("/nowhere", "0951:1666", &place, &e), -ENODEV);
}

static int tear_down(void **state)
{
    static const char *const names[] = {"2-1.4", "1-3", "1-1", "1-9", "1-3:1.0"};
    static const char *const files[] = {"idVendor", "idProduct", "busnum", "devnum", "bInterfaceNumber"};
    char path[200];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(files); k++) {
            snprintf(path, sizeof(path), "%s/%s/%s", top, names[i], files[k]);
            unlink(path);
        }
        snprintf(path, sizeof(path), "%s/%s", top, names[i]);
        rmdir(path);
    }
    return rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
