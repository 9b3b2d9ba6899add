/* Helpers of the access and pool handlers. */
#ifndef HOLM_API_ACCESS_COMMON_H
#define HOLM_API_ACCESS_COMMON_H

#include "api/common.h"
#include "auth0/objects.h"

/* Keys of an object in order, NULL-terminated, in c->arena; NULL when out of memory. */
const char **access_sorted_ids(struct api_call *c, json_t *object);
/* Next item of a list ("a,b;c d"); false at the end. Items that do not fit are cut. */
bool access_list_next(const char **pos, char *dst, size_t cap);
bool access_array_has(json_t *array, const char *text);
/* Removes one user (and his tokens), group or token from every ACL; kind: "users", "groups", "tokens". */
void access_acl_forget(struct api_call *c, struct state_txn *t, const char *kind, const char *id);
#endif
