/* The second factor of a login: the question, and the answer that is used up before anything comes of it. Loop thread.
 */
#ifndef HOLM_API_ACCESS_SECOND_H
#define HOLM_API_ACCESS_SECOND_H

#include "api/access_common.h"
#include "auth/second.h"

/* The reply that asks for a second factor: NeedTFA and a challenge in the ticket's place. The user gave his password.
 */
MUST_CHECK int access_second_ask(struct api_call *c, const char *user, struct err *e);

/* Judges "totp:…" or "recovery:…". done gets 0 once the answer is durably used, -EACCES with what was wrong as its text
 * (for the log only) once the failure is durably counted, or another error. It may be called before this returns; user
 * and answer live as long as the call. Returns API_LATER. */
typedef void (*access_second_fn)(struct api_call *c, int r, void *arg, const struct err *e);
int access_second_answer(struct api_call *c, const char *user, const char *answer, access_second_fn done, void *arg);
/* The same for the parameter otp, in which old clients send the one-time password without a prefix. */
int access_second_otp(struct api_call *c, const char *user, const char *otp, access_second_fn done, void *arg);

/* Members totp-locked and tfa-locked-until, where they are so; t may be NULL. */
void access_second_write_lock(struct jw *w, const struct auth_tfa *t);

#endif
