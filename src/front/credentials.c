/* Ticket and token from headers; see credentials.h. */
#include "front/credentials.h"

#include "proto/text.h"

void credentials_done(struct credentials *c)
{
    buf_done(&c->ticket);
    buf_done(&c->token);
}

/* The text after "KEY=" or "KEY " where KEY begins a word, up to ';', without blanks and quotes around it. */
static bool find_value(const char *header, const char *key, const char **ret_value, size_t *ret_len)
{
    size_t key_len = strlen(key);

    for (const char *p = header; (p = strstr(p, key)); p += key_len) {
        bool is_start = p == header || p[-1] == ' ' || p[-1] == '\t' || p[-1] == ';';
        if (!is_start || (p[key_len] != '=' && p[key_len] != ' '))
            continue;
        const char *value = p + key_len + 1;
        value += strspn(value, " \t");
        size_t n = strcspn(value, ";");
        while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
            n--;
        if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
            value++;
            n -= 2;
        }
        if (n == 0)
            continue;
        *ret_value = value;
        *ret_len = n;
        return true;
    }
    return false;
}

static bool has_control(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if ((unsigned char)b->data[i] < 0x20 || b->data[i] == 0x7f)
            return true;
    return false;
}

/* 1 = found, 0 = not there. */
static int take(const char *header, const char *key, struct buf *out, struct err *e)
{
    const char *value;
    size_t n;

    if (!header || !find_value(header, key, &value, &n))
        return 0;
    /* A '%' that begins no code belongs to the value itself, as in PVE. */
    if (text_percent_decode(value, n, false, out, e) < 0) {
        buf_reset(out);
        buf_append(out, value, n);
    }
    if (out->is_failed || has_control(out) || !text_is_utf8(out->data, out->len))
        return err_set(e, -EINVAL, "http.credentials", "malformed credentials");
    return 1;
}

static int take_cookie(const struct http1_head *h, const char *name, struct credentials *ret, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < h->n_headers && r == 0; i++)
        if (streq(h->headers[i].name, "cookie"))
            r = take(h->headers[i].value, name, &ret->ticket, e);
    ret->is_cookie = r == 1;
    return r;
}

int credentials_read(const struct http1_head *h, struct credentials *ret, struct err *e)
{
    const char *authorization = http1_head_get(h, "authorization");

    ret->is_cookie = false;
    buf_init(&ret->ticket, CREDENTIAL_MAX);
    buf_init(&ret->token, CREDENTIAL_MAX);
    int r = take_cookie(h, "__Host-HolmAuthCookie", ret, e);
    if (r == 0)
        r = take_cookie(h, "PVEAuthCookie", ret, e);
    if (r == 0)
        r = take(authorization, "PVEAuthCookie", &ret->ticket, e);
    if (r >= 0)
        r = take(authorization, "PVEAPIToken", &ret->token, e);
    return r < 0 ? r : 0;
}
