/* An input read as a program: numbers taken from its front, zeroes when it is over. Header only, for harnesses. */
#ifndef HOLM_FUZZ_PROGRAM_H
#define HOLM_FUZZ_PROGRAM_H

#include <stdint.h>

struct program {
    const uint8_t *at, *end;
};

/* n bytes, at most 8; the first is the highest. */
static inline uint64_t take(struct program *p, unsigned n)
{
    uint64_t v = 0;

    for (; n && p->at < p->end; n--)
        v = v << 8 | *p->at++;
    return v;
}

#endif
