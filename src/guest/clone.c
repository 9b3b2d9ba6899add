/* See clone.h. */
#include "guest/clone.h"

#include "base/propstr.h"

bool guest_is_template(const struct guest *g)
{
    const char *value = config_get(&g->config, "template");
    bool is_on = false;

    return value && propstr_bool(value, &is_on) == 0 && is_on;
}

uint32_t guest_dependent(struct guest_mgr *m, uint32_t vmid)
{
    for (size_t i = 0; i < guest_count(m); i++) {
        const struct guest *g = guest_at(m, i);
        for (size_t k = 0; g->vmid != vmid && k < g->layers.n; k++)
            if (g->layers.rows[k].base.name[0] && g->layers.rows[k].base.vmid == vmid)
                return g->vmid;
    }
    return 0;
}

/* "virtio=BC:24:11:…,bridge=vmbr0": the first part names model and address. */
static int change_net(const char *value, const struct clone_identity *id, struct buf *out, struct err *e)
{
    struct propstr p;
    char mac[18];
    int r = propstr_parse(value, "model", &p, e);

    if (r < 0)
        return r;
    const char *model = propstr_get(&p, "model"), *first = p.n ? p.items[0].key : "";
    id->mac(mac);
    buf_printf(out, "%s=%s", model && !streq(first, "model") ? first : model ? model : first, mac);
    for (size_t i = 0; i < p.n; i++) {
        bool is_address = i == 0 || streq(p.items[i].key, "macaddr") || streq(p.items[i].key, "model");
        if (!is_address)
            buf_printf(out, ",%s=%s", p.items[i].key, p.items[i].value);
    }
    return 0;
}

static void change_smbios(const char *value, const char *uuid, struct buf *out)
{
    for (const char *p = value; *p;) {
        size_t n = strcspn(p, ",");
        if (out->len)
            buf_append_char(out, ',');
        if (str_starts(p, "uuid="))
            buf_printf(out, "uuid=%s", uuid);
        else
            buf_append(out, p, n);
        p += n + (p[n] == ',');
    }
}

static int change_value(const struct config_item *it, const struct clone_identity *id, struct buf *out, struct err *e)
{
    if (guest_is_index_key(it->key, "net"))
        return change_net(it->value, id, out, e);
    if (streq(it->key, "smbios1"))
        change_smbios(it->value, id->uuid, out);
    else if (streq(it->key, "vmgenid") && !streq(it->value, "0"))
        buf_append_str(out, id->vmgenid);
    else
        buf_append_str(out, it->value);
    return 0;
}

static bool is_left_out(const char *key)
{
    static const char *const keys[] = {"lock", "template", "parent", "name", "description"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (streq(key, keys[i]))
            return true;
    return guest_is_index_key(key, "unused");
}

int clone_config(const struct config *from, const struct clone_identity *id, const char *name, const char *description,
                 struct config *ret, struct err *e)
{
    struct config c = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < from->n; i++) {
        autobuf struct buf value; /* nothing may leave before buf_init */
        buf_init(&value, 65536);
        if (is_left_out(from->items[i].key))
            continue;
        r = change_value(&from->items[i], id, &value, e);
        if (r == 0 && (value.is_failed || config_set(&c, from->items[i].key, buf_str(&value)) < 0))
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (r == 0 && (config_set(&c, "name", name) < 0 || (description && config_set(&c, "description", description) < 0)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0)
        config_done(&c);
    else
        *ret = c;
    return r;
}
