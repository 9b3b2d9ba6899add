/* Builds a machine and leads it through its life; see machine.h. What a guest does to the whole machine (off, reset,
 * panic, a vCPU that cannot go on) is told on vCPU threads, noted in `told`, and done here on the main loop. */
#include "vmm/machine.h"

#include <inttypes.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "vmm/control.h"
#include "vmm/dev/serial.h"
#include "vmm/dev/table.h"
#include "vmm/jail.h"
#include "vmm/x86/acpi.h"
#include "vmm/x86/cpu.h"
#include "vmm/x86/layout.h"
#include "vmm/x86/power.h"

/* Spare ones, beside those of devices: for the limit of descriptors. */
#define CONNECTIONS_MAX 64u

enum told { TOLD_OFF = 1, TOLD_RESET = 2, TOLD_PANIC = 4, TOLD_FAILED = 8 };

struct machine {
    const struct options *options;
    struct kvm kvm;
    struct memory memory;
    struct bus mmio, pio;
    struct vcpu_set vcpus;
    struct cpus cpus;
    struct loop loop;
    struct pci_bus *pci;
    struct virtio_host host;
    struct virtio *devices[OPTIONS_DEVICES_MAX];
    char device_ids[OPTIONS_DEVICES_MAX][DEVICE_ID_MAX + 1];
    unsigned n_devices;
    struct control *control;
    const char *end_reason;
    struct serial *serial;
    struct power power;
    int serial_irq, events_irq; /* eventfds of their lines */
    int console_fds[2];         /* in, out */
    struct loop_source wake;
    _Atomic unsigned told;
    pthread_mutex_t failure_lock;
    struct err failure; /* under failure_lock: why a vCPU could not go on */
    enum machine_state state;
    bool is_kvm_up, is_vcpus_up, is_loop_up, was_on, has_panicked;
    struct jail_report jail;
};

/* --- What vCPU threads tell ------------------------------------------------------------------------------------------
 */

static void tell(struct machine *m, enum told what)
{
    atomic_fetch_or(&m->told, what);
    loop_wake(m->wake.fd);
}

static void on_power(void *context, enum power_event event)
{
    tell(context, event == POWER_OFF ? TOLD_OFF : event == POWER_RESET ? TOLD_RESET : TOLD_PANIC);
}

static void on_vcpu(void *context, enum vcpu_event event, const struct err *e)
{
    struct machine *m = context;

    if (event == VCPU_FAILED) {
        pthread_mutex_lock(&m->failure_lock);
        if (!m->failure.num)
            m->failure = *e;
        pthread_mutex_unlock(&m->failure_lock);
    }
    tell(m, event == VCPU_SHUTDOWN ? TOLD_RESET : TOLD_FAILED);
}

static void on_told(void *context, uint32_t events)
{
    struct machine *m = context;
    unsigned told;
    struct err e = ERR_INIT;

    (void)events;
    loop_drain(m->wake.fd);
    told = atomic_exchange(&m->told, 0);
    /* Once for each start: a guest can write to that port as often as it likes. */
    if ((told & TOLD_PANIC) && !m->has_panicked) {
        log_warn("the guest's kernel panicked");
        control_event(m->control, "panic");
    }
    m->has_panicked |= (told & TOLD_PANIC) != 0;
    if ((told & (TOLD_OFF | TOLD_FAILED)) || ((told & TOLD_RESET) && !m->options->is_rebooting)) {
        m->end_reason = told & TOLD_OFF ? "power-off" : told & TOLD_FAILED ? "failed" : "reset";
        machine_end(m);
    } else if ((told & TOLD_RESET) && machine_reset(m, &e) < 0) {
        log_debug("reset: %s", e.text); /* told as a failure already */
    }
}

/* --- Making
 * -------------------------------------------------------------------------------------------------------------- */

static int open_kvm(struct machine *m, struct err *e)
{
    int r, fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        err_errno(e, errno, "open /dev/kvm");
        err_hint(e, "the host needs hardware virtualization, and this user the right to use it");
        return e->num;
    }
    r = kvm_init(&m->kvm, fd, &m->memory, e);
    m->is_kvm_up = r == 0;
    return r;
}

static int make_cpus(struct machine *m, struct err *e)
{
    int r = vcpu_set_init(&m->vcpus, &m->kvm, &m->mmio, &m->pio, m->options->n_cpus, e);

    m->is_vcpus_up = true;
    m->vcpus.on_event = on_vcpu;
    m->vcpus.context = m;
    return r < 0 ? r : cpus_init(&m->cpus, &m->kvm, &m->vcpus, e);
}

/* An eventfd that raises a pin of the IOAPIC. */
static int make_line(struct machine *m, unsigned gsi, int *ret_fd, struct err *e)
{
    int r;

    *ret_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (*ret_fd < 0)
        return err_errno(e, errno, "eventfd");
    r = kvm_line_attach(&m->kvm, gsi, *ret_fd, true);
    return r < 0 ? err_errno(e, -r, "connect interrupt line %u", gsi) : 0;
}

static int make_serial(struct machine *m, struct err *e)
{
    const char *console = m->options->console;
    int *in = &m->console_fds[0], *out = &m->console_fds[1], r;
    uint64_t n;

    if (streq(console, "none"))
        return 0;
    if (streq(console, "stdio")) {
        *in = loop_own_stdio(STDIN_FILENO);
        *out = loop_own_stdio(STDOUT_FILENO);
        if (*in < 0 || *out < 0)
            return err_errno(e, errno, "--console");
    } else if (str_to_u64(console + 3, &n) < 0 || n > 65535 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0) {
        return err_set(e, -EBADF, "option.fd", "--console: there is no open descriptor '%s'", console + 3);
    } else {
        *in = *out = (int)n;
        if (fcntl(*out, F_SETFL, fcntl(*out, F_GETFL) | O_NONBLOCK) < 0)
            return err_errno(e, errno, "--console");
    }
    r = make_line(m, LAYOUT_GSI_SERIAL, &m->serial_irq, e);
    if (r == 0)
        r = serial_new(&m->loop, *in, *out, m->serial_irq, &m->serial, e);
    if (r < 0)
        return r;
    r = bus_add(&m->pio, LAYOUT_PORT_SERIAL, 8, &serial_ops, m->serial);
    return r < 0 ? err_errno(e, -r, "place the serial port") : 0;
}

/* What control verbs call a device: id=, or its kind with the first free number. */
static int name_device(struct machine *m, const char *kind, const char *wanted, struct err *e)
{
    char *id = m->device_ids[m->n_devices];
    bool is_taken = true;

    for (unsigned number = 0; is_taken; number++) {
        if (!wanted)
            snprintf(id, DEVICE_ID_MAX + 1, "%.*s%u", (int)DEVICE_ID_MAX - 4, kind, number);
        else if (str_copy(id, DEVICE_ID_MAX + 1, wanted) < 0)
            return err_set(e, -EINVAL, "option.value", "an id has at most %u bytes", DEVICE_ID_MAX);
        is_taken = false;
        for (unsigned i = 0; i < m->n_devices && !is_taken; i++)
            is_taken = streq(m->device_ids[i], id);
        if (is_taken && wanted)
            return err_set(e, -EEXIST, "option.value", "there are two devices with the id '%s'", id);
    }
    return 0;
}

static int make_device(struct machine *m, const struct option_device *d, struct err *e)
{
    const struct device_type *type = device_type_find(d->kind);
    struct propstr options;
    int r = propstr_parse(d->text, type->default_key, &options, e);

    if (r == 0)
        r = name_device(m, d->kind, propstr_get(&options, "id"), e);
    if (r == 0)
        r = type->new (&m->host, &options, &m->devices[m->n_devices], e);
    if (r < 0)
        return err_wrap(e, r, "--%s %.80s", d->kind, d->text);
    m->n_devices++;
    return 0;
}

static int make_devices(struct machine *m, struct err *e)
{
    int r = pci_bus_new(&m->kvm, &m->mmio, LAYOUT_ECAM, LAYOUT_PCI32, &m->pci, e);

    m->host = (struct virtio_host){.kvm = &m->kvm, .memory = &m->memory, .pci = m->pci, .main = &m->loop};
    for (unsigned i = 0; i < m->options->n_devices && r == 0; i++)
        r = make_device(m, &m->options->devices[i], e);
    return r;
}

static int make_platform(struct machine *m, struct err *e)
{
    int r = loop_init(&m->loop, e);

    m->is_loop_up = true;
    m->wake = (struct loop_source){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = EPOLLIN, .on_ready = on_told, .context = m};
    if (r == 0 && (m->wake.fd < 0 || loop_add(&m->loop, &m->wake) < 0))
        r = err_errno(e, errno, "make the machine's event");
    m->power = (struct power){.on_event = on_power, .context = m};
    if (r == 0 && power_attach(&m->power, &m->pio) < 0)
        r = err_set(e, -EINVAL, NULL, "the ports of the machine overlap");
    if (r == 0)
        r = make_line(m, LAYOUT_GSI_EVENTS, &m->events_irq, e);
    return r;
}

static struct virtio *device_at(const struct machine *m, unsigned index, const char **ret_id)
{
    if (index >= m->n_devices)
        return NULL;
    *ret_id = m->device_ids[index];
    return m->devices[index];
}

static uint64_t exits(const struct machine *m)
{
    return vcpu_set_exits(&m->vcpus);
}

static int make_control(struct machine *m, struct err *e)
{
    static const struct control_ops ops = {.state = machine_state,
                                           .pause = machine_pause,
                                           .resume = machine_resume,
                                           .reset = machine_reset,
                                           .power_button = machine_power_button,
                                           .end = machine_end,
                                           .exits = exits,
                                           .device = device_at};
    int fd = m->options->control_fd;

    return fd < 0 ? 0 : control_new(&m->loop, fd, &ops, m, &m->control, e);
}

int machine_new(const struct options *o, struct machine **ret_machine, struct err *e)
{
    struct machine *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    threads_hold(); /* until the jail is around us */
    m->options = o;
    m->end_reason = "order";
    m->wake.fd = m->serial_irq = m->events_irq = m->console_fds[0] = m->console_fds[1] = -1;
    pthread_mutex_init(&m->failure_lock, NULL);
    bus_init(&m->mmio);
    bus_init(&m->pio);
    if ((r = memory_init(&m->memory, o->memory_bytes, LAYOUT_HOLE, o->page_bytes, e)) < 0 || (r = open_kvm(m, e)) < 0 ||
        (r = make_cpus(m, e)) < 0 || (r = make_platform(m, e)) < 0 || (r = make_serial(m, e)) < 0 ||
        (r = make_devices(m, e)) < 0 || (r = make_control(m, e)) < 0) {
        machine_free(m);
        return r;
    }
    *ret_machine = m;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    if (m->is_vcpus_up)
        vcpu_set_done(&m->vcpus);
    for (unsigned i = 0; i < m->n_devices; i++)
        virtio_free(m->devices[i]);
    pci_bus_free(m->pci);
    serial_free(m->serial);
    control_free(m->control);
    if (m->is_loop_up)
        loop_done(&m->loop);
    cpus_done(&m->cpus);
    if (m->is_kvm_up)
        kvm_done(&m->kvm);
    memory_done(&m->memory);
    close_fd(m->wake.fd);
    close_fd(m->serial_irq);
    close_fd(m->events_irq);
    close_fd(m->console_fds[0]);
    if (m->console_fds[1] != m->console_fds[0])
        close_fd(m->console_fds[1]);
    bus_done(&m->mmio);
    bus_done(&m->pio);
    pthread_mutex_destroy(&m->failure_lock);
    free(m);
}

/* --- Life
 * ---------------------------------------------------------------------------------------------------------------- */

/* Power on: devices new, kernel and tables in memory, the first vCPU before its entry. No vCPU runs. */
static int power_on(struct machine *m, struct err *e)
{
    const struct boot_source source = {
        .kernel_fd = m->options->kernel_fd, .initrd_fd = m->options->initrd_fd, .cmdline = m->options->cmdline};
    const struct acpi_machine acpi = {
        .n_cpus = m->options->n_cpus,
        .pci64_base = m->memory.n_regions > 1 ? m->memory.regions[1].gpa + m->memory.regions[1].size_bytes : 1ull << 32,
        .pci64_size = LAYOUT_PCI64_SIZE,
        .has_serial = m->serial != NULL};
    struct boot_entry entry;
    int r;

    for (unsigned i = 0; i < m->n_devices; i++)
        virtio_reset(m->devices[i]);
    pci_bus_reset(m->pci);
    if (m->serial)
        serial_reset(m->serial);
    /* Only now: what devices had on its way has arrived. KVM looks at every page of it: not when all are new. */
    if (m->was_on)
        memory_clear(&m->memory);
    m->was_on = true;
    r = boot_load(&m->memory, &source, &entry, e);
    if (r == 0)
        r = acpi_write(&m->memory, &acpi, e);
    return r < 0 ? r : cpus_reset(&m->cpus, &entry, e);
}

enum machine_state machine_state(const struct machine *m)
{
    return m->state;
}

static void halt(struct machine *m)
{
    if (m->state == MACHINE_RUNNING)
        vcpu_set_pause(&m->vcpus);
    m->state = MACHINE_PAUSED;
}

static void go_on(struct machine *m)
{
    m->state = MACHINE_RUNNING;
    vcpu_set_resume(&m->vcpus);
}

void machine_pause(struct machine *m)
{
    if (m->state != MACHINE_RUNNING)
        return;
    halt(m);
    control_state_event(m->control, NULL);
}

int machine_resume(struct machine *m, struct err *e)
{
    if (m->state == MACHINE_ENDED)
        return err_set(e, -EINVAL, "machine.ended", "the machine has ended");
    if (m->state == MACHINE_PAUSED) {
        go_on(m);
        control_state_event(m->control, NULL);
    }
    return 0;
}

int machine_reset(struct machine *m, struct err *e)
{
    bool was_running = m->state == MACHINE_RUNNING;
    int r;

    if (m->state == MACHINE_ENDED)
        return 0;
    halt(m);
    atomic_fetch_and(&m->told, ~(unsigned)TOLD_RESET); /* several vCPUs may have asked */
    m->has_panicked = false;
    r = power_on(m, e);
    if (r < 0) {
        on_vcpu(m, VCPU_FAILED, e); /* there is nothing left to go on with */
        return r;
    }
    control_event(m->control, "reset");
    if (was_running)
        go_on(m);
    return 0;
}

void machine_power_button(struct machine *m)
{
    loop_wake(m->events_irq);
}

void machine_end(struct machine *m)
{
    if (m->state == MACHINE_ENDED)
        return;
    halt(m);
    m->state = MACHINE_ENDED;
    if (m->serial)
        serial_flush(m->serial);
    control_state_event(m->control, m->end_reason);
    loop_stop(&m->loop);
}

const char *machine_jail_note(const struct machine *m)
{
    return m->jail.note;
}

/* Gives up what is not needed any more and starts all threads, each with its filter. */
static int lock_up(struct machine *m, struct err *e)
{
    unsigned n_connections = CONNECTIONS_MAX;

    for (unsigned i = 0; i < m->n_devices; i++)
        n_connections += virtio_ops_of(m->devices[i])->n_connections;
    const struct jail_options jail = {.uid = m->options->jail_uid,
                                      .gid = m->options->jail_gid,
                                      .n_descriptors = pci_bus_vectors(m->pci) + n_connections};
    bool is_jailed = m->options->has_jail;
    int r = is_jailed ? jail_enter(&jail, &m->jail, e) : 0;

    return r < 0 ? r : threads_release(is_jailed, e);
}

int machine_run(struct machine *m, struct err *e)
{
    int r = power_on(m, e);

    if (r == 0)
        r = vcpu_set_start(&m->vcpus, e);
    if (r == 0)
        r = lock_up(m, e);
    if (r < 0)
        return r;
    if (!m->options->is_paused)
        r = machine_resume(m, e);
    else
        control_state_event(m->control, NULL);
    if (r == 0)
        loop_run(&m->loop);
    pthread_mutex_lock(&m->failure_lock);
    if (m->failure.num) {
        *e = m->failure;
        r = e->num;
    }
    pthread_mutex_unlock(&m->failure_lock);
    return r;
}
