/* What a guest sends in place of its agent, in lines; each is understood or refused, and what goes on to holmd is JSON.
 * The first byte chooses what becomes of the answers. */
#include "base/json.h"
#include "guest/monitor/agent_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void on_line(const char *line, size_t n, enum agent_mode mode)
{
    struct agent_message m;
    struct err e = ERR_INIT;
    autobuf struct buf body;
    bool is_eof;

    buf_init(&body, 2 * AGENT_LINE_MAX);
    if (agent_message_parse(line, n, &m, &e) < 0) {
        if (m.root || !e.code[0])
            abort();
        return;
    }
    for (const char *s = m.text; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            abort();
    if (m.kind == AGENT_RETURN && agent_message_body(&m, mode, &body, &is_eof, &e) == 0 && mode != AGENT_READ &&
        !body.is_failed && !json_is_value(buf_str(&body), body.len, 24))
        abort();
    (void)agent_message_is_sync(&m, 1);
    agent_message_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct agent_lines l;

    if (n == 0)
        return 0;
    enum agent_mode mode = (enum agent_mode)(data[0] % 4);
    agent_lines_init(&l);
    for (size_t at = 1; at < n;) {
        bool is_complete;
        at += agent_lines_feed(&l, data + at, n - at, &is_complete);
        if (!is_complete)
            continue;
        on_line(buf_str(&l.line), l.line.len, mode);
        agent_lines_reset(&l);
    }
    (void)json_is_value((const char *)data, n, 24);
    agent_lines_done(&l);
    return 0;
}
