/* What the audit log says of a request, and when: dispatch.c calls these. Every request that writes (or opens a
 * console) has exactly one record, and its reply waits for it; only refusals of strangers beyond a rate are counted
 * instead. Values of secrets never get here (src/audit/note.c has their names). Loop thread. */
#ifndef HOLM_API_AUDIT_H
#define HOLM_API_AUDIT_H

#include "api/route.h"

bool api_audit_wants(const struct api_call *c);
/* Right before the handler runs: what the object looks like now, and a note that survives kill -9. */
void api_audit_begin(struct api_call *c);
/* The end: true = the record is on its way, done(c, …) follows; false = none is needed. */
bool api_audit_end(struct api_call *c, unsigned status, void (*done)(void *call, int r, const struct err *e));

/* Records of requests that a killed daemon left behind; once, before clients come. Also from here on: ends of tasks. */
void api_audit_start(struct api *api);

#endif
