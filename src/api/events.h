/* GET /cluster/events: the changes that its WebSockets carry (doc/events.md). Nothing is kept or looked at before the
 * first client comes; some minutes after the last one has left it is forgotten again. Loop thread. */
#ifndef HOLM_API_EVENTS_H
#define HOLM_API_EVENTS_H

#include "api/api.h"

struct events;

MUST_CHECK int events_new(struct api *api, struct events **ret, struct err *e);
void events_free(struct events *ev);

#endif
