/* Parsing the command line by the table: options may stand anywhere, the first words name the command. Values are
 * checked for their kind here; what they mean is the daemon's business. Passwords are read from files, never taken from
 * argv, which every user of the machine can read. */
#include "cli/command_priv.h"
#include "cli/prompt_priv.h"

struct parse {
    struct cli *c;
    struct cli_args *a;
    const struct cli_command *cmd;
    char **argv;
    int argc, at;
    char verb[64];
};

void args_done(struct cli_args *a)
{
    for (size_t i = 0; i < a->n_params; i++) {
        mem_wipe(a->params[i].value, strlen(a->params[i].value));
        free(a->params[i].value);
    }
    free(a->params);
    *a = (struct cli_args){0};
}

int args_add(struct cli_args *a, const char *key, const char *value, bool is_local, struct err *e)
{
    if (args_get(a, key, is_local))
        return err_set(e, -EINVAL, "cli.usage", "'%s' is given twice", key);
    if (a->n_params == ARGS_PARAM_MAX)
        return err_set(e, -E2BIG, "cli.usage", "more than %u parameters", ARGS_PARAM_MAX);
    struct cli_param *p = realloc(a->params, (a->n_params + 1) * sizeof(*p));
    if (!p)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    a->params = p;
    char *copy = strdup(value);
    if (!copy)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    a->params[a->n_params++] = (struct cli_param){.key = key, .value = copy, .is_local = is_local};
    return 0;
}

const char *args_get(const struct cli_args *a, const char *key, bool is_local)
{
    for (size_t i = 0; i < a->n_params; i++)
        if (a->params[i].is_local == is_local && streq(a->params[i].key, key))
            return a->params[i].value;
    return NULL;
}

const char *args_pos(const struct cli_command *cmd, const struct cli_args *a, const char *label)
{
    for (size_t i = 0; cmd->args && cmd->args[i].label; i++)
        if (streq(cmd->args[i].label, label))
            return i < a->n_pos ? a->pos[i] : NULL;
    return NULL;
}

bool args_key_is_secret(const char *key)
{
    static const char *const secrets[] = {
        "password", "cipassword", "confirmation-password", "new-password", "tfa-challenge", "totp", "otp"};

    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
        if (streq(secrets[i], key))
            return true;
    return false;
}

static int refuse_secret(const char *key, struct err *e)
{
    err_set(e, -EINVAL, "cli.usage", "'%s' must not stand on a command line, where other users can read it", key);
    return err_hint(e, "use --data-file %s=FILE, or %s=- for standard input", key, key);
}

static bool is_key(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return n > 0 && n <= 64 && !s[n] && s[0] != '-';
}

/* The value of an option: "--x=value" or the next word. */
static int take_value(struct parse *p, const char *option, const char *inline_value, const char **ret, struct err *e)
{
    if (inline_value) {
        *ret = inline_value;
        return 0;
    }
    if (p->at >= p->argc)
        return err_set(e, -EINVAL, "cli.usage", "%s needs a value", option);
    *ret = p->argv[p->at++];
    return 0;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);

    for (const char *c = choices; *c; c += strcspn(c, "|"), c += *c == '|')
        if (n > 0 && strncmp(c, value, n) == 0 && (c[n] == '|' || !c[n]))
            return true;
    return false;
}

static bool are_choices(const char *choices, const char *list)
{
    char word[64];

    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : 0), p);
        if (!is_choice(choices, word))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

static int check_bool(const char *name, const char *value, const char **ret, struct err *e)
{
    if (is_choice("1|yes|on|true", value))
        *ret = "1";
    else if (is_choice("0|no|off|false", value))
        *ret = "0";
    else
        return err_set(e, -EINVAL, "cli.usage", "--%s takes yes or no, not '%s'", name, value);
    return 0;
}

static int check_value(const struct cli_opt *o, const char *value, const char **ret, struct err *e)
{
    uint64_t number;

    *ret = value;
    switch (o->kind) {
    case OPT_INT:
        if (str_to_u64(value, &number) < 0)
            return err_set(e, -EINVAL, "cli.usage", "--%s takes a number, not '%s'", o->name, value);
        return 0;
    case OPT_BOOL:
        return check_bool(o->name, value, ret, e);
    case OPT_CHOICE:
        if (is_choice(o->choices, value))
            return 0;
        return err_set(e, -EINVAL, "cli.usage", "--%s takes %s, not '%s'", o->name, o->choices, value);
    case OPT_CHOICES:
        if (are_choices(o->choices, value))
            return 0;
        return err_set(e, -EINVAL, "cli.usage", "--%s takes some of %s with commas, not '%s'", o->name, o->choices,
                       value);
    case OPT_FLAG:
    case OPT_NO:
    case OPT_TEXT:
    case OPT_LINES:
    case OPT_SECRET:
        return 0;
    }
    return 0;
}

static int add_secret(struct cli_args *a, const char *key, const char *file, struct err *e)
{
    autofree char *value = NULL;
    int r = prompt_secret_file(file, &value, e);

    if (r < 0)
        return r;
    r = args_add(a, key, value, false, e);
    mem_wipe(value, strlen(value));
    return r;
}

static int add_lines(struct cli_args *a, const char *key, const char *file, struct err *e)
{
    autofree char *value = NULL;
    int r = prompt_encoded_file(file, &value, e);

    return r < 0 ? r : args_add(a, key, value, false, e);
}

static int take_command_option(struct parse *p, const struct cli_opt *o, const char *value, struct err *e)
{
    const char *key = o->key ? o->key : o->name;
    const char *text = o->kind == OPT_NO ? "0" : "1";
    char option[64];

    snprintf(option, sizeof(option), "--%s", o->name);
    if (o->kind == OPT_FLAG || o->kind == OPT_NO) {
        if (value)
            return err_set(e, -EINVAL, "cli.usage", "%s takes no value", option);
        return args_add(p->a, key, text, !o->key, e);
    }
    int r = take_value(p, option, value, &text, e);
    if (r == 0 && o->kind == OPT_SECRET)
        return add_secret(p->a, key, text, e);
    if (r == 0 && o->kind == OPT_LINES)
        return add_lines(p->a, key, text, e);
    if (r == 0)
        r = check_value(o, text, &text, e);
    return r < 0 ? r : args_add(p->a, key, text, !o->key, e);
}

static void set_format(struct cli *c, const char *name)
{
    static const char *const names[] = {[FORMAT_TABLE] = "table",
                                        [FORMAT_JSON] = "json",
                                        [FORMAT_NDJSON] = "ndjson",
                                        [FORMAT_CSV] = "csv",
                                        [FORMAT_NAME] = "name"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (streq(names[i], name))
            c->format = (enum cli_format)i;
    c->is_format_set = true;
}

static void set_global(struct parse *p, const char *name, const char *value)
{
    struct cli *c = p->c;

    if (streq(name, "root"))
        c->root = value;
    else if (streq(name, "node"))
        c->node = value;
    else if (streq(name, "output"))
        set_format(c, value);
    else if (streq(name, "columns"))
        c->columns = value;
    else if (streq(name, "quiet"))
        c->is_quiet = true;
    else if (streq(name, "dry-run"))
        c->is_dry_run = true;
    else if (streq(name, "no-wait"))
        c->is_waiting = false;
    else if (streq(name, "timeout"))
        (void)!str_to_u64(value, &c->timeout_s);
    else if (streq(name, "yes"))
        c->is_yes = true;
    else if (streq(name, "no-color"))
        c->is_colour_off = true;
    else if (streq(name, "help"))
        p->a->is_help = true;
    else if (streq(name, "version"))
        p->cmd = command_find("version", "");
}

static int take_global_option(struct parse *p, const struct cli_opt *o, const char *value, struct err *e)
{
    char option[64];

    snprintf(option, sizeof(option), "--%s", o->name);
    if (o->kind == OPT_FLAG) {
        if (value)
            return err_set(e, -EINVAL, "cli.usage", "%s takes no value", option);
        set_global(p, o->name, NULL);
        return 0;
    }
    int r = take_value(p, option, value, &value, e);
    if (r == 0)
        r = check_value(o, value, &value, e);
    if (r == 0)
        set_global(p, o->name, value);
    return r;
}

/* A parameter that is an argument of the command cannot be given by name too. */
static int check_key(const struct cli_command *cmd, const char *key, struct err *e)
{
    for (const struct cli_arg *arg = cmd->args; arg && arg->label; arg++)
        if (arg->key && streq(arg->key, key))
            return err_set(e, -EINVAL, "cli.usage", "'%s' is given as the argument %s", key, arg->label);
    return 0;
}

/* KEY=VALUE of -d and --data-file; key is cut out of argv. */
static int split_pair(char *pair, const char *option, const char **ret_key, const char **ret_value, struct err *e)
{
    char *equals = strchr(pair, '=');

    if (!equals)
        return err_set(e, -EINVAL, "cli.usage", "%s takes KEY=VALUE, not '%s'", option, pair);
    *equals = 0;
    if (!is_key(pair))
        return err_set(e, -EINVAL, "cli.usage", "'%s' is not the name of a parameter", pair);
    *ret_key = pair;
    *ret_value = equals + 1;
    return 0;
}

static int take_data(struct parse *p, const char *option, const char *value, bool is_file, struct err *e)
{
    const char *key = NULL, *text = NULL;

    if (!p->cmd || !(p->cmd->flags & CMD_PASSTHROUGH))
        return err_set(e, -EINVAL, "cli.usage", "%s does not go with this command", option);
    int r = take_value(p, option, value, &value, e);
    if (r == 0)
        r = split_pair((char *)value, option, &key, &text, e);
    if (r == 0)
        r = check_key(p->cmd, key, e);
    if (r < 0)
        return r;
    if (is_file)
        return add_secret(p->a, key, text, e);
    return args_key_is_secret(key) ? refuse_secret(key, e) : args_add(p->a, key, text, false, e);
}

static int unknown_option(const struct parse *p, const char *name, struct err *e)
{
    struct suggest s;

    suggest_init(&s, name);
    for (const struct cli_opt *o = p->cmd ? p->cmd->opts : NULL; o && o->name; o++)
        suggest_offer(&s, o->name);
    for (const struct cli_opt *o = global_opts; o->name; o++)
        suggest_offer(&s, o->name);
    err_set(e, -EINVAL, "cli.usage", "unknown option '--%s'", name);
    if (suggest_result(&s))
        err_hint(e, "did you mean --%s?", suggest_result(&s));
    else if (p->cmd)
        err_hint(e, "holm %s%s%s --help lists the options", p->cmd->noun, *p->cmd->verb ? " " : "", p->cmd->verb);
    return e->num;
}

/* --name, --name=value; word is cut at '='. */
static int take_long(struct parse *p, char *word, struct err *e)
{
    char *name = word + 2, *value = strchr(name, '=');

    if (value)
        *value++ = 0;
    const struct cli_opt *o = p->cmd ? opt_find(p->cmd->opts, name) : NULL;
    if (o)
        return take_command_option(p, o, value, e);
    o = opt_find(global_opts, name);
    if (o)
        return take_global_option(p, o, value, e);
    if (streq(name, "data"))
        return take_data(p, "--data", value, false, e);
    if (streq(name, "data-file"))
        return take_data(p, "--data-file", value, true, e);
    if (!p->cmd || !(p->cmd->flags & CMD_ANY_KEY) || !is_key(name))
        return unknown_option(p, name, e);
    if (args_key_is_secret(name))
        return refuse_secret(name, e);
    const char *text = NULL;
    int r = check_key(p->cmd, name, e);
    if (r == 0)
        r = take_value(p, word, value, &text, e);
    return r < 0 ? r : args_add(p->a, name, text, false, e);
}

static int take_short(struct parse *p, const char *word, struct err *e)
{
    static const struct {
        char letter;
        const char *name;
    } shorts[] = {{'o', "output"}, {'c', "columns"}, {'q', "quiet"}, {'y', "yes"}, {'h', "help"}};
    const char *rest = word[2] ? word + 2 : NULL;

    if (word[1] == 'd')
        return take_data(p, "-d", rest, false, e);
    for (size_t i = 0; i < ARRAY_SIZE(shorts); i++)
        if (shorts[i].letter == word[1])
            return take_global_option(p, opt_find(global_opts, shorts[i].name), rest, e);
    return err_set(e, -EINVAL, "cli.usage", "unknown option '%s'", word);
}

static int take_noun(struct parse *p, const char *word, struct err *e)
{
    struct suggest s;

    if (noun_find(word)) {
        p->a->noun = word;
        p->cmd = command_find(word, "");
        return 0;
    }
    suggest_init(&s, word);
    for (size_t i = 0; i < noun_count; i++)
        suggest_offer(&s, noun_table[i].name);
    err_set(e, -EINVAL, "cli.usage", "unknown command '%s'", word);
    return suggest_result(&s) ? err_hint(e, "did you mean 'holm %s'?", suggest_result(&s))
                              : err_hint(e, "holm help lists the commands");
}

static int unknown_verb(const struct parse *p, struct err *e)
{
    struct suggest s;

    suggest_init(&s, p->verb);
    for (size_t i = 0; i < command_count; i++)
        if (streq(command_table[i].noun, p->a->noun))
            suggest_offer(&s, command_table[i].verb);
    err_set(e, -EINVAL, "cli.usage", "unknown command '%s %s'", p->a->noun, p->verb);
    return suggest_result(&s) ? err_hint(e, "did you mean 'holm %s %s'?", p->a->noun, suggest_result(&s))
                              : err_hint(e, "holm help %s lists its commands", p->a->noun);
}

static int take_verb(struct parse *p, const char *word, struct err *e)
{
    size_t n = strlen(p->verb);

    if (streq(word, "help") && !n) {
        p->a->is_help = true;
        return 0;
    }
    snprintf(p->verb + n, sizeof(p->verb) - n, "%s%s", n ? " " : "", word);
    p->cmd = command_find(p->a->noun, p->verb);
    if (p->cmd)
        p->a->verb = p->cmd->verb;
    else if (n || !command_verb_is_prefix(p->a->noun, word))
        return unknown_verb(p, e);
    return 0;
}

static int take_word(struct parse *p, const char *word, struct err *e)
{
    if (!p->a->noun)
        return take_noun(p, word, e);
    if (!p->cmd)
        return take_verb(p, word, e);
    if (p->a->n_pos == ARGS_POS_MAX)
        return err_set(e, -E2BIG, "cli.usage", "more than %u arguments", ARGS_POS_MAX);
    p->a->pos[p->a->n_pos++] = word;
    return 0;
}

static int usage_error(const struct cli_command *cmd, struct err *e)
{
    struct buf b;

    buf_init(&b, 160);
    help_synopsis(cmd, &b);
    err_hint(e, "usage: %s", buf_str(&b));
    buf_done(&b);
    return e->num;
}

static int check_positions(const struct cli_command *cmd, const struct cli_args *a, struct err *e)
{
    size_t i = 0;

    for (; cmd->args && cmd->args[i].label; i++) {
        if (cmd->args[i].kind == ARG_WORDS || (cmd->args[i].kind == ARG_GUESTS && a->n_pos > i))
            return 0;
        if (a->n_pos <= i && !cmd->args[i].is_optional) {
            err_set(e, -EINVAL, "cli.usage", "%s is missing", cmd->args[i].label);
            return usage_error(cmd, e);
        }
    }
    if (a->n_pos > i) {
        err_set(e, -EINVAL, "cli.usage", "unexpected argument '%s'", a->pos[i]);
        return usage_error(cmd, e);
    }
    return 0;
}

static int check_complete(const struct cli *c, const struct cli_command *cmd, const struct cli_args *a, struct err *e)
{
    int r = check_positions(cmd, a, e);

    for (const struct cli_opt *o = cmd->opts; r == 0 && o && o->name; o++)
        if (o->is_required && !args_get(a, o->key ? o->key : o->name, !o->key)) {
            err_set(e, -EINVAL, "cli.usage", "--%s is missing", o->name);
            r = usage_error(cmd, e);
        }
    if (r == 0 && c->is_dry_run && !(cmd->flags & CMD_DRY_RUN))
        r = err_set(e, -EINVAL, "cli.usage", "this command has no --dry-run");
    if (r == 0 && c->columns && c->format != FORMAT_TABLE && c->format != FORMAT_CSV)
        r = err_set(e, -EINVAL, "cli.usage", "-c goes with -o table or csv only");
    return r;
}

static int check_end(struct parse *p, const struct cli_command **ret_cmd, struct err *e)
{
    *ret_cmd = p->cmd;
    if (p->a->is_help)
        return 0;
    if (!p->a->noun && !p->cmd) {
        err_set(e, -EINVAL, "cli.usage", "no command given");
        return err_hint(e, "holm help lists the commands");
    }
    if (p->cmd)
        return check_complete(p->c, p->cmd, p->a, e);
    if (*p->verb)
        return unknown_verb(p, e);
    err_set(e, -EINVAL, "cli.usage", "'holm %s' needs a verb", p->a->noun);
    return err_hint(e, "holm help %s lists them", p->a->noun);
}

int args_parse(struct cli *c, int argc, char **argv, struct cli_args *a, const struct cli_command **ret_cmd,
               struct err *e)
{
    struct parse p = {.c = c, .a = a, .argv = argv, .argc = argc};
    bool is_options_over = false;
    int r = 0;

    while (r == 0 && p.at < argc) {
        char *word = argv[p.at++];
        if (is_options_over || word[0] != '-' || !word[1])
            r = take_word(&p, word, e);
        else if (streq(word, "--"))
            is_options_over = true;
        else
            r = word[1] == '-' ? take_long(&p, word, e) : take_short(&p, word, e);
    }
    if (r < 0 && !(a->is_help && a->noun))
        return r;
    return check_end(&p, ret_cmd, e);
}
