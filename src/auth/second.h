/* Second factors of a user: authenticators (TOTP) and recovery codes, what was used of them, and how many wrong answers
 * were given. One record per user, shared/secret/tfa/USERID, read and written whole, so that an answer is used by a
 * commit that expects the record as it was judged.
 *
 * A record that cannot be read stays, marked as damaged: it asks for a second factor that nobody can give. Loop thread.
 */
#ifndef HOLM_AUTH_SECOND_H
#define HOLM_AUTH_SECOND_H

#include "auth/model.h"
#include "auth/totp.h"

#define AUTH_TFA_TOTP_MAX     8u
#define AUTH_TFA_ID_CAP       37u
#define AUTH_TFA_RECOVERY_ID  "recovery"
#define AUTH_RECOVERY_CODES   10u
#define AUTH_RECOVERY_CAP     20u /* "0123-4567-89ab-cdef" */
#define AUTH_RECOVERY_SALT    16u
#define AUTH_RECOVERY_HASH    32u
#define AUTH_TOTP_FAILURES    8u   /* wrong one-time passwords in a row until they are locked … */
#define AUTH_TFA_FAILURES     100u /* … and wrong answers of any kind until everything is, for */
#define AUTH_TFA_LOCK_S       3600
#define AUTH_CHALLENGE_LIFE_S 300
#define AUTH_CHALLENGE_CAP    512u

/* description is never NULL in the model's own objects. */
struct auth_tfa_totp {
    char id[AUTH_TFA_ID_CAP];
    char *description;
    int64_t created;
    bool is_enabled;
    struct totp totp;
    int64_t last_step; /* TOTP_NO_STEP: none was used */
};

struct auth_tfa_recovery {
    bool is_there, is_enabled;
    char *description;
    int64_t created;
    unsigned char salt[AUTH_RECOVERY_SALT];
    unsigned char hashes[AUTH_RECOVERY_CODES][AUTH_RECOVERY_HASH];
    bool is_used[AUTH_RECOVERY_CODES];
};

/* key: user@realm. Copying the struct makes a copy that may be changed and given to auth_txn_tfa while the original
 * lives. */
struct auth_tfa {
    struct auth_item item;
    bool is_damaged;
    struct auth_tfa_totp totp[AUTH_TFA_TOTP_MAX];
    size_t n_totp;
    struct auth_tfa_recovery recovery;
    unsigned totp_failures, failures;
    bool is_totp_locked;
    int64_t locked_until; /* 0, or when the lock ends: may be over */
};

/* The user's record, NULL if there is none. */
const struct auth_tfa *auth_tfa_of(const struct auth *a, const char *user);
/* Must this user answer with a second factor? Also while that is not known. */
bool auth_tfa_is_needed(const struct auth *a, const char *user);
bool auth_tfa_is_locked(const struct auth_tfa *t);
/* What may be answered, as Proxmox VE's clients read it: {"totp":true,"recovery":[0,1]}. */
void auth_tfa_write_challenge(const struct auth_tfa *t, struct jw *w);

enum auth_tfa_verdict {
    AUTH_TFA_RIGHT,   /* t has the answer as used: to be committed before it counts */
    AUTH_TFA_WRONG,   /* t has the failure: to be committed before anything is said */
    AUTH_TFA_REFUSED, /* not even looked at; t is as it was */
};
/* Judges "totp:123456" or "recovery:0123-…" by t, a copy, and notes in it what follows. ret_why: for the log. */
enum auth_tfa_verdict auth_tfa_answer(struct auth_tfa *t, const char *answer, const char **ret_why);

/* New codes, of which t keeps hashes. */
void auth_recovery_make(struct auth_tfa_recovery *r, char codes[AUTH_RECOVERY_CODES][AUTH_RECOVERY_CAP]);

/* Writes t, or removes it when nothing is left of it. The caller adds what he expects (AUTH_TFA). */
void auth_txn_tfa(struct state_txn *t, const char *user, const struct auth_tfa *tfa);

/* The question of a login, "PVE:!tfa!CHALLENGE:HEX8::MAC": proves that this user gave his password, which he has not
 * changed since, at most AUTH_CHALLENGE_LIFE_S ago. It is no ticket. */
MUST_CHECK int auth_challenge_make(struct auth *a, const char *user, char dst[AUTH_CHALLENGE_CAP], struct err *e);
MUST_CHECK int auth_challenge_verify(struct auth *a, const char *challenge, const char *user, struct err *e);

#endif
