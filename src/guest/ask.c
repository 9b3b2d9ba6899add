/* Questions to a running guest and their answers, through its monitor: commands for the guest agent, scripts of the
 * engine, single commands of QEMU. The monitor has parsed what the guest or QEMU said and written it anew; it runs
 * beside them under the same user, so here it is walked over once more (json_is_value) before anybody repeats it. Loop
 * thread. */
#include "guest/guest_priv.h"

#include "base/propstr.h"

#define ANSWER_DEPTH_MAX 24u

struct ask {
    guest_answer_fn fn;
    void *arg;
    bool is_bytes;
};

static void on_answer(void *arg, int r, const void *payload, size_t n, const struct err *why)
{
    struct ask *a = arg;
    struct err e = *why;
    struct field f = {.data = (const uint8_t *)"", .len = 0};
    struct field_reader fr;
    bool is_eof = false;

    field_reader_init(&fr, payload, n);
    for (struct field g; r == 0 && field_next(&fr, &g) == 1;) {
        if (g.tag == FIELD_BODY)
            f = g;
        else if (g.tag == FIELD_STAT && g.len == 5 && memcmp(g.data, "eof=1", 5) == 0)
            is_eof = true;
    }
    if (r == 0 && !a->is_bytes && f.len && !json_is_value((const char *)f.data, f.len, ANSWER_DEPTH_MAX))
        r = err_set(&e, -EPROTO, "guest.answer", "the guest's monitor sent an answer that is not JSON");
    a->fn(a->arg, r, (const char *)f.data, f.len, is_eof, &e);
    free(a);
}

static void ask(struct guest_mgr *m, uint32_t vmid, const char *verb, const struct buf *fields, const int *fds,
                size_t n_fds, bool is_bytes, guest_answer_fn fn, void *arg)
{
    struct guest *g = guest_find(m, vmid);
    struct ask *a = calloc(1, sizeof(*a));
    struct err e = ERR_INIT;

    if (!a) {
        err_set(&e, -ENOMEM, NULL, "out of memory");
        fn(arg, e.num, "", 0, false, &e);
        return;
    }
    *a = (struct ask){.fn = fn, .arg = arg, .is_bytes = is_bytes};
    monitor_call(g ? g->monitor : NULL, verb, fields, fds, n_fds, on_answer, a);
}

bool guest_has_agent(const struct guest *g)
{
    const char *value = config_get(g->running.n ? &g->running : &g->config, "agent");
    struct err e = ERR_INIT;
    struct propstr p;
    bool is_enabled = false;

    return value && propstr_parse(value, "enabled", &p, &e) == 0 &&
           propstr_get_bool(&p, "enabled", false, &is_enabled, &e) == 0 && is_enabled;
}

int guest_agent(struct guest_mgr *m, uint32_t vmid, const char *command, const char *arguments, const char *mode,
                uint32_t limit_ms, guest_answer_fn fn, void *arg, struct err *e)
{
    struct guest *g = guest_find(m, vmid);
    autobuf struct buf line, fields;
    struct jw w;

    buf_init(&line, FRAME_PAYLOAD_MAX);
    buf_init(&fields, FRAME_PAYLOAD_MAX);
    if (!g || !guest_has_agent(g))
        return err_set(e, -ENODEV, "agent.none", "No QEMU guest agent configured");
    if (g->state != GUEST_RUNNING && g->state != GUEST_PAUSED)
        return err_set(e, -ESRCH, "guest.stopped", "VM %u is not running", vmid);
    jw_init(&w, &line);
    jw_object(&w);
    jw_kv_str(&w, "execute", command);
    if (arguments) {
        jw_key(&w, "arguments");
        jw_raw(&w, arguments, strlen(arguments));
    }
    jw_object_end(&w);
    field_str(&fields, FIELD_MODE, mode);
    field_u32(&fields, FIELD_DELAY_MS, limit_ms);
    field_bytes(&fields, FIELD_BODY, line.data, line.len);
    if (line.is_failed)
        return err_set(e, -E2BIG, "guest.too-long", "the command for the agent is too long");
    ask(m, vmid, "agent", &fields, NULL, 0, streq(mode, "read"), fn, arg);
    mem_wipe(line.data, line.len);
    return 0;
}

void guest_script(struct guest_mgr *m, uint32_t vmid, const struct engine_script *s, guest_answer_fn fn, void *arg)
{
    ask(m, vmid, "script", &s->fields, s->fds, s->n_fds, false, fn, arg);
}

void guest_control(struct guest_mgr *m, uint32_t vmid, const char *command, const char *arguments, guest_answer_fn fn,
                   void *arg)
{
    struct engine_script s = {0};
    autobuf struct buf text;

    buf_init(&text, 65536);
    buf_init(&s.fields, 65536 + 1024);
    buf_printf(&text, "+%s%s%s", command, arguments ? " " : "", arguments ? arguments : "");
    field_str(&s.fields, FIELD_ARG, buf_str(&text));
    s.fields.is_failed = s.fields.is_failed || text.is_failed;
    guest_script(m, vmid, &s, fn, arg);
    buf_done(&s.fields);
}
