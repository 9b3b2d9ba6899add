/* Helpers that several handlers use. */
#ifndef HOLM_API_COMMON_H
#define HOLM_API_COMMON_H

#include "api/route.h"
#include "api/routes_gen.h"
#include "guest/guest.h"
#include "task/task.h"

/* The {node} of a path must be ours: 0, or PVE's error for another. */
MUST_CHECK int api_check_node(struct api_call *c, const char *node, struct err *e);
/* "user@realm" or "user@realm!token" for UPIDs; in c->arena. */
const char *api_user(struct api_call *c);
/* Who may set the storage's bwlimit may exceed it with one of a call's own. */
bool api_may_exceed_limit(struct api_call *c, const char *storage);
/* Ends a handler with the UPID of a task just started (or its error). */
int api_reply_task(struct api_call *c, int r, struct task *t);
/* [{"subdir":NAME},…] for index routes; names end with NULL. */
int api_reply_index(struct api_call *c, const char *key, const char *const *names);
/* The caller may see this guest: VM.Audit on it. */
bool api_may_see_guest(struct api_call *c, uint32_t vmid);
bool api_may_see_storage(struct api_call *c, const char *storage);
/* One of Mapping.Audit, Mapping.Use and Mapping.Modify on the custom model. */
bool api_may_see_cpu_model(struct api_call *c, const char *name);
/* A model of PVE's, or one of QEMU's beside these. */
bool api_cpu_model_is_builtin(const char *name);
bool api_may_see_pool(struct api_call *c, const char *pool);
/* node_bulk.c: one task over many guests, o->vmids or all; VM.PowerMgmt on everything, or on each guest of the list
 * (numbers, separated as lists are), which must be there. */
MUST_CHECK int api_bulk_begin(struct api_call *c, struct guest_bulk *o, struct err *e);
void api_vm_path(uint32_t vmid, char dst[24]);
/* One storage as in GET /cluster/resources and in a pool's members. */
void api_storage_write(struct api_call *c, const struct storage_entry *s);
/* The rows of GET /cluster/resources and GET /cluster/tasks, for whoever shows them. */
void api_storage_row(struct jw *w, const struct api *api, const struct storage_entry *s);
void api_node_row(struct jw *w, const struct api *api, bool is_full);
void api_task_row(struct jw *w, const struct task_view *v);
/* user: of its UPID. A user owns what his tokens start; a token only what it started itself. */
bool api_task_is_own(const struct auth_subject *who, const char *user);

#endif
