/* Names: users, realms, groups, roles, pools, token ids, lists of them and the subject that a request acts as. The
 * forms are PVE's (pve-conventions 6.3), with a maximum length beside each. Pure. */
#include "auth/model.h"

#define NAME_MAX_CHARS  64u
#define REALM_MAX_CHARS 32u
#define POOL_PARTS_MAX  3u

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name_char(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_name(const char *s, size_t n, size_t max)
{
    if (n == 0 || n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_name_char(s[i]))
            return false;
    return true;
}

/* Realms and token ids: a letter first, two characters or more. */
static bool is_word(const char *s, size_t n, size_t max)
{
    return n >= 2 && is_letter(s[0]) && is_name(s, n, max);
}

/* Characters of a user's name; UTF-8, because ids are keys and JSON. */
static bool is_user_part(const char *s, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        unsigned char c = (unsigned char)s[i];
        len = utf8_len(s + i, n - i);
        if (c <= 0x20 || c == 0x7f || c == ':' || c == '/' || len == 0)
            return false;
    }
    return n > 0;
}

static bool is_userid(const char *s, size_t n)
{
    const char *at = memrchr(s, '@', n);

    if (!at || n > AUTH_USER_MAX)
        return false;
    size_t user = (size_t)(at - s);
    return is_user_part(s, user) && is_word(at + 1, n - user - 1, REALM_MAX_CHARS);
}

int auth_userid_check(const char *userid, struct err *e)
{
    if (is_userid(userid, strlen(userid)))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "value '%.80s' does not look like a valid user name", userid);
}

int auth_realm_check(const char *realm, struct err *e)
{
    if (is_word(realm, strlen(realm), REALM_MAX_CHARS))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "value '%.80s' does not look like a valid realm", realm);
}

int auth_groupid_check(const char *group, struct err *e)
{
    if (is_name(group, strlen(group), NAME_MAX_CHARS))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "group name '%.80s' contains invalid characters", group);
}

int auth_roleid_check(const char *role, struct err *e)
{
    if (is_name(role, strlen(role), NAME_MAX_CHARS))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "role name '%.80s' contains invalid characters", role);
}

int auth_poolid_check(const char *pool, struct err *e)
{
    unsigned parts = 1;

    for (const char *p = pool;; parts++) {
        size_t n = strcspn(p, "/");
        if (!is_name(p, n, NAME_MAX_CHARS) || parts > POOL_PARTS_MAX)
            break;
        if (!p[n])
            return 0;
        p += n + 1;
    }
    return err_set(e, -EINVAL, "param.invalid", "pool name '%.80s' contains invalid characters", pool);
}

int auth_tokenid_check(const char *id, struct err *e)
{
    if (is_word(id, strlen(id), AUTH_TOKEN_MAX))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "value '%.80s' does not look like a valid token ID", id);
}

const char *auth_realm_of(const char *userid)
{
    const char *at = strrchr(userid, '@');

    return at ? at + 1 : "";
}

int auth_subject_parse(const char *text, struct auth_subject *ret, struct err *e)
{
    /* A user's name may contain '!' and '@', a realm neither: the token begins behind the last '@'. */
    const char *at = strrchr(text, '@'), *bang = at ? strchr(at, '!') : NULL;
    size_t n = bang ? (size_t)(bang - text) : strlen(text);
    struct auth_subject s = {.token = ""};

    if (!is_userid(text, n) || (bang && !is_word(bang + 1, strlen(bang + 1), AUTH_TOKEN_MAX)))
        return err_set(e, -EINVAL, "param.invalid", "value '%.150s' does not look like a valid user or token name",
                       text);
    memcpy(s.user, text, n);
    if (bang)
        memcpy(s.token, bang + 1, strlen(bang + 1));
    s.is_root = !bang && streq(s.user, "root@pam");
    *ret = s;
    return 0;
}

void auth_subject_format(const struct auth_subject *s, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s%s%s", s->user, s->token[0] ? "!" : "", s->token);
}

bool auth_list_next(const char **pos, char *dst, size_t cap)
{
    static const char separators[] = ",; \t\r\n\f\v";
    const char *p = *pos + strspn(*pos, separators);
    size_t n = strcspn(p, separators);

    *pos = p + n;
    if (n == 0)
        return false;
    if (n >= cap)
        n = 0;
    memcpy(dst, p, n);
    dst[n] = 0;
    return true;
}
