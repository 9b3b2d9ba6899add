/* Passwords: argon2id by libsodium, whose encoded form is what is stored. Interactive limits: 64 MiB and two passes,
 * about a tenth of a second, which is why it is done here and not in the daemon. */
#include <sodium.h>

#include "worker/worker.h"

int verb_argon2id_prepare(const struct work_request *q, struct err *e)
{
    return sodium_init() < 0 ? err_set(e, -EIO, "work.crypto", "libsodium does not start") : 0;
}

/* SECRET: the password. Answers SECRET: the encoded hash. */
int verb_argon2id_hash(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    char encoded[crypto_pwhash_STRBYTES];

    if (crypto_pwhash_str_alg(encoded, (const char *)q->secret, q->secret_len, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                              crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) < 0)
        return err_set(e, -ENOMEM, NULL, "no memory for a password hash");
    field_str(answer, FIELD_SECRET, encoded);
    mem_wipe(encoded, sizeof(encoded));
    return 0;
}

/* SECRET: the password; ARG: the encoded hash. RESULT 0, or EACCES "auth.failed". A hash that asks for more memory than
 * the worker has fails like a wrong password: the limits are the sandbox's. */
int verb_argon2id_verify(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    const char *encoded = q->args[0];

    if (!str_starts(encoded, crypto_pwhash_argon2id_STRPREFIX) || strlen(encoded) >= crypto_pwhash_STRBYTES)
        return err_set(e, -EINVAL, "auth.hash", "not an argon2id hash");
    if (crypto_pwhash_str_verify(encoded, (const char *)q->secret, q->secret_len) < 0)
        return err_set(e, -EACCES, "auth.failed", "authentication failure");
    return 0;
}
