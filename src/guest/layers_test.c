/* The record of layers: what is written is read again, what is no tree is refused, and whatever people do with
 * snapshots, in any order, each one keeps what it held and nothing is left over. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/layers.h"

static struct volume_id id_of(const char *text)
{
    struct volume_id v;
    struct err e = ERR_INIT;

    assert_int_equal(volume_id_parse(text, &v, &e), 0);
    return v;
}

static char *text_of(const struct layers *l)
{
    struct buf b;
    struct jw w;

    buf_init(&b, 1 << 20);
    jw_init(&w, &b);
    jw_object(&w);
    layers_write(l, &w);
    jw_object_end(&w);
    char *text = buf_take(&b);
    buf_done(&b);
    assert_non_null(text);
    return text;
}

static int load(const char *text, struct layers *ret, struct err *e)
{
    json_t *j = json_loads(text, 0, NULL);

    assert_non_null(j);
    int r = layers_load(j, ret, e);
    json_decref(j);
    return r;
}

static void test_text(void **state)
{
    static const char *const good[] = {
        "{}",
        "{\"local:100/vm-100-disk-0.qcow2\":{\"top\":3,\"next\":4,\"frozen\":{\"1\":{\"parent\":0,\"snapshot\":\"a\"},"
        "\"3\":{\"parent\":1}}}}",
        "{\"local:100/vm-100-disk-0.qcow2\":{\"base\":\"local:9000/base-9000-disk-0.raw\",\"top\":0,\"next\":1,"
        "\"frozen\":{}}}",
    };
    static const char *const bad[] = {
        "[]",
        "{\"x\":{\"top\":0,\"next\":1,\"frozen\":{}}}",
        "{\"local:iso/x.iso\":{\"top\":0,\"next\":1,\"frozen\":{}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":0,\"frozen\":{}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":1,\"next\":2,\"frozen\":{}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":-1,\"next\":2,\"frozen\":{}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":2,\"frozen\":{\"2\":{\"parent\":0}}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":2,\"frozen\":{\"0\":{\"parent\":0}}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":2,\"frozen\":{\"1\":{\"parent\":1}}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":9,\"frozen\":{\"3\":{\"parent\":2}}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":9,\"frozen\":{\"x\":{\"parent\":0}}}}",
        "{\"local:100/vm-100-disk-0.raw\":{\"base\":\"x\",\"top\":0,\"next\":9,\"frozen\":{}}}",
        ("{\"local:100/vm-100-disk-0.raw\":{\"top\":0,\"next\":9,\"frozen\":{\"1\":{\"parent\":0,\"snapshot\":"
         "\"a2345678901234567890123456789012345678901\"}}}}"),
    };
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct layers l, again;
        if (load(good[i], &l, &e) < 0)
            fail_msg("%s: %s", good[i], e.text);
        char *text = text_of(&l);
        assert_string_equal(text, good[i]);
        assert_int_equal(layers_copy(&l, &again), 0);
        char *copy = text_of(&again);
        assert_string_equal(copy, text);
        free(copy);
        free(text);
        layers_done(&again);
        layers_done(&l);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct layers l;
        e = (struct err)ERR_INIT;
        if (load(bad[i], &l, &e) == 0)
            fail_msg("%s", bad[i]);
        assert_string_equal(e.code, "guest.layers");
    }
    struct layers none;
    assert_int_equal(layers_load(NULL, &none, &e), 0);
    assert_int_equal(none.n, 0);
    layers_done(&none);
}

/* ---- a model of files: what each holds itself, 0 for nothing ---- */

#define FILES 4096u
#define SNAPS 8u

struct model {
    struct layers l;
    struct volume_id v;
    int own[FILES]; /* by number; 0: the image */
    bool is_there[FILES];
    int wanted[SNAPS]; /* 0: no such snapshot */
    int now, last;
};

static bool is_raw(const struct model *m)
{
    return m->v.format == VOLUME_RAW;
}

static int read_file(const struct model *m, uint32_t number)
{
    const struct layers_row *row = layers_find(&m->l, &m->v);
    struct volume_id below;

    for (;;) {
        assert_true(m->is_there[number]);
        if (m->own[number])
            return m->own[number];
        if (is_raw(m) || !row || !layers_below(row, number, &below))
            return 0;
        assert_true(below.layer > 0);
        number = below.layer;
    }
}

static void snapshot(struct model *m, unsigned i, const char *name)
{
    struct err e = ERR_INIT;
    uint32_t number;

    assert_int_equal(layers_freeze(&m->l, &m->v, name, &number, &e), 0);
    assert_false(m->is_there[number]);
    m->is_there[number] = true;
    m->own[number] = m->own[0];
    if (!is_raw(m))
        m->own[0] = 0;
    m->wanted[i] = m->now;
}

static void roll_back(struct model *m, unsigned i, const char *name)
{
    struct err e = ERR_INIT;
    uint32_t number;

    int held = is_raw(m) ? read_file(m, layers_of_snapshot(layers_find(&m->l, &m->v), name)->number) : 0;
    assert_int_equal(layers_reset(&m->l, &m->v, name, &number, &e), 0);
    assert_false(m->is_there[number]);
    m->is_there[number] = true;
    m->own[number] = m->own[0];
    m->own[0] = held;
    m->now = m->wanted[i];
}

/* One piece of the work that is due; false if there was none. */
static bool tidy(struct model *m)
{
    struct volume_id layer;
    uint32_t child;
    enum layers_work work = layers_next(&m->l, &layer, &child);

    if (work == LAYERS_NOTHING)
        return false;
    assert_true(m->is_there[layer.layer]);
    if (work == LAYERS_MERGE && !m->own[child])
        m->own[child] = m->own[layer.layer];
    m->is_there[layer.layer] = false;
    m->own[layer.layer] = 0;
    if (work == LAYERS_MERGE)
        layers_merged(&m->l, &layer);
    else
        layers_dropped(&m->l, &layer);
    return true;
}

static void check(struct model *m)
{
    static const char *const names[SNAPS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct err e = ERR_INIT;
    struct layers again;

    assert_int_equal(read_file(m, 0), m->now);
    for (unsigned i = 0; i < SNAPS; i++)
        if (m->wanted[i])
            assert_int_equal(read_file(m, layers_of_snapshot(layers_find(&m->l, &m->v), names[i])->number),
                             m->wanted[i]);
    char *text = text_of(&m->l);
    assert_int_equal(load(text, &again, &e), 0);
    free(text);
    layers_done(&again);
}

static void play(const char *volume, unsigned seed)
{
    static const char *const names[SNAPS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct model m = {.v = id_of(volume), .is_there = {true}, .own = {1}, .now = 1, .last = 1};

    srand(seed);
    for (unsigned step = 0; step < 700; step++) {
        unsigned i = (unsigned)rand() % SNAPS;
        switch (rand() % 6) {
        case 0:
        case 1:
            m.own[0] = m.now = ++m.last;
            break;
        case 2:
            if (!m.wanted[i])
                snapshot(&m, i, names[i]);
            break;
        case 3:
            if (m.wanted[i])
                roll_back(&m, i, names[i]);
            break;
        case 4:
            layers_forget(&m.l, names[i]);
            m.wanted[i] = 0;
            break;
        default:
            tidy(&m);
        }
        check(&m);
    }
    for (unsigned i = 0; i < SNAPS; i++) {
        layers_forget(&m.l, names[i]);
        m.wanted[i] = 0;
    }
    while (tidy(&m))
        check(&m);
    assert_int_equal(m.l.n, 0);
    for (unsigned i = 1; i < FILES; i++)
        assert_false(m.is_there[i]);
    layers_done(&m.l);
}

static void test_any_order(void **state)
{
    for (unsigned seed = 1; seed <= 10; seed++) {
        play("local:100/vm-100-disk-0.qcow2", seed);
        play("local:100/vm-100-disk-0.raw", seed);
    }
}

static void test_base(void **state)
{
    struct volume_id v = id_of("local:101/vm-101-disk-0.qcow2"), base = id_of("local:100/base-100-disk-0.raw"), below;
    struct layers l = {0};
    struct err e = ERR_INIT;
    uint32_t one, child;
    struct volume_id layer;

    assert_null(layers_find(&l, &v));
    assert_int_equal(layers_set_base(&l, &v, &base, &e), 0);
    assert_true(layers_below(layers_find(&l, &v), 0, &below));
    assert_string_equal(below.name, base.name);
    assert_int_equal(layers_freeze(&l, &v, "a", &one, &e), 0);
    assert_true(layers_below(layers_find(&l, &v), 0, &below));
    assert_int_equal(below.layer, one);
    assert_true(layers_below(layers_find(&l, &v), one, &below));
    assert_string_equal(below.name, base.name);
    layers_forget(&l, "a");
    assert_int_equal(layers_next(&l, &layer, &child), LAYERS_MERGE);
    assert_int_equal(child, 0);
    layers_merged(&l, &layer);
    assert_true(layers_below(layers_find(&l, &v), 0, &below));
    assert_string_equal(below.name, base.name);
    layers_remove(&l, &v);
    assert_int_equal(l.n, 0);
    assert_int_equal(layers_reset(&l, &v, "a", &one, &e), -ENOENT);
    layers_done(&l);
}

static void test_full(void **state)
{
    struct volume_id v = id_of("local:101/vm-101-disk-0.qcow2");
    struct layers l = {0};
    struct err e = ERR_INIT;
    uint32_t number;
    char name[16];

    for (unsigned i = 0; i < LAYERS_MAX; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        assert_int_equal(layers_freeze(&l, &v, name, &number, &e), 0);
    }
    assert_int_equal(layers_freeze(&l, &v, "more", &number, &e), -E2BIG);
    assert_string_equal(e.code, "guest.layers");
    assert_int_equal(layers_find(&l, &v)->top, LAYERS_MAX);
    layers_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
