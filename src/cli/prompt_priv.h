/* Questions to the person at the terminal, and passwords from files. */
#ifndef HOLM_CLI_PROMPT_PRIV_H
#define HOLM_CLI_PROMPT_PRIV_H

#include "cli/cli_priv.h"

#define SECRET_MAX 4096u

/* The file's text without one final line end; "-" reads standard input. Wipe what ret_value points to. */
MUST_CHECK int prompt_secret_file(const char *file, char **ret_value, struct err *e);
/* The same, percent-encoded, as the API takes SSH keys. */
MUST_CHECK int prompt_encoded_file(const char *file, char **ret_value, struct err *e);
/* Asks twice on the terminal, without echo. */
MUST_CHECK int prompt_new_password(const char *who, char **ret_value, struct err *e);
/* Asks for one line of less than max bytes, which may be seen. */
MUST_CHECK int prompt_line(const char *question, char **ret_value, size_t max, struct err *e);
/* Asks for a yes; without a terminal and without -y an error. */
MUST_CHECK int prompt_confirm(const struct cli *c, const char *what, struct err *e);
bool prompt_is_possible(void);

#endif
