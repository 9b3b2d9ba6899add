/* A configuration: keys and values as Proxmox VE writes them. Pure. */
#ifndef HOLM_GUEST_CONFIG_H
#define HOLM_GUEST_CONFIG_H

#include <jansson.h>

#include "base/json.h"
#include "engine/engine.h"

#define GUEST_DIGEST_SIZE 41u

/* An ordered list of configuration keys. */
struct config {
    struct config_item *items; /* key and value are owned */
    size_t n;
};
void config_done(struct config *c);
/* An object of texts; nothing else in it: -EINVAL. */
MUST_CHECK int config_load(json_t *object, struct config *ret);
void config_write(const struct config *c, struct jw *w);
MUST_CHECK int config_set(struct config *c, const char *key, const char *value);
void config_remove(struct config *c, const char *key);
const char *config_get(const struct config *c, const char *key); /* NULL if absent */
MUST_CHECK int config_copy(const struct config *from, struct config *ret);
/* PVE's text form, keys sorted, description as comment lines, [PENDING] last. */
void config_text(const struct config *c, const struct config *pending, struct buf *out);
/* 40 hex digits over the text. */
void config_digest(const struct config *c, const struct config *pending, char digest[GUEST_DIGEST_SIZE]);

#endif
