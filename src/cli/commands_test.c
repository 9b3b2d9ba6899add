/* Walks the command table: every row is documented, unique and well-formed, and what it asks of the API is in the facts
 * about Proxmox VE's API or among our extensions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/command_priv.h"

static json_t *facts, *extensions;

static int load(void **state)
{
    json_t *whole = json_load_file(HOLM_TOP "/tests/data/pve-api.json", 0, NULL);

    facts = json_incref(json_object_get(whole, "paths"));
    extensions = json_load_file(HOLM_TOP "/api/extensions.json", 0, NULL);
    json_decref(whole);
    return facts && extensions ? 0 : -1;
}

static int unload(void **state)
{
    json_decref(facts);
    json_decref(extensions);
    return 0;
}

/* A route of ours: its parameters stand in the list of extensions. */
static bool is_own_route(const char *method, const char *path)
{
    char name[256];
    size_t i;
    json_t *value;

    snprintf(name, sizeof(name), "%s %s", method, path);
    json_array_foreach(json_object_get(extensions, "routes"), i,
                       value) if (streq(json_string_value(value), name)) return true;
    return false;
}

static json_t *route_params(const char *method, const char *path)
{
    json_t *route = json_object_get(json_object_get(facts, path), method);

    if (!route && !is_own_route(method, path))
        fail_msg("%s %s is not a route", method, path);
    return json_object_get(json_object_get(route, "parameters"), "properties");
}

static bool is_extension(const char *method, const char *path, const char *key)
{
    char name[256];
    size_t i;
    json_t *value;

    snprintf(name, sizeof(name), "%s %s", method, path);
    json_array_foreach(json_object_get(json_object_get(extensions, "params"), name), i,
                       value) if (streq(json_string_value(value), key)) return true;
    return false;
}

/* "scsi0" is the route's "scsi[n]". */
static bool is_param(const char *method, const char *path, const char *key)
{
    json_t *params = route_params(method, path);
    size_t n = strcspn(key, "0123456789");
    char indexed[64];

    snprintf(indexed, sizeof(indexed), "%.*s[n]", (int)n, key);
    return json_object_get(params, key) || (key[n] && json_object_get(params, indexed)) ||
           is_extension(method, path, key);
}

static void each_row_is_documented(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *c = &command_table[i];
        char start[64];
        assert_non_null(noun_find(c->noun));
        assert_non_null(c->verb);
        assert_true(c->help && strlen(c->help) > 10 && c->help[strlen(c->help) - 1] == '.');
        snprintf(start, sizeof(start), "holm %s%s%s", c->noun, *c->verb ? " " : "", c->verb);
        assert_true(c->example && str_starts(c->example, start));
        assert_true(c->run || (c->method && c->path));
        assert_false(c->flags & CMD_ANY_KEY && !(c->flags & CMD_PASSTHROUGH));
        for (const struct cli_opt *o = c->opts; o && o->name; o++)
            assert_true(o->help && *o->help);
        for (size_t k = 0; k < i; k++)
            assert_false(streq(c->noun, command_table[k].noun) && streq(c->verb, command_table[k].verb));
    }
}

static void each_noun_has_commands(void **state)
{
    for (size_t i = 0; i < noun_count; i++) {
        size_t n = 0;
        for (size_t k = 0; k < command_count; k++)
            n += streq(command_table[k].noun, noun_table[i].name);
        assert_true(n > 0);
        assert_true(strlen(noun_table[i].help) > 3);
    }
}

static void arguments_are_well_formed(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        bool is_optional = false;
        for (const struct cli_arg *a = command_table[i].args; a && a->label; a++) {
            assert_false(is_optional && !a->is_optional); /* optional ones come last */
            assert_false(a->kind == ARG_GUESTS && a[1].label);
            is_optional = a->is_optional;
        }
    }
}

static void options_are_typed(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_opt *opts = command_table[i].opts;
        for (const struct cli_opt *o = opts; o && o->name; o++) {
            bool is_flag = o->kind == OPT_FLAG || o->kind == OPT_NO;
            assert_true(is_flag == !o->value);
            assert_true((o->kind == OPT_CHOICE || o->kind == OPT_CHOICES) == !!o->choices);
            assert_ptr_equal(opt_find(opts, o->name), o); /* unique */
            assert_null(opt_find(global_opts, o->name));  /* and not a global one */
            assert_true(o->key || o->kind != OPT_SECRET);
            assert_false(o->key && args_key_is_secret(o->key) && o->kind != OPT_SECRET);
        }
    }
}

/* console's options belong to the termproxy call it makes first. */
static const char *option_path(const struct cli_command *c)
{
    return c->run == vm_console_run ? "/nodes/{node}/qemu/{vmid}/termproxy" : c->path;
}

static const char *option_method(const struct cli_command *c)
{
    return c->run == vm_console_run ? "POST" : c->method;
}

static void each_call_is_a_known_route(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *c = &command_table[i];
        char key[64];
        if (!c->path)
            continue;
        assert_non_null(c->method);
        route_params(c->method, c->path);
        if (c->force_path) {
            route_params(c->method, c->force_path);
            assert_non_null(opt_find(c->opts, "force"));
        }
        if (c->fixed) {
            snprintf(key, sizeof(key), "%.*s", (int)strcspn(c->fixed, "="), c->fixed);
            assert_true(is_param(c->method, c->path, key));
        }
    }
}

static void each_parameter_is_known(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *c = &command_table[i];
        for (const struct cli_opt *o = c->path ? c->opts : NULL; o && o->name; o++) {
            if (o->key && !is_param(option_method(c), option_path(c), o->key))
                fail_msg("%s %s --%s: no parameter '%s'", c->noun, c->verb, o->name, o->key);
            if (o->key && c->force_path && !is_param(c->method, c->force_path, o->key))
                fail_msg("%s %s --force --%s: no parameter '%s'", c->noun, c->verb, o->name, o->key);
        }
        for (const struct cli_arg *a = c->path ? c->args : NULL; a && a->label; a++)
            if (a->key && !is_param(c->method, c->path, a->key))
                fail_msg("%s %s %s: no parameter '%s'", c->noun, c->verb, a->label, a->key);
    }
}

/* Every {placeholder} is the node, an argument, or filled by the command itself. */
static void each_placeholder_is_filled(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *c = &command_table[i];
        for (const char *p = c->path && !c->run ? strchr(c->path, '{') : NULL; p; p = strchr(p + 1, '{')) {
            bool is_filled = str_starts(p, "{node}");
            for (const struct cli_arg *a = c->args; a && a->label && !is_filled; a++)
                is_filled = a->key && strncmp(p + 1, a->key, strlen(a->key)) == 0 && p[1 + strlen(a->key)] == '}';
            assert_true(is_filled);
        }
    }
}

static void dry_run_is_where_the_api_has_it(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *c = &command_table[i];
        if (c->path)
            assert_true(!!(c->flags & CMD_DRY_RUN) == is_extension(c->method, c->path, "dry-run"));
    }
}

static void what_deletes_asks(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *c = &command_table[i];
        if ((c->method && streq(c->method, "DELETE")) || str_ends(c->verb, "delete"))
            assert_true(c->flags & CMD_ASKS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_documented),     cmocka_unit_test(each_noun_has_commands),
        cmocka_unit_test(arguments_are_well_formed),  cmocka_unit_test(options_are_typed),
        cmocka_unit_test(each_call_is_a_known_route), cmocka_unit_test(each_parameter_is_known),
        cmocka_unit_test(each_placeholder_is_filled), cmocka_unit_test(dry_run_is_where_the_api_has_it),
        cmocka_unit_test(what_deletes_asks),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
