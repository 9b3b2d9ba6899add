/* Walks every generated table: what a route needs is there, and every check of a value can be carried out. Then values
 * against the schemas, with PVE's texts. */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "api/route.h"
#include "api/routes_gen.h"
#include "proto/frame.h"

/* Whoever may log in may send any value: neither compiling nor matching a pattern may stop the loop thread. */
static void check_pattern(const struct api_param *p)
{
    static const char *const fills[] = {"a", "1", "A1", "a-", "1.", "=", "a,", "+1"};
    static char value[65536];
    clock_t began = clock();
    regex_t re;

    if (regcomp(&re, p->pattern, REG_EXTENDED | REG_NOSUB) != 0)
        fail_msg("pattern of '%s' does not compile: %s", p->name, p->pattern);
    for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
        size_t n = p->max_len ? p->max_len : sizeof(value) - 1;
        for (size_t k = 0; k < n; k++)
            value[k] = fills[i][k % strlen(fills[i])];
        value[n] = 0;
        /* What the match is does not matter. */
        (void)regexec(&re, value, 0, NULL, 0);
    }
    if (clock() - began > CLOCKS_PER_SEC / 5)
        fail_msg("pattern of '%s' is slow: %s", p->name, p->pattern);
    regfree(&re);
}

static void check_param(const struct api_param *p)
{
    unsigned bit;

    if (p->alias)
        return;
    assert_true(p->name[0] != 0);
    if (p->format && !api_format_is_known(p->format))
        fail_msg("unknown format '%s' of '%s'", p->format, p->name);
    if (p->pattern)
        check_pattern(p);
    if (p->is_config && !streq(p->privilege, "root") && !priv_find(p->privilege, &bit))
        fail_msg("'%s' names no privilege: %s", p->name, p->privilege);
    for (const struct api_param *k = p->props; k && k->name; k++)
        check_param(k);
}

static void test_tables(void **state)
{
    for (const struct api_route *r = api_routes; r->method; r++) {
        assert_true(r->path[0] == '/' && r->call && r->permission && r->permission->kind != PERM_END);
        for (const struct api_route *o = r + 1; o->method; o++)
            if (streq(o->handler_name, r->handler_name) || (streq(o->path, r->path) && streq(o->method, r->method)))
                fail_msg("%s %s is there twice", r->method, r->path);
        for (const struct api_param *p = r->params; p->name; p++)
            check_param(p);
    }
}

static void test_values(void **state)
{
    static const struct {
        const char *key, *value, *error; /* NULL: fine */
    } cases[] = {
        {"cores", "2", NULL},
        {"cores", "0", "value must have a minimum value of 1"},
        {"cores", "x", "type check ('integer') failed - got 'x'"},
        {"cores", "1.5", "type check ('integer') failed - got '1.5'"},
        {"onboot", "1", NULL},
        {"onboot", "true", NULL},
        {"onboot", "2", "type check ('boolean') failed - got '2'"},
        {"name", "web-1.example", NULL},
        {"name", "bad_name", "invalid format - value does not look like a valid DNS name"},
        {"bios", "efi", "value 'efi' does not have a value in the enumeration 'seabios, ovmf'"},
        {"serial0", "socket", NULL},
        {"serial0", "x", "value does not match the regex pattern"},
        {"scsi0", "local:4,format=qcow2,discard=on,ssd=1", NULL},
        {"scsi0", "file=local:vm-100-disk-0,iothread=false",
         "invalid format - format error\nfile: invalid format - "
         "unable to parse volume ID"},
        {"scsi0", "local:4,nonsense=1",
         "invalid format - format error\nnonsense: property is not defined in schema and the schema does not allow "
         "additional properties"},
        {"scsi0", "local:4,cache=fast",
         "invalid format - format error\ncache: value 'fast' does not have a value in the "
         "enumeration 'none, writethrough, writeback, unsafe, directsync'"},
        {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1", NULL},
        {"net0", "virtio", NULL},
        {"net0", "model=e1000,macaddr=02:00:00:00:00:01", NULL},
        {"net0", "virtio=01:00:00:00:00:01",
         "invalid format - format error\nvirtio: invalid format - value does not look "
         "like a valid unicast MAC address"},
        {"boot", "order=scsi0;net0", NULL},
        {"boot", "cdn", NULL},
        {"boot", "zz", "invalid format - invalid boot order"},
        {"tags", "a;b_c", NULL},
        {"kernel", "local:boot/vmlinuz", NULL},
        {"kernel", "local:boot/../x", "invalid format - unable to parse volume ID"},
        {"vmgenid", "1", NULL},
        {"vmgenid", "nope", "value does not match the regex pattern"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct api_param *p = api_handler_param("qemu_create", cases[i].key);
        struct err e = ERR_INIT;
        assert_non_null(p);
        int r = api_value_check(p, PARAM_STRING, cases[i].value, &e);
        if ((r == 0) != !cases[i].error || (r < 0 && !streq(e.text, cases[i].error)))
            fail_msg("%s=%s: %d '%s'", cases[i].key, cases[i].value, r, e.text);
    }
}

static void test_indexed(void **state)
{
    assert_non_null(api_handler_param("qemu_create", "scsi30"));
    for (const char *const *bad =
             (const char *[]){"scsi31", "scsi", "scsi01", "scsi-1", "scsi1x", "scsi99999999999", NULL};
         *bad; bad++)
        assert_null(api_handler_param("qemu_create", *bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_indexed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
