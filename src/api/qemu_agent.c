/* The guest agent: nodes/N/qemu/ID/agent. PVE: qemu-server, API2/Qemu/Agent.pm. What the guest answers is repeated as
 * it was understood by its monitor (src/guest/monitor/agent_message.c); nothing of it is parsed here. */
#include <sodium.h>

#include "api/common.h"

#define LIMIT_MS        10000u
#define FILE_MAX        (16u * 1024u * 1024u) /* of file-read, as PVE */
#define FILE_CHUNK      (512u * 1024u)
#define FILE_HANDLE_MAX INT64_MAX

/* Commands without arguments: POST agent {command} takes them all. */
static const struct command {
    const char *name, *method, *agent, *mode;
    uint32_t limit_ms;
} commands[] = {
    {"fsfreeze-freeze", "POST", "guest-fsfreeze-freeze", "json", 60000},
    {"fsfreeze-status", "POST", "guest-fsfreeze-status", "json", LIMIT_MS},
    {"fsfreeze-thaw", "POST", "guest-fsfreeze-thaw", "json", 60000},
    {"fstrim", "POST", "guest-fstrim", "json", 120000},
    {"get-fsinfo", "GET", "guest-get-fsinfo", "json", LIMIT_MS},
    {"get-host-name", "GET", "guest-get-host-name", "json", LIMIT_MS},
    {"get-memory-block-info", "GET", "guest-get-memory-block-info", "json", LIMIT_MS},
    {"get-memory-blocks", "GET", "guest-get-memory-blocks", "json", LIMIT_MS},
    {"get-osinfo", "GET", "guest-get-osinfo", "json", LIMIT_MS},
    {"get-time", "GET", "guest-get-time", "json", LIMIT_MS},
    {"get-timezone", "GET", "guest-get-timezone", "json", LIMIT_MS},
    {"get-users", "GET", "guest-get-users", "json", LIMIT_MS},
    {"get-vcpus", "GET", "guest-get-vcpus", "json", LIMIT_MS},
    {"info", "GET", "guest-info", "json", LIMIT_MS},
    {"network-get-interfaces", "GET", "guest-network-get-interfaces", "json", LIMIT_MS},
    {"ping", "POST", "guest-ping", "json", LIMIT_MS},
    {"shutdown", "POST", "guest-shutdown", "none", 3000},
    {"suspend-disk", "POST", "guest-suspend-disk", "none", 3000},
    {"suspend-hybrid", "POST", "guest-suspend-hybrid", "none", 3000},
    {"suspend-ram", "POST", "guest-suspend-ram", "none", 3000},
};

static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

int api_qemu_agent_index(struct api_call *c, const struct api_qemu_agent_index_args *a, struct err *e)
{
    static const char *const more[] = {"exec", "exec-status", "file-read", "file-write", "set-user-password"};
    const char *names[ARRAY_SIZE(commands) + ARRAY_SIZE(more) + 1] = {NULL};
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        names[i] = commands[i].name;
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        names[ARRAY_SIZE(commands) + i] = more[i];
    return r < 0 ? r : api_reply_index(c, "name", names);
}

/* {"result":…} */
static void on_result(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct api_call *c = arg;

    if (r == 0) {
        jw_object(&c->out);
        jw_key(&c->out, "result");
        if (n)
            jw_raw(&c->out, body, n);
        else
            jw_null(&c->out);
        jw_object_end(&c->out);
    }
    api_finish(c, r, e);
}

/* The answer itself. */
static void on_plain(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct api_call *c = arg;

    if (r == 0 && n)
        jw_raw(&c->out, body, n);
    api_finish(c, r, e);
}

static int run(struct api_call *c, const char *node, int64_t vmid, const struct command *cmd, struct err *e)
{
    struct guest *g;
    int r = find(c, node, vmid, &g, e);

    if (r == 0)
        r = guest_agent(c->api->guests, g->vmid, cmd->agent, NULL, cmd->mode, cmd->limit_ms, on_result, c, e);
    return r < 0 ? r : API_LATER;
}

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (streq(commands[i].name, name))
            return &commands[i];
    return NULL;
}

int api_qemu_agent(struct api_call *c, const struct api_qemu_agent_args *a, struct err *e)
{
    const struct command *cmd = command_find(a->command);

    return cmd ? run(c, a->node, a->vmid, cmd, e) : api_param_error(c, e, "command", "unknown command");
}

/* A route of one command: its name is the end of the path. */
#define ROUTE(id, name)                                                                                                \
    int api_qemu_agent_##id(struct api_call *c, const struct api_qemu_agent_##id##_args *a, struct err *e)             \
    {                                                                                                                  \
        return run(c, a->node, a->vmid, command_find(name), e);                                                        \
    }
ROUTE(fsfreeze_freeze, "fsfreeze-freeze")
ROUTE(fsfreeze_status, "fsfreeze-status")
ROUTE(fsfreeze_thaw, "fsfreeze-thaw")
ROUTE(fstrim, "fstrim")
ROUTE(get_fsinfo, "get-fsinfo")
ROUTE(get_host_name, "get-host-name")
ROUTE(get_memory_block_info, "get-memory-block-info")
ROUTE(get_memory_blocks, "get-memory-blocks")
ROUTE(get_osinfo, "get-osinfo")
ROUTE(get_time, "get-time")
ROUTE(get_timezone, "get-timezone")
ROUTE(get_users, "get-users")
ROUTE(get_vcpus, "get-vcpus")
ROUTE(info, "info")
ROUTE(network_get_interfaces, "network-get-interfaces")
ROUTE(ping, "ping")
ROUTE(shutdown, "shutdown")
ROUTE(suspend_disk, "suspend-disk")
ROUTE(suspend_hybrid, "suspend-hybrid")
ROUTE(suspend_ram, "suspend-ram")

/* Bytes for the agent are base64. */
static void put_base64(struct jw *w, const char *key, const char *bytes, size_t n)
{
    size_t cap = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
    autofree char *text = malloc(cap);

    if (!text) {
        w->out->is_failed = true;
        return;
    }
    sodium_bin2base64(text, cap, (const unsigned char *)bytes, n, sodium_base64_VARIANT_ORIGINAL);
    jw_kv_str(w, key, text);
    mem_wipe(text, cap);
}

/* ---- exec ---- */

/* One parameter for each word, as clients send them; the first is the program. */
static size_t put_command(struct api_call *c, struct jw *w)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_raw; i++) {
        if (!streq(c->raw[i].key, "command"))
            continue;
        if (n == 0)
            jw_kv_str(w, "path", c->raw[i].value);
        else if (n == 1) {
            jw_key(w, "arg");
            jw_array(w);
        }
        if (n++)
            jw_str(w, c->raw[i].value);
    }
    if (n > 1)
        jw_array_end(w);
    return n;
}

int api_qemu_agent_exec(struct api_call *c, const struct api_qemu_agent_exec_args *a, struct err *e)
{
    autobuf struct buf arguments;
    struct guest *g;
    struct jw w;
    int r = find(c, a->node, a->vmid, &g, e);

    buf_init(&arguments, 512u * 1024u);
    if (r < 0)
        return r;
    jw_init(&w, &arguments);
    jw_object(&w);
    if (!put_command(c, &w))
        return api_param_error(c, e, "command", "no command");
    if (a->input_data)
        put_base64(&w, "input-data", a->input_data, strlen(a->input_data));
    jw_key(&w, "capture-output");
    jw_bool(&w, true);
    jw_object_end(&w);
    if (arguments.is_failed)
        return err_set(e, -E2BIG, "guest.too-long", "the command is too long");
    r = guest_agent(c->api->guests, g->vmid, "guest-exec", buf_str(&arguments), "json", LIMIT_MS, on_plain, c, e);
    return r < 0 ? r : API_LATER;
}

int api_qemu_agent_exec_status(struct api_call *c, const struct api_qemu_agent_exec_status_args *a, struct err *e)
{
    char arguments[48];
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    snprintf(arguments, sizeof(arguments), "{\"pid\":%lld}", (long long)a->pid);
    if (r == 0)
        r = guest_agent(c->api->guests, g->vmid, "guest-exec-status", arguments, "exec", LIMIT_MS, on_plain, c, e);
    return r < 0 ? r : API_LATER;
}

/* ---- passwords ---- */

int api_qemu_agent_set_user_password(struct api_call *c, const struct api_qemu_agent_set_user_password_args *a,
                                     struct err *e)
{
    autobuf struct buf arguments;
    struct guest *g;
    struct jw w;
    int r = find(c, a->node, a->vmid, &g, e);

    buf_init(&arguments, 65536);
    if (r < 0)
        return r;
    jw_init(&w, &arguments);
    jw_object(&w);
    jw_kv_str(&w, "username", a->username);
    put_base64(&w, "password", a->password, strlen(a->password));
    jw_key(&w, "crypted");
    jw_bool(&w, a->crypted);
    jw_object_end(&w);
    if (arguments.is_failed)
        return err_set(e, -E2BIG, "guest.too-long", "the user's name is too long");
    r = guest_agent(c->api->guests, g->vmid, "guest-set-user-password", buf_str(&arguments), "json", LIMIT_MS,
                    on_result, c, e);
    mem_wipe(arguments.data, arguments.len);
    return r < 0 ? r : API_LATER;
}

/* ---- files: open, then pieces, then close ---- */

struct file {
    struct api_call *call;
    uint32_t vmid;
    int64_t handle;
    uint64_t left, offset;
    bool is_write, is_decoding, is_truncated;
    struct buf bytes; /* read so far, or to be written */
    int r;            /* result, kept while the file is closed */
    struct err err;
};

static void file_end(struct file *f)
{
    struct api_call *c = f->call;
    int r = f->r;

    if (r == 0 && !f->is_write) {
        jw_object(&c->out);
        if (f->is_decoding) {
            /* Each byte is a character, as PVE answers: nothing is lost. */
            autobuf struct buf wide;
            buf_init(&wide, 2 * FILE_MAX);
            for (size_t i = 0; i < f->bytes.len; i++) {
                unsigned char b = (unsigned char)f->bytes.data[i];
                if (b >= 0x80)
                    buf_append_char(&wide, (char)(0xc0 | b >> 6));
                buf_append_char(&wide, (char)(b < 0x80 ? b : 0x80 | (b & 0x3f)));
            }
            jw_key(&c->out, "content");
            jw_strn(&c->out, buf_str(&wide), wide.len);
            if (wide.is_failed)
                r = err_set(&f->err, -ENOMEM, NULL, "out of memory");
        } else {
            put_base64(&c->out, "content", buf_str(&f->bytes), f->bytes.len);
        }
        if (f->is_truncated)
            jw_kv_int(&c->out, "truncated", 1);
        jw_object_end(&c->out);
    }
    struct err e = f->err;
    buf_done(&f->bytes);
    free(f);
    api_finish(c, r, &e);
}

static void file_ask(struct file *f, const char *command, const char *arguments, const char *mode, guest_answer_fn fn)
{
    struct err e = ERR_INIT;

    if (guest_agent(f->call->api->guests, f->vmid, command, arguments, mode, LIMIT_MS, fn, f, &e) < 0)
        fn(f, e.num, "", 0, false, &e);
}

static void on_closed(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct file *f = arg;

    if (r < 0 && f->r == 0 && f->is_write) {
        f->r = r;
        f->err = *e;
    }
    file_end(f);
}

static void file_close(struct file *f, int r, const struct err *e)
{
    char arguments[48];

    f->r = r;
    f->err = *e;
    snprintf(arguments, sizeof(arguments), "{\"handle\":%lld}", (long long)f->handle);
    file_ask(f, "guest-file-close", arguments, "json", on_closed);
}

static void on_piece(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e);

static void read_piece(struct file *f)
{
    char arguments[80];
    uint64_t count = f->left < FILE_CHUNK ? f->left : FILE_CHUNK;

    snprintf(arguments, sizeof(arguments), "{\"handle\":%lld,\"count\":%llu}", (long long)f->handle,
             (unsigned long long)count);
    file_ask(f, "guest-file-read", arguments, "read", on_piece);
}

static void on_piece(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct file *f = arg;
    struct err err = *e;

    if (r == 0) {
        n = n < f->left ? n : f->left; /* the guest may say more than it was asked for */
        buf_append(&f->bytes, body, n);
        f->left -= n;
        if (f->bytes.is_failed)
            r = err_set(&err, -ENOMEM, NULL, "out of memory");
    }
    if (r == 0 && !is_eof && f->left && n) {
        read_piece(f);
        return;
    }
    f->is_truncated = r == 0 && !is_eof;
    file_close(f, r, &err);
}

static void on_sought(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    if (r < 0)
        file_close(arg, r, e);
    else
        read_piece(arg);
}

static void on_written(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    file_close(arg, r, e);
}

static void write_all(struct file *f)
{
    autobuf struct buf arguments;
    struct jw w;

    buf_init(&arguments, 256u * 1024u);
    jw_init(&w, &arguments);
    jw_object(&w);
    jw_kv_int(&w, "handle", f->handle);
    if (f->is_decoding)
        put_base64(&w, "buf-b64", buf_str(&f->bytes), f->bytes.len);
    else
        jw_kv_str(&w, "buf-b64", buf_str(&f->bytes));
    jw_object_end(&w);
    file_ask(f, "guest-file-write", buf_str(&arguments), "json", on_written);
}

static void on_opened(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct file *f = arg;
    struct err err = *e;
    char text[24], *end, arguments[120];

    snprintf(text, sizeof(text), "%.*s", n < sizeof(text) ? (int)n : 0, body);
    f->handle = strtoll(text, &end, 10);
    if (r == 0 && (!text[0] || *end))
        r = err_set(&err, -EPROTO, "agent.malformed", "the agent gave no file handle");
    if (r < 0) {
        f->r = r;
        f->err = err;
        file_end(f);
    } else if (f->is_write) {
        write_all(f);
    } else if (f->offset) {
        snprintf(arguments, sizeof(arguments), "{\"handle\":%lld,\"offset\":%llu,\"whence\":0}", (long long)f->handle,
                 (unsigned long long)f->offset);
        file_ask(f, "guest-file-seek", arguments, "json", on_sought);
    } else {
        read_piece(f);
    }
}

static int file_begin(struct file *f, const char *path, struct err *e)
{
    autobuf struct buf arguments;
    struct jw w;

    buf_init(&arguments, 65536);
    jw_init(&w, &arguments);
    jw_object(&w);
    jw_kv_str(&w, "path", path);
    jw_kv_str(&w, "mode", f->is_write ? "wb" : "rb");
    jw_object_end(&w);
    int r = arguments.is_failed ? err_set(e, -E2BIG, "guest.too-long", "the file's name is too long")
                                : guest_agent(f->call->api->guests, f->vmid, "guest-file-open", buf_str(&arguments),
                                              "json", LIMIT_MS, on_opened, f, e);
    if (r < 0) {
        buf_done(&f->bytes);
        free(f);
    }
    return r < 0 ? r : API_LATER;
}

static struct file *file_new(struct api_call *c, uint32_t vmid)
{
    struct file *f = calloc(1, sizeof(*f));

    if (f) {
        f->call = c;
        f->vmid = vmid;
        buf_init(&f->bytes, FILE_MAX);
    }
    return f;
}

int api_qemu_agent_file_read(struct api_call *c, const struct api_qemu_agent_file_read_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    struct file *f = file_new(c, g->vmid);
    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    f->left = a->has_count ? (uint64_t)a->count : FILE_MAX;
    f->offset = (uint64_t)a->offset;
    f->is_decoding = a->decode;
    return file_begin(f, a->file, e);
}

int api_qemu_agent_file_write(struct api_call *c, const struct api_qemu_agent_file_write_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    struct file *f = file_new(c, g->vmid);
    if (!f)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    f->is_write = true;
    f->is_decoding = a->encode;
    buf_append_str(&f->bytes, a->content);
    return file_begin(f, a->file, e);
}
