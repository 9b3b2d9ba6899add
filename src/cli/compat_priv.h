/* The tools of Proxmox VE by their own names: qm, pvesh, pvesm, pveum are this program under another argv[0]. Their
 * command lines are translated into calls of the API by a table; what Holm has no route for is refused in one line. */
#ifndef HOLM_CLI_COMPAT_PRIV_H
#define HOLM_CLI_COMPAT_PRIV_H

#include "cli/client_priv.h"

#define COMPAT_EXIT_FAILED  255
#define COMPAT_EXIT_NO_FILE 2 /* the guest has no configuration */
#define COMPAT_PARAMS_MAX   512u
#define COMPAT_ARGS_MAX     8u

enum compat_print {
    PRINT_DATA, /* a table, or a value */
    PRINT_NOTHING,
    PRINT_QM_LIST,
    PRINT_QM_STATUS,
    PRINT_KEYS,    /* "key: value" */
    PRINT_PENDING, /* "cur key: value" */
    PRINT_TICKET,
};

enum compat_flag {
    COMPAT_ASKS_PASSWORD = 1, /* parameter password, if it is not given */
    COMPAT_CONSOLE = 2,       /* the terminal */
    COMPAT_KEY_FILE = 8,      /* sshkeys is a file */
    COMPAT_VOLUME = 4,        /* {storage} is the part of {volume} before its colon */
};

struct compat_row {
    const char *tool, *verb; /* verb: up to three words */
    const char *args;        /* keys of the arguments, with blanks; "[x]" = may be left out */
    const char *method, *path;
    const char *fixed; /* "a=b" or "a=b&c=d" */
    const char *columns;
    enum compat_print print;
    unsigned flags;
};

extern const struct compat_row compat_table[];
extern const size_t compat_count;

/* What was written: parameters and the tool's own settings. Texts are borrowed from argv. */
struct compat_line {
    struct cli_param params[COMPAT_PARAMS_MAX];
    size_t n_params;
    const char *pos[COMPAT_ARGS_MAX];
    size_t n_pos;
    const char *output_format; /* NULL = text */
    bool is_verbose, is_no_header;
    const char *command; /* pvesh usage --command */
};

bool compat_is_tool(const char *name);
/* The whole run of such a tool; returns its exit code. argv[0] is the tool's name. */
int compat_main(struct cli *c, const char *tool, int argc, char **argv);

/* Options as "--key value", "-key value", "--key=value"; without a value 1. */
MUST_CHECK int compat_parse(struct compat_line *l, int argc, char **argv, struct err *e);

/* compat_print.c */
MUST_CHECK int compat_output(const struct cli *c, const struct compat_line *l, enum compat_print print,
                             const char *columns, json_t *data, struct err *e);

/* compat_pvesh.c */
MUST_CHECK int pvesh_run(struct cli *c, int argc, char **argv, struct err *e);
MUST_CHECK int compat_call(struct cli *c, const struct compat_line *l, const char *method, const char *path,
                           json_t **ret_result, struct err *e);

/* compat_schema.c: the description of the API that is part of this program. NULL if it cannot be read. */
json_t *schema_paths(struct err *e);
/* The template that a path is an instance of, or NULL. */
const char *schema_template(json_t *paths, const char *path);
/* An operation's parameters, body included: name -> schema, borrowed from paths. ret_required: its own, names. */
json_t *schema_parameters(json_t *operation);
bool schema_is_required(json_t *operation, const char *name);

#endif
