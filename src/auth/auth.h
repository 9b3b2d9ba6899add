/* Who somebody is and what he may do. Users, groups, roles, realms, tokens, ACLs and pools are copies of state keys
 * (fed by watches), so every question is answered from memory on the loop thread without blocking.
 *
 * Keys: shared/auth/user/USERID, …/group/ID, …/role/ID, …/realm/ID, …/token/USERID!ID, …/pool/ID, one key per ACL entry
 * (…/acl + PATH + " TYPE ID ROLE"), one per membership (…/member/group/GROUP/USERID, …/member/guest/VMID,
 * …/member/storage/STORAGE/POOL), and shared/secret/password/USERID, …/secret/token/USERID!ID, …/secret/ticket (signing
 * keys). Values are JSON, described in doc/access.md. model.h gives the objects to the handlers that list and change
 * them. The resolver is Proxmox VE's (pve-access-control, roles()): pve roles, NoAccess, propagation, pools, privilege
 * separation of tokens. */
#ifndef HOLM_AUTH_AUTH_H
#define HOLM_AUTH_AUTH_H

#include "base/err.h"
#include "base/json.h"
#include "state/state.h"

#define AUTH_USER_MAX      64u
#define AUTH_TOKEN_MAX     64u
#define AUTH_PATH_MAX      256u
#define AUTH_TICKET_LIFE_S 7200

typedef uint64_t priv_mask;

enum priv_bit {
#define PRIV(name, ident, bit) PRIV_BIT_##ident = (bit),
#include "auth/privs.def"
#undef PRIV
};
/* Masks: PRIV_M(VM_AUDIT) */
#define PRIV_M(ident) (UINT64_C(1) << PRIV_BIT_##ident)

const char *priv_name(unsigned bit); /* NULL beyond the last */
bool priv_find(const char *name, unsigned *ret_bit);

struct auth;

struct auth_subject {
    char user[AUTH_USER_MAX + 1];   /* user@realm */
    char token[AUTH_TOKEN_MAX + 1]; /* token id, "" for a ticket or the local socket */
    bool is_root;                   /* root@pam itself: never through a token */
    int64_t ticket_s;               /* when the ticket was made; 0 for a token or the local socket */
};
/* "user@realm" or "user@realm!token" */
void auth_subject_format(const struct auth_subject *s, char *dst, size_t cap);

MUST_CHECK int auth_new(struct state *s, struct auth **ret, struct err *e);
void auth_free(struct auth *a);
/* Makes what a fresh system needs (realms pam and pve, root@pam, first signing key) where it is missing, as a
 * transaction for the caller to commit; NULL if nothing is missing. Also called once an hour: a new signing key each 24
 * h, the old one stays valid for the life of its tickets. */
struct state_txn *auth_upkeep(struct auth *a);

/* Proofs. All answer 0, or -EACCES with PVE's texts: "auth.failed" for what is forged, "auth.expired" and
 * "auth.inactive" for what was good once or whose user is not active; comparisons in constant time. */
MUST_CHECK int auth_ticket_verify(struct auth *a, const char *ticket, struct auth_subject *ret, struct err *e);
MUST_CHECK int auth_csrf_verify(struct auth *a, const char *csrf, const struct auth_subject *s, struct err *e);
/* token: user@realm!id=secret */
MUST_CHECK int auth_token_verify(struct auth *a, const char *token, struct auth_subject *ret, struct err *e);
/* PVE:user@realm:HEX8::base64 and HEX8:base64 */
MUST_CHECK int auth_ticket_make(struct auth *a, const char *user, char *dst, size_t cap, struct err *e);
MUST_CHECK int auth_csrf_make(struct auth *a, const char *user, char *dst, size_t cap, struct err *e);
/* Console tickets: PVEVNC:HEX8::base64, bound to user, path and port, valid for 30 s, and only once. */
MUST_CHECK int auth_console_ticket_make(struct auth *a, const struct auth_subject *s, const char *path, unsigned port,
                                        char *dst, size_t cap, struct err *e);
/* The password of VNC that goes with a console ticket: eight characters '!' to '`', no blank. */
#define AUTH_VNC_PASSWORD_SIZE 9
void auth_console_password(const struct auth *a, const char *ticket, char ret[AUTH_VNC_PASSWORD_SIZE]);
/* The same question without using it up. */
MUST_CHECK int auth_console_ticket_check(struct auth *a, const char *ticket, const struct auth_subject *s,
                                         const char *path, unsigned port, struct err *e);
MUST_CHECK int auth_console_ticket_use(struct auth *a, const char *ticket, const struct auth_subject *s,
                                       const char *path, unsigned port, struct err *e);

/* The stored argon2id string of a pve user, NULL if none: verification itself happens in a worker. */
const char *auth_password_hash(struct auth *a, const char *user);
/* The user and his realm exist, and he is enabled and not expired. */
bool auth_user_is_active(struct auth *a, const char *user);
/* What proved who somebody is still holds: the user is active, the token exists and has not expired, the ticket is not
 * older than the user's password. (Not asked: whether the ticket's two hours are over.) */
bool auth_subject_is_active(struct auth *a, const struct auth_subject *s);
const char *auth_default_realm(struct auth *a);

/* Privileges on an ACL path ("/vms/100"); ret_propagate (may be NULL) gets those that are inherited further down. */
priv_mask auth_privileges(struct auth *a, const struct auth_subject *s, const char *path, priv_mask *ret_propagate);
/* All of mask (or any of it). */
bool auth_has(struct auth *a, const struct auth_subject *s, const char *path, priv_mask mask, bool any);
/* The privileges on "/vms/VMID" of one subject for many guests, as for a list. Valid until the loop turns (the subject
 * may be gone earlier); NULL when out of memory. */
struct auth_guests;
struct auth_guests *auth_guests_new(struct auth *a, const struct auth_subject *s);
priv_mask auth_guests_privileges(struct auth_guests *q, uint32_t vmid);
void auth_guests_free(struct auth_guests *q);
/* Permission through groups of users ("userid-group"): on /access/groups/G of every group in the comma list, or, when
 * groups is NULL, of any group that user belongs to. */
bool auth_has_on_groups(struct auth *a, const struct auth_subject *s, priv_mask mask, const char *groups,
                        const char *user);
/* 0 or -EPERM "auth.denied" with text "Permission check failed (PATH, PRIV|PRIV)". */
MUST_CHECK int auth_require(struct auth *a, const struct auth_subject *s, const char *path, priv_mask mask, bool any,
                            struct err *e);
/* Paths that an ACL entry may have: 0 or -EINVAL. */
MUST_CHECK int auth_path_check(const char *path, struct err *e);
/* Pool of a guest or storage; NULL if none. */
const char *auth_pool_of_guest(struct auth *a, uint32_t vmid);
const char *auth_pool_of_storage(struct auth *a, const char *storage);
bool auth_pool_exists(struct auth *a, const char *pool);
/* Every pool in order of its name; fn returns false to stop. */
void auth_each_pool(struct auth *a, bool (*fn)(void *arg, const char *pool), void *arg);
/* Adds to t what puts a guest into (pool != NULL) or out of its pool. */
void auth_txn_guest_pool(struct auth *a, struct state_txn *t, uint32_t vmid, const char *pool);
/* Adds to t the removal of every ACL entry and pool membership of a guest (DELETE guest with purge semantics). */
void auth_txn_guest_purge(struct auth *a, struct state_txn *t, uint32_t vmid);

#endif
