/* What strangers send as proof of who they are, and names and paths beside it. The first byte chooses; the rest is the
 * text. Nothing but the one good proof of each kind may be accepted. */
#include "auth/fake_state.h"
#include "auth/second.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct auth *auth;
static struct auth_subject ada = {.user = "ada@pve"};
static char good_ticket[256], good_csrf[128], good_token[160], good_challenge[AUTH_CHALLENGE_CAP];

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void begin(void)
{
    struct err e = ERR_INIT;
    char secret[AUTH_TOKEN_SECRET_CAP];
    struct state_txn *t = state_txn_new();

    need(auth_new(NULL, &auth, &e) == 0);
    fake_commit(auth_upkeep(auth));
    fake_feed("shared/auth/user/ada@pve", "{\"format\":1}");
    fake_feed("shared/auth/token/ada@pve!ci", "{\"format\":1}");
    auth_txn_token_secret(t, "ada@pve!ci", secret);
    fake_commit(t);
    need(auth_ticket_make(auth, "ada@pve", good_ticket, sizeof(good_ticket), &e) == 0);
    need(auth_csrf_make(auth, "ada@pve", good_csrf, sizeof(good_csrf), &e) == 0);
    fake_feed("shared/secret/tfa/ada@pve", "{\"format\":1,\"entries\":[]}");
    need(auth_challenge_make(auth, "ada@pve", good_challenge, &e) == 0);
    snprintf(good_token, sizeof(good_token), "ada@pve!ci=%s", secret);
}

static void try_proofs(const char *text)
{
    struct auth_subject s;
    struct err e = ERR_INIT;

    need(auth_ticket_verify(auth, text, &s, &e) < 0 || streq(text, good_ticket));
    need(auth_csrf_verify(auth, text, &ada, &e) < 0 || streq(text, good_csrf));
    need(auth_token_verify(auth, text, &s, &e) < 0 || streq(text, good_token));
    need(auth_console_ticket_use(auth, text, &ada, "/vms/100", 5900, &e) < 0);
    need(auth_challenge_verify(auth, text, "ada@pve", &e) < 0 || streq(text, good_challenge));
}

/* The good proofs, changed by the input: byte at [0] xor [1], cut to [2]. */
static void try_changed(const char *text, size_t n)
{
    const char *const all[] = {good_ticket, good_csrf, good_token, good_challenge};
    char copy[AUTH_CHALLENGE_CAP], console[128];
    struct auth_subject s;
    struct err e = ERR_INIT;

    if (n < 3)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        size_t len = strlen(all[i]);
        memcpy(copy, all[i], len + 1);
        copy[(uint8_t)text[0] % len] = (char)(copy[(uint8_t)text[0] % len] ^ text[1]);
        copy[len - (uint8_t)text[2] % len] = 0;
        try_proofs(copy);
        need(streq(copy, all[i]) || auth_ticket_verify(auth, copy, &s, &e) < 0);
    }
    need(auth_console_ticket_make(auth, &ada, "/vms/100", 5900, console, sizeof(console), &e) == 0);
    size_t len = strlen(console);
    console[(uint8_t)text[0] % len] = (char)(console[(uint8_t)text[0] % len] ^ (text[1] ? text[1] : 1));
    need(auth_console_ticket_use(auth, console, &ada, "/vms/100", 5900, &e) < 0);
}

static void try_names(const char *text)
{
    struct auth_subject s;
    struct err e = ERR_INIT;
    char path[AUTH_PATH_MAX], again[AUTH_PATH_MAX], id[200];

    if (auth_path_normalize(text, path, sizeof(path), &e) == 0) {
        need(auth_path_normalize(path, again, sizeof(again), &e) == 0 && streq(path, again));
        if (auth_path_check(path, &e) == 0)
            need(path[0] == '/' && !strstr(path, "//"));
    }
    if (auth_path_check(text, &e) == 0)
        need(auth_path_normalize(text, path, sizeof(path), &e) == 0 && streq(text, path));
    (void)!auth_has(auth, &ada, text, PRIV_M(VM_AUDIT), true);
    if (auth_subject_parse(text, &s, &e) == 0) {
        auth_subject_format(&s, id, sizeof(id));
        need(streq(id, text) && s.is_root == streq(text, "root@pam") && auth_userid_check(s.user, &e) == 0);
    }
    (void)!auth_poolid_check(text, &e);
    for (const char *pos = text; auth_list_next(&pos, id, 8);)
        need(strlen(id) < 8);
}

/* Records as a damaged store might give them, in a world of its own. */
static void try_record(const char *text)
{
    static const char *const keys[] = {
        "shared/auth/user/x@pve",      "shared/auth/group/x",          "shared/auth/role/x",
        "shared/auth/realm/x",         "shared/auth/token/x@pve!t",    "shared/auth/acl/vms user x@pve NoAccess",
        "shared/auth/pool/x",          "shared/auth/member/guest/100", "shared/secret/ticket",
        "shared/secret/token/x@pve!t", "shared/secret/tfa/x@pve"};
    struct auth *old = auth;
    struct err e = ERR_INIT;
    char key[300];

    for (size_t i = 0; i < FAKE_WATCHES_MAX; i++)
        fake_watches[i].prefix = NULL;
    need(auth_new(NULL, &auth, &e) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        fake_feed(keys[i], text);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        fake_feed(keys[i], NULL);
    snprintf(key, sizeof(key), "shared/auth/acl/%.200s", text);
    fake_feed(key, "{\"format\":1,\"propagate\":1}");
    fake_feed(key, NULL);
    snprintf(key, sizeof(key), "shared/auth/member/%.200s", text);
    fake_feed(key, "{\"format\":1}");
    fake_feed(key, NULL);
    auth_free(auth);
    auth = old;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!auth) {
        log_init("fuzz-ticket", LOG_ERROR - 1);
        begin();
    }
    if (n == 0)
        return 0;
    autofree char *text = strndup((const char *)data + 1, n - 1);
    need(text);
    switch (data[0] % 4) {
    case 0:
        try_proofs(text);
        break;
    case 1:
        try_changed(text, strlen(text));
        break;
    case 2:
        try_names(text);
        break;
    default:
        try_record(text);
    }
    return 0;
}
