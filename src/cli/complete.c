/* What may stand at the cursor of an unfinished command line: nouns, verbs, options, choices, by the command table;
 * names of guests and the like by complete_ask.c. Called by `holm completion words`, which the shells' functions run at
 * each press of the tab key (completion.c). */
#include "cli/complete_priv.h"
#include "cli/text_priv.h"

/* How far the words before the cursor got. */
struct line {
    const struct cli_noun *noun;
    const struct cli_command *cmd;
    char verb[64];
    size_t n_pos;
    const char *first;         /* first argument */
    const struct cli_opt *opt; /* waits for its value */
    bool is_data;              /* -d: waits for KEY=VALUE */
    bool is_file, is_end_of_options;
};

#define SAFE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@:+/-"

void complete_offer(const struct complete *k, const char *candidate, const char *description)
{
    size_t n = strlen(candidate);

    if (!n || strspn(candidate, SAFE_CHARS) != n || !str_starts(candidate, k->prefix))
        return;
    buf_printf(k->out, "%s%s\t", k->before, candidate);
    text_append_clean(k->out, description ? description : "", description ? strlen(description) : 0);
    buf_append_char(k->out, '\n');
}

/* "a|b" */
static void offer_choices(const struct complete *k, const char *choices)
{
    char word[64];

    for (const char *p = choices; *p; p += strcspn(p, "|"), p += *p == '|') {
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(p, "|"), p);
        complete_offer(k, word, "");
    }
}

/* "a,b" of such: what is before the last comma stays as it is. */
static void offer_more_choices(const struct complete *k, const char *choices)
{
    const char *comma = strrchr(k->prefix, ',');
    struct complete last = *k;
    char before[256];

    if (comma) {
        int n = (int)(comma - k->prefix) + 1;
        if (strspn(k->prefix, SAFE_CHARS ",") < (size_t)n ||
            (size_t)snprintf(before, sizeof(before), "%s%.*s", k->before, n, k->prefix) >= sizeof(before))
            return;
        last.before = before;
        last.prefix = comma + 1;
    }
    offer_choices(&last, choices);
}

static void offer_option(const struct complete *k, const struct cli_opt *o)
{
    char word[72];

    snprintf(word, sizeof(word), "--%s", o->name);
    complete_offer(k, word, o->help);
}

static void offer_options(const struct complete *k, const struct cli_command *cmd)
{
    static const struct cli_opt data[] = {{"data", .help = "any parameter of the API"},
                                          {"data-file", .help = "its value from a file, - for standard input"}};

    for (const struct cli_opt *o = cmd ? cmd->opts : NULL; o && o->name; o++)
        offer_option(k, o);
    for (size_t i = 0; cmd && cmd->flags & CMD_PASSTHROUGH && i < ARRAY_SIZE(data); i++)
        offer_option(k, &data[i]);
    for (const struct cli_opt *o = global_opts; o->name; o++)
        if (!streq(o->name, "dry-run") || (cmd && cmd->flags & CMD_DRY_RUN))
            offer_option(k, o);
}

static void offer_nouns(const struct complete *k)
{
    for (size_t i = 0; i < noun_count; i++)
        complete_offer(k, noun_table[i].name, noun_table[i].help);
}

/* The next word of the verbs that begin as the line does; "tfa add" is offered "totp" and "recovery". */
static void offer_verbs(const struct complete *k, const struct cli_noun *noun, const char *begun)
{
    size_t n = strlen(begun);
    char last[64] = "";

    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *cmd = &command_table[i];
        char word[64];
        if (!streq(cmd->noun, noun->name) || !str_starts(cmd->verb, begun) || (n && cmd->verb[n] != ' '))
            continue;
        const char *rest = cmd->verb + n + (n > 0);
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(rest, " "), rest);
        if (!streq(word, last))
            complete_offer(k, word, cmd->help);
        snprintf(last, sizeof(last), "%s", word);
    }
}

static bool is_file_value(const struct cli_opt *o)
{
    return o->kind == OPT_SECRET || (o->value && (streq(o->value, "FILE") || streq(o->value, "DIR")));
}

static void offer_values(const struct complete *k, const struct cli_opt *o)
{
    if (o->kind == OPT_CHOICES)
        offer_more_choices(k, o->choices);
    else if (o->choices)
        offer_choices(k, o->choices);
    else if (o->kind == OPT_BOOL)
        offer_choices(k, "yes|no");
    else if (is_file_value(o))
        buf_append_str(k->out, "\tfiles\n");
    else
        complete_ask(k, o->key ? o->key : o->name);
}

static const struct cli_arg *arg_at(const struct cli_command *cmd, size_t n)
{
    const struct cli_arg *a = cmd->args;

    for (size_t i = 0; a && a->label && i < n && a->kind != ARG_GUESTS; i++)
        a++;
    return a && a->label ? a : NULL;
}

static void offer_argument(const struct complete *k, const struct line *l)
{
    const struct cli_arg *a = arg_at(l->cmd, l->n_pos);

    if (!a)
        return;
    if (a->kind == ARG_FILE)
        buf_append_str(k->out, "\tfiles\n");
    else if (streq(a->label, "METHOD"))
        offer_choices(k, "GET|POST|PUT|DELETE");
    else if (streq(a->label, "NOUN"))
        offer_nouns(k);
    else if (streq(a->label, "VERB") && l->first && noun_find(l->first))
        offer_verbs(k, noun_find(l->first), "");
    else if (a->key && a->kind != ARG_VMID)
        complete_ask(k, a->key);
    else if (streq(a->label, "USER"))
        complete_ask(k, "userid");
}

static const struct cli_opt *find_option(const struct line *l, const char *name)
{
    const struct cli_opt *o = l->cmd ? opt_find(l->cmd->opts, name) : NULL;

    return o ? o : opt_find(global_opts, name);
}

static bool takes_value(const struct cli_opt *o)
{
    return o && o->kind != OPT_FLAG && o->kind != OPT_NO;
}

static void take_option(struct line *l, struct cli *c, const char *word)
{
    char name[64];
    size_t n = strcspn(word, "=");

    if (word[1] != '-') {
        l->opt = word[2]          ? NULL
                 : word[1] == 'o' ? opt_find(global_opts, "output")
                 : word[1] == 'c' ? opt_find(global_opts, "columns")
                                  : NULL;
        l->is_data = streq(word, "-d");
        return;
    }
    snprintf(name, sizeof(name), "%.*s", (int)n - 2, word + 2);
    const struct cli_opt *o = find_option(l, name);
    l->opt = takes_value(o) && !word[n] ? o : NULL;
    l->is_data = !word[n] && (streq(name, "data") || streq(name, "data-file"));
    if (!o && l->cmd && l->cmd->flags & CMD_ANY_KEY && !word[n])
        l->is_data = true;
    if (word[n] && o && streq(name, "root"))
        c->root = word + n + 1;
}

static void take_word(struct line *l, const char *word)
{
    if (!l->noun) {
        l->noun = noun_find(word);
        l->cmd = l->noun ? command_find(word, "") : NULL;
    } else if (!l->cmd) {
        size_t n = strlen(l->verb);
        snprintf(l->verb + n, sizeof(l->verb) - n, "%s%s", n ? " " : "", word);
        l->cmd = command_find(l->noun->name, l->verb);
    } else {
        l->first = l->n_pos++ ? l->first : word;
    }
}

static void read_line(struct line *l, struct cli *c, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct cli_opt *waiting = l->opt;
        if (waiting || l->is_data) {
            if (waiting && streq(waiting->name, "root"))
                c->root = words[i];
            l->opt = NULL;
            l->is_data = false;
        } else if (!l->is_end_of_options && streq(words[i], "--")) {
            l->is_end_of_options = true;
        } else if (!l->is_end_of_options && words[i][0] == '-' && words[i][1]) {
            take_option(l, c, words[i]);
        } else {
            take_word(l, words[i]);
        }
    }
}

/* The word is "--name=va": its value is completed, and the name put in front. */
static bool offer_inline_value(struct complete *k, const struct line *l, const char *word)
{
    char name[64], before[72];
    size_t n = strcspn(word, "=");

    if (!str_starts(word, "--") || !word[n] || n - 2 >= sizeof(name))
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)n - 2, word + 2);
    snprintf(before, sizeof(before), "--%s=", name);
    const struct cli_opt *o = find_option(l, name);
    if (takes_value(o)) {
        k->before = before;
        k->prefix = word + n + 1;
        offer_values(k, o);
    }
    return true;
}

void complete_words(struct cli *c, const char *const *words, size_t n, struct buf *out)
{
    const char *last = n ? words[n - 1] : "";
    struct line l = {0};

    read_line(&l, c, words, n ? n - 1 : 0);
    struct complete k = {.c = c, .prefix = last, .before = "", .owner = l.first, .out = out};
    if (l.opt)
        offer_values(&k, l.opt);
    else if (l.is_data || offer_inline_value(&k, &l, last))
        return;
    else if (last[0] == '-' && !l.is_end_of_options)
        offer_options(&k, l.cmd);
    else if (!l.noun)
        offer_nouns(&k);
    else if (!l.cmd)
        offer_verbs(&k, l.noun, l.verb);
    else
        offer_argument(&k, &l);
}
