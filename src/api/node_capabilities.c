/* GET /nodes/N/capabilities/…: the machine versions, CPU models and CPU flags of the installed QEMU. PVE: pve-manager,
 * API2/Capabilities.pm. QEMU itself is asked by QMP, in a pool thread, once per version of it: two runs of a machine
 * without anything in it; what it said is kept in DIR/var/qemu-capabilities, and in memory. */
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>

#include "api/common.h"
#include "base/capture.h"
#include "base/fs.h"
#include "guest/cpu_models.h"

#define FILE_NAME    "qemu-capabilities"
#define ANSWERS_MAX  (16u * 1024u * 1024u)
#define TIMEOUT_MS   30000u
#define COMMANDS_MAX (31u * 1024u)
#define FLAGS_MAX    2000u
#define NOBODY       65534
#define ARCH         "x86_64"

/* What is kept: {"format":1,"version":V,"machines":[NAME…],"cpus":[{"name","vendor"}…],"flags":[{"name","tcg"}…]}:
 * tcg says whether the flag can be had without KVM. Only used with the lock held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *kept;

struct query {
    const char *qemu, *version, *root_dir, *node;
    const char *what; /* "machines", "cpus", "flags" */
    bool is_tcg, has_kvm;
    json_t *customs; /* "cpus": [{"name","model"}…] of the caller's custom models */
    struct buf json;
};

static bool take(void *arg, const char *data, size_t n)
{
    struct buf *b = arg;

    buf_append(b, data, n);
    return !b->is_failed;
}

/* Sends the commands and gives the answers, one JSON object a line, without greeting and events. */
static int ask(const struct query *q, const char *commands, json_t **ret_answers, struct err *e)
{
    const char *argv[] = {q->qemu,          "-S",   "-no-user-config", "-nodefaults", "-display", "none", "-machine",
                          "none,accel=tcg", "-qmp", "stdio",           NULL};
    struct buf out;
    struct capture run = {.path = q->qemu,
                          .argv = argv,
                          .uid = NOBODY,
                          .input = commands,
                          .timeout_ms = TIMEOUT_MS,
                          .max_bytes = ANSWERS_MAX,
                          .take = take,
                          .arg = &out};

    buf_init(&out, ANSWERS_MAX);
    int r = capture_run(&run, e);
    json_t *answers = json_array();
    for (const char *p = buf_str(&out); r == 0 && *p;) {
        size_t n = strcspn(p, "\n");
        /* Some numbers of it are beyond 63 bits; none is used. */
        json_t *j = json_depth(p, n) < 32 ? json_loadb(p, n, JSON_DECODE_INT_AS_REAL, NULL) : NULL;
        if (json_object_get(j, "return") || json_object_get(j, "error"))
            json_array_append(answers, j);
        json_decref(j);
        p += n + (p[n] != 0);
    }
    buf_done(&out);
    if (r < 0) {
        json_decref(answers);
        return err_wrap(e, r, "capabilities of QEMU");
    }
    *ret_answers = answers;
    return 0;
}

static const char *name_of(json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));

    return name ? name : "";
}

/* Versioned machines of the two kinds that guests have. */
static json_t *machines_of(json_t *answer)
{
    json_t *list = json_object_get(answer, "return"), *names = json_array(), *m;
    size_t i;

    json_array_foreach(list, i, m)
    {
        if (str_starts(name_of(m), "pc-i440fx-") || str_starts(name_of(m), "pc-q35-"))
            json_array_append_new(names, json_string(name_of(m)));
    }
    return names;
}

/* A model's name goes into a command: nothing but its usual characters. */
static bool is_plain(const char *name)
{
    return *name && strlen(name) < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name);
}

/* One question for each model: which vendor is it of, and (by the one called "max") which flags are there? */
static json_t *ask_models(const struct query *q, json_t *definitions, struct err *e)
{
    json_t *list = json_object_get(definitions, "return"), *names = json_array(), *item, *answers = NULL;
    struct buf commands;
    size_t i;

    buf_init(&commands, COMMANDS_MAX);
    buf_append_str(&commands, "{\"execute\":\"qmp_capabilities\"}\n");
    json_array_foreach(list, i, item)
    {
        if (!is_plain(name_of(item)) || commands.len > COMMANDS_MAX - 300)
            continue;
        buf_printf(&commands,
                   "{\"execute\":\"query-cpu-model-expansion\",\"arguments\":{\"type\":\"full\",\"model\":{\"name\":"
                   "\"%s\"}}}\n",
                   name_of(item));
        json_array_append_new(names, json_string(name_of(item)));
    }
    buf_append_str(&commands, "{\"execute\":\"quit\"}\n");
    int r = ask(q, buf_str(&commands), &answers, e);
    buf_done(&commands);
    json_t *both = r < 0 ? NULL : json_pack("{s:O, s:O}", "names", names, "answers", answers);
    json_decref(names);
    json_decref(answers);
    return both;
}

static const char *vendor_of(json_t *props)
{
    const char *vendor = json_string_value(json_object_get(props, "vendor"));

    return vendor ? vendor : "default";
}

/* Flags are the model's properties that are on or off and named like flags. */
static json_t *flags_of(json_t *props)
{
    static const char *const not_flags[] = {"check",
                                            "enforce",
                                            "fill-mtrr-mask",
                                            "full-cpuid-auto-level",
                                            "host-cache-info",
                                            "host-phys-bits",
                                            "kvm",
                                            "legacy-cache",
                                            "lmce",
                                            "migratable",
                                            "pmu",
                                            "realized",
                                            "start-powered-off",
                                            "tcg-cpuid",
                                            "vmware-cpuid-freq",
                                            "xen-vapic",
                                            "hotplugged",
                                            "hotpluggable",
                                            "legacy-instance-id"};
    json_t *flags = json_array(), *value;
    const char *key;

    json_object_foreach(props, key, value)
    {
        bool is_flag = json_is_boolean(value) && !str_starts(key, "hv-") && !str_starts(key, "x-") &&
                       !str_starts(key, "cpuid-") && !strchr(key, '_') && json_array_size(flags) < FLAGS_MAX;
        for (size_t i = 0; is_flag && i < ARRAY_SIZE(not_flags); i++)
            is_flag = !streq(key, not_flags[i]);
        if (is_flag)
            json_array_append_new(flags, json_pack("{s:s, s:b}", "name", key, "tcg", json_is_true(value)));
    }
    return flags;
}

static json_t *learn(const struct query *q, struct err *e)
{
    static const char first[] = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-machines\"}\n"
                                "{\"execute\":\"query-cpu-definitions\"}\n{\"execute\":\"quit\"}\n";
    json_t *answers = NULL, *models, *cpus = json_array(), *flags = NULL, *name;
    size_t i;

    if (ask(q, first, &answers, e) < 0 || !(models = ask_models(q, json_array_get(answers, 2), e))) {
        json_decref(answers);
        json_decref(cpus);
        return NULL;
    }
    json_array_foreach(json_object_get(models, "names"), i, name)
    {
        json_t *answer = json_array_get(json_object_get(models, "answers"), i + 1); /* the first is qmp_capabilities' */
        json_t *props = json_object_get(json_object_get(json_object_get(answer, "return"), "model"), "props");
        if (streq(json_string_value(name), "max"))
            flags = flags ? flags : flags_of(props);
        if (!streq(json_string_value(name), "base"))
            json_array_append_new(cpus, json_pack("{s:O, s:s}", "name", name, "vendor", vendor_of(props)));
    }
    json_t *all =
        json_pack("{s:i, s:s, s:o, s:o, s:o}", "format", 1, "version", q->version, "machines",
                  machines_of(json_array_get(answers, 1)), "cpus", cpus, "flags", flags ? flags : json_array());
    json_decref(models);
    json_decref(answers);
    if (!json_array_size(json_object_get(all, "machines")) || !json_array_size(json_object_get(all, "cpus"))) {
        json_decref(all);
        err_set(e, -EPROTO, "engine.broken", "%s does not tell what it can do", q->qemu);
        return NULL;
    }
    return all;
}

static bool is_of_version(json_t *all, const char *version)
{
    const char *known = json_string_value(json_object_get(all, "version"));

    return known && streq(known, version) && json_is_array(json_object_get(all, "machines")) &&
           json_is_array(json_object_get(all, "cpus")) && json_is_array(json_object_get(all, "flags"));
}

static json_t *load(const struct query *q, int dir)
{
    struct err e = ERR_INIT;
    struct buf b;

    buf_init(&b, ANSWERS_MAX);
    json_t *all = fs_read_file(dir, FILE_NAME, &b, &e) == 0 ? json_loads(buf_str(&b), 0, NULL) : NULL;
    buf_done(&b);
    if (all && is_of_version(all, q->version))
        return all;
    json_decref(all);
    return NULL;
}

/* Fills `kept`; the lock is held. */
static int know(const struct query *q, struct err *e)
{
    char path[4200];
    struct err ignored = ERR_INIT;

    if (kept && is_of_version(kept, q->version))
        return 0;
    snprintf(path, sizeof(path), "%s/var", q->root_dir);
    autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    json_t *all = load(q, dir);
    if (!all) {
        all = learn(q, e);
        autofree char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
        if (!text)
            return e->num ? e->num : err_set(e, -ENOMEM, NULL, "out of memory");
        if (fs_replace_durable(dir, FILE_NAME, text, strlen(text), 0600, &ignored) < 0)
            ignored.num = 0; /* asked again after a restart */
    }
    json_decref(kept);
    kept = all;
    return 0;
}

static void write_machine(struct jw *w, const char *name)
{
    bool is_q35 = str_starts(name, "pc-q35-");

    jw_object(w);
    jw_kv_str(w, "id", name);
    jw_kv_str(w, "type", is_q35 ? "q35" : "i440fx");
    jw_kv_str(w, "version", name + strlen(is_q35 ? "pc-q35-" : "pc-i440fx-"));
    jw_object_end(w);
}

static void write_cpu(struct jw *w, json_t *cpu)
{
    const char *vendor = json_string_value(json_object_get(cpu, "vendor"));

    jw_object(w);
    jw_kv_str(w, "name", name_of(cpu));
    jw_kv_str(w, "vendor", vendor ? vendor : "default");
    jw_kv_int(w, "custom", 0);
    jw_object_end(w);
}

/* A custom model has the vendor of the one that it shows. */
static void write_custom(struct jw *w, json_t *custom, json_t *cpus)
{
    const char *model = json_string_value(json_object_get(custom, "model")), *vendor = NULL;
    json_t *cpu;
    size_t i;

    json_array_foreach(cpus, i, cpu)
    {
        if (model && streq(name_of(cpu), model))
            vendor = json_string_value(json_object_get(cpu, "vendor"));
    }
    jw_object(w);
    jw_kv_str(w, "name", name_of(custom));
    jw_kv_str(w, "vendor", vendor ? vendor : "default");
    jw_kv_int(w, "custom", 1);
    jw_object_end(w);
}

/* The host's own flags, between blanks; '.' and '-' of QEMU's names are '_' there. */
static void read_host_flags(struct buf *b)
{
    struct err e = ERR_INIT;
    struct buf all;

    buf_init(&all, 4u * 1024u * 1024u);
    const char *line = fs_read_file(AT_FDCWD, "/proc/cpuinfo", &all, &e) == 0 ? strstr(buf_str(&all), "\nflags") : NULL;
    if (line)
        buf_printf(b, "%.*s ", (int)strcspn(line + 1, "\n"), line + 1);
    buf_done(&all);
}

static bool host_has(const char *flags, const char *name)
{
    char word[80];

    snprintf(word, sizeof(word), " %.70s ", name);
    for (char *c = word; *c; c++)
        if (*c == '-' || *c == '.')
            *c = '_';
    return strstr(flags, word) != NULL;
}

static void write_flag(struct jw *w, const struct query *q, json_t *flag, const char *host_flags)
{
    jw_object(w);
    jw_kv_str(w, "name", name_of(flag));
    jw_key(w, "supported-on");
    jw_array(w);
    if (q->is_tcg ? json_is_true(json_object_get(flag, "tcg")) : q->has_kvm && host_has(host_flags, name_of(flag)))
        jw_str(w, q->node);
    jw_array_end(w);
    jw_object_end(w);
}

static void write_kept(struct query *q)
{
    json_t *list = json_object_get(kept, q->what), *item;
    struct buf flags;
    struct jw w;
    size_t i;

    buf_init(&flags, 65536);
    if (q->has_kvm && streq(q->what, "flags"))
        read_host_flags(&flags);
    jw_init(&w, &q->json);
    jw_array(&w);
    json_array_foreach(list, i, item)
    {
        if (streq(q->what, "cpus"))
            write_cpu(&w, item);
        else if (streq(q->what, "machines"))
            write_machine(&w, json_string_value(item));
        else
            write_flag(&w, q, item, buf_str(&flags));
    }
    json_array_foreach(q->customs, i, item)
    {
        write_custom(&w, item, list);
    }
    jw_array_end(&w);
    buf_done(&flags);
}

static int read_capabilities(void *ctx, struct err *e)
{
    struct query *q = ctx;

    buf_init(&q->json, ANSWERS_MAX);
    pthread_mutex_lock(&lock);
    int r = know(q, e);
    if (r == 0)
        write_kept(q);
    pthread_mutex_unlock(&lock);
    return r;
}

static int finish_capabilities(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&q->json), q->json.len);
    buf_done(&q->json);
    json_decref(q->customs);
    return r;
}

static int reply_nothing(struct api_call *c)
{
    jw_array(&c->out);
    jw_array_end(&c->out);
    return 0;
}

static json_t *customs_of(struct api_call *c)
{
    const struct cpu_models *models = guest_cpu_models(c->api->guests);
    json_t *all = json_array();
    char name[sizeof(CPU_MODEL_PREFIX) + CPU_MODEL_NAME_MAX];

    for (size_t i = 0; i < cpu_models_count(models); i++) {
        const struct cpu_model *m = cpu_models_at(models, i);
        const char *reported = config_get(&m->values, "reported-model");
        if (!api_may_see_cpu_model(c, m->name) && !auth_has(c->api->auth, &c->who, "/nodes", PRIV_M(SYS_AUDIT), false))
            continue;
        snprintf(name, sizeof(name), CPU_MODEL_PREFIX "%s", m->name);
        json_array_append_new(all, json_pack("{s:s, s:s}", "name", name, "model", reported ? reported : "kvm64"));
    }
    return all;
}

/* Of another architecture, or where no QEMU is installed, there is nothing. */
static int reply(struct api_call *c, const char *node, const char *arch, const char *what, bool is_tcg, struct err *e)
{
    const struct engine_host *h = c->api->host;
    int r = node ? api_check_node(c, node, e) : 0;

    if (r < 0)
        return r;
    if ((arch && !streq(arch, ARCH)) || !h->qemu_path[0] || !h->qemu_version[0])
        return reply_nothing(c);
    struct query *q = arena_alloc(&c->arena, sizeof(*q));
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *q = (struct query){.qemu = h->qemu_path,
                        .version = h->qemu_version,
                        .root_dir = c->api->root_dir,
                        .node = c->api->node,
                        .what = what,
                        .is_tcg = is_tcg,
                        .customs = streq(what, "cpus") ? customs_of(c) : NULL,
                        .has_kvm = h->has_kvm};
    return api_offload(c, read_capabilities, finish_capabilities, q);
}

int api_node_capabilities_index(struct api_call *c, const struct api_node_capabilities_index_args *a, struct err *e)
{
    static const char *const names[] = {"qemu", NULL};
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : api_reply_index(c, "name", names);
}

int api_node_capabilities_qemu(struct api_call *c, const struct api_node_capabilities_qemu_args *a, struct err *e)
{
    static const char *const names[] = {"cpu", "cpu-flags", "machines", NULL};
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : api_reply_index(c, "name", names);
}

int api_node_capabilities_machines(struct api_call *c, const struct api_node_capabilities_machines_args *a,
                                   struct err *e)
{
    return reply(c, a->node, a->arch, "machines", false, e);
}

int api_node_capabilities_cpu(struct api_call *c, const struct api_node_capabilities_cpu_args *a, struct err *e)
{
    return reply(c, a->node, a->arch, "cpus", false, e);
}

int api_node_capabilities_flags(struct api_call *c, const struct api_node_capabilities_flags_args *a, struct err *e)
{
    return reply(c, a->node, a->arch, "flags", a->accel && streq(a->accel, "tcg"), e);
}

int api_cluster_qemu_flags(struct api_call *c, const struct api_cluster_qemu_flags_args *a, struct err *e)
{
    return reply(c, NULL, a->arch, "flags", a->accel && streq(a->accel, "tcg"), e);
}
