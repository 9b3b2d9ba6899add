/* How often somebody may try a proof that can be guessed: a password, a code of a second factor, the password that
 * confirms a change. Token buckets, four kinds:
 *
 *   address            all attempts from one address (an IPv6 network of 64 bits counts as one)
 *   pair               one account from one address
 *   account            one account from all addresses that it has never logged in from
 *   known pair         one account from an address that it has logged in from: this bucket alone counts there, so that
 * a stranger who knows a name uses up what strangers have, and not what its owner has
 *
 * Names count as they were sent, whether or not there is such an account. Known pairs are kept in state
 * (local/login/known/…), the rest lives and dies with the process. Everything is bounded: the buckets are fixed tables
 * whose oldest entries leave, and only a successful login makes a known pair. Whoever checks a proof calls
 *
 *     auth_limit_check       before any work; it takes one attempt. Refused: do nothing, pass on the error
 *     auth_limit_succeeded   the proof was right and was the last one wanted: the attempt is given back, the pair known
 *     auth_limit_undo        it was not looked at (an error of ours), or right with another proof to follow
 *     (nothing)              it was wrong: the attempt stays taken
 *
 * address NULL is the local socket, which is never limited. Loop thread. */
#ifndef HOLM_AUTH_LIMIT_H
#define HOLM_AUTH_LIMIT_H

#include "base/err.h"

struct state;
struct auth_limit;

MUST_CHECK int auth_limit_new(struct state *s, struct auth_limit **ret, struct err *e);
void auth_limit_free(struct auth_limit *l);

/* user: "name@realm" as the client sent it, at most LIMIT_USER_MAX bytes count. -EBUSY "auth.limited" and the seconds
 * to wait in *ret_wait_s, which are also in the text. */
#define LIMIT_USER_MAX 96u
MUST_CHECK int auth_limit_check(struct auth_limit *l, const char *address, const char *user, unsigned *ret_wait_s,
                                struct err *e);
void auth_limit_succeeded(struct auth_limit *l, const char *address, const char *user);
void auth_limit_undo(struct auth_limit *l, const char *address, const char *user);

/* A forged ticket or an invalid token came from this address: counted apart, because nobody can guess one and so no
 * login is to suffer from it. False when there were too many lately and the next answers should be slower. */
bool auth_limit_forged(struct auth_limit *l, const char *address);

/* Has this account logged in from this address before? */
bool auth_limit_is_known(const struct auth_limit *l, const char *address, const char *user);

#endif
