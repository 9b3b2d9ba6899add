/* tfa list and tfa add: second factors. A new authenticator's secret is made here, shown as the otpauth URI that
 * authenticators read, and proved with a code before Holm keeps it. Neither secret nor code stands on a command line.
 */
#include <errno.h>
#include <sys/random.h>

#include "base/base32.h"
#include "cli/prompt_priv.h"
#include "cli/run_priv.h"
#include "cli/text_priv.h"

#define SECRET_BYTES 20u /* of HMAC-SHA-1; what every authenticator takes */
#define URI_MAX      1024u
#define CODE_MAX     16u

/* One row per second factor, in place of one per user with a list in it. */
static json_t *rows_of_users(json_t *users)
{
    json_t *rows = json_array(), *user, *entry;
    size_t i, k;

    json_array_foreach(users, i, user)
    {
        json_array_foreach(json_object_get(user, "entries"), k, entry)
        {
            json_t *row = json_copy(entry);
            json_object_set(row, "userid", json_object_get(user, "userid"));
            if (json_object_get(user, "totp-locked") || json_object_get(user, "tfa-locked-until"))
                json_object_set_new(row, "locked", json_integer(1));
            json_array_append_new(rows, row);
        }
    }
    return rows;
}

int tfa_list_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    autoreply struct reply reply = REPLY_INIT;
    int r = run_call(&s, cmd->path, &reply, e);

    if (r < 0)
        return r;
    json_t *rows = rows_of_users(reply.data);
    for (size_t i = json_array_size(rows); a->n_pos && i-- > 0;) {
        const char *user = json_string_value(json_object_get(json_array_get(rows, i), "userid"));
        if (!user || !streq(user, a->pos[0]))
            json_array_remove(rows, i);
    }
    r = output_data(c, cmd->columns, rows, e);
    json_decref(rows);
    return r;
}

static void append_escaped(struct buf *b, const char *s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *s; s++) {
        if (strchr(plain, *s))
            buf_append_char(b, *s);
        else
            buf_printf(b, "%%%02X", (unsigned char)*s);
    }
}

/* A new secret as a parameter, and on the terminal: on standard error when standard output is for a program. */
static int make_uri(struct cli *c, struct cli_args *a, const char *user, struct err *e)
{
    unsigned char secret[SECRET_BYTES];
    char text[BASE32_CHARS(SECRET_BYTES) + 1];
    struct buf uri;

    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
        return err_errno(e, errno, "random bytes");
    base32_encode(secret, sizeof(secret), text);
    buf_init(&uri, URI_MAX);
    buf_append_str(&uri, "otpauth://totp/Holm:");
    append_escaped(&uri, user);
    buf_printf(&uri, "?secret=%s&issuer=Holm&algorithm=SHA1&digits=6&period=30", text);
    int r = uri.is_failed ? err_set(e, -EINVAL, "cli.usage", "'%.80s' is not a user", user)
                          : args_add(a, "totp", buf_str(&uri), false, e);
    if (r == 0) {
        FILE *out = c->format == FORMAT_TABLE ? stdout : stderr;
        fprintf(out, "%s\n", buf_str(&uri));
        fflush(out);
    }
    mem_wipe(secret, sizeof(secret));
    mem_wipe(text, sizeof(text));
    if (uri.data)
        mem_wipe(uri.data, uri.cap);
    buf_done(&uri);
    return r;
}

static int take_code(struct cli_args *a, struct err *e)
{
    const char *file = args_get(a, "code-file", true);
    autofree char *code = NULL;
    int r = file ? prompt_secret_file(file, &code, e) : prompt_line("Code of the authenticator: ", &code, CODE_MAX, e);

    return r < 0 ? r : args_add(a, "value", code, false, e);
}

int tfa_add_totp_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    autoreply struct reply reply = REPLY_INIT;
    int r = 0;

    if (!args_get(a, "code-file", true) && !prompt_is_possible()) {
        err_set(e, -ENOTTY, "cli.usage", "no code of the authenticator for %.80s", a->pos[0]);
        return err_hint(e, "use --code-file FILE, or - for standard input");
    }
    if (!args_get(a, "totp", false))
        r = make_uri(c, a, a->pos[0], e);
    if (r == 0 && !args_get(a, "description", false))
        r = args_add(a, "description", "authenticator", false, e);
    if (r == 0)
        r = take_code(a, e);
    if (r == 0)
        r = run_call(&s, cmd->path, &reply, e);
    return r < 0 ? r : output_data(c, cmd->columns, reply.data, e);
}

int tfa_add_recovery_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    bool is_data = c->format == FORMAT_JSON || c->format == FORMAT_NDJSON;
    autoreply struct reply reply = REPLY_INIT;
    int r = run_call(&s, cmd->path, &reply, e);

    if (r < 0)
        return r;
    return is_data ? output_json(c, reply.data, e) : output_data(c, NULL, json_object_get(reply.data, "recovery"), e);
}
