/* Time. Every timeout uses CLOCK_BOOTTIME; the wall clock is for display and ticket times only. */
#ifndef HOLM_BASE_CLOCK_H
#define HOLM_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_boot_ms(void);
uint64_t clock_boot_us(void);
/* Seconds since 1970. HOLM_CLOCK_OFFSET (seconds, tests only) is added. */
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

#endif
