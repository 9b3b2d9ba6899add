/* ACPI tables as an operating system walks them: from the root pointer to each, with sums and lengths; and, where iasl
 * is installed, taken apart by ACPICA without a complaint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmm/x86/acpi.h"
#include "vmm/x86/layout.h"

static struct memory memory;
static const struct acpi_machine machine = {
    .n_cpus = 64, .pci64_base = 1ull << 33, .pci64_size = LAYOUT_PCI64_SIZE, .has_serial = true};

static int setup(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    return memory_init(&memory, 16u << 20, LAYOUT_HOLE, 0, &e);
}
static int teardown(void **state)
{
    (void)state;
    memory_done(&memory);
    return 0;
}

static uint64_t number(uint64_t gpa, unsigned n)
{
    uint64_t v = 0;

    assert_int_equal(memory_read(&memory, gpa, &v, n), 0);
    return v;
}

static uint8_t sum(uint64_t gpa, uint64_t n)
{
    const uint8_t *p = memory_at(&memory, gpa, n);
    uint8_t s = 0;

    assert_non_null(p);
    for (uint64_t i = 0; i < n; i++)
        s = (uint8_t)(s + p[i]);
    return s;
}

/* A table with a good sum that lies in the place for them; its length. */
static uint32_t check_table(uint64_t gpa, const char *signature)
{
    uint32_t length = (uint32_t)number(gpa + 4, 4);

    assert_true(gpa >= LAYOUT_ACPI && gpa % 4 == 0 && length >= 36 && gpa + length <= LAYOUT_ACPI_END);
    assert_memory_equal(memory_at(&memory, gpa, 4), signature, 4);
    assert_int_equal(sum(gpa, length), 0);
    return length;
}

static uint64_t find(const char *signature)
{
    uint64_t xsdt = number(LAYOUT_ACPI + 24, 8);
    uint32_t length = check_table(xsdt, "XSDT");

    for (uint32_t at = 36; at < length; at += 8) {
        uint64_t gpa = number(xsdt + at, 8);

        if (!memcmp(memory_at(&memory, gpa, 4), signature, 4))
            return gpa;
    }
    fail_msg("no %s", signature);
    return 0;
}

static void test_root(void **state)
{
    (void)state;
    assert_memory_equal(memory_at(&memory, LAYOUT_ACPI, 8), "RSD PTR ", 8);
    assert_int_equal(sum(LAYOUT_ACPI, 20), 0);
    assert_int_equal(number(LAYOUT_ACPI + 20, 4), 36);
    assert_int_equal(sum(LAYOUT_ACPI, 36), 0);
    assert_int_equal(number(LAYOUT_ACPI + 15, 1), 2);
    assert_int_equal(check_table(number(LAYOUT_ACPI + 24, 8), "XSDT"), 36 + 3 * 8);
}

static void test_fadt(void **state)
{
    uint64_t fadt = find("FACP");

    (void)state;
    assert_int_equal(check_table(fadt, "FACP"), 276);
    assert_true(number(fadt + 112, 4) & 1u << 20); /* hardware-reduced */
    assert_int_equal(number(fadt + 116 + 4, 8), LAYOUT_PORT_POWER + 2);
    assert_int_equal(number(fadt + 128, 1), 1);
    check_table(number(fadt + 140, 8), "DSDT");
    assert_int_equal(number(fadt + 244 + 4, 8), LAYOUT_PORT_POWER);
    assert_int_equal(number(fadt + 256 + 4, 8), LAYOUT_PORT_POWER + 1);
}

static void test_madt(void **state)
{
    uint64_t madt = find("APIC");
    uint32_t length = check_table(madt, "APIC"), at = 44;
    unsigned n_cpus = 0, n_ioapics = 0;

    (void)state;
    assert_int_equal(number(madt + 36, 4), LAYOUT_LAPIC);
    for (; at + 2 <= length; at += (uint32_t)number(madt + at + 1, 1)) {
        assert_true(number(madt + at + 1, 1) >= 2);
        if (number(madt + at, 1) == 0) {
            assert_int_equal(number(madt + at + 3, 1), n_cpus++);
            assert_int_equal(number(madt + at + 4, 4), 1);
        } else {
            assert_int_equal(number(madt + at, 1), 1);
            assert_int_equal(number(madt + at + 4, 4), LAYOUT_IOAPIC);
            n_ioapics++;
        }
    }
    assert_int_equal(at, length);
    assert_int_equal(n_cpus, 64);
    assert_int_equal(n_ioapics, 1);
}

static void test_mcfg(void **state)
{
    uint64_t mcfg = find("MCFG");

    (void)state;
    assert_int_equal(check_table(mcfg, "MCFG"), 60);
    assert_int_equal(number(mcfg + 44, 8), LAYOUT_ECAM);
    assert_int_equal(number(mcfg + 54, 1), 0);
    /* As many buses as are answered for. */
    assert_int_equal((number(mcfg + 55, 1) + 1) << 20, LAYOUT_ECAM_SIZE);
}

static bool has_iasl(void)
{
    return access("/usr/bin/iasl", X_OK) == 0;
}

static void write_file(const char *path, uint64_t gpa)
{
    uint32_t length = (uint32_t)number(gpa + 4, 4);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, memory_at(&memory, gpa, length), length), length);
    close(fd);
}

static bool run_iasl(const char *option, const char *path)
{
    char *argv[] = {(char *)(uintptr_t) "iasl", (char *)(uintptr_t)option, (char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, "/usr/bin/iasl", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Taken apart, and what came out compiled again: nothing in it is against the grammar. */
static void test_iasl(void **state)
{
    static const char *const names[] = {"FACP", "APIC", "MCFG", "DSDT"};
    char folder[] = "/tmp/holm-acpi-XXXXXX", path[64], source[64];

    (void)state;
    if (!has_iasl())
        skip();
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        uint64_t gpa = streq(names[i], "DSDT") ? number(find("FACP") + 140, 8) : find(names[i]);

        snprintf(path, sizeof(path), "%s/%s.aml", folder, names[i]);
        snprintf(source, sizeof(source), "%s/%s.dsl", folder, names[i]);
        write_file(path, gpa);
        assert_true(run_iasl("-d", path));
        if (streq(names[i], "DSDT"))
            assert_true(run_iasl("-ve", source));
        unlink(path);
        unlink(source);
    }
    rmdir(folder);
}

static void test_without_serial(void **state)
{
    struct acpi_machine small = {.n_cpus = 1, .pci64_base = 1ull << 32, .pci64_size = 1u << 20};
    const char *p;
    struct err e = ERR_INIT;

    (void)state;
    memory_clear(&memory);
    assert_int_equal(acpi_write(&memory, &small, &e), 0);
    p = memory_at(&memory, LAYOUT_ACPI, LAYOUT_ACPI_END - LAYOUT_ACPI);
    assert_null(memmem(p, LAYOUT_ACPI_END - LAYOUT_ACPI, "COM1", 4));
    test_root(state);
    test_fadt(state);
    if (has_iasl())
        test_iasl(state);
}

static int write_tables(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    return acpi_write(&memory, &machine, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_root, write_tables), cmocka_unit_test_setup(test_fadt, write_tables),
        cmocka_unit_test_setup(test_madt, write_tables), cmocka_unit_test_setup(test_mcfg, write_tables),
        cmocka_unit_test(test_without_serial),           cmocka_unit_test_setup(test_iasl, write_tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
