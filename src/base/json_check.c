/* Is a text one JSON value? A walk over the bytes with one bit per open bracket, for what is passed on unparsed. */
#include "base/json.h"

struct walk {
    const char *p, *end;
};

static void blanks(struct walk *w)
{
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r'))
        w->p++;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape(struct walk *w)
{
    if (w->p == w->end)
        return false;
    char c = *w->p++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    for (int i = 0; i < 4; i++)
        if (w->p == w->end || !is_hex(*w->p++))
            return false;
    return true;
}

static bool string(struct walk *w)
{
    if (w->p == w->end || *w->p++ != '"')
        return false;
    while (w->p < w->end) {
        if (*w->p == '"') {
            w->p++;
            return true;
        }
        size_t n = (unsigned char)*w->p < ' ' ? 0 : utf8_len(w->p, (size_t)(w->end - w->p));
        bool is_escape = *w->p == '\\';
        if (!n)
            return false;
        w->p += n;
        if (is_escape && !escape(w))
            return false;
    }
    return false;
}

static bool digits(struct walk *w)
{
    const char *begin = w->p;

    while (w->p < w->end && *w->p >= '0' && *w->p <= '9')
        w->p++;
    return w->p > begin;
}

static bool number(struct walk *w)
{
    if (*w->p == '-')
        w->p++;
    const char *begin = w->p;
    if (!digits(w) || (*begin == '0' && w->p - begin > 1))
        return false;
    if (w->p < w->end && *w->p == '.') {
        w->p++;
        if (!digits(w))
            return false;
    }
    if (w->p < w->end && (*w->p == 'e' || *w->p == 'E')) {
        w->p++;
        if (w->p < w->end && (*w->p == '+' || *w->p == '-'))
            w->p++;
        return digits(w);
    }
    return true;
}

static bool scalar(struct walk *w)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(w->end - w->p) >= n && memcmp(w->p, words[i], n) == 0) {
            w->p += n;
            return true;
        }
    }
    return *w->p == '"' ? string(w) : number(w);
}

/* "key": of an object. */
static bool key(struct walk *w)
{
    blanks(w);
    if (!string(w))
        return false;
    blanks(w);
    return w->p < w->end && *w->p++ == ':';
}

/* After a value: closes what ends here. False when something else follows; *ret_done when nothing is open. */
static bool after_value(struct walk *w, uint32_t *objects, unsigned *depth, bool *ret_done)
{
    for (;;) {
        blanks(w);
        *ret_done = *depth == 0;
        if (*ret_done)
            return w->p == w->end;
        if (w->p == w->end)
            return false;
        bool is_object = *objects & 1u;
        char c = *w->p++;
        if (c == ',')
            return !is_object || key(w);
        if (c != (is_object ? '}' : ']'))
            return false;
        *objects >>= 1;
        (*depth)--;
    }
}

bool json_is_value(const char *text, size_t n, unsigned depth_max)
{
    struct walk w = {text, text + n};
    uint32_t objects = 0;
    unsigned depth = 0;
    bool is_done = false;

    while (!is_done) {
        blanks(&w);
        if (w.p == w.end)
            return false;
        if (*w.p == '{' || *w.p == '[') {
            bool is_object = *w.p++ == '{';
            if (depth++ == depth_max)
                return false;
            objects = objects << 1 | is_object;
            blanks(&w);
            bool is_empty = w.p < w.end && *w.p == (is_object ? '}' : ']');
            if (!is_empty && is_object && !key(&w))
                return false;
            if (!is_empty)
                continue;
        } else if (!scalar(&w)) {
            return false;
        }
        if (!after_value(&w, &objects, &depth, &is_done))
            return false;
    }
    return true;
}
