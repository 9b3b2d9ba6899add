/* See idempotency.h. */
#include "api/idempotency.h"

#include <jansson.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/list.h"

#define IDEM_PREFIX   "local/idem/"
#define IDEM_LIFE_S   86400
#define IDEM_MAX      4096u
#define IDEM_DATA_MAX 4096u
#define IDEM_KEY_MAX  64u

struct record {
    struct list_node node;
    char hash[65];
    int64_t at;
    char *data; /* JSON; NULL while the first request is under way */
};

struct idempotency {
    struct state *state;
    struct state_watch *watch;
    struct list_node records;
    size_t n;
};

static struct record *find(struct idempotency *i, const char *hash)
{
    LIST_FOREACH(r, &i->records, struct record, node)
    if (streq(r->hash, hash))
        return r;
    return NULL;
}

static void drop(struct idempotency *i, struct record *r)
{
    list_remove(&r->node);
    free(r->data);
    free(r);
    i->n--;
}

static struct record *add(struct idempotency *i, const char *hash)
{
    struct record *r = i->n < IDEM_MAX ? calloc(1, sizeof(*r)) : NULL;

    if (!r)
        return NULL;
    snprintf(r->hash, sizeof(r->hash), "%s", hash);
    r->at = clock_wall_s();
    list_add_tail(&i->records, &r->node);
    i->n++;
    return r;
}

/* Value: {"at":SECONDS,"data":JSON}. */
static void on_record(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct idempotency *i = arg;
    const char *hash = key + strlen(IDEM_PREFIX);
    struct record *r = find(i, hash);
    json_error_t je;

    if (!value) {
        if (r)
            drop(i, r);
        return;
    }
    if (!r && !(r = add(i, hash)))
        return;
    json_t *j = json_loads(value, 0, &je);
    free(r->data);
    r->data = json_dumps(json_object_get(j, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    r->at = json_integer_value(json_object_get(j, "at"));
    json_decref(j);
}

int idempotency_new(struct state *s, struct idempotency **ret, struct err *e)
{
    struct idempotency *i = calloc(1, sizeof(*i));

    if (!i)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    i->state = s;
    list_init(&i->records);
    int r = state_watch(s, IDEM_PREFIX, on_record, i, &i->watch, e);
    if (r < 0) {
        free(i);
        return r;
    }
    *ret = i;
    return 0;
}

void idempotency_free(struct idempotency *i)
{
    if (!i)
        return;
    state_unwatch(i->watch);
    LIST_FOREACH_SAFE(r, &i->records, struct record, node)
    drop(i, r);
    free(i);
}

void idempotency_sweep(struct idempotency *i)
{
    int64_t oldest = clock_wall_s() - IDEM_LIFE_S;
    struct state_txn *t = NULL;
    char key[100];

    LIST_FOREACH_SAFE(r, &i->records, struct record, node)
    {
        if (r->at > oldest || (t && state_txn_count(t) == STATE_TXN_OPS_MAX))
            continue;
        if (!t && !(t = state_txn_new()))
            return;
        snprintf(key, sizeof(key), IDEM_PREFIX "%s", r->hash);
        state_txn_delete(t, key);
    }
    if (t)
        state_commit(i->state, t, NULL, NULL);
}

static void hash_request(const struct api_call *c, char hex[65])
{
    crypto_generichash_state h;
    unsigned char hash[32];
    const char *parts[] = {c->who.user, c->who.token, c->method, c->path, c->idempotency_key};

    crypto_generichash_init(&h, NULL, 0, sizeof(hash));
    for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
        crypto_generichash_update(&h, (const unsigned char *)parts[k], strlen(parts[k]) + 1);
    crypto_generichash_final(&h, hash, sizeof(hash));
    sodium_bin2hex(hex, 65, hash, sizeof(hash));
}

const char *idempotency_state_key(const struct api_call *c)
{
    return c->idempotency_state_key;
}

int idempotency_begin(struct idempotency *i, struct api_call *c, struct err *e)
{
    char hash[65];

    /* Who proved nothing has no answers of his own to be given again. */
    if (!c->idempotency_key || streq(c->method, "GET") || c->is_dry_run || !c->who.user[0])
        return 0;
    if (!*c->idempotency_key || strlen(c->idempotency_key) > IDEM_KEY_MAX)
        return err_set(e, -EINVAL, "param.idempotency-key", "an Idempotency-Key has 1 to %u characters", IDEM_KEY_MAX);
    hash_request(c, hash);
    struct record *r = find(i, hash);
    if (r && !r->data)
        return err_set(e, -EBUSY, "request.in-progress", "the first request with this Idempotency-Key is not finished");
    if (r) {
        jw_raw(&c->out, r->data, strlen(r->data));
        return 1;
    }
    if (!add(i, hash))
        return err_set(e, -EAGAIN, "host.busy", "too many requests with an Idempotency-Key");
    snprintf(c->idempotency_state_key, sizeof(c->idempotency_state_key), IDEM_PREFIX "%s", hash);
    return 0;
}

void idempotency_end(struct idempotency *i, struct api_call *c, int result)
{
    struct record *r = c->idempotency_state_key[0] ? find(i, c->idempotency_state_key + strlen(IDEM_PREFIX)) : NULL;
    struct buf b;
    struct jw w;

    if (!r || r->data)
        return;
    if (result < 0 || c->has_secret || c->body.len > IDEM_DATA_MAX) { /* a failure may be tried again */
        drop(i, r);
        return;
    }
    r->data = strdup(c->body.len ? buf_str(&c->body) : "null");
    buf_init(&b, IDEM_DATA_MAX + 200);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_int(&w, "at", r->at);
    jw_key(&w, "data");
    jw_raw(&w, r->data ? r->data : "null", strlen(r->data ? r->data : "null"));
    jw_object_end(&w);
    struct state_txn *t = state_txn_new();
    if (t)
        state_txn_put(t, c->idempotency_state_key, buf_str(&b));
    state_commit(i->state, t, NULL, NULL);
    buf_done(&b);
}
