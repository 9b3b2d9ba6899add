/* Names, paths, records and changes of the model, and that what a change writes is read back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/fake_state.h"

static struct auth *auth;

static int setup(void **arg)
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_new(NULL, &auth, &e), 0);
    return 0;
}

static int teardown(void **arg)
{
    auth_free(auth);
    return 0;
}

static void test_userids(void **arg)
{
    static const char *const good[] = {"a@pam",   "root@pam",        "a.b-c_d@pve",      "a!b@pve",
                                       "a@b@pve", "j\xc3\xb6rg@pve", "\xed\x95\x9c@pve", "\xf0\x9f\x98\x80@pve"};
    static const char *const bad[] = {"",
                                      "a",
                                      "@pam",
                                      "a@",
                                      "a@p",
                                      "a@1pam",
                                      "a b@pam",
                                      "a:b@pam",
                                      "a/b@pam",
                                      "a\n@pam",
                                      "a@pa m",
                                      "\xff@pve",
                                      "\xc0\x80@pve",
                                      "\xed\xa0\x80@pve",
                                      "\xe2\x82@pve",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@pve",
                                      "a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(auth_userid_check(good[i], &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(auth_userid_check(bad[i], &e), -EINVAL);
    assert_string_equal(auth_realm_of("a@b@pve"), "pve");
    assert_string_equal(auth_realm_of("nobody"), "");
}

static void test_names(void **arg)
{
    struct err e = ERR_INIT;

    assert_int_equal(auth_realm_check("pve", &e), 0);
    assert_int_equal(auth_realm_check("p", &e), -EINVAL);
    assert_int_equal(auth_groupid_check("1-a.b_c", &e), 0);
    assert_int_equal(auth_groupid_check("a b", &e), -EINVAL);
    assert_string_equal(e.text, "group name 'a b' contains invalid characters");
    assert_int_equal(auth_roleid_check("R", &e), 0);
    assert_int_equal(auth_roleid_check("", &e), -EINVAL);
    assert_int_equal(auth_poolid_check("a/b/c", &e), 0);
    assert_int_equal(auth_poolid_check("a/b/c/d", &e), -EINVAL);
    assert_int_equal(auth_poolid_check("a//c", &e), -EINVAL);
    assert_int_equal(auth_poolid_check("a/", &e), -EINVAL);
    assert_int_equal(auth_poolid_check("/a", &e), -EINVAL);
    assert_int_equal(auth_poolid_check("", &e), -EINVAL);
    assert_int_equal(auth_tokenid_check("t1", &e), 0);
    assert_int_equal(auth_tokenid_check("1t", &e), -EINVAL);
}

static void test_subjects(void **arg)
{
    struct auth_subject s;
    struct err e = ERR_INIT;
    char text[140];

    assert_int_equal(auth_subject_parse("a!b@c@pve!tok", &s, &e), 0);
    assert_string_equal(s.user, "a!b@c@pve");
    assert_string_equal(s.token, "tok");
    auth_subject_format(&s, text, sizeof(text));
    assert_string_equal(text, "a!b@c@pve!tok");
    assert_int_equal(auth_subject_parse("root@pam", &s, &e), 0);
    assert_true(s.is_root);
    assert_int_equal(auth_subject_parse("root@pam!tok", &s, &e), 0);
    assert_false(s.is_root);
    assert_int_equal(auth_subject_parse("a@pve!", &s, &e), -EINVAL);
    assert_int_equal(auth_subject_parse("a@pve!t", &s, &e), -EINVAL);
    assert_int_equal(auth_subject_parse("a!tok", &s, &e), -EINVAL);
    assert_int_equal(auth_subject_parse("", &s, &e), -EINVAL);
}

static void test_paths(void **arg)
{
    static const char *const good[] = {"/",
                                       "/access",
                                       "/access/groups",
                                       "/access/groups/g",
                                       "/access/realm/pve",
                                       "/nodes",
                                       "/nodes/n1",
                                       "/pool",
                                       "/pool/a",
                                       "/pool/a/b/c",
                                       "/sdn",
                                       "/sdn/zones/z/v/100",
                                       "/sdn/controllers/c",
                                       "/sdn/prefix-lists/x",
                                       "/sdn/route-maps",
                                       "/storage/local",
                                       "/vms",
                                       "/vms/100",
                                       "/mapping/pci/gpu",
                                       "/mapping/usb"};
    static const char *const bad[] = {"",
                                      "x",
                                      "/x",
                                      "/access/users",
                                      "/vms/99",
                                      "/vms/0100",
                                      "/vms/x",
                                      "/vms/1000000000",
                                      "/vms/100/x",
                                      "/pool/a/b/c/d",
                                      "/storage/",
                                      "/sdn/zones/z/v/x",
                                      "/sdn/other",
                                      "/access/groups/",
                                      "/nodes/n1/x",
                                      "/mapping/a/b/c",
                                      "/storage/a b"};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(auth_path_check(good[i], &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(auth_path_check(bad[i], &e), -EINVAL);
}

static void test_normalize(void **arg)
{
    static const char *const rows[][2] = {{"/", "/"},      {"", "/"},         {"///", "/"},
                                          {"vms", "/vms"}, {"/vms/", "/vms"}, {"//vms//100//", "/vms/100"},
                                          {"/a b", NULL},  {"/vms/\n", NULL}, {"/v%20", NULL}};
    struct err e = ERR_INIT;
    char dst[AUTH_PATH_MAX], small[8];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int r = auth_path_normalize(rows[i][0], dst, sizeof(dst), &e);
        assert_int_equal(r, rows[i][1] ? 0 : -EINVAL);
        if (rows[i][1])
            assert_string_equal(dst, rows[i][1]);
    }
    assert_int_equal(auth_path_normalize("/123456", small, sizeof(small), &e), 0);
    assert_int_equal(auth_path_normalize("/1234567", small, sizeof(small), &e), -EINVAL);
}

static void test_lists(void **arg)
{
    const char *pos = " a,b;; c\td ,";
    char item[4], all[32] = "";
    size_t n = 0;

    while (auth_list_next(&pos, item, sizeof(item)))
        n += (size_t)snprintf(all + n, sizeof(all) - n, "[%s]", item);
    assert_string_equal(all, "[a][b][c][d]");
    pos = "toolong,b";
    assert_true(auth_list_next(&pos, item, sizeof(item)));
    assert_string_equal(item, "");
    assert_true(auth_list_next(&pos, item, sizeof(item)));
    assert_string_equal(item, "b");
}

static void test_sets(void **arg)
{
    char key[64];
    const struct auth_set *groups = auth_objects(auth, AUTH_GROUP);

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "shared/auth/group/g%u", i * 7919 % 1000);
        fake_feed(key, "{\"format\":1,\"comment\":\"c\"}");
    }
    assert_int_equal(groups->n, 1000);
    for (size_t i = 1; i < groups->n; i++)
        assert_true(strcmp(groups->sorted[i - 1]->key, groups->sorted[i]->key) < 0);
    for (unsigned i = 0; i < 1000; i += 2) {
        snprintf(key, sizeof(key), "shared/auth/group/g%u", i);
        fake_feed(key, NULL);
        fake_feed(key, NULL);
    }
    assert_int_equal(groups->n, 500);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "g%u", i);
        assert_int_equal(auth_find(auth, AUTH_GROUP, key) != NULL, i % 2);
    }
}

static void test_users_round_trip(void **arg)
{
    struct state_txn *t = state_txn_new();
    struct auth_user u = {.item.key = (char *)"a@pve",
                          .expire = 12,
                          .firstname = (char *)"A \"q\" \xc3\xb6",
                          .lastname = NULL,
                          .comment = (char *)"line\nline",
                          .email = (char *)"a@b",
                          .keys = (char *)"x"};

    auth_txn_user(t, &u);
    auth_txn_password(t, "a@pve", "$argon2id$");
    fake_commit(t);
    const struct auth_user *got = auth_find(auth, AUTH_USER, "a@pve");
    assert_non_null(got);
    assert_false(got->is_enabled);
    assert_int_equal(got->expire, 12);
    assert_string_equal(got->firstname, u.firstname);
    assert_string_equal(got->lastname, "");
    assert_string_equal(got->comment, u.comment);
    assert_string_equal(got->email, "a@b");
    assert_string_equal(got->keys, "x");
    assert_true(got->item.revision > 0);
    assert_string_equal(auth_password_hash(auth, "a@pve"), "$argon2id$");
}

static void test_other_round_trips(void **arg)
{
    struct state_txn *t = state_txn_new();
    struct auth_group g = {.item.key = (char *)"g", .comment = (char *)"c"};
    struct auth_role r = {.item.key = (char *)"R", .mask = PRIV_M(VM_AUDIT) | PRIV_M(SDN_USE)};
    struct auth_realm m = {.item.key = (char *)"ldap", .type = (char *)"ldap", .is_default = true};
    struct auth_token k = {.item.key = (char *)"a@pve!t", .has_expire = true, .expire = 0, .comment = (char *)"c"};
    struct auth_pool p = {.item.key = (char *)"a/b", .comment = (char *)"c"};

    auth_txn_group(t, &g);
    auth_txn_role(t, &r);
    auth_txn_realm(t, &m);
    auth_txn_token(t, &k);
    auth_txn_pool(t, &p);
    auth_txn_group_member(t, "g", "a@pve", true);
    auth_txn_storage_pool(t, "s", "a/b", true);
    fake_commit(t);
    t = state_txn_new();
    auth_txn_guest_pool(auth, t, 100, "a/b");
    fake_commit(t);
    assert_string_equal(((const struct auth_group *)auth_find(auth, AUTH_GROUP, "g"))->comment, "c");
    assert_true(((const struct auth_role *)auth_find(auth, AUTH_ROLE, "R"))->mask == r.mask);
    assert_true(((const struct auth_realm *)auth_find(auth, AUTH_REALM, "ldap"))->is_default);
    const struct auth_token *token = auth_find(auth, AUTH_TOKEN, "a@pve!t");
    assert_true(token->has_expire && !token->is_separated && token->expire == 0);
    assert_string_equal(auth_pool_of_guest(auth, 100), "a/b");
    assert_string_equal(auth_pool_of_storage(auth, "s"), "a/b");
    assert_true(auth_user_in_group(auth, "a@pve", "g"));
    t = state_txn_new();
    auth_txn_delete(t, AUTH_POOL, "a/b");
    auth_txn_group_member(t, "g", "a@pve", false);
    auth_txn_group_member(t, "gone", "a@pve", false);
    auth_txn_storage_pool(t, "s", "a/b", false);
    fake_commit(t);
    assert_null(auth_pool_of_guest(auth, 100));
    assert_false(auth_user_in_group(auth, "a@pve", "g"));
}

static void acl(struct state_txn *t, const char *path, enum auth_acl_type type, const char *id)
{
    auth_txn_acl(t, path, type, id, "PVEAuditor", true);
}

static size_t count_entries(void)
{
    const struct auth_set *acls = auth_objects(auth, AUTH_ACL);
    size_t n = 0;

    for (size_t i = 0; i < acls->n; i++)
        n += container_of(acls->sorted[i], struct auth_acl, item)->n;
    return n;
}

static void populate(void)
{
    struct state_txn *t = state_txn_new();
    char secret[AUTH_TOKEN_SECRET_CAP];
    struct auth_token k = {.item.key = (char *)"a@pve!t"};
    struct auth_pool p = {.item.key = (char *)"p"};

    acl(t, "/", AUTH_ACL_USER, "a@pve");
    acl(t, "/", AUTH_ACL_USER, "aa@pve");
    acl(t, "/vms/100", AUTH_ACL_TOKEN, "a@pve!t");
    acl(t, "/vms/100", AUTH_ACL_TOKEN, "aa@pve!t");
    acl(t, "/nodes", AUTH_ACL_TOKEN, "a@pvex!t");
    acl(t, "/vms/100", AUTH_ACL_GROUP, "g");
    acl(t, "/pool/p", AUTH_ACL_GROUP, "g");
    auth_txn_token(t, &k);
    auth_txn_token_secret(t, "a@pve!t", secret);
    auth_txn_password(t, "a@pve", "x");
    auth_txn_group_member(t, "g", "a@pve", true);
    auth_txn_group_member(t, "g", "aa@pve", true);
    auth_txn_group_member(t, "h", "a@pve", true);
    auth_txn_pool(t, &p);
    auth_txn_storage_pool(t, "s", "p", true);
    fake_commit(t);
    t = state_txn_new();
    auth_txn_guest_pool(auth, t, 100, "p");
    auth_txn_guest_pool(auth, t, 101, "p");
    fake_commit(t);
}

static size_t forget(enum auth_kind kind, const char *id, size_t max)
{
    struct state_txn *t = state_txn_new();
    size_t n = auth_txn_forget(auth, t, kind, id, max);

    assert_int_equal(state_txn_count(t), n);
    fake_commit(t);
    return n;
}

static void test_forget_user(void **arg)
{
    populate();
    size_t n = 0, step;
    while ((step = forget(AUTH_USER, "a@pve", 2)) > 0)
        n += step;
    assert_int_equal(n, 7); /* two entries, token, secret, password, two groups */
    assert_int_equal(count_entries(), 5);
    assert_null(auth_find(auth, AUTH_TOKEN, "a@pve!t"));
    assert_null(auth_find(auth, AUTH_SECRET, "a@pve!t"));
    assert_null(auth_find(auth, AUTH_MEMBER, "a@pve"));
    assert_non_null(auth_find(auth, AUTH_MEMBER, "aa@pve"));
    assert_null(auth_password_hash(auth, "a@pve"));
}

static void test_forget_others(void **arg)
{
    populate();
    assert_int_equal(forget(AUTH_TOKEN, "a@pve!t", 100), 2);
    assert_int_equal(forget(AUTH_POOL, "p", 100), 4);
    assert_null(auth_find(auth, AUTH_GUEST, "100"));
    assert_null(auth_find(auth, AUTH_STORAGE, "s"));
    assert_int_equal(forget(AUTH_GROUP, "g", 100), 3);
    assert_int_equal(forget(AUTH_ROLE, "PVEAuditor", 100), 4);
    assert_int_equal(count_entries(), 0);
    assert_int_equal(forget(AUTH_REALM, "pve", 100), 0);
    struct state_txn *t = state_txn_new();
    acl(t, "/access/realm/own", AUTH_ACL_USER, "aa@pve");
    acl(t, "/access/realm/owner", AUTH_ACL_USER, "aa@pve");
    fake_commit(t);
    assert_int_equal(forget(AUTH_REALM, "own", 100), 1);
    assert_int_equal(count_entries(), 1);
}

static void test_guest_purge(void **arg)
{
    struct state_txn *t = state_txn_new();

    populate();
    auth_txn_guest_purge(auth, t, 100);
    assert_int_equal(state_txn_count(t), 4);
    fake_commit(t);
    assert_null(auth_pool_of_guest(auth, 100));
    assert_string_equal(auth_pool_of_guest(auth, 101), "p");
    assert_null(auth_find(auth, AUTH_ACL, "/vms/100"));
    t = state_txn_new();
    auth_txn_guest_purge(auth, t, 200);
    assert_int_equal(state_txn_count(t), 0);
    /* A pool that is not there: the commit must fail. */
    auth_txn_guest_pool(auth, t, 100, "gone");
    assert_int_equal(t->ops[0].kind, FAKE_EXPECT);
    assert_true(t->ops[0].revision == UINT64_MAX);
    state_txn_free(t);
}

/* Keys and values that do not fit must break the transaction, not become others. */
static void test_too_large(void **arg)
{
    char big[70 * 1024];
    struct auth_group g = {.item.key = (char *)"g", .comment = big};
    struct state_txn *t = state_txn_new();

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    auth_txn_group(t, &g);
    assert_int_equal(t->broken, -E2BIG);
    state_txn_free(t);
    t = state_txn_new();
    auth_txn_delete(t, AUTH_GROUP, big);
    assert_int_equal(t->broken, -E2BIG);
    state_txn_free(t);
}

static void test_acl_entries(void **arg)
{
    static const char key[] = "shared/auth/acl/vms user a@pve PVEAuditor";
    const struct auth_acl *a;

    fake_feed(key, "{\"format\":1,\"propagate\":1}");
    fake_feed(key, "{\"format\":1,\"propagate\":0}");
    a = auth_find(auth, AUTH_ACL, "/vms");
    assert_int_equal(a->n, 1);
    assert_false(a->entries[0].is_propagated);
    assert_string_equal(auth_acl_type_name(a->entries[0].type), "user");
    fake_feed("shared/auth/acl/vms user b@pve PVEAuditor", NULL);
    fake_feed("shared/auth/acl/none user b@pve PVEAuditor", NULL);
    fake_feed(key, NULL);
    assert_null(auth_find(auth, AUTH_ACL, "/vms"));
}

/* Records of other shapes are refused whole. */
static void test_bad_records(void **arg)
{
    static const char *const rows[][2] = {{"shared/auth/user/x@pve", "{\"format\":1,\"enable\":\"1\"}"},
                                          {"shared/auth/user/x@pve", "{\"format\":1,\"firstname\":1}"},
                                          {"shared/auth/user/x@pve", "{\"format\":2}"},
                                          {"shared/auth/user/x@pve", "{\"format\":1,\"a\":[[[[[[[[[]]]]]]]]]}"},
                                          {"shared/auth/realm/r", "{\"format\":1}"},
                                          {"shared/auth/token/x@pve!t", "{\"format\":1,\"expire\":\"1\"}"},
                                          {"shared/secret/password/x@pve", "{\"format\":1}"},
                                          {"shared/secret/token/x@pve!t", "{\"format\":1,\"hash\":\"zz\"}"},
                                          {"shared/secret/token/x@pve!t", "{\"format\":1,\"hash\":5}"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        fake_feed(rows[i][0], rows[i][1]);
    assert_int_equal(auth_objects(auth, AUTH_USER)->n, 0);
    assert_int_equal(auth_objects(auth, AUTH_REALM)->n, 0);
    assert_int_equal(auth_objects(auth, AUTH_TOKEN)->n, 0);
    assert_int_equal(auth_objects(auth, AUTH_SECRET)->n, 0);
    assert_true(auth_is_usable(auth));
    fake_feed("shared/auth/role/R", "{\"format\":1,\"privs\":[1]}");
    assert_false(auth_is_usable(auth));
    fake_feed("shared/auth/role/R", "{\"format\":1,\"privs\":[\"VM.Audit\",\"VM.FromTheFuture\"]}");
    assert_true(auth_is_usable(auth));
    /* Keys that are no memberships are ignored. */
    fake_feed("shared/auth/member/x", "{\"format\":1}");
    fake_feed("shared/auth/member/group/g", "{\"format\":1}");
    assert_int_equal(auth_objects(auth, AUTH_MEMBER)->n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_userids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subjects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_normalize, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_users_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_round_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget_user, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guest_purge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_acl_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_records, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
