/* What must always be there: the two built-in realms, root@pam and a signing key that is young enough. Loop thread. */
#include "auth/auth_priv.h"

static void add_realm(const struct auth *a, struct state_txn *t, const char *name, const char *comment)
{
    struct auth_realm r = {.item.key = (char *)name, .type = (char *)name, .comment = (char *)comment};

    if (auth_find(a, AUTH_REALM, name))
        return;
    auth_txn_expect(t, AUTH_REALM, name, 0);
    auth_txn_realm(t, &r);
}

static void add_root(const struct auth *a, struct state_txn *t)
{
    struct auth_user u = {.item.key = (char *)"root@pam", .is_enabled = true};

    if (auth_find(a, AUTH_USER, u.item.key))
        return;
    auth_txn_expect(t, AUTH_USER, u.item.key, 0);
    auth_txn_user(t, &u);
}

struct state_txn *auth_upkeep(struct auth *a)
{
    struct state_txn *t = state_txn_new();

    if (!t)
        return NULL;
    add_realm(a, t, "pam", "accounts of this host");
    add_realm(a, t, "pve", "accounts with a password kept by Holm");
    add_root(a, t);
    if (auth_ticket_keys_are_due(a))
        auth_txn_ticket_keys(a, t);
    if (state_txn_count(t) > 0)
        return t;
    state_txn_free(t);
    return NULL;
}
