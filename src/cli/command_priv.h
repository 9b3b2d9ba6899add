/* The command table: one row per command, from which parsing, help, requests and tests come. Constant data only. */
#ifndef HOLM_CLI_COMMAND_PRIV_H
#define HOLM_CLI_COMMAND_PRIV_H

#include "base/util.h"
#include "cli/cli_priv.h"

enum arg_kind {
    ARG_TEXT,   /* any word */
    ARG_GUEST,  /* number or name of a virtual machine */
    ARG_GUESTS, /* one or more of them; last argument */
    ARG_VMID,   /* a number that need not exist */
    ARG_NODE,
    ARG_UPID,
    ARG_FILE,  /* a local file */
    ARG_WORDS, /* any words, or none; last argument */
};

struct cli_arg {
    const char *label; /* NULL ends the list; shown in the synopsis */
    const char *key;   /* placeholder in the path, or else a parameter; NULL = the command's own */
    enum arg_kind kind;
    bool is_optional;
};

enum opt_kind {
    OPT_FLAG,    /* no value: sends 1 */
    OPT_NO,      /* no value: sends 0 */
    OPT_TEXT,    /* any value */
    OPT_INT,     /* decimal digits */
    OPT_BOOL,    /* yes/no, on/off, true/false, 1/0: sends 1 or 0 */
    OPT_CHOICE,  /* one of `choices`, "a|b" */
    OPT_CHOICES, /* one or more of `choices`, with commas */
    OPT_LINES,   /* the value is a file, or standard input for "-", sent percent-encoded */
    OPT_SECRET,  /* the value is the first line of a file, or of standard input for "-" */
};

struct cli_opt {
    const char *name; /* without "--"; NULL ends the list */
    const char *key;  /* API parameter; NULL = the command's own */
    enum opt_kind kind;
    const char *value; /* what help calls the value */
    const char *choices;
    const char *help;
    bool is_required;
};

enum command_flag {
    CMD_ASKS = 1,        /* destroys something: asks first */
    CMD_PASSTHROUGH = 2, /* takes -d KEY=VALUE, --data-file KEY=FILE */
    CMD_ANY_KEY = 4,     /* with CMD_PASSTHROUGH: any other --key VALUE is a parameter too */
    CMD_TASK = 8,        /* answers with a UPID that is followed */
    CMD_LOCAL = 16,      /* needs no daemon */
    CMD_FIRST = 32,      /* the reply is a list of one: show that one */
    CMD_DRY_RUN = 64,    /* the API takes dry-run */
    CMD_ROOT = 128,      /* needs root on this machine */
};

struct cli_args;

struct cli_command {
    const char *noun;
    const char *verb; /* "" for a noun that is a command itself; "token add" for two words */
    const struct cli_arg *args;
    const struct cli_opt *opts;
    const char *method;     /* NULL: no single API call */
    const char *path;       /* with {node}, {vmid} and keys of args; NULL like method */
    const char *force_path; /* used instead when the command's own option --force is given */
    const char *fixed;      /* one parameter "key=value", unless an option gives another value */
    const char *only;       /* keep only reply rows with "key=value" */
    const char *columns;    /* default columns; the first is what -o name prints */
    const char *help;       /* one sentence */
    const char *example;
    unsigned flags;
    /* NULL: the generic call of run.c. */
    int (*run)(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
};

extern const struct cli_command command_table[];
extern const size_t command_count;

/* Nouns in the order of the table with a sentence each. */
struct cli_noun {
    const char *name, *help;
};
extern const struct cli_noun noun_table[];
extern const size_t noun_count;

const struct cli_noun *noun_find(const char *name);
/* verb: one or two words; NULL if there is none. */
const struct cli_command *command_find(const char *noun, const char *verb);
/* True if noun has a verb of two words that begins with this one. */
bool command_verb_is_prefix(const char *noun, const char *word);

/* Options every command takes. */
extern const struct cli_opt global_opts[];
const struct cli_opt *opt_find(const struct cli_opt *opts, const char *name);

/* What was written on the command line. */
#define ARGS_POS_MAX   256u
#define ARGS_PARAM_MAX 512u

struct cli_param {
    const char *key;
    char *value;   /* owned */
    bool is_local; /* an option without an API key: key is its name */
};

struct cli_args {
    const char *pos[ARGS_POS_MAX];
    size_t n_pos;
    struct cli_param *params;
    size_t n_params;
    bool is_help;
    const char *noun, *verb; /* as far as they were given; verb may be an unknown one in help */
};

void args_done(struct cli_args *a);
/* argv without the program's name. ret_cmd is NULL when help was asked for a noun or for everything. */
MUST_CHECK int args_parse(struct cli *c, int argc, char **argv, struct cli_args *a, const struct cli_command **ret_cmd,
                          struct err *e);
MUST_CHECK int args_add(struct cli_args *a, const char *key, const char *value, bool is_local, struct err *e);
/* Value of an API parameter or (is_local) an own option; NULL if not given. */
const char *args_get(const struct cli_args *a, const char *key, bool is_local);
/* Positional argument by its label, NULL if not given. */
const char *args_pos(const struct cli_command *cmd, const struct cli_args *a, const char *label);
/* True for parameters whose values must not stand on a command line. */
bool args_key_is_secret(const char *key);

/* help.c */
void help_command(const struct cli_command *cmd, struct buf *out);
void help_noun(const struct cli_noun *noun, struct buf *out);
void help_all(struct buf *out);
int help_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
/* "VMID [--force]"… as in the usage line. */
void help_synopsis(const struct cli_command *cmd, struct buf *out);

/* suggest.c: the nearest of the offered words, or NULL if none is near. */
struct suggest {
    const char *word;
    const char *best;
    size_t best_distance;
};
void suggest_init(struct suggest *s, const char *word);
void suggest_offer(struct suggest *s, const char *candidate);
const char *suggest_result(const struct suggest *s);

/* run.c and the commands' own functions. */
int command_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int api_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int vm_create_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int vm_console_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int user_create_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int user_password_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int tfa_list_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int tfa_add_totp_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int tfa_add_recovery_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int task_log_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int task_wait_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int storage_upload_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int state_dump_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int state_load_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int net_init_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int net_remove_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int events_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int audit_verify_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int completion_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);
int version_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e);

#endif
