/* Collecting the operations of a transaction; see state.h. Any thread, one at a time. */
#include "state/state_priv.h"

struct state_txn *state_txn_new(void)
{
    return calloc(1, sizeof(struct state_txn));
}

static void op_done(struct state_op *op)
{
    free(op->key);
    if (op->value)
        mem_wipe(op->value, strlen(op->value)); /* values may be secrets */
    free(op->value);
}

void state_txn_free(struct state_txn *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_ops; i++)
        op_done(&t->ops[i]);
    free(t->ops);
    free(t);
}

size_t state_txn_count(const struct state_txn *t)
{
    return t->n_ops;
}

static int grow(struct state_txn *t, size_t n)
{
    /* Powers of two: 4, 8, 16, … */
    size_t cap = t->n_ops ? 4 : 0;
    while (cap && cap < t->n_ops)
        cap *= 2;
    if (t->n_ops + n <= cap)
        return 0;
    if (!cap)
        cap = 4;
    while (cap < t->n_ops + n)
        cap *= 2;
    struct state_op *ops = realloc(t->ops, cap * sizeof(*ops));
    if (!ops)
        return -ENOMEM;
    t->ops = ops;
    return 0;
}

int state_txn_add(struct state_txn *t, struct state_op op, const char *key, const char *value)
{
    size_t bytes = (key ? strlen(key) : 0) + (value ? strlen(value) : 0);

    if (!t || t->broken)
        return -EINVAL;
    if ((key && (strlen(key) == 0 || strlen(key) > STATE_KEY_MAX)) || (value && strlen(value) > STATE_VALUE_MAX) ||
        t->n_ops == STATE_TXN_OPS_MAX || t->bytes + bytes > STATE_TXN_BYTES_MAX)
        return t->broken = -E2BIG;
    op.key = key ? strdup(key) : NULL;
    op.value = value ? strdup(value) : NULL;
    if ((key && !op.key) || (value && !op.value) || grow(t, 1) < 0) {
        op_done(&op);
        return t->broken = -ENOMEM;
    }
    t->ops[t->n_ops++] = op;
    t->bytes += bytes;
    return 0;
}

/* Failures stick in t->broken and are reported by state_commit. */
static void add_sticky(struct state_txn *t, struct state_op op, const char *key, const char *value)
{
    if (state_txn_add(t, op, key, value) < 0 && t && !t->broken)
        t->broken = -EINVAL;
}

void state_txn_put(struct state_txn *t, const char *key, const char *value)
{
    add_sticky(t, (struct state_op){.kind = STATE_OP_PUT}, key, value);
}

void state_txn_delete(struct state_txn *t, const char *key)
{
    add_sticky(t, (struct state_op){.kind = STATE_OP_DELETE}, key, NULL);
}

void state_txn_expect(struct state_txn *t, const char *key, uint64_t revision)
{
    add_sticky(t, (struct state_op){.kind = STATE_OP_EXPECT, .revision = revision}, key, NULL);
}

void state_txn_set_lease(struct state_txn *t, uint64_t lease)
{
    if (t && !t->broken && t->n_ops && t->ops[t->n_ops - 1].kind == STATE_OP_PUT)
        t->ops[t->n_ops - 1].lease = lease;
}

void state_txn_merge(struct state_txn *t, struct state_txn *other)
{
    if (!other)
        return;
    if (!t->broken && other->broken)
        t->broken = other->broken;
    if (!t->broken && (t->n_ops + other->n_ops > STATE_TXN_OPS_MAX || t->bytes + other->bytes > STATE_TXN_BYTES_MAX))
        t->broken = -E2BIG;
    if (!t->broken && grow(t, other->n_ops) < 0)
        t->broken = -ENOMEM;
    if (!t->broken) {
        memcpy(t->ops + t->n_ops, other->ops, other->n_ops * sizeof(*t->ops));
        t->n_ops += other->n_ops;
        t->bytes += other->bytes;
        other->n_ops = 0;
    }
    state_txn_free(other);
}

bool state_prefix_matches(const char *prefix, const char *key)
{
    size_t n = strlen(prefix);

    return n && prefix[n - 1] == '/' ? strncmp(prefix, key, n) == 0 : streq(prefix, key);
}
