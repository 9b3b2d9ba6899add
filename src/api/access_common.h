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
/* access_password.c. A password hashed, or compared with the stored hash, by a worker; done gets -EACCES "auth.failed"
 * for a wrong one. hash is NULL for hashing; the result is valid during the call. c is not freed before done.
 * API_LATER, or an error. */
typedef void (*access_password_fn)(struct api_call *c, int r, const char *hash, void *arg, const struct err *e);
MUST_CHECK int access_password(struct api_call *c, const char *password, const char *hash, access_password_fn done,
                               void *arg, struct err *e);
/* Is this the password of that user, in whatever realm he is? done gets 0, or -EACCES "auth.failed" with what was wrong
 * as its text: for the log, never for the client. An unknown user, realm or one without a password is answered after as
 * much work as a wrong password. Whether the user may log in at all (enabled, not expired in Holm) is the caller's
 * question, after it. user lives as long as the call. API_LATER, or an error and nothing was begun. */
typedef void (*access_verify_fn)(struct api_call *c, int r, void *arg, const struct err *e);
MUST_CHECK int access_verify(struct api_call *c, const char *user, const char *password, access_verify_fn done,
                             void *arg, struct err *e);
/* The caller's own password once more, before something that a stolen ticket must not be enough for. Counted as an
 * attempt; done gets the reply's error, -EACCES after a wrong one. As above. */
MUST_CHECK int access_confirm(struct api_call *c, const char *password, access_verify_fn done, void *arg,
                              struct err *e);
/* The one answer to every proof of identity that is not right; the reason stands in the log only. */
int access_refuse(struct api_call *c, const char *user, const char *reason, struct err *e);
/* Is the user's realm the host's accounts? */
bool access_is_pam(struct api_call *c, const char *user);
/* Sets the password of the host's account behind a user of realm pam; done gets 0 or PAM's refusal. As above. */
MUST_CHECK int access_set_pam_password(struct api_call *c, const char *user, const char *password,
                                       access_verify_fn done, void *arg, struct err *e);
/* The reply sets the browser's cookie with this ticket, or clears it (NULL). */
MUST_CHECK int access_cookie(struct api_call *c, const char *ticket, struct err *e);
/* A new ticket for the user, into the reply's object or into the cookie, and the CSRF token that goes with it. */
MUST_CHECK int access_session_write(struct api_call *c, const char *user, bool is_cookie, struct err *e);

#endif
