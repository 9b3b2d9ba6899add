/* Inside src/auth. Objects are JSON as stored; one JSON object per kind, keyed by id. */
#ifndef HOLM_AUTH_AUTH_PRIV_H
#define HOLM_AUTH_AUTH_PRIV_H

#include "auth0/objects.h"

#define TICKET_KEY_BYTES    32u
#define TICKET_LIFE_S       7200
#define TICKET_EARLY_S      300
#define TICKET_KEY_ROTATE_S 86400
#define CONSOLE_LIFE_S      30
#define CONSOLE_USED_MAX    1024u

struct auth {
    struct state *state;
    struct state_watch *watches[3];
    json_t *kinds[AUTH_N_KINDS];
    unsigned char console_key[TICKET_KEY_BYTES];
    struct console_used {
        unsigned char nonce[12];
        int64_t expires;
    } used[CONSOLE_USED_MAX];
    size_t n_used;
};
#endif
