/* task log and task wait. */
#include "cli/run_priv.h"
#include "cli/text_priv.h"

#define LOG_PAGE 1000u

static int check_upid(const struct cli_args *a, struct err *e)
{
    if (upid_is_valid(a->pos[0]))
        return 0;
    err_set(e, -EINVAL, "cli.usage", "'%s' is not the UPID of a task", a->pos[0]);
    return err_hint(e, "holm task list shows them");
}

int task_wait_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    json_t *status = NULL;
    int r = check_upid(a, e);

    if (r == 0)
        r = follow_task(c, a->pos[0], &status, e);
    if (r == 0 && (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON))
        r = output_json(c, status, e);
    json_decref(status);
    return r;
}

struct log_print {
    struct buf text;
    json_t *rows; /* for the formats of programs; NULL otherwise */
    uint64_t n;
};

static void take_line(void *arg, const char *line)
{
    struct log_print *p = arg;

    p->n++;
    if (p->rows) {
        json_array_append_new(p->rows, json_pack("{s:I,s:s}", "n", (json_int_t)p->n, "t", line));
        return;
    }
    text_append_clean(&p->text, line, strlen(line));
    buf_append_char(&p->text, '\n');
}

int task_log_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    bool is_text = c->format == FORMAT_TABLE && !c->columns;
    struct log_print p = {.rows = is_text ? NULL : json_array()};
    uint64_t n = LOG_PAGE;
    int r = check_upid(a, e);

    buf_init(&p.text, OUTPUT_MAX);
    while (r == 0 && n == LOG_PAGE && !p.text.is_failed && p.n < 1000000) {
        n = 0;
        r = follow_log_page(c, a->pos[0], p.n, LOG_PAGE, take_line, &p, &n, e);
    }
    if (r == 0)
        r = is_text ? output_flush(&p.text, e) : output_data(c, cmd->columns, p.rows, e);
    buf_done(&p.text);
    json_decref(p.rows);
    return r;
}
