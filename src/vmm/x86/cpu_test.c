/* What a guest is told about its processors: CPUID as the kernel offers it, adapted. No KVM needed. Numbers: Intel SDM
 * 2A, AMD APM 3 appendix E. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#ifdef __clang__ /* the kernel's structures end with arrays without a size */
#pragma clang diagnostic ignored "-Wgnu-variable-sized-type-not-at-end"
#endif
#include "vmm/x86/cpu.h"

/* Everything set, so that what must not be there shows. */
static struct kvm_cpuid_entry2 adapted(uint32_t function, uint32_t index, uint32_t id, uint32_t n)
{
    struct kvm_cpuid_entry2 c = {.function = function,
                                 .index = index,
                                 .eax = UINT32_MAX,
                                 .ebx = UINT32_MAX,
                                 .ecx = UINT32_MAX,
                                 .edx = UINT32_MAX};

    cpu_adapt_cpuid(&c, id, n, true);
    return c;
}

/* Pitfall 28: a guest that cannot run guests reaches none of KVM's code for that. */
static void test_no_nested_guests(void **state)
{
    assert_false(adapted(1, 0, 0, 1).ecx & 1u << 5);          /* VMX */
    assert_false(adapted(0x80000001, 0, 0, 1).ecx & 1u << 2); /* SVM */
    struct kvm_cpuid_entry2 svm = adapted(0x8000000a, 0, 0, 1);
    assert_int_equal(svm.eax | svm.ebx | svm.ecx | svm.edx, 0);
}

static void test_clock_and_timer(void **state)
{
    struct kvm_cpuid_entry2 c = adapted(0x40000001, 0, 0, 1);

    assert_true(adapted(1, 0, 0, 1).ecx & 1u << 31); /* a hypervisor is there */
    assert_true(adapted(1, 0, 0, 1).ecx & 1u << 24); /* the deadline timer */
    assert_int_equal(c.eax, UINT32_MAX);             /* KVM's own clock stays */
}

static void test_topology(void **state)
{
    for (uint32_t n = 1; n <= VCPUS_MAX; n++)
        for (uint32_t id = 0; id < n; id += (n + 1) / 2) {
            struct kvm_cpuid_entry2 one = adapted(1, 0, id, n), cache = adapted(4, 3, id, n);
            struct kvm_cpuid_entry2 core = adapted(0xb, 1, id, n), thread = adapted(0xb, 0, id, n);

            assert_int_equal(one.ebx >> 24, id);
            assert_int_equal(one.ebx >> 16 & 0xff, n);
            assert_int_equal(one.edx >> 28 & 1, n > 1);
            assert_int_equal(cache.eax >> 26, n - 1);
            assert_int_equal(cache.eax >> 14 & 0xfff, n - 1);
            assert_int_equal(core.edx, id);
            assert_int_equal(core.ebx, n);
            assert_true(1u << core.eax >= n && (n == 1 || 1u << (core.eax - 1) < n));
            assert_int_equal(core.ecx, 0x201);
            assert_int_equal(thread.edx, id);
            assert_int_equal(thread.ebx, 1);
            assert_int_equal(thread.eax, 0);
            assert_int_equal(thread.ecx, 0x100);
            assert_int_equal(adapted(0x80000008, 0, id, n).ecx & 0xff, n - 1);
            assert_int_equal(adapted(0x8000001e, 0, id, n).eax, id);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_nested_guests),
        cmocka_unit_test(test_clock_and_timer),
        cmocka_unit_test(test_topology),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
