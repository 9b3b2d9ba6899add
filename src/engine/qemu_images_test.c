/* Scripts for the images of a running guest, and what is made of QEMU's answers. Expected scripts are written with
 * names that stand for what things are called (expand): a disk has four images here, its own and the layers 3, 2 and 1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/qemu_priv.h"
#include "proto/frame.h"

/* $nK, $fK, $sK: node, node of the file and set of descriptors of the image of scsi0 that stands on layer K; $n_ for
 * the lowest, which stands on nothing; $sc the set of a copy, $j its job; $$nK the node of virtio1. */
static const struct {
    const char *name, *text;
} names[] = {
    {"$n3", "format-scsi0-3"},    {"$n2", "format-scsi0-2"},
    {"$n1", "format-scsi0-1"},    {"$n_", "format-scsi0-v0000042"},
    {"$f3", "file-scsi0-3"},      {"$f2", "file-scsi0-2"},
    {"$f1", "file-scsi0-1"},      {"$f_", "file-scsi0-v0000042"},
    {"$s3", "1160000003"},        {"$s2", "1160000002"},
    {"$s1", "1160000001"},        {"$s_", "1166000042"},
    {"$sc", "1169999999"},        {"$j", "job-scsi0"},
    {"$$n1", "format-virtio1-1"}, {"$$n_", "format-virtio1"},
};

#define CACHE "\"cache\":{\"direct\":false,\"no-flush\":false}"
#define OPENED(on, discard, read_only)                                                                                 \
    "{\"driver\":\"file\",\"node-name\":\"$f" on "\",\"filename\":\"/dev/fdset/$s" on                                  \
    "\",\"locking\":\"off\",\"aio\":\"threads\",\"discard\":\"" discard "\",\"read-only\":" read_only "," CACHE "}"
#define FORMAT(on, below, read_only, discard, zeroes)                                                                  \
    "{\"driver\":\"qcow2\",\"node-name\":\"$n" on "\",\"read-only\":" read_only ",\"discard\":\"" discard              \
    "\",\"detect-zeroes\":\"" zeroes "\"," CACHE ",\"backing\":" below ",\"file\":\"$f" on "\"}"
/* A layer that is read is made writable, and back. */
#define WRITABLE(on, below, discard, zeroes)                                                                           \
    "fadd-fd {\"fdset-id\":$s" on "}\n"                                                                                \
    "+blockdev-reopen {\"options\":[" OPENED(on, "unmap", "false") "," FORMAT(                                         \
        on, below, "false", discard, zeroes) "]}\n"                                                                    \
                                             "ublockdev-reopen {\"options\":[" FORMAT(on, below, "true", discard,      \
                                                                                      "off") "]}\n"
#define READ_ONLY(on, below) "-blockdev-reopen {\"options\":[" FORMAT(on, below, "true", "ignore", "off") "]}\n"
#define DROPPED(on)          "+blockdev-del {\"node-name\":\"$n" on "\"}\n-remove-fd {\"fdset-id\":$s" on "}\n"
#define COMMIT(top, base, file)                                                                                        \
    "+block-commit {\"job-id\":\"$j\",\"device\":\"scsi0\",\"top-node\":\"$n" top "\",\"base-node\":\"$n" base         \
    "\"," file "\"auto-finalize\":true,\"auto-dismiss\":false}\n"

static char *expand(const char *text)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    while (*text) {
        size_t found = ARRAY_SIZE(names);
        for (size_t i = 0; *text == '$' && i < ARRAY_SIZE(names) && found == ARRAY_SIZE(names); i++)
            if (str_starts(text, names[i].name))
                found = i;
        if (found == ARRAY_SIZE(names)) {
            buf_printf(&out, "%c", *text++);
            continue;
        }
        buf_printf(&out, "%s", names[found].text);
        text += strlen(names[found].name);
    }
    return buf_take(&out);
}

static struct engine_below below[] = {{.fd = 13, .is_qcow2 = true, .name = "3", .file = "b3.qcow2"},
                                      {.fd = 12, .is_qcow2 = true, .name = "2", .file = "b2.qcow2"},
                                      {.fd = 11, .is_qcow2 = true, .name = "1", .file = "b1.qcow2"}};
static const struct engine_disk disks[] = {{.key = "scsi0",
                                            .bus = DISK_SCSI,
                                            .is_qcow2 = true,
                                            .fd = 10,
                                            .below = below,
                                            .n_below = 3,
                                            .origin = "v0000042",
                                            .options = "local:1/a.qcow2,discard=on"},
                                           {.key = "virtio1",
                                            .bus = DISK_VIRTIO,
                                            .index = 1,
                                            .is_qcow2 = true,
                                            .fd = 20,
                                            .below = &below[2],
                                            .n_below = 1,
                                            .options = "local:1/b.qcow2"}};

static char *script(enum engine_live what, uint64_t number, size_t n_disks, const char *expected_fds)
{
    struct engine_vm vm = {.vmid = 100, .machine = "pc-q35-7.2", .disks = disks, .n_disks = n_disks, .ram_fd = 7};
    struct engine_script s;
    struct err e = ERR_INIT;
    struct field_reader r;
    struct field f;
    struct buf text;
    char fds[64] = "";

    int result = engine_qemu.live(&vm, what, "scsi0", number, &s, &e);
    if (result < 0)
        fail_msg("%d: %s", result, e.text);
    for (size_t i = 0; i < s.n_fds; i++)
        snprintf(fds + strlen(fds), sizeof(fds) - strlen(fds), "%s%d", i ? " " : "", s.fds[i]);
    assert_string_equal(fds, expected_fds);
    buf_init(&text, 1 << 20);
    field_reader_init(&r, s.fields.data, s.fields.len);
    while (field_next(&r, &f) == 1)
        if (f.tag == FIELD_ARG)
            buf_printf(&text, "%.*s\n", (int)f.len, (const char *)f.data);
    buf_done(&s.fields);
    return buf_take(&text) ?: strdup("");
}

static void expect(enum engine_live what, uint64_t number, size_t n_disks, const char *fds, const char *expected)
{
    autofree char *found = script(what, number, n_disks, fds), *wanted = expand(expected);

    assert_string_equal(found, wanted);
}

static void refuse(enum engine_live what, uint64_t number, const char *code)
{
    struct engine_vm vm = {.vmid = 100, .machine = "pc-q35-7.2", .disks = disks, .n_disks = 1};
    struct engine_script s;
    struct err e = ERR_INIT;

    int r = engine_qemu.live(&vm, what, "scsi0", number, &s, &e);
    assert_true(r < 0 && e.num == r);
    assert_string_equal(e.code, code);
    buf_done(&s.fields);
}

/* It stands on nothing until all disks go over at once: QEMU puts it on top of what the guest wrote to. */
static void test_overlay(void **state)
{
    expect(ENGINE_OVERLAY, 0, 1, "10",
           "fadd-fd {\"fdset-id\":$s3}\n"
           "+blockdev-add {\"driver\":\"qcow2\",\"node-name\":\"$n3\",\"read-only\":false,\"discard\":\"unmap\","
           "\"detect-zeroes\":\"unmap\"," CACHE
           ",\"backing\":null,\"file\":" OPENED("3", "unmap", "false") "}\n"
                                                                       "ublockdev-del {\"node-name\":\"$n3\"}\n"
                                                                       "uremove-fd {\"fdset-id\":$s3}\n");
    expect(
        ENGINE_SWITCH, 0, 1, "",
        "+transaction {\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"$n2\",\"overlay\":\"$n3\"}}]"
        "}\n");
    expect(
        ENGINE_SWITCH, 0, 2, "",
        "+transaction {\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"$n2\",\"overlay\":\"$n3\"}},"
        "{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"$$n_\",\"overlay\":\"$$n1\"}}]}\n");
}

/* The disk's own image goes into layer 3, which is written to from then on: it gets the drive's options. */
static void test_merge_top(void **state)
{
    expect(ENGINE_MERGE, 0, 1, "13", WRITABLE("2", "\"$n1\"", "unmap", "unmap") COMMIT("3", "2", ""));
}

/* Layer 3 goes into layer 2; the disk's own image, which stands on it, is written to already, and keeps the name. */
static void test_merge_below_top(void **state)
{
    expect(ENGINE_MERGE, 1, 1, "12",
           WRITABLE("1", "\"$n_\"", "ignore", "off") COMMIT("2", "1", "\"backing-file\":\"b3.qcow2\","));
}

/* Layer 2 goes into layer 1; layer 3, which stands on it, has to be written to, for the name in its header. */
static void test_merge_lowest(void **state)
{
    expect(ENGINE_MERGE, 2, 1, "11 13",
           WRITABLE("_", "null", "ignore", "off") WRITABLE("2", "\"$n1\"", "ignore", "off")
               COMMIT("1", "_", "\"backing-file\":\"b2.qcow2\","));
    refuse(ENGINE_MERGE, 3, "engine.live"); /* stands on nothing */
    refuse(ENGINE_MERGE, 4, "engine.live");
    refuse(ENGINE_MERGE, UINT64_MAX, "engine.live");
}

static void test_leave(void **state)
{
    expect(ENGINE_LEAVE, 0, 1, "", DROPPED("3"));
    expect(ENGINE_LEAVE, 1, 1, "", DROPPED("2") READ_ONLY("1", "\"$n_\""));
    expect(ENGINE_LEAVE, 2, 1, "", DROPPED("1") READ_ONLY("_", "null") READ_ONLY("2", "\"$n_\""));
}

static void test_forget(void **state)
{
    expect(ENGINE_FORGET, 0, 1, "", "-remove-fd {\"fdset-id\":$s3}\n");
    expect(ENGINE_FORGET, 3, 1, "", "-remove-fd {\"fdset-id\":$s_}\n");
}

/* Zeroes take no room in a copy, and no lock stays with its descriptor. */
static void test_copy(void **state)
{
    expect(
        ENGINE_COPY, 4096, 1, "10",
        "fadd-fd {\"fdset-id\":$sc}\n"
        "+blockdev-add {\"driver\":\"qcow2\",\"node-name\":\"format-scsi0-copy\",\"read-only\":false,"
        "\"discard\":\"unmap\",\"detect-zeroes\":\"unmap\"," CACHE ",\"backing\":null,\"file\":{\"driver\":\"file\","
        "\"node-name\":\"file-scsi0-copy\",\"filename\":\"/dev/fdset/$sc\",\"locking\":\"off\",\"aio\":\"threads\","
        "\"discard\":\"unmap\",\"read-only\":false," CACHE "}}\n"
        "+blockdev-mirror {\"job-id\":\"$j\",\"device\":\"scsi0\",\"target\":\"format-scsi0-copy\",\"sync\":\"full\","
        "\"speed\":4096,\"auto-finalize\":true,\"auto-dismiss\":false}\n"
        "ublockdev-del {\"node-name\":\"format-scsi0-copy\"}\n"
        "uremove-fd {\"fdset-id\":$sc}\n");
    expect(ENGINE_COPY_END, 0, 1, "", "+block-job-cancel {\"device\":\"$j\",\"force\":false}\n");
    expect(ENGINE_COPY_DROP, 0, 1, "",
           "-job-dismiss {\"id\":\"$j\"}\n-blockdev-del {\"node-name\":\"format-scsi0-copy\"}\n"
           "-remove-fd {\"fdset-id\":$sc}\n");
}

static void test_move(void **state)
{
    expect(ENGINE_MOVE, 0, 1, "",
           "+blockdev-reopen {\"options\":[{\"driver\":\"throttle\",\"node-name\":\"scsi0\",\"throttle-group\":"
           "\"throttle-scsi0\",\"read-only\":false,\"discard\":\"unmap\",\"file\":\"$n3\"}]}\n");
}

static char *sweep(const char *answer, size_t i)
{
    autofree char *text = expand(answer);
    struct engine_script s;
    struct err e = ERR_INIT;
    struct field_reader r;
    struct field f;
    struct buf out;

    if (engine_qemu.sweep(text, strlen(text), &disks[i], &s, &e) < 0)
        return NULL;
    buf_init(&out, 1 << 20);
    field_reader_init(&r, s.fields.data, s.fields.len);
    while (field_next(&r, &f) == 1)
        buf_printf(&out, "%.*s\n", (int)f.len, (const char *)f.data);
    buf_done(&s.fields);
    return buf_take(&out);
}

/* What is called after the drive and is no image of it: several times, for one may stand on the other. Names that no
 * image of ours has are left alone. */
static void test_sweep(void **state)
{
    autofree char *none =
        sweep("{\"nodes\":[{\"name\":\"$n3\"},{\"name\":\"$n_\"},{\"name\":\"scsi0\"},{\"name\":\"scsi01\"},"
              "{\"name\":\"format-scsi01\"},{\"name\":\"format-scsi0-a\\\"b\"},{\"name\":\"$$n1\"},"
              "{\"name\":7},null]}",
              0);
    autofree char *two = sweep("{\"nodes\":[{\"name\":\"format-scsi0-v1\"},{\"name\":\"format-scsi0\"}]}", 0);
    autofree char *wanted = expand("-remove-fd {\"fdset-id\":$sc}\n");
    const char *del = "-blockdev-del {\"node-name\":\"format-scsi0-v1\"}\n";
    size_t n = 0;

    assert_string_equal(none, wanted);
    for (const char *p = two; (p = strstr(p, del)); p++)
        n++;
    assert_int_equal(n, 4);
    assert_non_null(strstr(two, "-remove-fd {\"fdset-id\":1166000001}\n"));
    assert_non_null(strstr(two, "-remove-fd {\"fdset-id\":116}\n"));
    assert_null(sweep("[]", 0));
    assert_null(sweep("{\"nodes\":{}}", 0));
}

static void test_job_commands(void **state)
{
    expect(ENGINE_PIVOT, 0, 1, "", "+job-complete {\"id\":\"$j\"}\n");
    expect(ENGINE_CANCEL, 0, 1, "", "+block-job-cancel {\"device\":\"$j\",\"force\":true}\n");
    expect(ENGINE_DISMISS, 0, 1, "", "+job-dismiss {\"id\":\"$j\"}\n");
    expect(ENGINE_JOBS, 0, 1, "", "+query-jobs {}\n");
    expect(ENGINE_IMAGES, 0, 1, "", "+x-debug-query-block-graph {}\n");
}

/* ---- answers ---- */

static void check_job(const char *answer, enum engine_job_state expected, const char *error)
{
    struct engine_job job;
    struct err e = ERR_INIT;
    autofree char *text = expand(answer);

    if (engine_qemu.job(text, strlen(text), "scsi0", &job, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    if (job.state != expected)
        fail_msg("%s: %d", text, (int)job.state);
    assert_string_equal(job.error, error);
}

static void test_jobs(void **state)
{
    struct engine_job job;
    struct err e = ERR_INIT;
    autofree char *both =
        expand("[{\"id\":\"other\",\"status\":\"ready\"},{\"id\":\"$j\",\"type\":\"commit\",\"status\":"
               "\"running\",\"current-progress\":3,\"total-progress\":8}]");

    check_job("[]", ENGINE_JOB_NONE, "");
    check_job("[{\"id\":\"$j\",\"status\":\"created\"}]", ENGINE_JOB_RUNNING, "");
    check_job("[{\"id\":\"$j\",\"status\":\"paused\"}]", ENGINE_JOB_RUNNING, "");
    check_job("[{\"id\":\"$j\",\"status\":\"pending\"}]", ENGINE_JOB_RUNNING, "");
    check_job("[{\"id\":\"$j\",\"status\":\"standby\"}]", ENGINE_JOB_READY, "");
    check_job("[{\"id\":\"$j\",\"status\":\"ready\"}]", ENGINE_JOB_READY, "");
    check_job("[{\"id\":\"$j\",\"status\":\"concluded\"}]", ENGINE_JOB_DONE, "");
    check_job("[{\"id\":\"$j\",\"status\":\"concluded\",\"error\":\"No space left\"}]", ENGINE_JOB_DONE,
              "No space left");
    /* of another drive, whose key begins in the same way */
    check_job("[{\"id\":\"$j1\",\"status\":\"ready\"}]", ENGINE_JOB_NONE, "");
    check_job("[{\"id\":\"x$j\",\"status\":\"ready\"}]", ENGINE_JOB_NONE, "");
    assert_int_equal(engine_qemu.job(both, strlen(both), "scsi0", &job, &e), 0);
    assert_int_equal(job.state, ENGINE_JOB_RUNNING);
    assert_int_equal(job.done_bytes, 3);
    assert_int_equal(job.total_bytes, 8);
}

/* What nobody sane would say: an error, or nothing found. */
static void test_hostile_jobs(void **state)
{
    static const char *const no_list[] = {"",  "{",   "{}",  "null",     "7",          "\"ready\"",
                                          "[", "[]]", "[]x", "\xff\xfe", "{\"id\":[]}"};
    char long_error[2000], name[300], answer[2600];
    struct engine_job job;

    for (size_t i = 0; i < ARRAY_SIZE(no_list); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(engine_qemu.job(no_list[i], strlen(no_list[i]), "scsi0", &job, &e), -EPROTO);
        assert_string_equal(e.code, "engine.broken");
        assert_int_equal(job.state, ENGINE_JOB_NONE);
    }
    check_job("[null,7,[],\"$j\",{}]", ENGINE_JOB_NONE, "");
    check_job("[{\"id\":\"$j\"},{\"status\":\"ready\"},{\"id\":7,\"status\":\"ready\"},{\"id\":\"$j\",\"status\":7}]",
              ENGINE_JOB_NONE, "");
    check_job("[{\"id\":\"$j\",\"status\":\"\",\"error\":7,\"current-progress\":\"x\"}]", ENGINE_JOB_RUNNING, "");
    memset(long_error, 'x', sizeof(long_error) - 1);
    long_error[sizeof(long_error) - 1] = 0;
    autofree char *id = expand("$j");
    snprintf(answer, sizeof(answer), "[{\"id\":\"%s\",\"status\":\"concluded\",\"error\":\"%s\"}]", id, long_error);
    struct err e = ERR_INIT;
    assert_int_equal(engine_qemu.job(answer, strlen(answer), "scsi0", &job, &e), 0);
    assert_int_equal(strlen(job.error), sizeof(job.error) - 1);
    snprintf(name, sizeof(name), "[{\"id\":\"%s\",\"status\":\"concluded\",\"error\":\"\"}", id);
    assert_int_equal(engine_qemu.job(name, strlen(name), "scsi0", &job, &e), -EPROTO); /* cut off */
}

static int has(const char *answer, const char *on, enum engine_place *ret)
{
    struct err e = ERR_INIT;
    autofree char *text = expand(answer);

    return engine_qemu.has_image(text, strlen(text), "scsi0", on, ret, &e);
}

static void test_images(void **state)
{
    static const char *const no_graph[] = {"", "[]", "null", "{}", "{\"nodes\":{}}", "{\"nodes\":7}", "{\"nodes\":[}"};
    const char *graph = "{\"edges\":[{\"parent\":2,\"child\":1},{\"parent\":1,\"child\":3},7,{}],\"nodes\":["
                        "{\"id\":1,\"type\":\"block-driver\",\"name\":\"$n3\"},{\"id\":2,\"name\":\"scsi0\"},"
                        "{\"id\":3,\"name\":\"$n_\"},{\"name\":7},null,[],{\"name\":null}]}";
    enum engine_place place = ENGINE_PLACE_NONE;

    assert_int_equal(has(graph, "3", &place), 0);
    assert_int_equal(place, ENGINE_PLACE_TOP);
    assert_int_equal(has(graph, "v0000042", &place), 0);
    assert_int_equal(place, ENGINE_PLACE_OPEN);
    assert_int_equal(has(graph, "2", &place), 0);
    assert_int_equal(place, ENGINE_PLACE_NONE);
    assert_int_equal(has(graph, NULL, &place), 0);
    assert_int_equal(place, ENGINE_PLACE_OPEN);
    assert_int_equal(has("{\"nodes\":[{\"name\":\"$n33\"},{\"name\":\"x$n3\"}]}", "3", &place), 0);
    assert_int_equal(place, ENGINE_PLACE_NONE);
    assert_int_equal(has("{\"nodes\":[{\"name\":\"scsi1\"}]}", NULL, &place), 0);
    assert_int_equal(place, ENGINE_PLACE_NONE);
    for (size_t i = 0; i < ARRAY_SIZE(no_graph); i++)
        assert_int_equal(has(no_graph[i], "3", &place), -EPROTO);
}

static void test_save(void **state)
{
    expect(
        ENGINE_SAVE, 0, 1, "7",
        "fgetfd {\"fdname\":\"ram\"}\n"
        "+migrate-set-capabilities {\"capabilities\":[{\"capability\":\"pause-before-switchover\",\"state\":true}]}\n"
        "+migrate-set-parameters {\"max-bandwidth\":17179869184}\n"
        "+migrate {\"uri\":\"fd:ram\"}\n"
        "uclosefd {\"fdname\":\"ram\"}\n");
    expect(ENGINE_SAVE_REST, 0, 1, "", "+migrate-continue {\"state\":\"pre-switchover\"}\n");
    expect(ENGINE_SAVE_CANCEL, 0, 1, "", "+migrate_cancel {}\n");
    expect(ENGINE_SAVED, 0, 1, "", "+query-migrate {}\n");
}

static void test_saved(void **state)
{
    static const struct {
        const char *answer;
        enum engine_save_state state;
    } rows[] = {
        {"{}", ENGINE_SAVE_FAILED}, /* there is none */
        {"{\"status\":7}", ENGINE_SAVE_FAILED},
        {"{\"status\":\"none\"}", ENGINE_SAVE_FAILED},
        {"{\"status\":\"cancelled\"}", ENGINE_SAVE_FAILED},
        {"{\"status\":\"failed\",\"error-desc\":7}", ENGINE_SAVE_FAILED},
        {"{\"status\":\"setup\"}", ENGINE_SAVE_RUNNING},
        {"{\"status\":\"active\",\"ram\":7}", ENGINE_SAVE_RUNNING},
        {"{\"status\":\"device\"}", ENGINE_SAVE_RUNNING},
        {"{\"status\":\"pre-switchover\"}", ENGINE_SAVE_STILL},
        {"{\"status\":\"completed\"}", ENGINE_SAVE_DONE},
    };
    static const char *const no_object[] = {"", "[]", "null", "7", "{\"status\":", "\"completed\""};
    static const char full[] =
        "{\"status\":\"failed\",\"error-desc\":\"No space\",\"ram\":{\"total\":9,\"transferred\":4}}";
    struct engine_save save;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(engine_qemu.saved(rows[i].answer, strlen(rows[i].answer), &save, &e), 0);
        if (save.state != rows[i].state)
            fail_msg("%s: %d", rows[i].answer, (int)save.state);
    }
    for (size_t i = 0; i < ARRAY_SIZE(no_object); i++)
        assert_int_equal(engine_qemu.saved(no_object[i], strlen(no_object[i]), &save, &e), -EPROTO);
    assert_int_equal(engine_qemu.saved(full, strlen(full), &save, &e), 0);
    assert_int_equal(save.total_bytes, 9);
    assert_int_equal(save.done_bytes, 4);
    assert_string_equal(save.error, "No space");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlay),      cmocka_unit_test(test_merge_top), cmocka_unit_test(test_merge_below_top),
        cmocka_unit_test(test_merge_lowest), cmocka_unit_test(test_leave),     cmocka_unit_test(test_forget),
        cmocka_unit_test(test_copy),         cmocka_unit_test(test_move),      cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_job_commands), cmocka_unit_test(test_jobs),      cmocka_unit_test(test_hostile_jobs),
        cmocka_unit_test(test_images),       cmocka_unit_test(test_save),      cmocka_unit_test(test_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
