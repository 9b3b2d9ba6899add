/* Inside src/auth: the model's body and what its files tell each other. */
#ifndef HOLM_AUTH_AUTH_PRIV_H
#define HOLM_AUTH_AUTH_PRIV_H

#include <jansson.h>

#include "auth/model.h"
#include "base/clock.h"

#define TICKET_KEY_BYTES      32u
#define TICKET_KEYS_MAX       4u
#define TICKET_LIFE_S         AUTH_TICKET_LIFE_S
#define TICKET_EARLY_S        300
#define TICKET_KEY_ROTATE_S   86400
#define CONSOLE_LIFE_S        30
#define CONSOLE_USED_MAX      1024u /* tickets remembered at once … */
#define CONSOLE_USED_USER_MAX 128u  /* … and of one user, so that nobody locks out the others */
#define CONSOLE_NONCE_BYTES   12u

/* keys[0] signs; the others only verify. */
struct ticket_key {
    int64_t created;
    unsigned char key[TICKET_KEY_BYTES];
};

struct console_used {
    unsigned char nonce[CONSOLE_NONCE_BYTES];
    int64_t expires;
    uint64_t user_hash;
};

struct auth {
    struct state *state;
    struct state_watch *watches[16];
    size_t n_watches;
    struct auth_set sets[AUTH_N_KINDS];
    struct auth_set
        damaged; /* keys of records that could not be read: while there are any, only root may do anything */
    bool is_out_of_memory;
    uint64_t role_generation; /* changes whenever a role does */
    struct ticket_key ticket_keys[TICKET_KEYS_MAX];
    size_t n_ticket_keys;
    uint64_t ticket_revision;
    /* Console tickets die with the process that made them, because the memory of used ones does. */
    unsigned char console_key[TICKET_KEY_BYTES];
    struct console_used used[CONSOLE_USED_MAX];
    size_t n_used;
};

/* set.c */
uint64_t auth_hash(const char *key, size_t n);
struct auth_item *auth_set_find(const struct auth_set *set, const char *key, size_t n);
/* item->key is set and not in the set; -ENOMEM leaves the set as it was. */
MUST_CHECK int auth_set_insert(struct auth_set *set, struct auth_item *item);
struct auth_item *auth_set_remove(struct auth_set *set, const char *key);
void auth_set_done(struct auth_set *set, void (*free_item)(struct auth_item *item));

/* model.c */
void auth_item_free(enum auth_kind kind, struct auth_item *item);
bool auth_is_usable(const struct auth *a);
void auth_note_memory(struct auth *a, const char *key);
void auth_note_damage(struct auth *a, const char *key, bool is_closing);
void auth_clear_damage(struct auth *a, const char *key);
/* The object of a set with this key, made when missing; NULL when out of memory. */
struct auth_item *auth_need_item(struct auth_set *set, enum auth_kind kind, const char *key, size_t n, size_t size);

/* member.c, acl.c: watch callbacks */
#define AUTH_MEMBER_PREFIX "shared/auth/member/"
#define AUTH_ACL_PREFIX    "shared/auth/acl"
void auth_on_member(void *arg, const char *key, const char *value, uint64_t revision);
void auth_on_acl(void *arg, const char *key, const char *value, uint64_t revision);

/* record.c: one record's value into an object (its key and revision are the caller's), -EINVAL if it is not one. */
typedef int (*auth_record_fn)(struct auth_item *item, const json_t *root);
int auth_record_user(struct auth_item *item, const json_t *root);
int auth_record_group(struct auth_item *item, const json_t *root);
int auth_record_role(struct auth_item *item, const json_t *root);
int auth_record_realm(struct auth_item *item, const json_t *root);
int auth_record_token(struct auth_item *item, const json_t *root);
int auth_record_pool(struct auth_item *item, const json_t *root);
int auth_record_password(struct auth_item *item, const json_t *root);
int auth_record_secret(struct auth_item *item, const json_t *root);
int auth_record_tfa(struct auth_item *item, const json_t *root);
json_t *auth_record_parse(const char *value);
const char *auth_record_str(const json_t *root, const char *key);

/* second_record.c */
struct auth_tfa;
void auth_tfa_free(struct auth_item *item);
void auth_tfa_note_damage(struct auth_item *item);
/* The members of a record after "format". */
void auth_tfa_put(struct jw *w, const struct auth_tfa *t);

/* roles.c */
MUST_CHECK int auth_roles_init(struct auth_set *roles);

/* ticket.c */
int auth_ticket_keys_load(struct auth *a, const char *value, uint64_t revision);
void auth_txn_ticket_keys(struct auth *a, struct state_txn *t);
bool auth_ticket_keys_are_due(const struct auth *a);

/* console.c, for its test */
size_t auth_console_used_count(const struct auth *a);

#endif
