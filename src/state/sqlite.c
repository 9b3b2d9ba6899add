/* SQLite as the store of one host: WAL, synchronous=FULL, one connection used by the writer thread (and by scans while
 * no commit runs). A lock file keeps a second daemon out. After an I/O error of the file nothing more is written until
 * a restart: the page cache may have dropped what a failed fsync was about. */
#include "state/state_priv.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>

#include "base/fp.h"
#include "base/fs.h"

#define APPLICATION_ID 0x484f4c4d /* "HOLM" */
#define SCHEMA_VERSION 1

enum statement { ST_PUT, ST_DELETE, ST_REVISION, ST_LEASE_KEYS, ST_NEXT, N_STATEMENTS };

static const char *const statement_sql[N_STATEMENTS] = {
    [ST_PUT] = "INSERT OR REPLACE INTO kv(key,value,revision,lease) VALUES(?1,?2,?3,?4)",
    [ST_DELETE] = "DELETE FROM kv WHERE key=?1",
    [ST_REVISION] = "SELECT revision FROM kv WHERE key=?1",
    [ST_LEASE_KEYS] = "SELECT key FROM kv WHERE lease=?1",
    [ST_NEXT] = "UPDATE meta SET value=?1 WHERE name='revision'",
};

struct sqlite_backend {
    struct state_backend base;
    sqlite3 *db;
    sqlite3_stmt *st[N_STATEMENTS];
    int lock_fd;
    uint64_t revision;
    bool is_poisoned;
};

static int sqlite_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return EACCES;
    default:
        return EIO;
    }
}

static int sqlite_error(struct sqlite_backend *b, struct err *e, const char *what)
{
    int code = b->db ? sqlite3_extended_errcode(b->db) : SQLITE_NOMEM;

    if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB) {
        err_set(e, -EIO, "state.damaged", "the state database is damaged (%s)", sqlite3_errmsg(b->db));
        return err_hint(e,
                        "guests are untouched; restore with 'holm state load' from a dump, see doc/guide/recovery.md");
    }
    if ((code & 0xff) == SQLITE_FULL) {
        err_set(e, -ENOSPC, "host.disk-full", "%s: no space left for the state database", what);
        return err_hint(e, "free space on the file system of the state folder");
    }
    return err_set(e, -sqlite_errno(code), NULL, "%s: %s", what, b->db ? sqlite3_errmsg(b->db) : "out of memory");
}

static int exec(struct sqlite_backend *b, const char *sql)
{
    return sqlite3_exec(b->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* The first column of the first row as an integer. */
static int query_int(struct sqlite_backend *b, const char *sql, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    int r = -1;

    if (sqlite3_prepare_v2(b->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
        r = 0;
    }
    sqlite3_finalize(st);
    return r;
}

static int check_integrity(struct sqlite_backend *b, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int r = 0;

    if (sqlite3_prepare_v2(b->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        r = sqlite_error(b, e, "check");
    } else if (!streq((const char *)sqlite3_column_text(st, 0), "ok")) {
        err_set(e, -EIO, "state.damaged", "the state database is damaged (%s)", sqlite3_column_text(st, 0));
        r = err_hint(e, "guests are untouched; restore with 'holm state load' from a dump, see doc/guide/recovery.md");
    }
    sqlite3_finalize(st);
    return r;
}

static int make_schema(struct sqlite_backend *b, struct err *e)
{
    static const char sql[] = "BEGIN IMMEDIATE;"
                              "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL,"
                              " lease INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
                              "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
                              "INSERT INTO meta VALUES('revision',0);"
                              "PRAGMA user_version=1;"
                              "COMMIT";

    return exec(b, sql) < 0 ? sqlite_error(b, e, "make the state database") : 0;
}

/* An empty database is a new one only where there never was one: the file "made" says that there was. */
static int check_new(const char *dir, struct err *e)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/made", dir);
    if (access(path, F_OK) < 0)
        return 0;
    err_set(e, -EIO, "state.damaged", "the state database is damaged (it is empty)");
    return err_hint(e, "guests are untouched; restore with 'holm state load' from a dump, see doc/guide/recovery.md");
}

static int mark_made(const char *dir, struct err *e)
{
    autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, errno, "open %s", dir);
    return faccessat(fd, "made", F_OK, 0) == 0 ? 0 : fs_replace_durable(fd, "made", "1\n", 2, 0600, e);
}

static int check_version(struct sqlite_backend *b, const char *dir, struct err *e)
{
    int64_t id = 0, version = 0;

    if (query_int(b, "PRAGMA application_id", &id) < 0 || query_int(b, "PRAGMA user_version", &version) < 0)
        return sqlite_error(b, e, "open the state database");
    if (id == 0 && version == 0) {
        int64_t tables = 0;
        if (query_int(b, "SELECT count(*) FROM sqlite_master", &tables) < 0)
            return sqlite_error(b, e, "open the state database");
        if (tables)
            return err_set(e, -EINVAL, "state.foreign", "the state database belongs to another program");
        if (check_new(dir, e) < 0)
            return e->num;
        return exec(b, "PRAGMA application_id=0x484f4c4d") < 0 ? sqlite_error(b, e, "mark") : make_schema(b, e);
    }
    if (id == APPLICATION_ID && version == 0) /* a crash between mark and schema */
        return make_schema(b, e);
    if (id != APPLICATION_ID)
        return err_set(e, -EINVAL, "state.foreign", "the state database belongs to another program");
    if (version != SCHEMA_VERSION)
        return err_set(e, -EINVAL, "state.version", "the state database has version %d, this program knows %d",
                       (int)version, SCHEMA_VERSION);
    return 0;
}

static int take_lock(struct sqlite_backend *b, const char *dir, struct err *e)
{
    char path[4096];

    if ((size_t)snprintf(path, sizeof(path), "%s/lock", dir) >= sizeof(path))
        return err_set(e, -ENAMETOOLONG, NULL, "path too long");
    b->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (b->lock_fd < 0)
        return err_errno(e, errno, "open %s", path);
    if (flock(b->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        err_set(e, -EBUSY, "state.in-use", "another holmd is using this root");
        return err_hint(e, "stop it first, or choose another --root");
    }
    return 0;
}

static int open_db(struct sqlite_backend *b, const char *dir, bool is_read_only, struct err *e)
{
    char path[4096];
    int flags = is_read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

    if ((size_t)snprintf(path, sizeof(path), "%s/holm.db", dir) >= sizeof(path))
        return err_set(e, -ENAMETOOLONG, NULL, "path too long");
    mode_t old = umask(077);
    int rc = sqlite3_open_v2(path, &b->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    umask(old);
    if (rc != SQLITE_OK)
        return sqlite_error(b, e, "open the state database");
    sqlite3_busy_timeout(b->db, 5000);
    if (exec(b, "PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY") < 0)
        return sqlite_error(b, e, "open the state database");
    if (is_read_only)
        return 0;
    if (exec(b, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=256") < 0)
        return sqlite_error(b, e, "open the state database");
    int r = check_version(b, dir, e);
    if (r == 0)
        r = check_integrity(b, e);
    return r < 0 ? r : mark_made(dir, e);
}

static int prepare(struct sqlite_backend *b, struct err *e)
{
    int64_t revision;

    for (size_t i = 0; i < N_STATEMENTS; i++)
        if (sqlite3_prepare_v3(b->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &b->st[i], NULL) != SQLITE_OK)
            return sqlite_error(b, e, "prepare the state database");
    if (query_int(b, "SELECT value FROM meta WHERE name='revision'", &revision) < 0)
        return sqlite_error(b, e, "read the revision");
    b->revision = (uint64_t)revision;
    /* Leases do not outlive the process that kept them. */
    if (exec(b, "DELETE FROM kv WHERE lease<>0") < 0)
        return sqlite_error(b, e, "drop old leases");
    return 0;
}

static int step_done(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);

    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int do_put(struct sqlite_backend *b, const struct state_op *op, uint64_t revision)
{
    sqlite3_stmt *st = b->st[ST_PUT];

    sqlite3_bind_text(st, 1, op->key, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, op->value, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, (sqlite3_int64)revision);
    sqlite3_bind_int64(st, 4, (sqlite3_int64)op->lease);
    return step_done(st);
}

static int do_delete(struct sqlite_backend *b, const char *key)
{
    sqlite3_bind_text(b->st[ST_DELETE], 1, key, -1, SQLITE_TRANSIENT);
    return step_done(b->st[ST_DELETE]);
}

static uint64_t key_revision(struct sqlite_backend *b, const char *key)
{
    sqlite3_stmt *st = b->st[ST_REVISION];
    uint64_t revision = 0;

    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    if (sqlite3_step(st) == SQLITE_ROW)
        revision = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return revision;
}

/* Turns DELETE_LEASE into the DELETEs it stands for. */
static int expand_lease(struct sqlite_backend *b, struct state_txn *t, uint64_t lease)
{
    sqlite3_stmt *st = b->st[ST_LEASE_KEYS];
    int rc;

    sqlite3_bind_int64(st, 1, (sqlite3_int64)lease);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        if (state_txn_add(t, (struct state_op){.kind = STATE_OP_DELETE}, (const char *)sqlite3_column_text(st, 0),
                          NULL) < 0)
            break;
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int apply_op(struct sqlite_backend *b, struct state_txn *t, size_t i, uint64_t revision)
{
    struct state_op op = t->ops[i]; /* a copy: expand_lease may move the array */

    switch (op.kind) {
    case STATE_OP_PUT:
        return do_put(b, &op, revision);
    case STATE_OP_DELETE:
        return do_delete(b, op.key);
    case STATE_OP_DELETE_LEASE:
        return expand_lease(b, t, op.lease);
    case STATE_OP_EXPECT:
        if (key_revision(b, op.key) == op.revision)
            return 0;
        t->result = err_set(&t->err, -EAGAIN, "state.conflict", "'%s' was changed by somebody else", op.key);
        return -1;
    }
    return -1;
}

/* One transaction inside a savepoint, so that its failure leaves the others of the batch alone. */
static void apply_txn(struct sqlite_backend *b, struct state_txn *t)
{
    uint64_t revision = b->revision + 1;
    int r = exec(b, "SAVEPOINT one");

    t->result = 0;
    for (size_t i = 0; r == 0 && i < t->n_ops; i++)
        r = apply_op(b, t, i, revision);
    if (r == 0)
        r = exec(b, "RELEASE one");
    if (r == 0) {
        t->revision = b->revision = revision;
        return;
    }
    if (t->result == 0)
        t->result = sqlite_error(b, &t->err, "write the state database");
    if (exec(b, "ROLLBACK TO one; RELEASE one") < 0)
        b->is_poisoned = !sqlite3_get_autocommit(b->db);
}

static void fail_all(struct state_txn *first, int r, const struct err *e)
{
    for (struct state_txn *t = first; t; t = t->next)
        if (t->result == 0) {
            t->result = r;
            t->err = *e;
        }
}

static void sqlite_commit(struct state_backend *base, struct state_txn *first)
{
    struct sqlite_backend *b = container_of(base, struct sqlite_backend, base);
    struct err e = ERR_INIT;
    uint64_t before = b->revision;
    int r;

    if (b->is_poisoned) {
        r = err_set(&e, -EIO, "state.failed", "the state database failed earlier and takes no more changes");
        err_hint(&e, "check the disk, then restart holmd; guests go on running");
        fail_all(first, r, &e);
        return;
    }
    if (exec(b, "BEGIN IMMEDIATE") < 0) {
        fail_all(first, sqlite_error(b, &e, "write the state database"), &e);
        return;
    }
    for (struct state_txn *t = first; t; t = t->next)
        apply_txn(b, t);
    sqlite3_bind_int64(b->st[ST_NEXT], 1, (sqlite3_int64)b->revision);
    r = step_done(b->st[ST_NEXT]) < 0 ? -1 : 0;
    if (r == 0 && FP("state.commit.before"))
        r = -1;
    if (r == 0)
        r = exec(b, "COMMIT");
    if (r < 0) {
        int num = sqlite_error(b, &e, "write the state database");
        int code = sqlite3_extended_errcode(b->db);
        if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
            b->is_poisoned = true;
        exec(b, "ROLLBACK");
        b->revision = before;
        fail_all(first, num, &e);
        return;
    }
    if (FP("state.commit.after"))
        b->is_poisoned = true;
}

static int sqlite_scan(struct state_backend *base, const char *prefix, state_scan_fn fn, void *arg, struct err *e)
{
    struct sqlite_backend *b = container_of(base, struct sqlite_backend, base);
    sqlite3_stmt *st = NULL;
    int rc, r = 0;

    if (sqlite3_prepare_v2(b->db, "SELECT key,value,revision FROM kv WHERE key>=?1 ORDER BY key", -1, &st, NULL) !=
        SQLITE_OK)
        return sqlite_error(b, e, "read the state database");
    sqlite3_bind_text(st, 1, prefix, -1, SQLITE_STATIC);
    while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(st, 0);
        if (!key || !str_starts(key, prefix))
            break;
        if (state_prefix_matches(prefix, key) || !*prefix)
            r = fn(arg, key, (const char *)sqlite3_column_text(st, 1), (uint64_t)sqlite3_column_int64(st, 2), e);
    }
    if (r == 0 && rc != SQLITE_ROW && rc != SQLITE_DONE)
        r = sqlite_error(b, e, "read the state database");
    sqlite3_finalize(st);
    return r;
}

static void sqlite_close(struct state_backend *base)
{
    struct sqlite_backend *b = container_of(base, struct sqlite_backend, base);

    for (size_t i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(b->st[i]);
    sqlite3_close(b->db);
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    free(b);
}

static const struct state_backend_ops sqlite_ops = {
    .commit = sqlite_commit,
    .scan = sqlite_scan,
    .close = sqlite_close,
};

int sqlite_backend_open(const char *dir, bool is_read_only, struct state_backend **ret, struct err *e)
{
    struct sqlite_backend *b = calloc(1, sizeof(*b));
    int r = 0;

    if (!b)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    b->base.ops = &sqlite_ops;
    b->lock_fd = -EBADF;
    if (!is_read_only)
        r = take_lock(b, dir, e);
    if (r == 0)
        r = open_db(b, dir, is_read_only, e);
    if (r == 0 && !is_read_only)
        r = prepare(b, e);
    if (r < 0) {
        sqlite_close(&b->base);
        return r;
    }
    *ret = &b->base;
    return 0;
}

int state_open_sqlite(struct event_base *base, const char *dir, struct state **ret, struct err *e)
{
    struct state_backend *b;
    int r = sqlite_backend_open(dir, false, &b, e);

    if (r < 0)
        return r;
    r = state_new(base, b, ret, e);
    if (r < 0)
        b->ops->close(b);
    return r;
}
