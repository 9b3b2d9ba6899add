/* storage upload, in pieces: what the daemon has received stays there for a day, whatever ends, and the same command
 * goes on behind it. A part is taken up only if it holds exactly the beginning of this file: its SHA-256 is compared
 * with that of as many bytes here, and so is that of every piece's end and of the whole.
 *
 * A connection that is lost is made again, with growing pauses, until nothing has got on for PATIENCE_MS. */
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/upload_priv.h"

#define PIECE_BYTES    (UINT64_C(32) << 20) /* the daemon takes 64 MiB; less is lost when it is killed */
#define CHUNK          (256u * 1024u)
#define PAUSE_FIRST_MS 200u
#define PAUSE_MAX_MS   5000u
#define PATIENCE_MS    120000u
#define BUSY_TRIES     15u /* of somebody else's part: it may be our own last run's, just ending */

struct pieces {
    struct upload *u;
    char base[1100]; /* ".../uploads" */
    char id[64];     /* "": none yet */
    unsigned status; /* of the last call, 0: it got no answer */
    unsigned pause_ms;
    uint64_t moved_ms; /* when something last got on */
    bool was_connected, is_finishing, is_told;
};

static int call(struct pieces *p, const char *method, const char *rest, const struct cli_param *params, size_t n,
                bool is_upload, struct reply *ret, struct err *e)
{
    char path[1300];
    struct request q = {
        .method = method, .path = path, .kind = is_upload ? "upload" : NULL, .params = params, .n_params = n};

    snprintf(path, sizeof(path), "%s%s%s", p->base, *rest ? "/" : "", rest);
    int r = call_api(p->u->c, &q, ret, e);
    p->status = ret->status;
    return r;
}

static void got_on(struct pieces *p)
{
    p->moved_ms = clock_boot_ms();
    p->pause_ms = PAUSE_FIRST_MS;
    p->is_told = false;
}

/* ---- where to go on ---- */

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}

static bool take_received(struct pieces *p, const json_t *row, uint64_t *ret)
{
    const json_t *value = json_object_get(row, "received");
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0 || (uint64_t)n > p->u->total_bytes)
        return false;
    *ret = (uint64_t)n;
    return true;
}

/* Reads the first n bytes of the file again. The file stands behind them then. */
static int hash_beginning(struct upload *u, uint64_t n, struct err *e)
{
    autofree uint8_t *chunk = malloc(CHUNK);

    if (!chunk)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (lseek(u->file, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "read the file");
    crypto_hash_sha256_init(&u->digest);
    for (u->done_bytes = 0; u->done_bytes < n;) {
        uint64_t left = n - u->done_bytes;
        ssize_t got = read(u->file, chunk, left < CHUNK ? (size_t)left : CHUNK);
        if (signals_pending())
            return signals_error(e);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? err_errno(e, errno, "read the file")
                           : err_set(e, -EIO, "cli.conflict", "the file was changed while it was sent");
        crypto_hash_sha256_update(&u->digest, chunk, (unsigned long long)got);
        u->done_bytes += (uint64_t)got;
    }
    return 0;
}

static bool is_same(const struct upload *u, const char *sha256)
{
    crypto_hash_sha256_state end = u->digest;
    uint8_t sum[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof(sum) + 1];

    crypto_hash_sha256_final(&end, sum);
    return streq(sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum)), sha256);
}

/* 1: the part holds the beginning of this file, and the file stands behind it. */
static int try_part(struct pieces *p, const json_t *row, struct err *e)
{
    uint64_t received;

    if (!take_received(p, row, &received))
        return 0;
    int r = hash_beginning(p->u, received, e);
    return r < 0 ? r : is_same(p->u, text_of(row, "sha256"));
}

static bool is_candidate(const struct pieces *p, const json_t *row)
{
    const json_t *size = json_object_get(row, "size");

    return streq(text_of(row, "filename"), p->u->name) && streq(text_of(row, "content"), p->u->content) &&
           json_is_integer(size) && json_integer_value(size) == (json_int_t)p->u->total_bytes;
}

static int begin(struct pieces *p, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    char size[24];
    struct cli_param params[] = {{"content", (char *)p->u->content}, {"filename", (char *)p->u->name}, {"size", size}};

    snprintf(size, sizeof(size), "%" PRIu64, p->u->total_bytes);
    int r = call(p, "POST", "", params, ARRAY_SIZE(params), false, &reply, e);
    if (r == 0 && str_copy(p->id, sizeof(p->id), text_of(reply.data, "id")) < 0)
        r = err_set(e, -EPROTO, "cli.protocol", "the daemon's answer is not what was expected");
    return r < 0 ? r : hash_beginning(p->u, 0, e);
}

/* Looks through what is there; busy is what might be ours in a moment. */
static int look(struct pieces *p, bool *ret_busy, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    int r = call(p, "GET", "", NULL, 0, false, &reply, e);

    if (r < 0 && p->status == 501)
        return err_set(e, -EOPNOTSUPP, "cli.no-pieces", "the daemon takes no pieces");
    *ret_busy = false;
    for (size_t i = 0; r == 0 && i < json_array_size(reply.data); i++) {
        const json_t *row = json_array_get(reply.data, i);
        if (!is_candidate(p, row))
            continue;
        if (json_object_get(row, "busy")) {
            *ret_busy = true;
            continue;
        }
        r = try_part(p, row, e);
        if (r == 1 && str_copy(p->id, sizeof(p->id), text_of(row, "id")) < 0)
            r = 0;
    }
    return r < 0 ? r : 0;
}

static int find_or_begin(struct pieces *p, struct err *e)
{
    bool is_busy = true;
    int r = 0;

    for (unsigned i = 0; r == 0 && !p->id[0] && is_busy && i < BUSY_TRIES; i++) {
        if (i)
            r = client_sleep(p->u->c->client, PAUSE_FIRST_MS, e);
        if (r == 0)
            r = look(p, &is_busy, e);
    }
    return r < 0 || p->id[0] ? r : begin(p, e);
}

/* After a loss: as far as the daemon says now. */
static int find_again(struct pieces *p, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    int r = call(p, "GET", p->id, NULL, 0, false, &reply, e);

    if (r < 0)
        return r;
    r = try_part(p, reply.data, e);
    if (r == 0)
        r = err_set(e, -EIO, "cli.conflict", "the file was changed while it was sent");
    return r < 0 ? r : 0;
}

/* ---- sending ---- */

static int send_piece(struct pieces *p, struct err *e)
{
    autoreply struct reply go = REPLY_INIT, end = REPLY_INIT;
    struct upload *u = p->u;
    uint64_t left = u->total_bytes - u->done_bytes, received = 0;
    char offset[24];
    struct cli_param params[] = {{"offset", offset}};

    snprintf(offset, sizeof(offset), "%" PRIu64, u->done_bytes);
    int r = call(p, "PUT", p->id, params, ARRAY_SIZE(params), true, &go, e);
    if (r == 0)
        r = upload_transfer(u, &go, left < PIECE_BYTES ? left : PIECE_BYTES, &end, e);
    p->status = end.status ? end.status : p->status;
    if (r < 0)
        return r;
    if (!take_received(p, end.data, &received) || received != u->done_bytes || !is_same(u, text_of(end.data, "sha256")))
        return err_set(e, -EIO, "cli.conflict", "the daemon received something else than was sent");
    got_on(p);
    return 0;
}

static int check_unchanged(const struct upload *u, struct err *e)
{
    struct stat st;

    if (fstat(u->file, &st) < 0)
        return err_errno(e, errno, "look at the file");
    if (st.st_size == u->st.st_size && st.st_mtim.tv_sec == u->st.st_mtim.tv_sec &&
        st.st_mtim.tv_nsec == u->st.st_mtim.tv_nsec)
        return 0;
    return err_set(e, -EIO, "cli.conflict", "the file was changed while it was sent");
}

/* With what the user expects; else with what was read here. */
static int finish(struct pieces *p, json_t **ret_result, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    const char *checksum = args_get(p->u->args, "checksum", false);
    const char *algorithm = args_get(p->u->args, "checksum-algorithm", false);
    crypto_hash_sha256_state end = p->u->digest;
    uint8_t sum[crypto_hash_sha256_BYTES];
    char rest[80], hex[2 * sizeof(sum) + 1];

    crypto_hash_sha256_final(&end, sum);
    sodium_bin2hex(hex, sizeof(hex), sum, sizeof(sum));
    bool is_own = !checksum && !algorithm;
    struct cli_param params[2];
    size_t n = 0;
    if (checksum || is_own)
        params[n++] = (struct cli_param){"checksum", is_own ? hex : (char *)checksum};
    if (algorithm || is_own)
        params[n++] = (struct cli_param){"checksum-algorithm", is_own ? (char *)"sha256" : (char *)algorithm};
    snprintf(rest, sizeof(rest), "%s/finish", p->id);
    int r = call(p, "POST", rest, params, n, false, &reply, e);
    p->is_finishing = r == 0 || p->status == 0;
    return r < 0 ? r : run_finish(p->u->c, reply.data, ret_result, e);
}

/* The daemon went away while the file got its name, and does not know the part any more: then it has it. */
static int find_finished(struct pieces *p, json_t **ret_result, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    char path[1500];
    int n = (int)strlen(p->u->path) - (int)strlen("upload");

    snprintf(path, sizeof(path), "%.*scontent/%s/%s", n, p->u->path, p->u->content, p->u->name);
    int r = call_get(p->u->c, path, &reply, e);
    if (r == 0)
        *ret_result = json_incref(reply.data);
    return r;
}

static int attempt(struct pieces *p, json_t **ret_result, struct err *e)
{
    struct upload *u = p->u;

    p->status = 0;
    int r = cli_connect(u->c, e);
    if (r < 0)
        return r;
    p->was_connected = true;
    r = p->id[0] ? find_again(p, e) : find_or_begin(p, e);
    if (r < 0 && p->is_finishing && p->status == 404) {
        *e = (struct err)ERR_INIT;
        return find_finished(p, ret_result, e);
    }
    u->start_ms = clock_boot_ms();
    u->start_bytes = u->done_bytes;
    while (r == 0 && u->done_bytes < u->total_bytes)
        r = send_piece(p, e);
    upload_show(u, true);
    if (r == 0)
        r = check_unchanged(u, e);
    return r < 0 ? r : finish(p, ret_result, e);
}

/* ---- losses ---- */

/* The daemon is gone, or thinks that the piece before is still coming. */
static bool can_try_again(const struct pieces *p, const struct err *e)
{
    bool is_lost = streq(e->code, "cli.unreachable") || p->status == 409;

    return is_lost && p->was_connected && clock_boot_ms() - p->moved_ms < PATIENCE_MS;
}

static int sleep_ms(const struct cli *c, unsigned ms, struct err *e)
{
    struct pollfd wake = {.fd = signals_fd(), .events = POLLIN};

    if (c->deadline_ms && clock_boot_ms() + ms >= c->deadline_ms)
        return err_set(e, -ETIMEDOUT, "cli.timeout", "not uploaded in time");
    (void)!poll(&wake, 1, (int)ms);
    return signals_pending() ? signals_error(e) : 0;
}

static int wait_a_little(struct pieces *p, struct err *e)
{
    struct cli *c = p->u->c;

    if (streq(e->code, "cli.unreachable")) {
        client_free(c->client);
        c->client = NULL;
        if (!p->is_told && !c->is_quiet)
            fprintf(stderr, "the connection is lost; trying again\n");
        p->is_told = true;
    }
    *e = (struct err)ERR_INIT;
    int r = sleep_ms(c, p->pause_ms, e);
    p->pause_ms = p->pause_ms * 2 < PAUSE_MAX_MS ? p->pause_ms * 2 : PAUSE_MAX_MS;
    return r;
}

int upload_pieces(struct upload *u, json_t **ret_result, struct err *e)
{
    struct pieces p = {.u = u};
    int r;

    if (sodium_init() < 0)
        return err_set(e, -EIO, NULL, "the crypto library does not start");
    snprintf(p.base, sizeof(p.base), "%ss", u->path);
    u->is_hashed = true;
    got_on(&p);
    for (;;) {
        r = attempt(&p, ret_result, e);
        if (r == 0 || !can_try_again(&p, e))
            break;
        r = wait_a_little(&p, e);
        if (r < 0)
            break;
    }
    if (r < 0 && p.id[0] && !p.is_finishing && !streq(e->code, "cli.conflict") && !e->hint[0])
        return err_hint(e, "run the same command again: it goes on where this one ended");
    return r;
}
