/* vCPU threads on the host's KVM, without a guest: pausing and ending them, also when KVM refuses to go on. Skipped
 * where there is no /dev/kvm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/loop.h"
#include "vmm/options.h"
#include "vmm/vcpu.h"

#define CPUS 2u

struct bench {
    struct kvm kvm;
    struct bus mmio, pio;
    struct vcpu_set set;
    int told; /* an eventfd */
    _Atomic unsigned n_failed;
};

static void on_event(void *context, enum vcpu_event event, const struct err *e)
{
    struct bench *b = context;

    if (event == VCPU_FAILED)
        b->n_failed++;
    loop_wake(b->told);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct kvm_mp_state halted = {.mp_state = KVM_MP_STATE_HALTED};
    struct err e = ERR_INIT;
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        free(b);
        *state = NULL;
        return 0;
    }
    bus_init(&b->mmio);
    bus_init(&b->pio);
    b->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* No RAM: there is no guest. */
    if (kvm_init(&b->kvm, fd, &(struct memory){0}, &e) < 0 ||
        vcpu_set_init(&b->set, &b->kvm, &b->mmio, &b->pio, CPUS, &e) < 0)
        fail_msg("%s", e.text);
    /* The first sleeps, the other waits to be started: there is no guest, and KVM_RUN blocks. */
    assert_int_equal(ioctl(vcpu_fd(&b->set, 0), KVM_SET_MP_STATE, &halted), 0);
    b->set.on_event = on_event;
    b->set.context = b;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    if (!b)
        return 0;
    vcpu_set_done(&b->set);
    kvm_done(&b->kvm);
    bus_done(&b->mmio);
    bus_done(&b->pio);
    close(b->told);
    free(b);
    return 0;
}

static void test_pause_and_resume(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;

    if (!b)
        skip();
    assert_int_equal(vcpu_set_start(&b->set, &e), 0);
    for (unsigned i = 0; i < 200; i++) {
        vcpu_set_resume(&b->set);
        vcpu_set_pause(&b->set);
        if (i % 3 == 0)
            vcpu_set_pause(&b->set); /* once is enough */
    }
    vcpu_set_resume(&b->set);
    assert_int_equal(b->n_failed, 0);
}

/* As many as the largest machine has: devices of eight pairs of queues, a control queue and changes of configuration. A
 * vector without a line would be an interrupt that never comes. */
static void test_lines_for_the_largest_machine(void **state)
{
    struct bench *b = *state;
    int line = 0;

    if (!b)
        skip();
    for (unsigned i = 0; i < OPTIONS_DEVICES_MAX * 18; i++) {
        line = kvm_line_new(&b->kvm);
        assert_true(line > 0);
    }
    assert_int_equal(kvm_line_route(&b->kvm, (unsigned)line, 0xfee00000, 0x41), 0);
}

/* KVM gives up on a machine for good, as after a mistake of its own: each KVM_RUN says so. It is told once, and whoever
 * pauses and ends the machine does not wait for ever. */
static void test_kvm_refuses_for_good(void **state)
{
    struct bench *b = *state;
    struct pollfd told;
    struct err e = ERR_INIT;
    int null;

    if (!b)
        skip();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(vcpu_set_start(&b->set, &e), 0);
    assert_int_equal(dup3(null, vcpu_fd(&b->set, 1), O_CLOEXEC), vcpu_fd(&b->set, 1));
    close(null);
    vcpu_set_resume(&b->set);
    told = (struct pollfd){.fd = b->told, .events = POLLIN};
    assert_int_equal(poll(&told, 1, 20000), 1);
    alarm(20);
    vcpu_set_pause(&b->set);
    alarm(0);
    assert_int_equal(b->n_failed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pause_and_resume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_for_the_largest_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kvm_refuses_for_good, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
