/* The table of engines and the rule of `auto`. Pure; any thread. */
#include "engine/engine.h"

#include <ctype.h>

#include "engine/qemu_priv.h"
#include "engine/vmm_priv.h"

/* In the order in which `auto` prefers them. */
const struct engine *const engine_table[] = {&engine_vmm, &engine_qemu, NULL};

const struct engine *engine_find(const char *name)
{
    for (size_t i = 0; engine_table[i]; i++)
        if (streq(engine_table[i]->name, name))
            return engine_table[i];
    return NULL;
}

static int check(const struct engine *engine, const struct engine_host *h, const struct config_item *config, size_t n,
                 struct err *e)
{
    int r = engine->check_host(h, e);

    return r < 0 ? r : engine->check_config(h, config, n, e);
}

/* The first engine that runs here and can do all that is asked; if none can, the last one's reason is the answer. */
static int choose_auto(const struct engine_host *h, const struct config_item *config, size_t n,
                       const struct engine **ret, struct err *e)
{
    int r = -ENOENT;

    for (size_t i = 0; engine_table[i]; i++) {
        *e = (struct err)ERR_INIT;
        r = check(engine_table[i], h, config, n, e);
        if (r == 0) {
            *ret = engine_table[i];
            return 0;
        }
    }
    return r;
}

int engine_choose(const struct engine_host *h, const char *wanted, const struct config_item *config, size_t n,
                  const struct engine **ret, struct err *e)
{
    if (!wanted || !*wanted || streq(wanted, "auto"))
        return choose_auto(h, config, n, ret, e);
    const struct engine *engine = engine_find(wanted);
    if (!engine)
        return err_set(e, -EINVAL, "param.invalid", "engine: there is no engine '%.32s'", wanted);
    int r = check(engine, h, config, n, e);
    if (r == 0)
        *ret = engine;
    return r;
}

void engine_launch_done(struct engine_launch *l)
{
    buf_done(&l->payload);
    l->n_fds = 0;
    if (l->own_fd >= 0)
        close(l->own_fd);
    l->own_fd = -1;
}

const char *config_item_get(const struct config_item *config, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (streq(config[i].key, key))
            return config[i].value;
    return NULL;
}

int engine_unsupported(struct err *e, const char *engine, const char *key, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(e, -EINVAL, "param.unsupported", "%s: the engine %s cannot do this: %s", key, engine, text);
}

int engine_key_index(const char *key, const char *stem)
{
    size_t n = strlen(stem);
    uint64_t index;

    if (!str_starts(key, stem) || !isdigit((unsigned char)key[n]) || strlen(key + n) > 3 ||
        str_to_u64(key + n, &index) < 0)
        return -1;
    return (int)index;
}

const char *engine_disk_on(const struct engine_disk *d, size_t i)
{
    return i < d->n_below ? d->below[i].name : d->origin;
}

bool engine_is_cloudinit(const char *file)
{
    return str_ends(file, ":cloudinit") || str_ends(file, "-cloudinit.raw");
}

void engine_disk_done(struct engine_disk *d)
{
    for (size_t i = 0; i < d->n_below; i++)
        if (d->below[i].fd >= 0)
            close(d->below[i].fd);
    free(d->below);
    if (d->fd >= 0)
        close(d->fd);
    if (d->direct_fd > 0)
        close(d->direct_fd);
    d->below = NULL;
    d->n_below = 0;
    d->fd = -1;
    d->direct_fd = 0;
}
