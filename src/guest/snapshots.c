/* See snapshots.h. */
#include "guest/snapshots.h"

#include <ctype.h>
#include <strings.h>

static int damaged(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "guest.snapshots", "the record of the guest's snapshots is damaged: %s", what);
}

static int no_memory(struct err *e)
{
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

void snapshots_done(struct snapshots *s)
{
    for (size_t i = 0; i < s->n; i++)
        config_done(&s->items[i].config);
    free(s->items);
    *s = (struct snapshots){0};
}

int snapshots_copy(const struct snapshots *from, struct snapshots *ret)
{
    struct snapshots s = {.items = calloc(from->n ? from->n : 1, sizeof(*s.items))};
    int r = s.items ? 0 : -ENOMEM;

    memcpy(s.parent, from->parent, sizeof(s.parent));
    for (; r == 0 && s.n < from->n; s.n++) {
        s.items[s.n] = from->items[s.n];
        s.items[s.n].config = (struct config){0};
        r = config_copy(&from->items[s.n].config, &s.items[s.n].config);
    }
    if (r < 0)
        snapshots_done(&s);
    else
        *ret = s;
    return r;
}

struct snapshot *snapshots_find(const struct snapshots *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (streq(s->items[i].name, name))
            return &s->items[i];
    return NULL;
}

int snapshot_name_check(const char *name, struct err *e)
{
    size_t n = strlen(name);

    if (n < 2 || n > SNAPSHOT_NAME_MAX || !isalpha((unsigned char)name[0]) || streq(name, "current"))
        return err_set(e, -EINVAL, "guest.snapshot",
                       "a snapshot's name has 2 to %u characters and begins with a letter", SNAPSHOT_NAME_MAX);
    if (strcasecmp(name, "pending") == 0) /* a section of the text copy has this name */
        return err_set(e, -EINVAL, "guest.snapshot", "unable to use snapshot name '%s' (reserved name)", name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return err_set(e, -EINVAL, "guest.snapshot", "a snapshot's name has letters, digits, '-' and '_'");
    return 0;
}

/* ---- as text ---- */

static int load_text(const json_t *j, const char *key, char *dst, size_t cap)
{
    const char *text = json_string_value(json_object_get(j, key));

    return str_copy(dst, cap, text ? text : "");
}

static int load_one(struct snapshots *s, const json_t *j, struct err *e)
{
    struct snapshot *n = &s->items[s->n];
    struct err why = ERR_INIT;

    if (load_text(j, "name", n->name, sizeof(n->name)) < 0 || snapshot_name_check(n->name, &why) < 0 ||
        snapshots_find(s, n->name))
        return damaged(e, "a name");
    if (load_text(j, "parent", n->parent, sizeof(n->parent)) < 0 ||
        load_text(j, "vmstate", n->vmstate, sizeof(n->vmstate)) < 0)
        return damaged(e, n->name);
    /* What one stands on was there before it, so a tree is all that this allows. */
    if (n->parent[0] && !snapshots_find(s, n->parent))
        return damaged(e, "the parent of a snapshot");
    n->is_saving = json_is_true(json_object_get(j, "saving"));
    n->time_s = json_integer_value(json_object_get(j, "time"));
    s->n++;
    return config_load(json_object_get(j, "config"), &n->config) < 0 ? damaged(e, n->name) : 0;
}

int snapshots_load(const json_t *list, const char *parent, struct snapshots *ret, struct err *e)
{
    size_t n = json_array_size(list);
    struct snapshots s = {.items = n <= SNAPSHOTS_MAX ? calloc(n + 1, sizeof(*s.items)) : NULL};
    int r = n > SNAPSHOTS_MAX ? damaged(e, "too many") : s.items ? 0 : no_memory(e);

    for (size_t i = 0; r == 0 && i < n; i++)
        r = load_one(&s, json_array_get(list, i), e);
    if (r == 0 && parent && (str_copy(s.parent, sizeof(s.parent), parent) < 0 || !snapshots_find(&s, parent)))
        r = damaged(e, "what the guest stands on");
    if (r < 0)
        snapshots_done(&s);
    else
        *ret = s;
    return r;
}

static void write_text(struct jw *w, const char *key, const char *text)
{
    if (text[0])
        jw_kv_str(w, key, text);
}

void snapshots_write(const struct snapshots *s, struct jw *w)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct snapshot *n = &s->items[i];
        jw_object(w);
        jw_kv_str(w, "name", n->name);
        write_text(w, "parent", n->parent);
        jw_kv_int(w, "time", n->time_s);
        write_text(w, "vmstate", n->vmstate);
        if (n->is_saving) {
            jw_key(w, "saving");
            jw_bool(w, true);
        }
        jw_key(w, "config");
        config_write(&n->config, w);
        jw_object_end(w);
    }
}

/* ---- changes ---- */

int snapshots_add(struct snapshots *s, const char *name, int64_t time_s, const struct config *config,
                  struct snapshot **ret, struct err *e)
{
    struct snapshot n = {.time_s = time_s};
    int r = snapshot_name_check(name, e);

    if (r == 0 && snapshots_find(s, name))
        r = err_set(e, -EEXIST, "guest.snapshot", "snapshot name '%s' already used", name);
    if (r == 0 && s->n == SNAPSHOTS_MAX)
        r = err_set(e, -E2BIG, "guest.snapshot", "a guest has at most %u snapshots", SNAPSHOTS_MAX);
    if (r < 0)
        return r;
    struct snapshot *grown = reallocarray(s->items, s->n + 1, sizeof(*grown));
    if (!grown)
        return no_memory(e);
    s->items = grown;
    if (config_copy(config, &n.config) < 0)
        return no_memory(e);
    snprintf(n.name, sizeof(n.name), "%s", name);
    memcpy(n.parent, s->parent, sizeof(n.parent));
    memcpy(s->parent, n.name, sizeof(s->parent));
    s->items[s->n] = n;
    *ret = &s->items[s->n++];
    return 0;
}

void snapshots_remove(struct snapshots *s, const char *name)
{
    struct snapshot *gone = snapshots_find(s, name);

    if (!gone)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (streq(s->items[i].parent, gone->name))
            memcpy(s->items[i].parent, gone->parent, sizeof(gone->parent));
    if (streq(s->parent, gone->name))
        memcpy(s->parent, gone->parent, sizeof(s->parent));
    config_done(&gone->config);
    memmove(gone, gone + 1, (size_t)(&s->items[s->n] - (gone + 1)) * sizeof(*gone));
    s->n--;
}
