/* Shape of the generated route tables (tools/gen-api). Const data only. */
#ifndef HOLM_API_ROUTE_H
#define HOLM_API_ROUTE_H

#include "api/api.h"

enum api_kind { API_STRING, API_INTEGER, API_NUMBER, API_BOOLEAN, API_ARRAY };
enum api_key_class { API_KEY_ACTED, API_KEY_ADVISORY, API_KEY_REFUSED };

struct api_param {
    const char *name;  /* NULL ends a table; an indexed one ("scsi[n]") without its brackets */
    const char *alias; /* inside property strings: another name of this key */
    enum api_kind kind;
    bool is_optional, is_config, is_default_key, default_true, has_default, has_min, has_max;
    enum api_key_class key_class; /* configuration keys */
    const char *privilege;        /* configuration keys: "VM.Config.Disk", or "root" */
    unsigned count;               /* > 0: indexed, index below this */
    double min, max;
    unsigned min_len, max_len;
    int64_t default_int;
    const char *const *enums;
    const char *format;
    const char *pattern; /* POSIX extended */
    const char *requires;
    const struct api_param *props; /* property string */
    size_t offset, has_offset;
};

enum api_perm_kind {
    PERM_END,
    PERM_ROOT,
    PERM_WORLD,
    PERM_ALL,
    PERM_AND,
    PERM_OR,
    PERM_PERM,
    PERM_USERID_SELF,
    PERM_USERID_REALM,
    PERM_USERID_GROUP,
    PERM_MODIFY,
    PERM_GROUP,
};

struct api_perm {
    enum api_perm_kind kind;
    const char *path; /* "/vms/{vmid}" */
    priv_mask mask;
    bool is_any, is_groups_param, is_update;
    const char *require_param;
    const struct api_perm *children; /* ended by PERM_END */
};

struct api_route {
    const char *method, *path, *handler_name;
    int (*call)(struct api_call *c, const void *args, struct err *e);
    size_t args_size;
    const struct api_param *params;
    size_t n_params;
    const struct api_perm *permission;
    bool is_token_allowed, has_config;
    const char *kind; /* "plain", "websocket", "upload" */
    size_t config_offset;
};

extern const struct api_route api_routes[];

/* Parameter of a route that a client's name means ("scsi3" finds scsi[n]); NULL if none. */
const struct api_param *api_route_param(const struct api_route *route, const char *name);
/* The route that this handler serves, by the name that api/ gives it; and a parameter of it. NULL if there is none. */
const struct api_route *api_route_of(const char *handler);
const struct api_param *api_handler_param(const char *handler, const char *name);

/* Checks one value against its schema: 0 or -EINVAL with PVE's text in e. Pure. */
MUST_CHECK int api_value_check(const struct api_param *p, char kind, const char *value, struct err *e);
/* Named formats: 0 or -EINVAL with the text that follows "invalid format - ". Unknown names are a bug (test walks all).
 */
MUST_CHECK int api_format_check(const char *format, const char *value, struct err *e);
bool api_format_is_known(const char *format);
/* "1", "on", "yes", "true" and their opposites: 1, 0, or -1. */
int api_bool(const char *value);

/* Validates c->raw against the route and fills the args struct. Errors are collected in c->param_errors. */
MUST_CHECK int api_validate(struct api_call *c, const struct api_route *route, void **ret_args, struct err *e);

/* Does the caller pass the route's permission? -EPERM or -EACCES in e. */
MUST_CHECK int api_perm_check(struct api_call *c, const struct api_route *route, struct err *e);

/* Value of a {name} in the route's path for this call, or of any parameter; NULL if absent. In c->arena. */
const char *api_path_param(const struct api_call *c, const char *name);

#endif
