/* See base32.h. Pure. Decoding is strict: each secret has one text, apart from case and padding, so that two texts
 * never stand for one secret. Used for second factors; nothing here is constant-time, because the text comes from its
 * owner. */
#include "base/base32.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* Length without padding; -EINVAL when the padding does not fill the last group of eight. */
static int strip_padding(const char *text, size_t *n)
{
    size_t whole = *n;

    while (*n > 0 && text[*n - 1] == '=')
        (*n)--;
    if (*n != whole && (whole % 8 != 0 || whole - *n > 6))
        return -EINVAL;
    /* One, three or six characters more than whole groups hold no whole byte more than one fewer would. */
    return *n % 8 == 1 || *n % 8 == 3 || *n % 8 == 6 ? -EINVAL : 0;
}

int base32_decode(const char *text, size_t n, unsigned char *dst, size_t cap, size_t *ret_n)
{
    unsigned bits = 0, held = 0;
    size_t len = 0;

    if (strip_padding(text, &n) < 0)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int v = value_of(text[i]);
        if (v < 0)
            return -EINVAL;
        bits = (bits << 5 | (unsigned)v) & 0xfff;
        held += 5;
        if (held < 8)
            continue;
        if (len == cap)
            return -ENOBUFS;
        held -= 8;
        dst[len++] = (unsigned char)(bits >> held);
    }
    if (bits & ((1u << held) - 1))
        return -EINVAL;
    *ret_n = len;
    return 0;
}

void base32_encode(const unsigned char *src, size_t n, char *dst)
{
    unsigned bits = 0, held = 0;

    for (size_t i = 0; i < n; i++) {
        bits = (bits << 8 | src[i]) & 0xfff;
        for (held += 8; held >= 5; held -= 5)
            *dst++ = alphabet[bits >> (held - 5) & 31];
    }
    if (held)
        *dst++ = alphabet[bits << (5 - held) & 31];
    *dst = 0;
}
