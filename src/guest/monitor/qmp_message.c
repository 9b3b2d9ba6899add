/* Reading QMP; see qmp_message.h. */
#include "guest/monitor/qmp_message.h"

#include "base/json.h"

#define DEVICES_MAX 256u

static void copy_printable(const char *from, size_t n, char *ret, size_t cap)
{
    n = n < cap - 1 ? n : cap - 1;
    for (size_t i = 0; i < n; i++)
        ret[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? ' ' : from[i];
    ret[n] = 0;
}

void qmp_get_text(const json_t *data, const char *key, char *ret, size_t cap)
{
    const json_t *s = json_object_get(data, key);

    ret[0] = 0;
    if (json_is_string(s))
        copy_printable(json_string_value(s), json_string_length(s), ret, cap);
}

bool qmp_get_u64(const json_t *data, const char *key, uint64_t *ret)
{
    const json_t *v = json_object_get(data, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

static void take_kind(struct qmp_message *m)
{
    const json_t *error = json_object_get(m->root, "error"), *result = json_object_get(m->root, "return");

    m->kind = QMP_OTHER;
    if (!qmp_get_u64(m->root, "id", &m->id))
        m->id = 0;
    if (json_is_object(json_object_get(m->root, "QMP"))) {
        m->kind = QMP_GREETING;
    } else if (json_is_object(error)) {
        m->kind = QMP_ERROR;
        qmp_get_text(error, "class", m->name, sizeof(m->name));
        qmp_get_text(error, "desc", m->text, sizeof(m->text));
    } else if (result) {
        m->kind = QMP_RETURN;
        m->data = json_object_get(m->root, "return");
    } else if (json_is_string(json_object_get(m->root, "event"))) {
        m->kind = QMP_EVENT;
        qmp_get_text(m->root, "event", m->name, sizeof(m->name));
        m->data = json_object_get(m->root, "data");
    }
}

int qmp_message_parse(const char *line, size_t n, struct qmp_message *ret, struct err *e)
{
    json_error_t why;

    *ret = (struct qmp_message){0};
    if (n > QMP_LINE_MAX)
        return err_set(e, -EMSGSIZE, "qmp.malformed", "a line of more than %u bytes", QMP_LINE_MAX);
    if (json_depth(line, n) > QMP_DEPTH_MAX)
        return err_set(e, -EPROTO, "qmp.malformed", "nested deeper than %u", QMP_DEPTH_MAX);
    if (json_values(line, n) > QMP_VALUES_MAX)
        return err_set(e, -EMSGSIZE, "qmp.malformed", "more than %u values", QMP_VALUES_MAX);
    ret->root = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(ret->root)) {
        qmp_message_done(ret);
        return err_set(e, -EPROTO, "qmp.malformed", "not a JSON object");
    }
    take_kind(ret);
    return 0;
}

void qmp_message_done(struct qmp_message *m)
{
    json_decref(m->root);
    m->root = m->data = NULL;
}

void qmp_sum_blockstats(const json_t *data, uint64_t *ret_read_bytes, uint64_t *ret_write_bytes)
{
    uint64_t read_bytes = 0, write_bytes = 0;

    for (size_t i = 0; i < json_array_size(data) && i < DEVICES_MAX; i++) {
        const json_t *stats = json_object_get(json_array_get(data, i), "stats");
        uint64_t v;
        if (qmp_get_u64(stats, "rd_bytes", &v))
            read_bytes += v;
        if (qmp_get_u64(stats, "wr_bytes", &v))
            write_bytes += v;
    }
    *ret_read_bytes = read_bytes;
    *ret_write_bytes = write_bytes;
}

uint64_t qmp_greeting_version(const json_t *root)
{
    const json_t *v = json_object_get(json_object_get(json_object_get(root, "QMP"), "version"), "qemu");
    uint64_t major, minor, micro;

    if (!qmp_get_u64(v, "major", &major) || !qmp_get_u64(v, "minor", &minor) || !qmp_get_u64(v, "micro", &micro) ||
        major > 999 || minor > 999 || micro > 999)
        return 0;
    return (major * 1000 + minor) * 1000 + micro;
}
