/* Records about the log itself, and the names of parameters that are secrets. Any thread. */
#include "audit/audit_priv.h"
#include "base/clock.h"
#include "base/json.h"

void audit_note_body(struct buf *out, const char *event, const char *text)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_kv_int(&w, "time", clock_wall_ms());
    jw_kv_str(&w, "event", event);
    if (text)
        jw_kv_str(&w, "text", text);
    jw_object_end(&w);
}

bool audit_is_secret(const char *name)
{
    /* Parts of names; what is masked by mistake does less harm than what is not. */
    static const char *const parts[] = {"pass", "secret", "ticket", "challenge", "private", "otp"};
    static const char *const names[] = {"key", "keys", "value", "response", "csrf", "CSRFPreventionToken"};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (strcasestr(name, parts[i]))
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (streq(name, names[i]))
            return true;
    return false;
}
