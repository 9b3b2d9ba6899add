/* The ring of changes and the differences of rows. */
#include "api/events_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct event_ring ring;

static void begin(size_t bytes)
{
    struct err e = ERR_INIT;

    assert_int_equal(event_ring_init(&ring, bytes, &e), 0);
}

static void entries_are_found_by_their_number(void **state)
{
    begin(4096);
    assert_null(event_ring_at(&ring, 0));
    assert_null(event_ring_at(&ring, 1));
    event_ring_add(&ring, EVENT_ROW, EVENT_GUEST, 7, "qemu/100", "");
    event_ring_add(&ring, EVENT_DELTA, EVENT_GUEST, 7, "qemu/100", "\"set\":{}");
    const struct event_entry *en = event_ring_at(&ring, 2);
    assert_non_null(en);
    assert_int_equal(en->number, 7);
    assert_int_equal(en->op, EVENT_DELTA);
    assert_string_equal(en->id, "qemu/100");
    assert_string_equal(en->text, "\"set\":{}");
    assert_null(event_ring_at(&ring, 3));
    event_ring_done(&ring);
}

static void the_oldest_go_when_bytes_run_out(void **state)
{
    char text[200];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    begin(4096);
    for (int i = 0; i < 1000; i++) {
        event_ring_add(&ring, EVENT_DELTA, EVENT_TASK, (uint32_t)i, "t", text);
        assert_true(ring.bytes <= 4096);
    }
    assert_int_equal(ring.head, 1000);
    assert_true(ring.first > 970 && ring.first < 1000);
    assert_null(event_ring_at(&ring, ring.first - 1));
    for (uint64_t seq = ring.first; seq <= ring.head; seq++)
        assert_int_equal(event_ring_at(&ring, seq)->number, seq - 1);
    event_ring_done(&ring);
}

static void the_oldest_go_when_places_run_out(void **state)
{
    begin(64u * 1024 * 1024);
    for (uint32_t i = 0; i < 2 * EVENTS_RING_ENTRIES + 5; i++)
        event_ring_add(&ring, EVENT_REMOVED, EVENT_GUEST, i, "a", "");
    assert_int_equal(ring.head - ring.first + 1, EVENTS_RING_ENTRIES);
    assert_int_equal(event_ring_at(&ring, ring.first)->number, ring.first - 1);
    event_ring_done(&ring);
}

/* Nobody can be told of what never fits: the ring is empty then, and cursors before it are too old. */
static void what_is_too_large_empties_it(void **state)
{
    char text[600];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    begin(512);
    event_ring_add(&ring, EVENT_ROW, EVENT_GUEST, 1, "a", "");
    event_ring_add(&ring, EVENT_DELTA, EVENT_GUEST, 1, "a", text);
    assert_int_equal(ring.head, 2);
    assert_int_equal(ring.first, 3);
    assert_int_equal(ring.bytes, 0);
    event_ring_add(&ring, EVENT_ROW, EVENT_GUEST, 2, "b", "");
    assert_int_equal(ring.first, 3);
    assert_string_equal(event_ring_at(&ring, 3)->id, "b");
    event_ring_done(&ring);
}

static void members_of_a_row(void **state)
{
    const char *pos = "{\"a\":\"x\\\",}\",\"b\":-1.5,\"c\":{\"d\":[1,\"]\"],\"e\":{}},\"f\":\"\"}";
    static const char *const wanted[][2] = {
        {"a", "\"x\\\",}\""}, {"b", "-1.5"}, {"c", "{\"d\":[1,\"]\"],\"e\":{}}"}, {"f", "\"\""}};
    struct event_member m;

    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        assert_true(event_member_next(&pos, &m));
        assert_int_equal(m.key_len, strlen(wanted[i][0]));
        assert_memory_equal(m.key, wanted[i][0], m.key_len);
        assert_int_equal(m.value_len, strlen(wanted[i][1]));
        assert_memory_equal(m.value, wanted[i][1], m.value_len);
    }
    assert_false(event_member_next(&pos, &m));
    pos = "{}";
    assert_false(event_member_next(&pos, &m));
}

static void differences(void **state)
{
    static const struct {
        enum event_kind kind;
        const char *before, *after, *diff; /* NULL: nothing to tell */
        bool has_metrics;
    } rows[] = {
        {EVENT_GUEST, "{\"id\":\"a\",\"cpu\":1}", "{\"id\":\"a\",\"cpu\":1}", NULL, false},
        {EVENT_GUEST, "{\"id\":\"a\",\"cpu\":1}", "{\"id\":\"a\",\"cpu\":2}", NULL, true},
        {EVENT_GUEST, "{\"id\":\"a\",\"name\":\"x\",\"cpu\":1}", "{\"id\":\"a\",\"name\":\"y\",\"cpu\":1}",
         "\"set\":{\"name\":\"y\",\"cpu\":1}", false},
        {EVENT_GUEST, "{\"id\":\"a\",\"lock\":\"x\"}", "{\"id\":\"a\"}", "\"set\":{},\"unset\":[\"lock\"]", false},
        {EVENT_GUEST, "{\"id\":\"a\",\"lock\":\"x\",\"tags\":\"t\"}", "{\"id\":\"a\",\"pool\":\"p\"}",
         "\"set\":{\"pool\":\"p\"},\"unset\":[\"lock\",\"tags\"]", false},
        {EVENT_TASK, "{\"saved\":0}", "{\"saved\":1,\"status\":\"OK\"}", "\"set\":{\"saved\":1,\"status\":\"OK\"}",
         false},
        /* The same members in another order are the same row. */
        {EVENT_GUEST, "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", NULL, false},
        /* One name that begins as another does. */
        {EVENT_GUEST, "{\"max\":1,\"maxdisk\":2}", "{\"max\":1,\"maxdisk\":3}", "\"set\":{\"maxdisk\":3}", false},
    };
    struct buf out;
    bool has_metrics;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        buf_init(&out, 4096);
        assert_int_equal(event_diff(rows[i].kind, rows[i].before, rows[i].after, &out, &has_metrics),
                         rows[i].diff != NULL);
        assert_string_equal(buf_str(&out), rows[i].diff ? rows[i].diff : "");
        assert_int_equal(has_metrics, rows[i].has_metrics);
        buf_done(&out);
    }
}

static void metrics_alone(void **state)
{
    struct buf out;

    buf_init(&out, 4096);
    event_metrics(EVENT_GUEST, "{\"id\":\"a\",\"cpu\":0.5,\"name\":\"n\",\"uptime\":7}", &out);
    assert_string_equal(buf_str(&out), "\"set\":{\"cpu\":0.5,\"uptime\":7}");
    buf_reset(&out);
    event_metrics(EVENT_TASK, "{\"cpu\":0.5}", &out);
    assert_string_equal(buf_str(&out), "\"set\":{}");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_by_their_number),
        cmocka_unit_test(the_oldest_go_when_bytes_run_out),
        cmocka_unit_test(the_oldest_go_when_places_run_out),
        cmocka_unit_test(what_is_too_large_empties_it),
        cmocka_unit_test(members_of_a_row),
        cmocka_unit_test(differences),
        cmocka_unit_test(metrics_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
