/* What outlives its request: consoles, event streams, and uploads under way. Their calls stay alive and are
 * looked at again after each change of access and once a second, because users and tokens expire without one: the
 * caller's proof must still hold, the route's permission too, with the call's own parameters, and the guest must be
 * there. What fails is revoked through ops->revoke. Loop thread. */
#ifndef HOLM_API_LASTING_H
#define HOLM_API_LASTING_H

#include "api/api.h"

struct lasting;

MUST_CHECK int lasting_new(struct api *api, struct lasting **ret, struct err *e);
void lasting_free(struct lasting *l);
/* From now on, until lasting_remove or the call's end. */
void lasting_add(struct api_call *c);
void lasting_remove(struct api_call *c);

#endif
