/* vCPU threads: the run loop and how it is stopped. The signal that kicks a vCPU out of the guest does nothing but
 * that; `immediate_exit` closes the gap between looking at the orders and entering the guest (api.rst, KVM_RUN). */
#include "vmm/vcpu.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define KICK_SIGNAL SIGUSR1

struct vcpu {
    struct vcpu_set *set;
    unsigned index;
    int fd;
    struct kvm_run *run;
    struct thread thread;
    _Atomic uint64_t n_exits;
};

static void on_kick(int signal)
{
    (void)signal;
}

static int vcpu_init(struct vcpu *v, struct vcpu_set *s, unsigned index, struct err *e)
{
    void *run;

    *v = (struct vcpu){.set = s, .index = index, .fd = ioctl(s->kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index)};
    if (v->fd < 0)
        return err_errno(e, errno, "KVM_CREATE_VCPU %u", index);
    run = mmap(NULL, s->kvm->vcpu_map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (run == MAP_FAILED)
        return err_errno(e, errno, "map the state of vCPU %u", index);
    v->run = run;
    v->run->immediate_exit = 1; /* it begins paused */
    return 0;
}

int vcpu_set_init(struct vcpu_set *s, struct kvm *kvm, struct bus *mmio, struct bus *pio, unsigned n, struct err *e)
{
    struct sigaction kick = {.sa_handler = on_kick};

    *s = (struct vcpu_set){.kvm = kvm, .mmio = mmio, .pio = pio, .is_paused = true};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (!n || n > VCPUS_MAX)
        return err_set(e, -EINVAL, "cpus.number", "%u vCPUs; there may be 1 to %u", n, VCPUS_MAX);
    s->vcpus = calloc(n, sizeof(*s->vcpus));
    if (!s->vcpus)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    sigaction(KICK_SIGNAL, &kick, NULL);
    for (; s->n_vcpus < n; s->n_vcpus++) {
        int r = vcpu_init(&s->vcpus[s->n_vcpus], s, s->n_vcpus, e);

        if (r < 0) {
            s->n_vcpus++; /* half made: vcpu_set_done looks at each piece */
            return r;
        }
    }
    return 0;
}

int vcpu_fd(const struct vcpu_set *s, unsigned index)
{
    return s->vcpus[index].fd;
}

/* Waits outside of the guest while the set is paused; false when the thread is to end. */
static bool may_run(struct vcpu *v)
{
    struct vcpu_set *s = v->set;
    bool is_ending;

    pthread_mutex_lock(&s->lock);
    s->n_parked++;
    pthread_cond_broadcast(&s->changed);
    while (s->is_paused && !s->is_ending)
        pthread_cond_wait(&s->changed, &s->lock);
    s->n_parked--;
    __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    is_ending = s->is_ending;
    pthread_mutex_unlock(&s->lock);
    return !is_ending;
}

static void port_access(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            bus_write(v->set->pio, run->io.port, run->io.size, value);
        } else {
            value = bus_read(v->set->pio, run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
        }
    }
}

static void memory_access(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    uint64_t value = 0;

    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, run->mmio.len);
        bus_write(v->set->mmio, run->mmio.phys_addr, run->mmio.len, value);
    } else {
        value = bus_read(v->set->mmio, run->mmio.phys_addr, run->mmio.len);
        memcpy(run->mmio.data, &value, run->mmio.len);
    }
}

static void tell(struct vcpu *v, enum vcpu_event event, const struct err *e)
{
    v->set->on_event(v->set->context, event, e);
}

/* The machine pauses us for what was told; until then the guest must not go on. */
static void park_after(struct vcpu *v, enum vcpu_event event, const struct err *e)
{
    struct vcpu_set *s = v->set;

    tell(v, event, e);
    pthread_mutex_lock(&s->lock);
    while (!s->is_paused && !s->is_ending)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void failed(struct vcpu *v, const char *what, uint64_t detail)
{
    struct err e = ERR_INIT;

    err_set(&e, -EIO, "kvm.run", "vCPU %u: %s (%#" PRIx64 ")", v->index, what, detail);
    park_after(v, VCPU_FAILED, &e);
}

static void handle_exit(struct vcpu *v)
{
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        port_access(v);
        break;
    case KVM_EXIT_MMIO:
        memory_access(v);
        break;
    case KVM_EXIT_INTR:
        break;
    case KVM_EXIT_SHUTDOWN:
        park_after(v, VCPU_SHUTDOWN, NULL);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        park_after(v, VCPU_SHUTDOWN, NULL);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        failed(v, "the processor refused to enter the guest", v->run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        failed(v, "KVM could not emulate the guest", v->run->internal.suberror);
        break;
    default:
        failed(v, "an exit that is not known", v->run->exit_reason);
        break;
    }
}

/* Orders are looked at only when the kernel has nothing half done for this vCPU: KVM_RUN finishes the last access of
 * the guest before it obeys immediate_exit. */
static void vcpu_main(void *arg)
{
    struct vcpu *v = arg;

    for (;;) {
        int r = ioctl(v->fd, KVM_RUN, 0);

        if (r == 0) {
            atomic_fetch_add_explicit(&v->n_exits, 1, memory_order_relaxed);
            handle_exit(v);
        } else if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST)) {
            /* Whatever went wrong: a machine that KVM gave up must still be paused and ended. */
            if (!may_run(v))
                return;
        } else if (errno != EINTR && errno != EAGAIN) {
            failed(v, "KVM_RUN", (uint64_t)errno);
        }
    }
}

int vcpu_set_start(struct vcpu_set *s, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < s->n_vcpus && r == 0; i++) {
        struct vcpu *v = &s->vcpus[i];

        v->thread = (struct thread){.run = vcpu_main, .arg = v, .signal = KICK_SIGNAL};
        snprintf(v->thread.name, sizeof(v->thread.name), "vcpu%u", i);
        r = thread_start(&v->thread, e);
    }
    return r;
}

static unsigned n_threads(const struct vcpu_set *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_vcpus; i++)
        n += s->vcpus[i].thread.is_started;
    return n;
}

/* immediate_exit before the signal: one of the two reaches a vCPU wherever it is. Under lock. */
static void kick_all(struct vcpu_set *s)
{
    for (unsigned i = 0; i < s->n_vcpus; i++)
        if (s->vcpus[i].thread.is_started) {
            __atomic_store_n(&s->vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
            pthread_kill(s->vcpus[i].thread.id, KICK_SIGNAL);
        }
}

void vcpu_set_pause(struct vcpu_set *s)
{
    unsigned n = n_threads(s);

    pthread_mutex_lock(&s->lock);
    s->is_paused = true;
    kick_all(s);
    pthread_cond_broadcast(&s->changed);
    while (s->n_parked < n)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void vcpu_set_resume(struct vcpu_set *s)
{
    pthread_mutex_lock(&s->lock);
    /* Its watchdogs are not to bark for the time it was away. A guest without KVM's clock: EINVAL. */
    for (unsigned i = 0; i < s->n_vcpus; i++)
        (void)ioctl(s->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0);
    s->is_paused = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void vcpu_set_done(struct vcpu_set *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    kick_all(s);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->n_vcpus; i++) {
        struct vcpu *v = &s->vcpus[i];

        thread_join(&v->thread);
        if (v->run)
            munmap(v->run, s->kvm->vcpu_map_bytes);
        if (v->fd >= 0)
            close(v->fd);
    }
    free(s->vcpus);
    s->vcpus = NULL;
    s->n_vcpus = 0;
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

uint64_t vcpu_set_exits(const struct vcpu_set *s)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < s->n_vcpus; i++)
        n += atomic_load_explicit(&s->vcpus[i].n_exits, memory_order_relaxed);
    return n;
}
