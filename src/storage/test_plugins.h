/* For tests that run over every plugin whose volumes lie below a folder: the plugins, each with a file system that it
 * works on, and where it puts things. A new plugin of that kind is a row in test_plugins.c. */
#ifndef HOLM_STORAGE_TEST_PLUGINS_H
#define HOLM_STORAGE_TEST_PLUGINS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "storage/storage_priv.h"

struct test_plugin {
    const char *type;
    const char *raw_file; /* a raw image is a folder with this file in it; NULL: a file */
    unsigned n_races;     /* rounds of a race that a test has time for */
    bool can_copy_raw;    /* by reference, whatever the machine */
    /* Makes the folder that all tests' folders are made in; "" in ret with the reason, where the machine cannot. */
    void (*prepare)(char *ret, size_t cap, char *reason, size_t reason_cap);
};

/* The one whose turn it is. */
extern const struct test_plugin *test_plugin;

/* A new folder for a test, on what the plugin works on. 0, or -1. */
MUST_CHECK int test_plugin_folder(char *dst, size_t cap);
/* Removes it and what is in it. */
MUST_CHECK int test_plugin_folder_remove(const char *path);
/* A storage "local" in FOLDER/store; more: further keys, each after a comma. */
struct storage *test_plugin_storage(const char *folder, const char *more);
/* FOLDER/store/BELOW, where `below` calls a raw image as dir does, "images/100/vm-100-disk-0.raw". The next calls
 * overwrite it. */
const char *test_plugin_path(const char *folder, const char *below);
/* A new btrfs file system on a folder, seen by this process alone. option: of mkfs.btrfs, or NULL. False with the
 * reason where the machine cannot. */
bool test_btrfs_mount(const char *folder, const char *option, char *reason, size_t reason_cap);
/* What a power cut leaves of the last one: it is mounted again with what the device had been given. */
MUST_CHECK int test_btrfs_power_cut(const char *folder);
/* The tests once for each plugin; where the machine lacks what one needs it says so. The programs' exit code. */
int test_plugins_run(const struct CMUnitTest *tests, size_t n);
/* The tests for this type alone. */
int test_plugin_run(const char *type, const struct CMUnitTest *tests, size_t n);

#endif
