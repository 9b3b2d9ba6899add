/* The kernel's side of a virtual machine; see kvm.h. */
#include "vmm/kvm.h"

#include <sys/ioctl.h>

/* Pins of the in-kernel IOAPIC (one of 24); lines of messages come after. */
#define FIRST_MESSAGE_GSI 24u

static const struct {
    unsigned number;
    const char *name;
} needed[] = {
    {KVM_CAP_IRQCHIP, "IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "USER_MEMORY"},
    {KVM_CAP_IOEVENTFD, "IOEVENTFD"},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, "IOEVENTFD_ANY_LENGTH"},
    {KVM_CAP_IRQFD, "IRQFD"},
    {KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING"},
    {KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
    {KVM_CAP_XSAVE, "XSAVE"},
    {KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER"},
};

static int check_host(struct kvm *k, struct err *e)
{
    int version = ioctl(k->fd, KVM_GET_API_VERSION, 0);

    if (version != KVM_API_VERSION)
        return err_set(e, -ENOSYS, "kvm.version", "/dev/kvm speaks version %d of its interface, not %d", version,
                       KVM_API_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (ioctl(k->fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
            return err_set(e, -ENOSYS, "kvm.capability", "the host's KVM lacks %s", needed[i].name);
    return 0;
}

static int map_memory(struct kvm *k, const struct memory *m, struct err *e)
{
    for (unsigned i = 0; i < m->n_regions; i++) {
        struct kvm_userspace_memory_region slot = {
            .slot = i,
            .guest_phys_addr = m->regions[i].gpa,
            .memory_size = m->regions[i].size_bytes,
            .userspace_addr = (uintptr_t)m->regions[i].host,
        };
        int r = kvm_vm_ioctl(k, KVM_SET_USER_MEMORY_REGION, &slot, "KVM_SET_USER_MEMORY_REGION", e);

        if (r < 0)
            return r;
    }
    return 0;
}

/* A VM with memory and the interrupt controllers of the kernel. The order is the kernel's: controllers before the first
 * vCPU, and memory before them: what comes after them waits for others to let go of the bus they sit on, which takes
 * milliseconds. */
static int make_vm(struct kvm *k, const struct memory *m, struct err *e)
{
    uint64_t identity_map = 0xfeffc000;
    int map_bytes, r;

    do
        k->vm_fd = ioctl(k->fd, KVM_CREATE_VM, 0);
    while (k->vm_fd < 0 && errno == EINTR);
    if (k->vm_fd < 0)
        return err_errno(e, errno, "KVM_CREATE_VM");
    map_bytes = ioctl(k->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (map_bytes < (int)sizeof(struct kvm_run))
        return err_errno(e, errno, "KVM_GET_VCPU_MMAP_SIZE");
    k->vcpu_map_bytes = (size_t)map_bytes;
    /* Pages that Intel's KVM needs for itself, out of the guest's RAM. */
    if (ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
        return err_errno(e, errno, "KVM_SET_IDENTITY_MAP_ADDR");
    if (ioctl(k->vm_fd, KVM_SET_TSS_ADDR, 0xfeffd000ul) < 0)
        return err_errno(e, errno, "KVM_SET_TSS_ADDR");
    r = map_memory(k, m, e);
    if (r < 0)
        return r;
    if (ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
        return err_errno(e, errno, "KVM_CREATE_IRQCHIP");
    return 0;
}

static int push_routes(struct kvm *k)
{
    struct {
        struct kvm_irq_routing head;
        struct kvm_irq_routing_entry entries[KVM_GSI_MAX];
    } table = {.head.nr = k->n_routes};

    memcpy(table.entries, k->routes, k->n_routes * sizeof(k->routes[0]));
    return ioctl(k->vm_fd, KVM_SET_GSI_ROUTING, &table) < 0 ? -errno : 0;
}

int kvm_init(struct kvm *k, int dev_fd, const struct memory *m, struct err *e)
{
    int r;

    *k = (struct kvm){.fd = dev_fd, .vm_fd = -1};
    pthread_mutex_init(&k->routes_lock, NULL);
    r = check_host(k, e);
    if (r == 0)
        r = make_vm(k, m, e);
    for (unsigned pin = 0; pin < FIRST_MESSAGE_GSI; pin++) {
        k->are_gsis_taken[pin] = true;
        k->routes[k->n_routes++] = (struct kvm_irq_routing_entry){
            .gsi = pin,
            .type = KVM_IRQ_ROUTING_IRQCHIP,
            .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = pin},
        };
    }
    if (r == 0) {
        r = push_routes(k);
        if (r < 0)
            err_errno(e, -r, "KVM_SET_GSI_ROUTING");
    }
    if (r < 0)
        kvm_done(k);
    return r;
}

void kvm_done(struct kvm *k)
{
    if (k->vm_fd >= 0)
        close(k->vm_fd);
    if (k->fd >= 0)
        close(k->fd);
    k->fd = k->vm_fd = -1;
    pthread_mutex_destroy(&k->routes_lock);
}

int kvm_vm_ioctl(struct kvm *k, unsigned long request, void *arg, const char *name, struct err *e)
{
    int r = ioctl(k->vm_fd, request, arg);

    return r < 0 ? err_errno(e, errno, "%s", name) : r;
}

int kvm_doorbell_set(struct kvm *k, uint64_t gpa, int event_fd, bool is_on)
{
    struct kvm_ioeventfd order = {.addr = gpa, .fd = event_fd, .flags = is_on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN};

    return ioctl(k->vm_fd, KVM_IOEVENTFD, &order) < 0 ? -errno : 0;
}

int kvm_line_new(struct kvm *k)
{
    int r = -ENOSPC;

    pthread_mutex_lock(&k->routes_lock);
    for (unsigned gsi = FIRST_MESSAGE_GSI; gsi < KVM_GSI_MAX && r < 0; gsi++)
        if (!k->are_gsis_taken[gsi]) {
            k->are_gsis_taken[gsi] = true;
            r = (int)gsi;
        }
    pthread_mutex_unlock(&k->routes_lock);
    return r;
}

static struct kvm_irq_routing_entry *route_of(struct kvm *k, unsigned gsi)
{
    for (unsigned i = 0; i < k->n_routes; i++)
        if (k->routes[i].gsi == gsi)
            return &k->routes[i];
    return NULL;
}

void kvm_line_free(struct kvm *k, unsigned gsi)
{
    struct kvm_irq_routing_entry *route;

    pthread_mutex_lock(&k->routes_lock);
    route = route_of(k, gsi);
    if (route) {
        *route = k->routes[--k->n_routes];
        (void)push_routes(k); /* a route less: what stays is known to be good */
    }
    k->are_gsis_taken[gsi] = false;
    pthread_mutex_unlock(&k->routes_lock);
}

int kvm_line_route(struct kvm *k, unsigned gsi, uint64_t address, uint32_t data)
{
    struct kvm_irq_routing_entry *route, before = {0};
    unsigned n_before;
    int r;

    pthread_mutex_lock(&k->routes_lock);
    n_before = k->n_routes;
    route = route_of(k, gsi);
    if (route)
        before = *route;
    else
        route = &k->routes[k->n_routes++];
    *route = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data},
    };
    r = push_routes(k);
    if (r < 0) { /* a message the kernel does not like must not spoil the others' routes */
        *route = before;
        k->n_routes = n_before;
    }
    pthread_mutex_unlock(&k->routes_lock);
    return r;
}

int kvm_line_attach(struct kvm *k, unsigned gsi, int event_fd, bool is_on)
{
    struct kvm_irqfd order = {.fd = (uint32_t)event_fd, .gsi = gsi, .flags = is_on ? 0 : KVM_IRQFD_FLAG_DEASSIGN};

    return ioctl(k->vm_fd, KVM_IRQFD, &order) < 0 ? -errno : 0;
}
