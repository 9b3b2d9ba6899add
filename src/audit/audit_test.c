/* The audit log's files: the chain, torn ends, changed bytes, rotation, failing disks, requests under way, floods. */
#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "audit/audit_priv.h"
#include "base/fs.h"

static char dir[64];
static int dir_fd = -1;
static char noted[512];

static void on_note(void *arg, const char *text)
{
    snprintf(noted, sizeof(noted), "%s", text);
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/audit-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    noted[0] = 0;
    return dir_fd < 0;
}

static int teardown(void **state)
{
    struct err e = ERR_INIT;

    close(dir_fd);
    return fs_remove_tree(AT_FDCWD, dir, &e);
}

static void seg_open(struct audit_segment *s, size_t max, unsigned kept)
{
    *s = (struct audit_segment){.dirfd = dir_fd, .fd = -EBADF, .max_bytes = max, .kept = kept};
    struct err e = ERR_INIT;
    assert_int_equal(audit_segment_open(s, on_note, NULL, &e), 0);
}

static void seg_add(struct audit_segment *s, const char *name)
{
    char body[100];
    const char *bodies[] = {body};
    struct err e = ERR_INIT;

    snprintf(body, sizeof(body), "{\"time\":5,\"event\":\"write\",\"user\":\"%s\"}", name);
    assert_int_equal(audit_segment_append(s, bodies, 1, &e), 0);
}

static struct audit_report verify(void)
{
    struct audit_report r;
    struct err e = ERR_INIT;

    assert_int_equal(audit_verify(dir_fd, NULL, &r, &e), 0);
    return r;
}

static void read_all(const char *name, struct buf *b)
{
    struct err e = ERR_INIT;

    buf_init(b, 1u << 20);
    assert_int_equal(fs_read_file(dir_fd, name, b, &e), 0);
}

static void write_all(const char *name, const char *p, size_t n)
{
    autoclose int fd = openat(dir_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

    assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
}

static void make_three(void)
{
    struct audit_segment s;

    seg_open(&s, 1u << 20, 4);
    seg_add(&s, "ada");
    seg_add(&s, "bob");
    seg_add(&s, "cy");
    audit_segment_close(&s);
}

#define FIRST "audit-0000000001.jsonl"

static void test_chain(void **state)
{
    struct audit_segment s;

    make_three();
    struct audit_report r = verify();
    assert_false(r.is_broken);
    assert_int_equal(r.records, 4); /* with the one that begins the file */
    assert_int_equal(r.first_seq, 1);
    assert_int_equal(r.last_seq, 4);
    seg_open(&s, 1u << 20, 4); /* goes on in the same file */
    seg_add(&s, "dan");
    assert_string_equal(noted, "");
    assert_int_equal(s.number, 1);
    r = verify();
    assert_false(r.is_broken);
    assert_int_equal(r.last_seq, 5);
    assert_string_equal(r.head, s.chain.hash);
    audit_segment_close(&s);
}

/* A torn end at every length: what is whole stays, the rest goes with a note, and the chain goes on. */
static void test_torn(void **state)
{
    struct buf b;

    make_three();
    read_all(FIRST, &b);
    for (size_t n = b.len; n-- > 0;) {
        struct audit_segment s;
        bool is_cut = n > 0 && b.data[n - 1] != '\n';
        write_all(FIRST, b.data, n);
        noted[0] = 0;
        seg_open(&s, 1u << 20, 4);
        assert_int_equal(is_cut, strstr(noted, "torn record") != NULL);
        seg_add(&s, "eve");
        audit_segment_close(&s);
        struct audit_report r = verify();
        assert_false(r.is_broken);
        assert_int_equal(r.torn_bytes, 0);
    }
    buf_done(&b);
}

/* Any byte of any record changed: found by verification, and at the start. */
static void test_flip(void **state)
{
    struct buf b;

    make_three();
    read_all(FIRST, &b);
    for (size_t i = 0; i + 1 < b.len; i++) {
        char saved = b.data[i];
        for (unsigned bit = 0; bit < 8; bit += 3) {
            b.data[i] = (char)(saved ^ (1 << bit));
            write_all(FIRST, b.data, b.len);
            if (!verify().is_broken)
                fail_msg("byte %zu, bit %u: not found", i, bit);
        }
        b.data[i] = saved;
    }
    write_all(FIRST, b.data, b.len);
    assert_false(verify().is_broken);
    buf_done(&b);
}

static void test_damaged_goes_on(void **state)
{
    struct audit_segment s;
    struct buf b;

    make_three();
    read_all(FIRST, &b);
    char *bob = strstr(b.data, "bob");
    assert_non_null(bob);
    bob[0] = 'r';
    write_all(FIRST, b.data, b.len);
    buf_done(&b);
    seg_open(&s, 1u << 20, 4);
    assert_non_null(strstr(noted, "changed or is damaged"));
    seg_add(&s, "dan");
    assert_int_equal(s.number, 2);
    audit_segment_close(&s);
    struct audit_report r = verify();
    assert_true(r.is_broken);
    assert_int_equal(r.broken_seq, 3);
    assert_int_equal(r.broken_file, 1);
    assert_int_equal(r.records, 6);
    assert_int_equal(r.last_seq, 6);
}

/* A whole record taken out, and the order changed. */
static void test_removed(void **state)
{
    struct buf b;

    make_three();
    read_all(FIRST, &b);
    char *second = strchr(b.data, '\n') + 1, *third = strchr(second, '\n') + 1;
    size_t rest = strlen(third);
    memmove(second, third, rest);
    write_all(FIRST, b.data, (size_t)(second - b.data) + rest);
    buf_done(&b);
    struct audit_report r = verify();
    assert_true(r.is_broken);
    assert_int_equal(r.broken_seq, 3);
}

static void test_rotation(void **state)
{
    struct audit_segment s;
    struct audit_files f;
    struct err e = ERR_INIT;

    seg_open(&s, 1000, 3);
    for (int i = 0; i < 40; i++)
        seg_add(&s, "ada");
    audit_segment_close(&s);
    assert_int_equal(audit_files_read(dir_fd, &f, &e), 0);
    assert_int_equal(f.n, 3);
    assert_int_equal(f.numbers[2], s.number);
    struct audit_report r = verify();
    assert_false(r.is_broken);
    assert_true(r.first_seq > 1);
    assert_int_equal(r.files, 3);
    char name[AUDIT_NAME_MAX];
    audit_file_name(f.numbers[0], name);
    assert_int_equal(unlinkat(dir_fd, name, 0), 0); /* not by rotation: it shows */
    r = verify();
    assert_true(r.is_broken);
    assert_non_null(strstr(r.why, "missing"));
    audit_files_done(&f);
}

static void count_one(void *arg, json_t *record)
{
    json_array_append(arg, json_object_get(record, "user"));
}

static void test_list(void **state)
{
    struct audit_segment s;
    char name[32];
    struct err e = ERR_INIT;
    struct audit_filter all = {.limit = 1000}, few = {.user = "u7", .limit = 2, .start = 1}, none = {.since_ms = 6};

    seg_open(&s, 8000, 9);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), i % 2 ? "u%d" : "u%d!token", i % 10);
        seg_add(&s, name);
    }
    audit_segment_close(&s);
    json_t *users = json_array();
    assert_int_equal(audit_list(dir_fd, NULL, &all, count_one, users, &e), 0);
    assert_true(json_array_size(users) > 100);
    assert_string_equal(json_string_value(json_array_get(users, 0)), "u9");
    json_array_clear(users);
    assert_int_equal(audit_list(dir_fd, NULL, &few, count_one, users, &e), 0);
    assert_int_equal(json_array_size(users), 2);
    json_array_clear(users);
    none.limit = 1000;
    assert_int_equal(audit_list(dir_fd, NULL, &none, count_one, users, &e), 0);
    for (size_t i = 0; i < json_array_size(users); i++)
        assert_null(json_string_value(json_array_get(users, i)));
    json_decref(users);
}

/* ---- the whole, with its thread ---- */

struct got {
    unsigned n_ok, n_failed;
    char text[512];
};

static void on_done(void *arg, int r, const struct err *e)
{
    struct got *g = arg;

    g->n_ok += r == 0;
    g->n_failed += r < 0;
    snprintf(g->text, sizeof(g->text), "%s", r < 0 ? e->text : "");
}

static struct audit *open_audit(struct event_base *base)
{
    struct audit_options o = {.dir = dir, .segment_bytes = AUDIT_SEGMENT_BYTES, .segments_kept = 4};
    struct audit *a = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(audit_open(base, &o, &a, &e), 0);
    return a;
}

static void describe(void *arg, const char *object, json_t *record)
{
    json_object_set_new(record, "after", json_string(object));
}

/* Requests under way when the daemon ended get one record each; those that have theirs get no second. */
static void test_settle(void **state)
{
    struct event_base *base = event_base_new();
    struct audit *a = open_audit(base);
    struct got g = {0};
    char body[100];

    uint64_t id = audit_next_id(a);
    snprintf(body, sizeof(body), "{\"time\":1,\"id\":\"%016llx\",\"user\":\"lost\"}", (unsigned long long)id);
    assert_int_equal(audit_begin(a, id, "shared/auth/user/x", body), 0);
    id = audit_next_id(a);
    snprintf(body, sizeof(body), "{\"time\":1,\"id\":\"%016llx\",\"user\":\"kept\"}", (unsigned long long)id);
    assert_int_equal(audit_begin(a, id, "", body), 1);
    audit_submit(a, body, -1, on_done, &g); /* the slot stays, as if the kill came in between */
    audit_close(a);
    assert_int_equal(g.n_ok, 1);
    for (int i = 0; i < 2; i++) { /* the second start finds nothing left */
        a = open_audit(base);
        audit_settle(a, describe, NULL);
        audit_close(a);
    }
    struct audit_filter f = {.user = "lost", .limit = 10};
    json_t *users = json_array();
    struct err e = ERR_INIT;
    assert_int_equal(audit_list(dir_fd, NULL, &f, count_one, users, &e), 0);
    assert_int_equal(json_array_size(users), 1);
    json_array_clear(users);
    f.user = "kept";
    assert_int_equal(audit_list(dir_fd, NULL, &f, count_one, users, &e), 0);
    assert_int_equal(json_array_size(users), 1);
    json_decref(users);
    assert_false(verify().is_broken);
    event_base_free(base);
}

/* The folder goes away: records fail with a word, the log is unhealthy, and what was late comes when it can. */
static void test_recovery(void **state)
{
    struct event_base *base = event_base_new();
    struct err e = ERR_INIT;
    struct got g = {0}, probe = {0};
    char moved[80];

    assert_int_equal(fs_remove_tree(AT_FDCWD, dir, &e), 0);
    int file = open(dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* where the folder should be */
    close(file);
    struct audit *a = open_audit(base);
    audit_submit(a, "{\"user\":\"late\"}", -1, on_done, &g);
    audit_drain(a);
    assert_int_equal(g.n_failed, 1);
    assert_non_null(strstr(g.text, "cannot write the audit log: "));
    assert_true(audit_is_healthy(a, &e) < 0);
    audit_recover(a, on_done, &probe);
    audit_drain(a);
    assert_int_equal(probe.n_failed, 1);
    snprintf(moved, sizeof(moved), "%s.file", dir);
    assert_int_equal(rename(dir, moved), 0);
    unlink(moved);
    audit_recover(a, on_done, &probe);
    audit_drain(a);
    assert_int_equal(probe.n_ok, 1);
    assert_int_equal(audit_is_healthy(a, &e), 0);
    audit_close(a);
    close(dir_fd);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct audit_report r = verify();
    assert_false(r.is_broken);
    assert_int_equal(r.records, 5); /* segment, start, late, note, stop */
    event_base_free(base);
}

static uint64_t n_counted;

static void count_flood(void *arg, const char *address, uint64_t count)
{
    n_counted += count;
}

static void test_flood(void **state)
{
    struct audit_flood *f = audit_flood_new();
    unsigned n_recorded = 0, n_all = 0;
    char address[32];

    n_counted = 0;
    for (int i = 0; i < 100; i++)
        n_recorded += !audit_flood_check(f, "192.0.2.1", 1000);
    assert_int_equal(n_recorded, 20);
    assert_true(audit_flood_flush(f, 2000, false, count_flood, NULL)); /* its window is not over */
    assert_int_equal(n_counted, 0);
    assert_false(audit_flood_flush(f, 20000, false, count_flood, NULL));
    assert_int_equal(n_counted, 80);
    n_counted = 0;
    for (int i = 0; i < 5000; i++) { /* many addresses: one bound for all, and nothing is forgotten */
        snprintf(address, sizeof(address), "2001:db8::%x", i);
        n_all += !audit_flood_check(f, address, 50000);
    }
    assert_int_equal(n_all, 200);
    assert_false(audit_flood_flush(f, 50000, true, count_flood, NULL));
    assert_int_equal(n_all + n_counted, 5000);
    audit_flood_free(f);
}

static void test_secret_names(void **state)
{
    assert_true(audit_is_secret("password"));
    assert_true(audit_is_secret("confirmation-password"));
    assert_true(audit_is_secret("cipassword"));
    assert_true(audit_is_secret("vncticket"));
    assert_true(audit_is_secret("totp"));
    assert_false(audit_is_secret("memory"));
    assert_false(audit_is_secret("tokenid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recovery, setup, teardown),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_secret_names),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
