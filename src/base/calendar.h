/* Calendar events as Proxmox VE writes schedules ("mon..fri 22:30", "*-1,7-1", "hourly"; pve-conventions: format
 * pve-calendar-event): the part of systemd's syntax that its library knows. Parsing is total, an event is a few words
 * of bits, and what comes next is a pure function of the event, an instant and the time zone (TZ, /etc/localtime). */
#ifndef HOLM_BASE_CALENDAR_H
#define HOLM_BASE_CALENDAR_H

#include <time.h>

#include "base/err.h"

#define CALENDAR_TEXT_MAX   128u
#define CALENDAR_FIRST_YEAR 1970u
#define CALENDAR_YEARS      192u

struct calendar {
    uint64_t seconds, minutes; /* bit per value */
    uint32_t hours, days;      /* days: from bit 1 on */
    uint16_t months;           /* from bit 1 on */
    uint8_t weekdays;          /* bit 0: Sunday */
    uint64_t years[CALENDAR_YEARS / 64];
    bool is_utc;
};

/*   [WEEKDAYS] [[YEARS-]MONTHS-DAYS] [[HOURS:]MINUTES[:SECONDS]] [UTC]
 * or minutely, hourly, daily, weekly, monthly, yearly, annually, quarterly, semiannually, semi-annually. A part is a
 * list of numbers, ranges "A..B" and repetitions "A/STEP", or "*". -EINVAL "param.invalid". */
MUST_CHECK int calendar_parse(const char *text, struct calendar *ret, struct err *e);
/* First instant after `after` (seconds since 1970) that it means; false: there is none before 2162. A time that a
 * change of the clock leaves out happens as much later as the clock jumps. */
bool calendar_next(const struct calendar *c, int64_t after, int64_t *ret);

#endif
