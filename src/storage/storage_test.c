/* The generic part and the configuration: what is accepted, what is refused, what every plugin must have. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "base/fs.h"
#include "storage/storage_priv.h"

static void test_plugins(void **state)
{
    for (size_t i = 0; storage_plugins[i]; i++) {
        const struct storage_ops *o = storage_plugins[i];
        assert_true(o->type && o->keys && o->open && o->close && o->path && o->space && o->create && o->remove);
        assert_true(o->stat && o->open_volume && o->list && o->receive_begin && o->receive_finish);
        assert_true(o->receive_abort && o->parts && o->part_create && o->part_open && o->part_finish &&
                    o->part_remove && o->sweep && o->volume_path && o->grow && o->note_get && o->note_set);
        assert_true(o->freeze && o->unfreeze && o->fork && o->exchange && o->rename && o->layers);
        assert_true(o->contents && !(o->default_contents & ~o->contents));
        assert_ptr_equal(storage_plugin_find(o->type), o);
    }
    assert_null(storage_plugin_find("nosuch"));
}

/* doc/storage.md names the type and each of its keys. */
static void test_plugins_documented(void **state)
{
    autobuf struct buf doc;
    struct err e = ERR_INIT;
    char word[80];

    buf_init(&doc, 1 << 20);
    assert_int_equal(fs_read_file(AT_FDCWD, HOLM_DOC_PATH, &doc, &e), 0);
    for (size_t i = 0; storage_plugins[i]; i++) {
        snprintf(word, sizeof(word), "`%s`", storage_plugins[i]->type);
        assert_non_null(strstr(buf_str(&doc), word));
        for (const char *const *key = storage_plugins[i]->keys; *key; key++) {
            snprintf(word, sizeof(word), "`%s`", *key);
            if (!strstr(buf_str(&doc), word))
                fail_msg("%s is not documented", word);
        }
    }
}

struct row {
    const char *json;
    const char *code; /* NULL: accepted */
};

static const struct row configs[] = {
    {"{\"type\":\"dir\",\"path\":\"/srv/x\"}", NULL},
    {"{\"type\":\"dir\",\"path\":\"var/storage/local\",\"content\":\"iso,images\"}", NULL},
    {"{\"type\":\"dir\",\"path\":\"/srv/x\",\"shared\":1,\"disable\":\"0\",\"nodes\":\"a,b-1\"}", NULL},
    {"{\"type\":\"dir\",\"path\":\"/srv/x\",\"shared\":true,\"disable\":false}", NULL},
    {"{\"type\":\"dir\",\"path\":\"/srv/x\",\"preallocation\":\"off\"}", NULL},
    {"{\"type\":\"dir\",\"path\":\"/srv/x\",\"preallocation\":\"falloc\"}", NULL},
    {"{\"type\":\"dir\",\"path\":\"/srv/x\",\"content\":\"none\"}", NULL},
    {"{\"type\":\"btrfs\",\"path\":\"/srv/x\",\"nocow\":1,\"is_mountpoint\":\"yes\"}", NULL},
    {"{\"type\":\"btrfs\",\"path\":\"/srv/x\",\"nocow\":\"often\"}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/srv/x\",\"nocow\":1}", "storage.config"},
    {"{\"type\":\"btrfs\"}", "storage.path"},
    {"", "storage.config"},
    {"[]", "storage.config"},
    {"{", "storage.config"},
    {"{} x", "storage.config"},
    {"{\"a\":[[[[[[1]]]]]]}", "storage.config"},
    {"{}", "storage.config"},
    {"{\"type\":1}", "storage.config"},
    {"{\"type\":\"zfs9\",\"path\":\"/srv/x\"}", "storage.type"},
    {"{\"type\":\"dir\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"\"}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":7}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"//\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"/srv/../etc\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"../etc\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"/srv/./x\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"/srv/a\\u0001\"}", "storage.path"},
    {"{\"type\":\"dir\",\"path\":\"/srv/a\\u0000b\"}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"path\":\"/b\"}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"prune-backups\":\"keep-last=1\"}", "storage.prune"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"content\":\"iso,nosuch\"}", "storage.content"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"content\":3}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"disable\":\"yes\"}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"shared\":2}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"nodes\":\"a b\"}", "storage.config"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"preallocation\":\"metadata\"}", "storage.preallocation"},
    {"{\"type\":\"dir\",\"path\":\"/a\",\"preallocation\":0}", "storage.config"},
};

static void test_configs(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
        struct storage *s = NULL;
        struct err e = ERR_INIT;
        int r = storage_new("local", configs[i].json, "/root/dir", &s, &e);
        if ((r == 0) != !configs[i].code || (r < 0 && !streq(e.code, configs[i].code)))
            fail_msg("%s: %d %s %s", configs[i].json, r, e.code, e.text);
        if (r == 0)
            assert_string_equal(storage_json(s), configs[i].json);
        storage_unref(s);
    }
    autofree char *huge = malloc(STORAGE_JSON_MAX + 10);
    memset(huge, ' ', STORAGE_JSON_MAX + 9);
    huge[STORAGE_JSON_MAX + 9] = 0;
    struct storage *s = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(storage_new("local", huge, "/x", &s, &e), -EINVAL);
    assert_int_equal(storage_new("l/x", configs[0].json, "/x", &s, &e), -EINVAL);
    assert_string_equal(e.code, "storage.id");
}

static void test_questions(void **state)
{
    struct storage *s = NULL;
    struct err e = ERR_INIT;
    const char *json = "{\"type\":\"dir\",\"path\":\"var/x\",\"nodes\":\"alpha,beta\",\"shared\":1}";

    assert_int_equal(storage_new("local", json, "/root/dir", &s, &e), 0);
    assert_string_equal(storage_path(s), "/root/dir/var/x");
    assert_string_equal(storage_name(s), "local");
    assert_string_equal(storage_type(s), "dir");
    assert_true(storage_is_shared(s) && storage_is_enabled(s));
    assert_int_equal(storage_caps(s), STORAGE_CAP_THIN | STORAGE_CAP_SHARED | STORAGE_CAP_RESIZE);
    assert_int_equal(storage_contents(s), STORAGE_CONTENT_images | STORAGE_CONTENT_rootdir);
    assert_true(storage_is_on_node(s, "alpha") && storage_is_on_node(s, "beta"));
    assert_false(storage_is_on_node(s, "alph") || storage_is_on_node(s, "") || storage_is_on_node(s, "alpha,beta"));
    assert_true(storage_has_format(s, VOLUME_RAW) && storage_has_format(s, VOLUME_QCOW2));
    assert_false(storage_has_format(s, VOLUME_OTHER));
    assert_ptr_equal(storage_ref(s), s);
    storage_unref(s);
    storage_unref(s);
    storage_unref(NULL);
}

static struct volume_id id_of(const char *text)
{
    struct volume_id v;
    struct err e = ERR_INIT;
    assert_int_equal(volume_id_parse(text, &v, &e), 0);
    return v;
}

#define assert_refused(call, wanted)                                                                                   \
    do {                                                                                                               \
        e = (struct err)ERR_INIT;                                                                                      \
        assert_true((call) < 0);                                                                                       \
        assert_string_equal(e.code, wanted);                                                                           \
    } while (0)

/* Everything that is refused before a plugin hears of it: the path does not even exist, nor is it made. */
static void test_refused_before_plugin(void **state)
{
    struct storage *s = NULL;
    struct err e = ERR_INIT;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw");
    int fd = -1;
    char mark[VOLUME_MARK_MAX + 2];

    assert_int_equal(
        storage_new("local", "{\"type\":\"dir\",\"path\":\"/proc/nosuch\",\"content\":\"images\"}", "/x", &s, &e), 0);
    assert_refused(volume_create(s, &v, 0, NULL, &e), "volume.size");
    assert_refused(volume_create(s, &v, 513, NULL, &e), "volume.size");
    assert_refused(volume_create(s, &v, UINT64_C(1) << 63, NULL, &e), "volume.size");
    assert_refused(volume_create(s, &v, 512, "", &e), "volume.mark");
    memset(mark, 'm', sizeof(mark) - 1);
    mark[sizeof(mark) - 1] = 0;
    assert_refused(volume_create(s, &v, 512, mark, &e), "volume.mark");
    struct volume_id other = id_of("other:100/vm-100-disk-0.raw");
    assert_refused(volume_create(s, &other, 512, NULL, &e), "volume.storage");
    assert_refused(volume_delete(s, &other, NULL, &e), "volume.storage");
    struct volume_id iso = id_of("local:iso/x.iso");
    assert_refused(volume_create(s, &iso, 512, NULL, &e), "storage.content");
    assert_refused(volume_receive_begin(s, &iso, &fd, &e), "storage.content");
    assert_refused(volume_receive_finish(s, &iso, 0, false, &e), "storage.content");
    struct volume_attachment a;
    assert_refused(volume_open(s, &iso, false, &a, &e), "volume.read-only");
    /* filled by hand, not by the parser */
    struct volume_id forged = v;
    snprintf(forged.name, sizeof(forged.name), "../../etc/passwd");
    assert_refused(volume_delete(s, &forged, NULL, &e), "name.invalid");
    forged = v;
    forged.format = VOLUME_QCOW2;
    assert_refused(volume_create(s, &forged, 512, NULL, &e), "volume.name");
    forged = v;
    forged.vmid = 101;
    assert_refused(volume_create(s, &forged, 512, NULL, &e), "volume.name");
    forged = v;
    forged.content = (enum storage_content)4096;
    assert_refused(volume_create(s, &forged, 512, NULL, &e), "volume.name");
    storage_unref(s);
}

static int never(void *arg, const struct volume_info *info)
{
    fail();
    return 0;
}

static void test_disabled(void **state)
{
    struct storage *s = NULL;
    struct err e = ERR_INIT;
    struct volume_id v = id_of("local:100/vm-100-disk-0.raw"), next;
    struct volume_attachment a;
    struct volume_info info;
    struct storage_space space;
    int fd = -1;

    assert_int_equal(storage_new("local", "{\"type\":\"dir\",\"path\":\"/proc/nosuch\",\"disable\":1}", "/x", &s, &e),
                     0);
    assert_false(storage_is_enabled(s));
    assert_refused(volume_create(s, &v, 512, NULL, &e), "storage.disabled");
    assert_refused(volume_delete(s, &v, NULL, &e), "storage.disabled");
    assert_refused(volume_stat(s, &v, &info, &e), "storage.disabled");
    assert_refused(volume_open(s, &v, true, &a, &e), "storage.disabled");
    assert_refused(volume_list(s, 255, 0, never, NULL, &e), "storage.disabled");
    assert_refused(volume_name_next(s, 100, VOLUME_RAW, NULL, 0, &next, &e), "storage.disabled");
    assert_refused(volume_receive_begin(s, &v, &fd, &e), "storage.disabled");
    assert_refused(storage_space_get(s, &space, &e), "storage.disabled");
    assert_refused(storage_sweep(s, 0, NULL, &e), "storage.disabled");
    storage_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plugins),   cmocka_unit_test(test_plugins_documented),    cmocka_unit_test(test_configs),
        cmocka_unit_test(test_questions), cmocka_unit_test(test_refused_before_plugin), cmocka_unit_test(test_disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
