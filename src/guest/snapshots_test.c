/* The record of snapshots: what is written is read again, what is no tree is refused, and what stood on a snapshot that
 * is deleted stands on its parent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/snapshots.h"

static struct config config_of(const char *name)
{
    struct config c = {0};

    assert_int_equal(config_set(&c, "name", name), 0);
    return c;
}

static char *text_of(const struct snapshots *s)
{
    struct buf b;
    struct jw w;

    buf_init(&b, 1 << 20);
    jw_init(&w, &b);
    jw_array(&w);
    snapshots_write(s, &w);
    jw_array_end(&w);
    char *text = buf_take(&b);
    buf_done(&b);
    assert_non_null(text);
    return text;
}

static int load(const char *text, const char *parent, struct snapshots *ret, struct err *e)
{
    json_t *j = json_loads(text, 0, NULL);

    assert_non_null(j);
    int r = snapshots_load(j, parent, ret, e);
    json_decref(j);
    return r;
}

static void add(struct snapshots *s, const char *name)
{
    struct config c = config_of(name);
    struct snapshot *added;
    struct err e = ERR_INIT;

    if (snapshots_add(s, name, 1700000000, &c, &added, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(added->name, name);
    config_done(&c);
}

static void test_tree(void **state)
{
    struct snapshots s = {0}, copy, again;
    struct config c = config_of("x");
    struct snapshot *added;
    struct err e = ERR_INIT;

    add(&s, "aa");
    add(&s, "bb");
    add(&s, "cc");
    snprintf(s.parent, sizeof(s.parent), "bb"); /* rolled back */
    add(&s, "dd");
    assert_string_equal(snapshots_find(&s, "cc")->parent, "bb");
    assert_string_equal(snapshots_find(&s, "dd")->parent, "bb");
    assert_int_equal(snapshots_add(&s, "bb", 1, &c, &added, &e), -EEXIST);
    assert_int_equal(s.n, 4);
    assert_int_equal(snapshots_copy(&s, &copy), 0);
    char *text = text_of(&s), *same = text_of(&copy);
    assert_string_equal(text, same);
    assert_int_equal(load(text, "dd", &again, &e), 0);
    assert_string_equal(again.parent, "dd");
    snapshots_remove(&s, "bb");
    assert_string_equal(snapshots_find(&s, "cc")->parent, "aa");
    assert_string_equal(snapshots_find(&s, "dd")->parent, "aa");
    snapshots_remove(&s, "dd");
    assert_string_equal(s.parent, "aa");
    snapshots_remove(&s, "none");
    assert_int_equal(s.n, 2);
    assert_int_equal(copy.n, 4);
    snapshots_remove(&s, "aa");
    assert_string_equal(s.parent, "");
    free(text);
    free(same);
    config_done(&c);
    snapshots_done(&s);
    snapshots_done(&copy);
    snapshots_done(&again);
}

static void test_damaged(void **state)
{
    static const char *const bad[] = {
        "[1]",
        "[{\"name\":\"a\",\"config\":{}}]",
        "[{\"name\":\"current\",\"config\":{}}]",
        "[{\"name\":\"a/b\",\"config\":{}}]",
        "[{\"name\":\"aa\",\"parent\":\"bb\",\"config\":{}}]",
        "[{\"name\":\"aa\",\"parent\":\"aa\",\"config\":{}}]",
        "[{\"name\":\"aa\",\"config\":{}},{\"name\":\"aa\",\"config\":{}}]",
        "[{\"name\":\"aa\",\"config\":{\"x\":1}}]",
    };
    struct snapshots s;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        e = (struct err)ERR_INIT;
        if (load(bad[i], NULL, &s, &e) == 0)
            fail_msg("%s", bad[i]);
        assert_string_equal(e.code, "guest.snapshots");
    }
    assert_int_equal(load("[]", "aa", &s, &e), -EINVAL);
    assert_int_equal(snapshots_load(NULL, NULL, &s, &e), 0);
    snapshots_done(&s);
}

static void test_names(void **state)
{
    static const char *const good[] = {"aa", "before-update_2", "a234567890123456789012345678901234567890"};
    static const char *const bad[] = {"",
                                      "a",
                                      "1a",
                                      "-a",
                                      "a b",
                                      "a.b",
                                      "current",
                                      "pending",
                                      "PENDING",
                                      "a\n",
                                      "\xc3\xa4\xc3\xa4",
                                      "a2345678901234567890123456789012345678901"};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(snapshot_name_check(good[i], &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (snapshot_name_check(bad[i], &e) == 0)
            fail_msg("'%s'", bad[i]);
}

static void test_full(void **state)
{
    struct snapshots s = {0};
    struct config c = config_of("x");
    struct snapshot *added;
    struct err e = ERR_INIT;
    char name[16];

    for (unsigned i = 0; i < SNAPSHOTS_MAX; i++) {
        snprintf(name, sizeof(name), "s%u-", i);
        add(&s, name);
    }
    assert_int_equal(snapshots_add(&s, "more", 1, &c, &added, &e), -E2BIG);
    config_done(&c);
    snapshots_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
