/* Settings of the whole installation (shared/options) and of this node (shared/node/NAME): two small sets of keys with
 * text values, as clients sent them, kept in state. Which keys there are, and what each means, is its handler's
 * business. Loop thread; reading is free. */
#ifndef HOLM_API_SETTINGS_H
#define HOLM_API_SETTINGS_H

#include "api/api.h"

enum settings_scope { SETTINGS_CLUSTER, SETTINGS_NODE };

#define SETTINGS_DIGEST_SIZE 41u

struct settings;

MUST_CHECK int settings_new(struct state *s, const char *node, struct settings **ret, struct err *e);
void settings_free(struct settings *s);
/* NULL if it is not set; valid until the loop goes on. */
const char *settings_get(const struct settings *s, enum settings_scope scope, const char *key);
uint64_t settings_u64(const struct settings *s, enum settings_scope scope, const char *key, uint64_t fallback);
/* In the order of the keys' names. */
void settings_each(const struct settings *s, enum settings_scope scope,
                   void (*fn)(void *arg, const char *key, const char *value), void *arg);
void settings_digest(const struct settings *s, enum settings_scope scope, char digest[SETTINGS_DIGEST_SIZE]);

/* PUT of a set: what may be set is in `accepted` (ended by NULL); parameters of the path, "delete" and "digest" are not
 * settings; any other is refused by name. Commits on the condition that nobody else changed the set meanwhile. */
int settings_put(struct api_call *c, enum settings_scope scope, const char *const *accepted, const char *deleted,
                 const char *digest, struct err *e);

#endif
