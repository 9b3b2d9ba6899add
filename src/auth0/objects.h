/* The objects of auth for the API's handlers: JSON as stored, read-only, valid until the loop turns. */
#ifndef HOLM_AUTH_MODEL_H
#define HOLM_AUTH_MODEL_H
#include <jansson.h>
#include "auth/auth.h"

enum auth_kind { AUTH_USER, AUTH_GROUP, AUTH_ROLE, AUTH_REALM, AUTH_TOKEN, AUTH_ACL, AUTH_POOL, AUTH_PASSWORD, AUTH_SECRET, AUTH_KEYS, AUTH_N_KINDS };

json_t *auth_objects(struct auth *a, enum auth_kind kind);              /* object id -> value */
json_t *auth_object(struct auth *a, enum auth_kind kind, const char *id); /* borrowed; NULL */
void auth_txn_put(struct state_txn *t, enum auth_kind kind, const char *id, json_t *value); /* takes value */
void auth_txn_delete(struct state_txn *t, enum auth_kind kind, const char *id);
bool auth_role_mask(struct auth *a, const char *role, priv_mask *ret);
bool auth_role_is_builtin(const char *role);
size_t auth_role_builtin_count(void);
const char *auth_role_builtin(size_t i, priv_mask *ret);
void auth_token_secret_make(char dst[37]);
void auth_token_secret_hash(const char *secret, char hex[65]);
#endif
