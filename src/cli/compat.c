/* qm, pvesm and pveum: finds the row of compat_table.c that the words name, fills its path, makes the call, follows the
 * task, prints (compat_print.c). pvesh has a file of its own. Errors are printed and counted as those tools do: 255, or
 * 2 for a guest that does not exist. main.c comes here when argv[0] is one of the names. */
#include "cli/compat_priv.h"

#include <ctype.h>

#include "cli/prompt_priv.h"
#include "cli/run_priv.h"
#include "cli/text_priv.h"

static const char *const tools[] = {"qm", "pvesh", "pvesm", "pveum"};

bool compat_is_tool(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
        if (streq(tools[i], name))
            return true;
    return false;
}

/* Settings of the tools that take no value. */
static bool is_flag(const char *name)
{
    static const char *const flags[] = {"noheader", "noborder", "human-readable", "quiet",
                                        "noproxy",  "returns",  "verbose",        "v"};

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (streq(flags[i], name))
            return true;
    return false;
}

/* The tool's own settings; everything else is a parameter. */
static int take_setting(struct compat_line *l, const char *name, const char *value, bool *ret_is_taken, struct err *e)
{
    *ret_is_taken = true;
    if (streq(name, "output-format")) {
        if (!streq(value, "text") && !streq(value, "json") && !streq(value, "json-pretty") && !streq(value, "yaml"))
            return err_set(e, -EINVAL, "cli.usage", "output-format is text, json, json-pretty or yaml, not '%s'",
                           value);
        l->output_format = value;
    } else if (streq(name, "noheader")) {
        l->is_no_header = true;
    } else if (streq(name, "verbose") || streq(name, "v")) {
        l->is_verbose = true;
    } else if (streq(name, "command")) {
        l->command = value;
    } else {
        *ret_is_taken = is_flag(name);
    }
    return 0;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && (isalpha((unsigned char)word[1]) || (word[1] == '-' && isalpha((unsigned char)word[2])));
}

static int take_option(struct compat_line *l, char *word, const char *next, bool *ret_next_is_used, struct err *e)
{
    char *name = word + (word[1] == '-' ? 2 : 1), *value = strchr(name, '=');
    bool is_taken = false;

    *ret_next_is_used = false;
    if (value) {
        *value++ = 0;
    } else if (next && !is_option(next) && !is_flag(name)) {
        value = (char *)next;
        *ret_next_is_used = true;
    } else {
        value = (char *)"1";
    }
    int r = take_setting(l, name, value, &is_taken, e);
    if (r < 0 || is_taken)
        return r;
    if (l->n_params == COMPAT_PARAMS_MAX)
        return err_set(e, -E2BIG, "cli.usage", "more than %u options", COMPAT_PARAMS_MAX);
    l->params[l->n_params++] = (struct cli_param){.key = name, .value = value};
    return 0;
}

int compat_parse(struct compat_line *l, int argc, char **argv, struct err *e)
{
    bool is_next_used = false;
    int r = 0;

    for (int i = 0; r == 0 && i < argc; i += 1 + is_next_used) {
        is_next_used = false;
        if (is_option(argv[i])) {
            r = take_option(l, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &is_next_used, e);
        } else if (l->n_pos == COMPAT_ARGS_MAX) {
            r = err_set(e, -EINVAL, "cli.usage", "too many arguments");
        } else {
            l->pos[l->n_pos++] = argv[i];
        }
    }
    return r;
}

/* How many of the words are the row's verb; 0 if it is another one. */
static int words_of_verb(const char *verb, int argc, char **argv)
{
    int n = 0;

    while (*verb) {
        size_t len = strcspn(verb, " ");
        if (n >= argc || strlen(argv[n]) != len || memcmp(argv[n], verb, len) != 0)
            return 0;
        verb += len + (verb[len] == ' ');
        n++;
    }
    return n;
}

static const struct compat_row *find_row(const char *tool, int argc, char **argv, int *ret_n_words)
{
    for (size_t i = 0; i < compat_count; i++) {
        *ret_n_words = streq(compat_table[i].tool, tool) ? words_of_verb(compat_table[i].verb, argc, argv) : 0;
        if (*ret_n_words)
            return &compat_table[i];
    }
    return NULL;
}

static void print_commands(FILE *f, const char *tool)
{
    fprintf(f, "USAGE: %s <COMMAND> [ARGS] [OPTIONS]\n", tool);
    for (size_t i = 0; i < compat_count; i++)
        if (streq(compat_table[i].tool, tool))
            fprintf(f, "       %s %s%s%s [OPTIONS]\n", tool, compat_table[i].verb, *compat_table[i].args ? " " : "",
                    compat_table[i].args);
}

/* The next key of "vmid [target]" into key; false at the end. */
static bool next_key(const char **keys, char *key, size_t cap, bool *ret_is_optional)
{
    size_t n = strcspn(*keys, " ");

    if (!n)
        return false;
    *ret_is_optional = **keys == '[';
    snprintf(key, cap, "%.*s", (int)(n - 2 * *ret_is_optional), *keys + *ret_is_optional);
    *keys += n + ((*keys)[n] == ' ');
    return true;
}

/* What fills a path: the arguments by their keys. */
struct scope {
    const struct cli *c;
    const struct compat_row *row;
    const struct compat_line *line;
    char storage[128];
};

static const char *arg_of(const struct scope *s, const char *name)
{
    const char *keys = s->row->args;
    bool is_optional;
    char key[40];

    for (size_t i = 0; next_key(&keys, key, sizeof(key), &is_optional); i++)
        if (streq(key, name))
            return i < s->line->n_pos ? s->line->pos[i] : NULL;
    return NULL;
}

static const char *scope_get(void *arg, const char *key)
{
    struct scope *s = arg;

    if (streq(key, "node"))
        return cli_node(s->c);
    if (streq(key, "storage") && s->row->flags & COMPAT_VOLUME) {
        const char *volume = arg_of(s, "volume");
        snprintf(s->storage, sizeof(s->storage), "%.*s", (int)strcspn(volume, ":"), volume);
        return s->storage;
    }
    return arg_of(s, key);
}

static bool path_has(const char *path, const char *key)
{
    char placeholder[48];

    snprintf(placeholder, sizeof(placeholder), "{%s}", key);
    return strstr(path, placeholder);
}

static int add_param(struct compat_line *l, const char *key, const char *value, struct err *e)
{
    if (l->n_params == COMPAT_PARAMS_MAX)
        return err_set(e, -E2BIG, "cli.usage", "more than %u options", COMPAT_PARAMS_MAX);
    l->params[l->n_params++] = (struct cli_param){.key = key, .value = (char *)value};
    return 0;
}

/* Arguments that the path does not use are parameters; so is the row's constant. dup holds its text. */
static int complete_params(const struct compat_row *row, struct compat_line *l, char (*names)[40], char *dup,
                           size_t cap, struct err *e)
{
    const char *keys = row->args;
    bool is_optional;
    size_t i = 0;
    int r = 0;

    for (; r == 0 && next_key(&keys, names[i], sizeof(names[i]), &is_optional); i++) {
        if (i >= l->n_pos && !is_optional)
            return err_set(e, -EINVAL, "cli.usage", "not enough arguments: %s is missing", names[i]);
        if (i < l->n_pos && !path_has(row->path, names[i]))
            r = add_param(l, names[i], l->pos[i], e);
    }
    if (r == 0 && l->n_pos > i)
        r = err_set(e, -EINVAL, "cli.usage", "too many arguments");
    snprintf(dup, cap, "%s", row->fixed ? row->fixed : "");
    for (char *at = dup, *pair; r == 0 && *dup && (pair = strsep(&at, "&"));) {
        char *value = strchr(pair, '=');
        *value++ = 0;
        r = add_param(l, pair, value, e);
    }
    return r;
}

static int ask_password(const struct compat_row *row, struct compat_line *l, char **ret, struct err *e)
{
    for (size_t i = 0; i < l->n_params; i++)
        if (streq(l->params[i].key, "password"))
            return 0;
    int r = prompt_is_possible() && !streq(row->verb, "ticket") ? prompt_new_password(l->pos[0], ret, e)
                                                                : prompt_secret_file("-", ret, e);
    return r < 0 ? r : add_param(l, "password", *ret, e);
}

/* qm takes a file with keys where the API takes the keys. */
static int read_keys(struct compat_line *l, char **ret, struct err *e)
{
    for (size_t i = 0; i < l->n_params; i++) {
        if (!streq(l->params[i].key, "sshkeys"))
            continue;
        int r = prompt_encoded_file(l->params[i].value, ret, e);
        if (r < 0)
            return r;
        l->params[i].value = *ret;
        break;
    }
    return 0;
}

static int check_route(const struct compat_row *row, struct err *e)
{
    json_t *paths = schema_paths(e);
    char method[8];
    int r = paths ? 0 : e->num;

    snprintf(method, sizeof(method), "%s", row->method);
    for (char *p = method; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (paths && !json_object_get(json_object_get(paths, row->path), method))
        r = err_set(e, -EOPNOTSUPP, NULL, "%s %s: Holm cannot do this (it has no %s %s)", row->tool, row->verb,
                    row->method, row->path);
    json_decref(paths);
    return r;
}

static int check_vmid(const struct scope *s, struct err *e)
{
    const char *vmid = arg_of(s, "vmid");

    if (!vmid || guest_is_vmid(vmid))
        return 0;
    return err_set(e, -EINVAL, "cli.usage",
                   "400 Parameter verification failed.\nvmid: type check ('integer') failed - got '%s'", vmid);
}

int compat_call(struct cli *c, const struct compat_line *l, const char *method, const char *path, json_t **ret_result,
                struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    struct request q = {.method = method, .path = path, .params = l->params, .n_params = l->n_params};
    int r = call_api(c, &q, &reply, e);

    if (r < 0)
        return r;
    if (reply.fd >= 0)
        return err_set(e, -EOPNOTSUPP, NULL, "this path is a stream");
    const char *upid = json_string_value(reply.data);
    if (upid && upid_is_valid(upid)) {
        json_t *status = NULL;
        r = follow_task(c, upid, &status, e);
        json_decref(status);
    }
    if (r == 0)
        *ret_result = json_incref(reply.data);
    return r;
}

static int run_console(struct cli *c, struct compat_line *l, struct err *e)
{
    const struct cli_command *cmd = command_find("vm", "console");
    struct cli_args a = {.pos = {l->pos[0]}, .n_pos = 1};

    for (size_t i = 0; i < l->n_params; i++) {
        if (!streq(l->params[i].key, "iface"))
            return err_set(e, -EINVAL, "cli.usage", "Unknown option: %s", l->params[i].key);
        int r = args_add(&a, "serial", l->params[i].value, false, e);
        if (r < 0)
            return r;
    }
    int r = vm_console_run(c, cmd, &a, e);
    args_done(&a);
    return r;
}

static int call_row(struct cli *c, const struct compat_row *row, struct compat_line *l, struct err *e)
{
    struct scope s = {.c = c, .row = row, .line = l};
    json_t *result = NULL;
    struct buf path;
    int r = check_vmid(&s, e);

    if (r == 0)
        r = cli_connect(c, e);
    buf_init(&path, 2048);
    if (r == 0)
        r = call_path(row->path, scope_get, &s, &path, e);
    if (r == 0)
        r = compat_call(c, l, row->method, buf_str(&path), &result, e);
    buf_done(&path);
    if (r == 0)
        r = compat_output(c, l, row->print, row->columns, result, e);
    json_decref(result);
    return r;
}

static int run_row(struct cli *c, const struct compat_row *row, struct compat_line *l, struct err *e)
{
    char names[COMPAT_ARGS_MAX][40], fixed[64];
    autofree char *password = NULL, *keys = NULL;
    int r = check_route(row, e);

    if (r == 0)
        r = complete_params(row, l, names, fixed, sizeof(fixed), e);
    if (r == 0 && row->flags & COMPAT_CONSOLE)
        return run_console(c, l, e);
    if (r == 0 && row->flags & COMPAT_ASKS_PASSWORD)
        r = ask_password(row, l, &password, e);
    if (r == 0 && row->flags & COMPAT_KEY_FILE)
        r = read_keys(l, &keys, e);
    if (r == 0)
        r = call_row(c, row, l, e);
    if (password)
        mem_wipe(password, strlen(password));
    return r;
}

static int run_tool(struct cli *c, const char *tool, int argc, char **argv, struct err *e)
{
    int n_words = 0;

    if (streq(tool, "pvesh"))
        return pvesh_run(c, argc, argv, e);
    if (argc && (streq(argv[0], "help") || streq(argv[0], "--help"))) {
        print_commands(stdout, tool);
        return 0;
    }
    const struct compat_row *row = find_row(tool, argc, argv, &n_words);
    if (!row) {
        err_set(e, -EINVAL, "cli.command", argc ? "ERROR: unknown command '%s %s'" : "ERROR: no command specified",
                tool, argc ? argv[0] : "");
        return e->num;
    }
    struct compat_line *l = calloc(1, sizeof(*l));
    int r = l ? compat_parse(l, argc - n_words, argv + n_words, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0) {
        c->is_quiet = l->is_no_header;
        r = run_row(c, row, l, e);
    }
    free(l);
    return r;
}

/* "400 Parameter verification failed." and a line for each parameter. */
static void print_error(const struct cli *c, const char *tool, const struct err *e)
{
    const char *key;
    json_t *value;

    if (json_object_size(c->param_errors)) {
        fprintf(stderr, "400 Parameter verification failed.\n");
        json_object_foreach(c->param_errors, key, value)
        {
            autofree char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
            size_t n = text ? strlen(text) : 0;
            fprintf(stderr, "%s: %.*s\n", key, n > 2 ? (int)n - 2 : 0, text + 1);
        }
    } else {
        struct buf b;
        buf_init(&b, 8192);
        text_append_clean_lines(&b, e->text, strlen(e->text));
        fprintf(stderr, "%s\n", buf_str(&b));
        buf_done(&b);
    }
    if (streq(e->code, "cli.command"))
        print_commands(stderr, tool);
}

int compat_main(struct cli *c, const char *tool, int argc, char **argv)
{
    struct err e = ERR_INIT;
    int r = run_tool(c, tool, argc - 1, argv + 1, &e);

    if (r < 0)
        print_error(c, tool, &e);
    json_decref(c->param_errors);
    client_free(c->client);
    if (r == 0)
        return 0;
    if (streq(e.code, "cli.interrupted"))
        return EXIT_INTERRUPTED;
    return strstr(e.text, "Configuration file '") ? COMPAT_EXIT_NO_FILE : COMPAT_EXIT_FAILED;
}
