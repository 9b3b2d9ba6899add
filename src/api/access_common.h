/* What the handlers of /access and /pools share. Loop thread. */
#ifndef HOLM_API_ACCESS_COMMON_H
#define HOLM_API_ACCESS_COMMON_H

#include "api/common.h"
#include "auth/model.h"

/* What a new object takes with it of an older one's remains, and what one commit removes, at most. */
#define ACCESS_FORGET_MAX 100u

const struct auth_user *access_user(struct api_call *c, const char *userid);
/* 0 or -ENOENT "PREFIXno such user ('x')"; prefix is "" or "update user failed: ". */
MUST_CHECK int access_need_user(struct api_call *c, const char *prefix, const char *userid,
                                const struct auth_user **ret, struct err *e);
/* Nobody but root@pam changes what belongs to root@pam: a token made for it would be as good as being it. */
MUST_CHECK int access_guard_root(struct api_call *c, const char *userid, struct err *e);
/* An object is made: nothing of an older one with its name may still be there. Adds to t; -EAGAIN when there is more.
 */
MUST_CHECK int access_forget_old(struct api_call *c, struct state_txn *t, enum auth_kind kind, const char *id,
                                 struct err *e);
/* Deletes an object and whatever refers to it, in as many commits as that takes (one, but for very large ones), and
 * ends the call. A crash between two leaves the object with fewer rights and members. Returns API_LATER. */
int access_delete(struct api_call *c, enum auth_kind kind, const char *id, uint64_t revision);
/* {"VM.Audit":value,…}: members for the privileges of mask; 1 for those of propagated, 0 for the others. */
void access_write_privs(struct jw *w, priv_mask mask, priv_mask propagated);
/* "VM.Audit,VM.Console" of the request; every item is valid already. */
priv_mask access_privs_mask(const char *list);
/* A password hashed, or compared with the stored hash, by a worker; done gets -EACCES "auth.failed" for a wrong one.
 * hash is NULL for hashing; the result is valid during the call. c is not freed before done. API_LATER, or an error. */
typedef void (*access_password_fn)(struct api_call *c, int r, const char *hash, void *arg, const struct err *e);
MUST_CHECK int access_password(struct api_call *c, const char *password, const char *hash, access_password_fn done,
                               void *arg, struct err *e);
/* The reply sets the browser's cookie with this ticket, or clears it (NULL). */
MUST_CHECK int access_cookie(struct api_call *c, const char *ticket, struct err *e);

#endif
