/* Unit tests of calendar events: what parses, what comes next, days on which the clock is changed, and a plain search
 * as the judge of the quick one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/calendar.h"
#include "base/util.h"

static void zone(const char *tz)
{
    assert_int_equal(setenv("TZ", tz, 1), 0);
    tzset();
}

static int64_t instant(const char *text)
{
    struct tm t = {0};

    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &t));
    return timegm(&t);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",       " ",        "blah",      "mon..",   "25:00", "12:60",     "1:2:60",  "13-1",
        "1-32",   "0-1",      "*/0",       "5..1",    "1,",    ",1",        "mon tue", "8:00 mon",
        "1-1-1",  "2200-1-1", "00:00 gmt", "mon-fri", "1//2",  "1..2..3",   "99999",   "monda",
        "1..5/2", "*..5",     "utc",       "8:00:",   "8:",    "daily utc", "10:00x",  "2024-1 8:00"};
    char text[CALENDAR_TEXT_MAX + 2];
    struct calendar c;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (calendar_parse(bad[i], &c, &e) != -EINVAL)
            fail_msg("'%s' was accepted", bad[i]);
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, "1:1", 3);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(calendar_parse(text, &c, &e), -EINVAL);
}

static void test_next(void **state)
{
    /* 2024-06-05 was a Wednesday. */
    static const struct {
        const char *event, *after, *next;
    } cases[] = {
        {"minutely", "2024-06-05 12:00:00", "2024-06-05 12:01:00"},
        {"hourly", "2024-06-05 12:00:00", "2024-06-05 13:00:00"},
        {"daily", "2024-06-05 12:00:00", "2024-06-06 00:00:00"},
        {"weekly", "2024-06-05 12:00:00", "2024-06-10 00:00:00"},
        {"monthly", "2024-06-05 12:00:00", "2024-07-01 00:00:00"},
        {"quarterly", "2024-06-05 12:00:00", "2024-07-01 00:00:00"},
        {"semiannually", "2024-07-01 00:00:00", "2025-01-01 00:00:00"},
        {"yearly", "2024-06-05 12:00:00", "2025-01-01 00:00:00"},
        {"30", "2024-06-05 12:30:00", "2024-06-05 13:30:00"},
        {"*/5", "2024-06-05 12:02:10", "2024-06-05 12:05:00"},
        {"0/20", "2024-06-05 12:40:00", "2024-06-05 13:00:00"},
        {"2,7..9", "2024-06-05 12:07:59", "2024-06-05 12:08:00"},
        {"21:00", "2024-06-05 21:00:00", "2024-06-06 21:00:00"},
        {"8..17:0/15", "2024-06-05 17:45:00", "2024-06-06 08:00:00"},
        {"12:05:30", "2024-06-05 12:05:29", "2024-06-05 12:05:30"},
        {"12:*:0/30", "2024-06-05 12:59:30", "2024-06-06 12:00:00"},
        {"sat", "2024-06-05 12:00:00", "2024-06-08 00:00:00"},
        {"mon..fri 22:30", "2024-06-07 22:30:00", "2024-06-10 22:30:00"},
        {"fri..mon 1:00", "2024-06-05 12:00:00", "2024-06-07 01:00:00"},
        {"Wednesday,SUN 12:00", "2024-06-05 12:00:00", "2024-06-09 12:00:00"},
        {"12-24", "2024-06-05 12:00:00", "2024-12-24 00:00:00"},
        {"2-29", "2024-06-05 12:00:00", "2028-02-29 00:00:00"},
        {"*-*-31 6:00", "2024-06-05 12:00:00", "2024-07-31 06:00:00"},
        {"sun *-1..7 4:00", "2024-06-05 12:00:00", "2024-07-07 04:00:00"},
        {"2026..2027-1-1", "2024-06-05 12:00:00", "2026-01-01 00:00:00"},
        {"8:00 UTC", "2024-06-05 12:00:00", "2024-06-06 08:00:00"},
        {"  8:00   ", "2024-06-05 12:00:00", "2024-06-06 08:00:00"},
        {"2-30", "2024-06-05 12:00:00", NULL},
        {"1999-1-1", "2024-06-05 12:00:00", NULL},
    };
    struct calendar c;
    struct err e = ERR_INIT;
    int64_t next;

    zone("UTC");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (calendar_parse(cases[i].event, &c, &e) < 0)
            fail_msg("%s: %s", cases[i].event, e.text);
        bool has_next = calendar_next(&c, instant(cases[i].after), &next);
        if (has_next != (cases[i].next != NULL) || (has_next && next != instant(cases[i].next)))
            fail_msg("%s after %s: %lld", cases[i].event, cases[i].after, has_next ? (long long)next : -1LL);
    }
}

/* In Berlin 2:00 became 3:00 on 2024-03-31 (1:00 UTC), and 3:00 became 2:00 on 2024-10-27 (1:00 UTC). */
static void test_clock_changes(void **state)
{
    static const struct {
        const char *event, *after, *next; /* UTC */
    } cases[] = {
        {"2:30", "2024-03-30 12:00:00", "2024-03-31 01:30:00"}, /* shown as 3:30 */
        {"2:30", "2024-03-31 01:30:00", "2024-04-01 00:30:00"},
        {"3:30", "2024-03-30 12:00:00", "2024-03-31 01:30:00"},
        {"2:30", "2024-10-26 12:00:00", "2024-10-27 00:30:00"}, /* the first of the two */
        {"2:30", "2024-10-27 00:30:00", "2024-10-28 01:30:00"}, /* and not the second */
        {"*:30", "2024-10-27 00:30:00", "2024-10-27 01:30:00"}, /* each hour has its own */
        {"*:30", "2024-10-27 01:30:00", "2024-10-27 02:30:00"},
        {"0:00", "2024-06-05 12:00:00", "2024-06-05 22:00:00"},
        {"0:00 utc", "2024-06-05 12:00:00", "2024-06-06 00:00:00"},
    };
    struct calendar c;
    struct err e = ERR_INIT;
    int64_t next;

    zone("CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(calendar_parse(cases[i].event, &c, &e), 0);
        assert_true(calendar_next(&c, instant(cases[i].after), &next));
        if (next != instant(cases[i].next))
            fail_msg("%s after %s: %lld, not %s", cases[i].event, cases[i].after, (long long)next, cases[i].next);
    }
    zone("UTC");
}

/* Second by second, field by field. */
static bool means(const struct calendar *c, int64_t at)
{
    time_t now = (time_t)at;
    struct tm t;

    gmtime_r(&now, &t);
    return (c->seconds >> t.tm_sec & 1) && (c->minutes >> t.tm_min & 1) && (c->hours >> t.tm_hour & 1) &&
           (c->days >> t.tm_mday & 1) && (c->months >> (t.tm_mon + 1) & 1) && (c->weekdays >> t.tm_wday & 1);
}

static void test_against_search(void **state)
{
    static const char *const events[] = {"*:*:7", "sat 3..5:10,50:0/20", "mon..wed 23:59:59",
                                         "0/7",   "*-28..31 4:05",       "sun,thu 0:0"};
    struct calendar c;
    struct err e = ERR_INIT;

    zone("UTC");
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        int64_t at = instant("2024-02-27 21:13:05"), end = at + 5 * 86400, next;
        assert_int_equal(calendar_parse(events[i], &c, &e), 0);
        for (int64_t s = at + 1; s < end; s++) {
            if (!means(&c, s))
                continue;
            assert_true(calendar_next(&c, at, &next));
            if (next != s)
                fail_msg("%s after %lld: %lld, not %lld", events[i], (long long)at, (long long)next, (long long)s);
            at = s;
        }
        assert_true(calendar_next(&c, at, &next) && next >= end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_clock_changes),
        cmocka_unit_test(test_against_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
