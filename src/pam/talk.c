/* The verbs: what is asked of PAM. Modules may block; nothing here waits for them longer than holmd lets this process
 * live. Of an answer only success and libpam's own words for a failure leave this process: what modules say is theirs.
 */
#include <crypt.h>
#include <security/pam_appl.h>

#include "pam/pam.h"

static void free_answers(struct pam_response *answers, int n)
{
    for (int i = 0; i < n; i++) {
        if (answers[i].resp)
            mem_wipe(answers[i].resp, strlen(answers[i].resp));
        free(answers[i].resp);
    }
    free(answers);
}

static int answer_one(struct pam_talk *t, const struct pam_message *m, struct pam_response *ret)
{
    switch (m->msg_style) {
    case PAM_PROMPT_ECHO_OFF:
        if (t->n_answers++ == PAM_ANSWERS_MAX)
            return PAM_CONV_ERR;
        ret->resp = strdup(t->password);
        return ret->resp ? PAM_SUCCESS : PAM_BUF_ERR;
    case PAM_ERROR_MSG:
    case PAM_TEXT_INFO:
        return PAM_SUCCESS;
    default:
        return PAM_CONV_ERR; /* a question that nobody is there to answer */
    }
}

int pam_talk_answer(int n, const struct pam_message **messages, struct pam_response **ret, void *arg)
{
    int r = PAM_SUCCESS;

    if (n <= 0 || n > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    struct pam_response *answers = calloc((size_t)n, sizeof(*answers));
    if (!answers)
        return PAM_BUF_ERR;
    for (int i = 0; i < n && r == PAM_SUCCESS; i++)
        r = answer_one(arg, messages[i], &answers[i]);
    if (r == PAM_SUCCESS)
        *ret = answers;
    else
        free_answers(answers, n);
    return r;
}

/* holmd makes failures slow itself; a slot must not be held for it. */
static void no_delay(int result, unsigned us, void *arg)
{
}

/* Without its file libpam would ask the service "other": nobody should have to find that out. */
static int check_service(struct err *e)
{
    static const char *const files[] = {"/etc/pam.d/" PAM_SERVICE_NAME, "/usr/lib/pam.d/" PAM_SERVICE_NAME};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (access(files[i], R_OK) == 0)
            return 0;
    err_set(e, -ENOENT, "pam.service", "PAM has no service '" PAM_SERVICE_NAME "': there is no %s", files[0]);
    return err_hint(e, "install Holm's file src/pam/holm.pam as %s", files[0]);
}

static int begin(const struct pam_request *q, const struct pam_conv *conv, pam_handle_t **ret, struct err *e)
{
    int r = check_service(e);

    if (r < 0)
        return r;
    r = pam_start(PAM_SERVICE_NAME, q->name, conv, ret);
    if (r == PAM_SUCCESS)
        r = pam_set_item(*ret, PAM_FAIL_DELAY, (const void *)no_delay);
    if (r == PAM_SUCCESS && q->host[0])
        r = pam_set_item(*ret, PAM_RHOST, q->host);
    return r == PAM_SUCCESS ? 0 : err_set(e, -EIO, "pam.failed", "PAM does not start: %s", pam_strerror(*ret, r));
}

/* A module may have made another user of the one that was asked about. */
static bool is_same_user(pam_handle_t *h, const char *name)
{
    const void *now = NULL;

    return pam_get_item(h, PAM_USER, &now) == PAM_SUCCESS && now && streq(now, name);
}

static int authenticate(const struct pam_request *q, struct err *e)
{
    struct pam_talk talk = {.password = q->password};
    struct pam_conv conv = {.conv = pam_talk_answer, .appdata_ptr = &talk};
    const int flags = PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK;
    pam_handle_t *h = NULL;
    int r = begin(q, &conv, &h, e);

    if (r < 0)
        return r;
    r = pam_authenticate(h, flags);
    bool is_proved = r == PAM_SUCCESS;
    if (is_proved)
        r = is_same_user(h, q->name) ? pam_acct_mgmt(h, flags) : PAM_USER_UNKNOWN;
    if (r == PAM_SUCCESS && !is_same_user(h, q->name))
        r = PAM_USER_UNKNOWN;
    if (r == PAM_NEW_AUTHTOK_REQD)
        err_set(e, -EACCES, "auth.failed", "the password has expired and must be changed on the host first");
    else if (r != PAM_SUCCESS)
        err_set(e, -EACCES, "auth.failed", "PAM refuses the %s: %s", is_proved ? "account" : "password",
                pam_strerror(h, r));
    pam_end(h, r);
    return r == PAM_SUCCESS ? 0 : -EACCES;
}

static int set_password(const struct pam_request *q, struct err *e)
{
    struct pam_talk talk = {.password = q->password};
    struct pam_conv conv = {.conv = pam_talk_answer, .appdata_ptr = &talk};
    pam_handle_t *h = NULL;
    int r = begin(q, &conv, &h, e);

    if (r < 0)
        return r;
    r = pam_chauthtok(h, PAM_SILENT);
    if (r != PAM_SUCCESS)
        err_set(e, -EIO, "pam.password", "PAM did not change the password: %s", pam_strerror(h, r));
    pam_end(h, r);
    return r == PAM_SUCCESS ? 0 : -EIO;
}

/* For names that Holm does not know: as much work as a wrong password of the host's usual kind, and PAM is not asked,
 * so that a stranger can neither lock nor probe accounts that have nothing to do with Holm. */
static int refuse(const struct pam_request *q, struct err *e)
{
    struct crypt_data data = {0};
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];

    if (crypt_gensalt_rn(NULL, 0, NULL, 0, salt, sizeof(salt)))
        crypt_r(q->password, salt, &data);
    mem_wipe(&data, sizeof(data));
    return err_set(e, -EACCES, "auth.failed", "no such user");
}

const struct pam_verb pam_verbs[] = {
    {.name = "authenticate", .min_args = 1, .max_args = 2, .run = authenticate},
    {.name = "set-password", .min_args = 1, .max_args = 1, .run = set_password},
    {.name = "refuse", .min_args = 0, .max_args = 0, .run = refuse},
    {0},
};

const struct pam_verb *pam_verb_find(const char *name)
{
    for (const struct pam_verb *v = pam_verbs; v->name; v++)
        if (streq(v->name, name))
            return v;
    return NULL;
}
