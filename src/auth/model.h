/* The objects of auth as the API's handlers see them: read-only copies, fed by watches, valid until the event loop
 * turns (a commit may replace or free them). Also what adds changes of them to a transaction.
 *
 * Every object begins with an auth_item: its id, the revision of its key (0 for built-in roles, which have no key), and
 * its place in a set. Sets are iterated in order of the ids. Loop thread only. */
#ifndef HOLM_AUTH_MODEL_H
#define HOLM_AUTH_MODEL_H

#include "auth/auth.h"

enum auth_kind {
    AUTH_USER,
    AUTH_GROUP,
    AUTH_ROLE,
    AUTH_REALM,
    AUTH_TOKEN, /* key: user@realm!id */
    AUTH_ACL,   /* key: path */
    AUTH_POOL,
    AUTH_MEMBER,  /* key: user@realm; in which groups he is */
    AUTH_GUEST,   /* key: vmid in decimal; in which pool it is (always one) */
    AUTH_STORAGE, /* key: storage; in which pools it is */
    AUTH_PASSWORD,
    AUTH_SECRET, /* key: user@realm!id */
    AUTH_TFA,    /* second.h */
    AUTH_N_KINDS
};

struct auth_item {
    struct auth_item *next; /* of the bucket */
    uint64_t hash;
    uint64_t revision;
    char *key;
};

struct auth_set {
    struct auth_item **sorted;
    size_t n, cap;
    struct auth_item **buckets;
    size_t n_buckets; /* a power of two */
};

/* Texts are never NULL: "" when absent. */
struct auth_user {
    struct auth_item item;
    bool is_enabled;
    int64_t expire; /* 0 = never */
    char *firstname, *lastname, *email, *comment, *keys;
};

struct auth_group {
    struct auth_item item;
    char *comment;
};

struct auth_role {
    struct auth_item item;
    priv_mask mask;
    bool is_special; /* built in */
};

struct auth_realm {
    struct auth_item item;
    char *type, *comment;
    bool is_default;
};

struct auth_token {
    struct auth_item item;
    bool is_separated;
    bool has_expire;
    int64_t expire; /* 0 = never */
    char *comment;
};

enum auth_acl_type { AUTH_ACL_USER, AUTH_ACL_GROUP, AUTH_ACL_TOKEN, AUTH_ACL_TYPES };

struct auth_role;

struct auth_acl_entry {
    enum auth_acl_type type;
    bool is_propagated;
    uint64_t revision;
    char *id, *role;
    const struct auth_role *found; /* what role names, as long as no role changed since */
    uint64_t found_generation;
};

/* Entries are sorted by type, id and role. Those of a type begin at first[type]. A search among thousands looks at
 * prefixes, eight to a cache line, not at the entries. */
struct auth_acl {
    struct auth_item item;
    struct auth_acl_entry *entries;
    uint64_t *prefixes; /* auth_prefix(entries[].id) */
    size_t n, first[AUTH_ACL_TYPES + 1];
};

struct auth_pool {
    struct auth_item item;
    char *comment;
};

/* Who is in what: refs are ids of groups or pools, sorted. */
struct auth_member {
    struct auth_item item;
    char **refs;
    size_t n;
};

struct auth_password {
    struct auth_item item;
    char *hash;
    int64_t changed; /* the second it was set; 0 = not known */
};

#define AUTH_SECRET_BYTES 32u
struct auth_secret {
    struct auth_item item;
    unsigned char hash[AUTH_SECRET_BYTES];
};

const struct auth_set *auth_objects(const struct auth *a, enum auth_kind kind);
const void *auth_find(const struct auth *a, enum auth_kind kind, const char *key);
/* Index of the first object whose key is not below `key`: where a range such as "user!" begins. */
size_t auth_lower_bound(const struct auth_set *set, const char *key);
bool auth_member_of(const struct auth_member *m, const char *ref);
bool auth_user_in_group(const struct auth *a, const char *user, const char *group);
/* The first eight bytes as a number: orders as strcmp does, as far as they differ. */
uint64_t auth_prefix(const char *text);
const char *auth_acl_type_name(enum auth_acl_type type);

/* Checks of names as PVE has them; texts are PVE's too. -EINVAL "param.invalid". */
MUST_CHECK int auth_userid_check(const char *userid, struct err *e);
MUST_CHECK int auth_realm_check(const char *realm, struct err *e);
MUST_CHECK int auth_groupid_check(const char *group, struct err *e);
MUST_CHECK int auth_roleid_check(const char *role, struct err *e);
MUST_CHECK int auth_poolid_check(const char *pool, struct err *e);
MUST_CHECK int auth_tokenid_check(const char *id, struct err *e);
/* "user@realm" or "user@realm!token" into its parts; is_root as in auth_subject. */
MUST_CHECK int auth_subject_parse(const char *text, struct auth_subject *ret, struct err *e);
/* The part behind the last '@' of a checked userid. */
const char *auth_realm_of(const char *userid);
/* "//vms/100/" becomes "/vms/100"; -EINVAL for other characters than letters, digits and "./-_". */
MUST_CHECK int auth_path_normalize(const char *path, char *dst, size_t cap, struct err *e);

/* Additions to a transaction. Objects with fields are written whole: what is not to change is copied by the caller. */
void auth_txn_user(struct state_txn *t, const struct auth_user *u);
void auth_txn_group(struct state_txn *t, const struct auth_group *g);
void auth_txn_role(struct state_txn *t, const struct auth_role *r);
void auth_txn_realm(struct state_txn *t, const struct auth_realm *r);
void auth_txn_token(struct state_txn *t, const struct auth_token *k);
void auth_txn_pool(struct state_txn *t, const struct auth_pool *p);
void auth_txn_password(struct state_txn *t, const char *user, const char *hash);
/* Makes a new secret for a token: a random lower-case UUID in dst (37 bytes), its hash in t. */
#define AUTH_TOKEN_SECRET_CAP 37u
void auth_txn_token_secret(struct state_txn *t, const char *full_id, char dst[AUTH_TOKEN_SECRET_CAP]);
void auth_txn_acl(struct state_txn *t, const char *path, enum auth_acl_type type, const char *id, const char *role,
                  bool is_propagated);
void auth_txn_acl_delete(struct state_txn *t, const char *path, enum auth_acl_type type, const char *id,
                         const char *role);
void auth_txn_group_member(struct state_txn *t, const char *group, const char *user, bool is_member);
void auth_txn_storage_pool(struct state_txn *t, const char *storage, const char *pool, bool is_member);
/* The key of an object of the kinds USER to TOKEN, POOL, PASSWORD and SECRET. */
void auth_txn_delete(struct state_txn *t, enum auth_kind kind, const char *id);
/* The commit happens only if the object is as known now; 0 as revision: it must not exist. */
void auth_txn_expect(struct state_txn *t, enum auth_kind kind, const char *id, uint64_t revision);
/* Adds deletions of what refers to an object that goes away or is made anew: ACL entries, memberships, tokens and
 * secrets of a user, ACL entries of a pool,
 * realm or storage, memberships of a storage. At most max; returns how many, so the caller repeats until it is
 * 0. */
size_t auth_txn_forget(const struct auth *a, struct state_txn *t, enum auth_kind kind, const char *id, size_t max);

/* ["perm-modify", path]: Permissions.Modify, or the Allocate of a storage, guest or pool on its own path. */
MUST_CHECK int auth_check_perm_modify(struct auth *a, const struct auth_subject *s, const char *path, struct err *e);
/* The next item of a list ("a,b;c d"), copied into dst; false at the end. *pos starts as the list. An item longer than
 * cap is cut to "" (which no check accepts). */
bool auth_list_next(const char **pos, char *dst, size_t cap);

#endif
