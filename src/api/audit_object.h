/* The object that a request changes, for its record; see audit_object.c. Loop thread. */
#ifndef HOLM_API_AUDIT_OBJECT_H
#define HOLM_API_AUDIT_OBJECT_H

#include "audit/audit.h"

struct api;
struct api_call;

/* Key of the object in the state; "" if the request changes none that has a digest. */
const char *api_audit_object(struct api_call *c);
/* Its digest now; false if there is no such object. */
bool api_audit_digest(struct api *api, const char *object, char hex[AUDIT_HASH_HEX]);

#endif
