/* From what the user calls a guest to its number and node. */
#ifndef HOLM_CLI_GUEST_PRIV_H
#define HOLM_CLI_GUEST_PRIV_H

#include "cli/client_priv.h"

struct guest_ref {
    char vmid[16];
    char node[80];
};

bool guest_is_vmid(const char *text);
/* A number is taken as it is; a name is looked up: "cli.not-found", or "cli.usage" with the candidates in the hint when
 * several virtual machines have it. */
MUST_CHECK int guest_resolve(struct cli *c, const char *text, struct guest_ref *ret, struct err *e);

#endif
