/* Reading the guest agent; see agent_message.h. Called by agent.c with bytes of the guest. */
#include "guest/monitor/agent_message.h"

#include "base/json.h"

int agent_mode_parse(const char *name, enum agent_mode *ret)
{
    static const char *const names[] = {"json", "read", "exec", "none"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (streq(names[i], name)) {
            *ret = (enum agent_mode)i;
            return 0;
        }
    return -EINVAL;
}

static void copy_printable(const json_t *s, char *ret, size_t cap)
{
    const char *from = json_string_value(s);
    size_t n = from ? json_string_length(s) : 0;

    n = n < cap - 1 ? n : cap - 1;
    for (size_t i = 0; i < n; i++)
        ret[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? ' ' : (unsigned char)from[i] > 0x7f ? '?' : from[i];
    ret[n] = 0;
}

int agent_message_parse(const char *line, size_t n, struct agent_message *ret, struct err *e)
{
    json_error_t why;

    *ret = (struct agent_message){.kind = AGENT_OTHER};
    if (n > AGENT_LINE_MAX)
        return err_set(e, -EMSGSIZE, "agent.malformed", "the agent's answer is longer than %u bytes", AGENT_LINE_MAX);
    if (json_depth(line, n) > AGENT_DEPTH_MAX)
        return err_set(e, -EPROTO, "agent.malformed", "the agent's answer is nested deeper than %u", AGENT_DEPTH_MAX);
    if (json_values(line, n) > AGENT_VALUES_MAX)
        return err_set(e, -EMSGSIZE, "agent.malformed", "the agent's answer has more than %u values", AGENT_VALUES_MAX);
    ret->root = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(ret->root)) {
        agent_message_done(ret);
        return err_set(e, -EPROTO, "agent.malformed", "the agent's answer is not a JSON object");
    }
    json_t *error = json_object_get(ret->root, "error");
    ret->data = json_object_get(ret->root, "return");
    if (json_is_object(error)) {
        ret->kind = AGENT_ERROR;
        copy_printable(json_object_get(error, "desc"), ret->text, sizeof(ret->text));
    } else if (ret->data) {
        ret->kind = AGENT_RETURN;
    }
    return 0;
}

void agent_message_done(struct agent_message *m)
{
    json_decref(m->root);
    m->root = m->data = NULL;
}

bool agent_message_is_sync(const struct agent_message *m, uint64_t id)
{
    return m->kind == AGENT_RETURN && json_is_integer(m->data) && json_integer_value(m->data) >= 0 &&
           (uint64_t)json_integer_value(m->data) == id;
}

static int base64_value(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(alphabet, c) : NULL;

    return p ? (int)(p - alphabet) : -1;
}

/* RFC 4648, with its padding, nothing else. */
static int base64_decode(const json_t *text, struct buf *out, struct err *e)
{
    const char *p = json_string_value(text);
    size_t n = p ? json_string_length(text) : 0, tail = 0;

    while (tail < 2 && n && n % 4 == 0 && p[n - 1 - tail] == '=')
        tail++;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        size_t bytes = i + 4 == n ? 3 - tail : 3;
        for (size_t k = 0; k < 4; k++) {
            bool is_padding = k > bytes;
            int v = n % 4 || is_padding ? 0 : base64_value(p[i + k]);
            if (n % 4 || v < 0)
                return err_set(e, -EPROTO, "agent.malformed", "the agent's answer is not base64");
            bits = bits << 6 | (uint32_t)v;
        }
        const char raw[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        buf_append(out, raw, bytes);
    }
    return out->is_failed ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

/* Bytes as PVE puts them into JSON: each a character of its own, so that none is lost. */
static int set_decoded(json_t *result, const char *key, struct err *e)
{
    json_t *text = json_object_get(result, key);
    autobuf struct buf raw, wide;

    buf_init(&raw, AGENT_LINE_MAX);
    buf_init(&wide, 2 * AGENT_LINE_MAX);
    if (!json_is_string(text))
        return 0;
    int r = base64_decode(text, &raw, e);
    for (size_t i = 0; r == 0 && i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.data[i];
        if (c >= 0x80)
            buf_append_char(&wide, (char)(0xc0 | c >> 6));
        buf_append_char(&wide, (char)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
    }
    if (r == 0 && (wide.is_failed || json_object_set_new(result, key, json_stringn(buf_str(&wide), wide.len)) < 0))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    return r;
}

static int convert_exec(json_t *result, struct err *e)
{
    int r = set_decoded(result, "out-data", e);

    return r == 0 ? set_decoded(result, "err-data", e) : r;
}

/* The API's booleans are 1 and 0. The depth is bounded by the parser. */
static int convert_booleans(json_t *v)
{
    const char *key;
    json_t *item;
    void *next;
    size_t i;
    int r = 0;

    json_object_foreach_safe(v, next, key, item)
    {
        if (json_is_boolean(item))
            r |= json_object_set_new(v, key, json_integer(json_is_true(item)));
        else
            r |= convert_booleans(item);
    }
    json_array_foreach(v, i, item)
    {
        if (json_is_boolean(item))
            r |= json_array_set_new(v, i, json_integer(json_is_true(item)));
        else
            r |= convert_booleans(item);
    }
    return r;
}

int agent_message_body(const struct agent_message *m, enum agent_mode mode, struct buf *out, bool *ret_is_eof,
                       struct err *e)
{
    int r = 0;

    if (mode == AGENT_READ) {
        *ret_is_eof = json_is_true(json_object_get(m->data, "eof"));
        return base64_decode(json_object_get(m->data, "buf-b64"), out, e);
    }
    if (mode == AGENT_EXEC)
        r = convert_exec(m->data, e);
    if (r == 0 && convert_booleans(m->data) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    autofree char *text = r == 0 ? json_dumps(m->data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (r == 0 && !text)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (text)
        buf_append_str(out, text);
    return r;
}

/* ---- lines ---- */

void agent_lines_init(struct agent_lines *l)
{
    *l = (struct agent_lines){0};
    buf_init(&l->line, AGENT_LINE_MAX);
}

void agent_lines_done(struct agent_lines *l)
{
    buf_done(&l->line);
}

void agent_lines_reset(struct agent_lines *l)
{
    buf_done(&l->line);
    l->is_too_long = false;
}

size_t agent_lines_feed(struct agent_lines *l, const uint8_t *p, size_t n, bool *ret_is_complete)
{
    size_t len = 0;

    *ret_is_complete = false;
    while (len < n && p[len] != '\n' && p[len] != 0xff)
        len++;
    if (!l->is_too_long)
        buf_append(&l->line, p, len);
    if (l->line.is_failed) {
        agent_lines_reset(l);
        l->is_too_long = true;
    }
    if (len == n)
        return n;
    if (p[len] == 0xff)
        agent_lines_reset(l);
    else
        *ret_is_complete = true;
    return len + 1;
}
