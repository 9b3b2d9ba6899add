/* See calendar.h. */
#include "base/calendar.h"

#include <ctype.h>

#include "base/util.h"

struct cursor {
    const char *p;
};

/* ---- parts ---- */

static bool take_number(struct cursor *c, unsigned *ret)
{
    unsigned n = 0;
    size_t digits = strspn(c->p, "0123456789");

    if (digits == 0 || digits > 4)
        return false;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (unsigned)(c->p[i] - '0');
    c->p += digits;
    *ret = n;
    return true;
}

static bool take(struct cursor *c, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(c->p, word, n) != 0)
        return false;
    c->p += n;
    return true;
}

static void set_bit(uint64_t *bits, unsigned i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

struct range {
    unsigned min, max; /* both are in it; bits count from `base` */
    unsigned base;
};

/* One of "*", "* /STEP", "A", "A..B", "A/STEP". */
static bool take_item(struct cursor *c, const struct range *r, uint64_t *bits)
{
    unsigned from = r->min, to, step = 1;
    bool is_all = take(c, "*");

    if (!is_all && (!take_number(c, &from) || from < r->min || from > r->max))
        return false;
    to = is_all ? r->max : from;
    if (!is_all && take(c, "..")) {
        if (!take_number(c, &to) || to > r->max || to < from)
            return false;
    } else if (take(c, "/")) {
        if (!take_number(c, &step) || !step)
            return false;
        to = r->max;
    }
    for (unsigned i = from; i <= to; i += step)
        set_bit(bits, i - r->base);
    return true;
}

static bool take_list(struct cursor *c, const struct range *r, uint64_t *bits)
{
    do {
        if (!take_item(c, r, bits))
            return false;
    } while (take(c, ","));
    return true;
}

static const struct range seconds_range = {0, 59, 0}, hours_range = {0, 23, 0}, days_range = {1, 31, 0},
                          months_range = {1, 12, 0},
                          years_range = {CALENDAR_FIRST_YEAR, CALENDAR_FIRST_YEAR + CALENDAR_YEARS - 1,
                                         CALENDAR_FIRST_YEAR};

/* ---- words ---- */

static const char *const day_names[] = {"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

/* "mon" or "Monday". */
static bool take_day(struct cursor *c, unsigned *ret)
{
    size_t n = 0;

    while (isalpha((unsigned char)c->p[n]))
        n++;
    for (unsigned i = 0; i < ARRAY_SIZE(day_names); i++)
        if ((n == 3 || n == strlen(day_names[i])) && strncasecmp(day_names[i], c->p, n) == 0) {
            c->p += n;
            *ret = i;
            return true;
        }
    return false;
}

/* A range may go over the end of the week. */
static bool take_weekdays(struct cursor *c, uint8_t *ret)
{
    unsigned from, to;

    do {
        if (!take_day(c, &from))
            return false;
        to = from;
        if (take(c, "..") && !take_day(c, &to))
            return false;
        for (unsigned i = from;; i = (i + 1) % 7) {
            *ret |= (uint8_t)(1u << i);
            if (i == to)
                break;
        }
    } while (take(c, ","));
    return true;
}

/* "2024-*-1" or "12-24". */
static bool take_date(struct cursor *c, struct calendar *ret)
{
    uint64_t first[CALENDAR_YEARS / 64] = {0}, days[1] = {0}, months[1] = {0};
    struct cursor start = *c;
    bool has_year = take_list(c, &years_range, first) && take(c, "-") && take_list(c, &months_range, months) &&
                    take(c, "-") && take_list(c, &days_range, days);

    if (!has_year) {
        *c = start;
        months[0] = days[0] = 0;
        memset(first, 0xff, sizeof(first));
        if (!take_list(c, &months_range, months) || !take(c, "-") || !take_list(c, &days_range, days))
            return false;
    }
    memcpy(ret->years, first, sizeof(first));
    ret->months = (uint16_t)months[0];
    ret->days = (uint32_t)days[0];
    return true;
}

/* "22:30", "22:30:15", or minutes alone: "0/15". */
static bool take_time(struct cursor *c, struct calendar *ret)
{
    uint64_t hours[1] = {0}, minutes[1] = {0}, seconds[1] = {0};
    struct cursor start = *c;

    bool has_hours = take_list(c, &hours_range, hours) && take(c, ":");
    if (!has_hours) {
        *c = start;
        hours[0] = (UINT64_C(1) << 24) - 1;
    }
    if (!take_list(c, &seconds_range, minutes))
        return false;
    if (!has_hours || !take(c, ":"))
        seconds[0] = 1;
    else if (!take_list(c, &seconds_range, seconds))
        return false;
    ret->hours = (uint32_t)hours[0];
    ret->minutes = minutes[0];
    ret->seconds = seconds[0];
    return true;
}

/* ---- the whole ---- */

static const struct {
    const char *name, *text;
} names[] = {
    {"minutely", "*:*"},       {"hourly", "*:00"},         {"daily", "00:00"},        {"weekly", "mon 00:00"},
    {"monthly", "*-1 00:00"},  {"yearly", "1-1 00:00"},    {"annually", "1-1 00:00"}, {"quarterly", "1,4,7,10-1"},
    {"semiannually", "1,7-1"}, {"semi-annually", "1,7-1"},
};

/* At a gap or at the end; skips the gap. */
static bool at_end_of_part(struct cursor *c)
{
    if (*c->p && *c->p != ' ')
        return false;
    c->p += strspn(c->p, " ");
    return true;
}

static bool parse(const char *text, struct calendar *ret)
{
    struct cursor c = {text + strspn(text, " ")}, start;
    struct calendar cal = {.seconds = 1, .minutes = 1, .hours = 1, .days = 0xfffffffe, .months = 0x1ffe};
    bool has_part = false;

    memset(cal.years, 0xff, sizeof(cal.years));
    start = c;
    if (isalpha((unsigned char)*c.p)) {
        if (!take_weekdays(&c, &cal.weekdays) || !at_end_of_part(&c))
            return false;
        has_part = true;
    } else {
        cal.weekdays = 0x7f;
    }
    start = c;
    struct calendar dated = cal;
    if (*c.p && take_date(&c, &dated) && at_end_of_part(&c)) {
        cal = dated;
        has_part = true;
    } else {
        c = start;
    }
    if (*c.p && !isalpha((unsigned char)*c.p)) {
        if (!take_time(&c, &cal) || !at_end_of_part(&c))
            return false;
        has_part = true;
    }
    if (strcasecmp(c.p, "utc") == 0)
        cal.is_utc = true;
    else if (*c.p)
        return false;
    *ret = cal;
    return has_part;
}

int calendar_parse(const char *text, struct calendar *ret, struct err *e)
{
    if (strlen(text) > CALENDAR_TEXT_MAX)
        return err_set(e, -EINVAL, "param.invalid", "a calendar event has at most %u characters", CALENDAR_TEXT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcasecmp(names[i].name, text) == 0)
            text = names[i].text;
    return parse(text, ret) ? 0 : err_set(e, -EINVAL, "param.invalid", "unable to parse calendar event '%.80s'", text);
}

/* ---- what comes next ---- */

static bool has_bit(const uint64_t *bits, unsigned i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* First value from `from` on, or -1. */
static int first_from(uint64_t bits, int from, int end)
{
    for (int i = from; i < end; i++)
        if (bits >> i & 1)
            return i;
    return -1;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Sunday is 0 (Sakamoto's table of month offsets). */
static unsigned weekday(int year, int month, int day)
{
    static const int offsets[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};

    year -= month < 3;
    return (unsigned)((year + year / 4 - year / 100 + year / 400 + offsets[month - 1] + day) % 7);
}

/* The first time of day from that in t on; false: none today. */
static bool next_time(const struct calendar *c, struct tm *t)
{
    int hour = first_from(c->hours, t->tm_hour, 24);

    if (hour == t->tm_hour) {
        int minute = first_from(c->minutes, t->tm_min, 60);
        int second = minute == t->tm_min ? first_from(c->seconds, t->tm_sec, 60) : -1;
        if (second >= 0) {
            t->tm_sec = second;
            return true;
        }
        minute = first_from(c->minutes, t->tm_min + 1, 60);
        if (minute >= 0) {
            t->tm_min = minute;
            t->tm_sec = first_from(c->seconds, 0, 60);
            return true;
        }
        hour = first_from(c->hours, t->tm_hour + 1, 24);
    }
    if (hour < 0)
        return false;
    t->tm_hour = hour;
    t->tm_min = first_from(c->minutes, 0, 60);
    t->tm_sec = first_from(c->seconds, 0, 60);
    return true;
}

static bool is_day(const struct calendar *c, int year, int month, int day)
{
    return has_bit(c->years, (unsigned)(year - (int)CALENDAR_FIRST_YEAR)) && (c->months >> month & 1) &&
           (c->days >> day & 1) && (c->weekdays >> weekday(year, month, day) & 1);
}

/* From the instant in t on, t included, as the clock on the wall shows it. */
static bool next_wall(const struct calendar *c, struct tm *t)
{
    int year = t->tm_year + 1900, month = t->tm_mon + 1, day = t->tm_mday;
    const int end = (int)(CALENDAR_FIRST_YEAR + CALENDAR_YEARS);

    while (year < end) {
        if (year >= (int)CALENDAR_FIRST_YEAR && is_day(c, year, month, day)) {
            t->tm_year = year - 1900;
            t->tm_mon = month - 1;
            t->tm_mday = day;
            if (next_time(c, t))
                return true;
        }
        t->tm_hour = t->tm_min = t->tm_sec = 0;
        if (++day > days_in(year, month)) {
            day = 1;
            month = month % 12 + 1;
            year += month == 1;
        }
    }
    return false;
}

/* One instant of what the clock shows; of two (the hour that comes twice) the first after `after`. */
static int64_t to_instant(const struct tm *wall, bool is_utc, int64_t after)
{
    struct tm t = *wall;

    if (is_utc)
        return timegm(&t);
    t.tm_isdst = -1;
    int64_t at = mktime(&t);
    bool is_skipped = t.tm_hour != wall->tm_hour || t.tm_min != wall->tm_min;
    if (at <= after || is_skipped) {
        t = *wall;
        t.tm_isdst = 0;
        at = mktime(&t);
    }
    return at;
}

/* From the wall's time t on, at an instant later than `after`. */
static bool search(const struct calendar *c, struct tm *t, int64_t after, int64_t *ret)
{
    /* What the clock skips may fall before `after`: on to the next then. */
    for (int tries = 0; tries < 4 && next_wall(c, t); tries++) {
        int64_t at = to_instant(t, c->is_utc, after);
        if (at > after) {
            *ret = at;
            return true;
        }
        t->tm_sec++;
        if (t->tm_sec == 60) {
            t->tm_sec = 0;
            t->tm_min++;
        }
        if (t->tm_min == 60) {
            t->tm_min = 0;
            t->tm_hour++;
        }
    }
    return false;
}

static long offset_of(int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;

    return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/* An event of every hour also has those of the hour that the clock shows twice, which a search by what it shows jumps
 * over. Others take place once. */
static void look_into_repeated_hour(const struct calendar *c, int64_t after, int64_t *at)
{
    int64_t low = after + 1, high = *at, found;
    struct tm t;

    if (c->is_utc || c->hours != (1u << 24) - 1 || high - low > 86400 || offset_of(low) <= offset_of(high))
        return;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (offset_of(middle) < offset_of(after + 1))
            high = middle;
        else
            low = middle;
    }
    time_t changed = (time_t)high;
    if (localtime_r(&changed, &t) && search(c, &t, high - 1, &found) && found < *at)
        *at = found;
}

bool calendar_next(const struct calendar *c, int64_t after, int64_t *ret)
{
    time_t from = (time_t)(after + 1);
    struct tm t;

    if (after < 0 || after > INT64_C(1) << 40 || !(c->is_utc ? gmtime_r(&from, &t) : localtime_r(&from, &t)))
        return false;
    if (!search(c, &t, after, ret))
        return false;
    look_into_repeated_hour(c, after, ret);
    return true;
}
