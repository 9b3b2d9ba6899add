/* The part that all virtio devices share, over PCI; see virtio.h. Section numbers: virtio 1.2. */
#include "vmm/virtio.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

/* Places in the BAR. */
#define COMMON_AT  0x0000u
#define ISR_AT     0x1000u
#define DEVICE_AT  0x2000u
#define NOTIFY_AT  0x3000u
#define NOTIFY_END (NOTIFY_AT + 4 * VIRTIO_QUEUES_MAX)
#define CONFIG_MAX 256u

#define VENDOR     0x1af4u
#define NO_VECTOR  0xffffu
#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

/* 2.1 */
#define STATUS_FEATURES_OK 0x08u
#define STATUS_DRIVER_OK   0x04u
#define STATUS_NEEDS_RESET 0x40u

/* 4.1.4.3 */
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    DEVICE_STATUS = 0x14,
    CONFIG_GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    COMMON_END = 0x38,
};

struct queue {
    struct virtq q;
    _Atomic uint16_t vector;
    int doorbell;
};

struct virtio {
    struct virtio_host *host;
    const struct virtio_ops *ops;
    void *device;
    struct pci_function *function;
    uint64_t offered, accepted;
    uint32_t device_select, driver_select;
    uint16_t queue_select;
    _Atomic uint8_t status;
    _Atomic uint8_t isr, generation;
    _Atomic uint16_t config_vector;
    _Atomic bool is_running;
    uint64_t doorbells_at; /* where the BAR lies; 0: nowhere */
    uint8_t window[20];    /* the capability that reaches into the BAR (4.1.4.9) */
    unsigned n_queues;
    struct queue queues[];
};

/* --- Interrupts and state, from any thread ----------------------------------------------------------------------- */

void virtio_signal(struct virtio *v, unsigned index)
{
    if (!virtq_should_signal(&v->queues[index].q))
        return;
    atomic_fetch_or(&v->isr, ISR_QUEUE);
    pci_interrupt(v->function, v->queues[index].vector);
}

void virtio_config_changed(struct virtio *v)
{
    atomic_fetch_add(&v->generation, 1);
    if (!(v->status & STATUS_DRIVER_OK))
        return;
    atomic_fetch_or(&v->isr, ISR_CONFIG);
    pci_interrupt(v->function, v->config_vector);
}

void virtio_fail(struct virtio *v)
{
    if (!(atomic_fetch_or(&v->status, STATUS_NEEDS_RESET) & STATUS_NEEDS_RESET))
        virtio_config_changed(v);
}

bool virtio_is_failed(const struct virtio *v)
{
    return v->status & STATUS_NEEDS_RESET;
}

bool virtio_is_running(const struct virtio *v)
{
    return v->is_running;
}

/* --- The registers, under the function's lock ----------------------------------------------------------------------
 */

static void stop_device(struct virtio *v)
{
    if (v->is_running)
        v->ops->stop(v->device);
    v->is_running = false;
}

static void reset_locked(struct virtio *v)
{
    stop_device(v);
    v->status = 0;
    v->isr = 0;
    v->accepted = 0;
    v->device_select = v->driver_select = 0;
    v->queue_select = 0;
    v->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < v->n_queues; i++) {
        virtq_reset(&v->queues[i].q);
        v->queues[i].vector = NO_VECTOR;
        loop_drain(v->queues[i].doorbell);
    }
}

/* 3.1.1: only bits are added; features are judged once, and the queues do not change after DRIVER_OK. */
static void set_status(struct virtio *v, uint8_t wanted)
{
    uint8_t added = wanted & (uint8_t)~v->status;

    if (wanted == 0) {
        reset_locked(v);
        return;
    }
    if ((added & STATUS_FEATURES_OK) && ((v->accepted & ~v->offered) || !(v->accepted & VIRTIO_VERSION_1)))
        added &= (uint8_t)~STATUS_FEATURES_OK;
    if ((added & STATUS_DRIVER_OK) && !((v->status | added) & STATUS_FEATURES_OK))
        added &= (uint8_t)~STATUS_DRIVER_OK;
    atomic_fetch_or(&v->status, added & (uint8_t)~STATUS_NEEDS_RESET);
    if (!(added & STATUS_DRIVER_OK))
        return;
    v->is_running = true;
    if (v->ops->start(v->device, v->accepted) < 0)
        virtio_fail(v);
}

static struct queue *selected(struct virtio *v)
{
    return v->queue_select < v->n_queues ? &v->queues[v->queue_select] : NULL;
}

static uint64_t read_queue_register(const struct virtio *v, const struct queue *s, unsigned offset)
{
    switch (offset) {
    case QUEUE_SIZE:
        return s->q.size;
    case QUEUE_VECTOR:
        return s->vector;
    case QUEUE_ENABLE:
        return s->q.is_enabled;
    case QUEUE_NOTIFY_OFF:
        return v->queue_select;
    case QUEUE_DESC:
        return s->q.desc_gpa;
    case QUEUE_DESC + 4:
        return s->q.desc_gpa >> 32;
    case QUEUE_DRIVER:
        return s->q.avail_gpa;
    case QUEUE_DRIVER + 4:
        return s->q.avail_gpa >> 32;
    case QUEUE_DEVICE:
        return s->q.used_gpa;
    case QUEUE_DEVICE + 4:
        return s->q.used_gpa >> 32;
    default:
        return 0;
    }
}

static uint64_t read_common(struct virtio *v, unsigned offset)
{
    const struct queue *s = selected(v);

    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        return v->device_select;
    case DEVICE_FEATURE:
        return v->device_select < 2 ? v->offered >> 32 * v->device_select & UINT32_MAX : 0;
    case DRIVER_FEATURE_SELECT:
        return v->driver_select;
    case DRIVER_FEATURE:
        return v->driver_select < 2 ? v->accepted >> 32 * v->driver_select & UINT32_MAX : 0;
    case CONFIG_VECTOR:
        return v->config_vector;
    case NUM_QUEUES:
        return v->n_queues;
    case DEVICE_STATUS:
        return v->status;
    case CONFIG_GENERATION:
        return v->generation;
    case QUEUE_SELECT:
        return v->queue_select;
    default:
        return s ? read_queue_register(v, s, offset) : 0;
    }
}

/* Half of an address, or all of it at once. */
static uint64_t with_half(uint64_t old, unsigned offset, unsigned size, uint64_t value)
{
    if (size == 8)
        return value;
    return offset & 4 ? (old & UINT32_MAX) | value << 32 : (old & ~(uint64_t)UINT32_MAX) | (value & UINT32_MAX);
}

/* 4.1.4.3.2: a queue is set up before it is enabled, and enabled once, between FEATURES_OK and DRIVER_OK. */
static void write_queue_register(struct virtio *v, struct queue *s, unsigned offset, unsigned size, uint64_t value)
{
    bool may_change = (v->status & STATUS_FEATURES_OK) && !(v->status & STATUS_DRIVER_OK) && !s->q.is_enabled;

    if (offset == QUEUE_VECTOR) {
        s->vector = value <= v->n_queues ? (uint16_t)value : NO_VECTOR;
        return;
    }
    if (!may_change)
        return;
    switch (offset) {
    case QUEUE_SIZE:
        s->q.size = (uint16_t)value;
        break;
    case QUEUE_ENABLE:
        if (value == 1 && virtq_enable(&s->q, v->accepted) < 0)
            virtio_fail(v);
        break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4:
        s->q.desc_gpa = with_half(s->q.desc_gpa, offset, size, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        s->q.avail_gpa = with_half(s->q.avail_gpa, offset, size, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        s->q.used_gpa = with_half(s->q.used_gpa, offset, size, value);
        break;
    default:
        break;
    }
}

static void write_common(struct virtio *v, unsigned offset, unsigned size, uint64_t value)
{
    struct queue *s = selected(v);

    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        v->device_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE_SELECT:
        v->driver_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE:
        if (!(v->status & STATUS_FEATURES_OK) && v->driver_select < 2)
            v->accepted = with_half(v->accepted, v->driver_select * 4, 4, value);
        break;
    case CONFIG_VECTOR:
        v->config_vector = value <= v->n_queues ? (uint16_t)value : NO_VECTOR;
        break;
    case DEVICE_STATUS:
        set_status(v, (uint8_t)value);
        break;
    case QUEUE_SELECT:
        v->queue_select = (uint16_t)value;
        break;
    default:
        if (s)
            write_queue_register(v, s, offset, size, value);
        break;
    }
}

static uint64_t read_device_config(struct virtio *v, uint64_t offset, unsigned size)
{
    uint8_t bytes[CONFIG_MAX] = {0};
    uint64_t value = 0;
    size_t n = v->ops->config ? v->ops->config(v->device, bytes, sizeof(bytes)) : 0;

    if (offset < n)
        memcpy(&value, bytes + offset, size < n - offset ? size : n - offset);
    return value;
}

static uint64_t bar_read(void *virtio, uint64_t offset, unsigned size)
{
    struct virtio *v = virtio;

    if (offset < COMMON_END)
        return read_common(v, (unsigned)offset);
    if (offset == ISR_AT)
        return atomic_exchange(&v->isr, 0);
    if (offset >= DEVICE_AT && offset < DEVICE_AT + CONFIG_MAX)
        return read_device_config(v, offset - DEVICE_AT, size);
    return 0;
}

static void bar_write(void *virtio, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio *v = virtio;
    uint8_t bytes[8];

    if (offset < COMMON_END) {
        write_common(v, (unsigned)offset, size, value);
    } else if (offset >= DEVICE_AT && offset < DEVICE_AT + CONFIG_MAX && v->ops->config_write) {
        memcpy(bytes, &value, sizeof(bytes));
        v->ops->config_write(v->device, offset - DEVICE_AT, bytes, size);
    } else if (offset >= NOTIFY_AT && offset < NOTIFY_AT + 4 * (uint64_t)v->n_queues) {
        /* Only without a doorbell in the kernel. */
        loop_wake(v->queues[(offset - NOTIFY_AT) / 4].doorbell);
    }
}

static void bar_moved(void *virtio, uint64_t gpa)
{
    struct virtio *v = virtio;

    for (unsigned i = 0; i < v->n_queues && v->host->kvm; i++) {
        if (v->doorbells_at)
            kvm_doorbell_set(v->host->kvm, v->doorbells_at + NOTIFY_AT + 4 * i, v->queues[i].doorbell, false);
        if (gpa)
            kvm_doorbell_set(v->host->kvm, gpa + NOTIFY_AT + 4 * i, v->queues[i].doorbell, true);
    }
    v->doorbells_at = gpa;
}

/* 4.1.4.9: the BAR through configuration space, for firmware that maps no BARs. Offset, length and data of the access
 * are fields of the capability, which is the first of ours. */
static bool window_access(const struct virtio *v, uint32_t *ret_offset, uint32_t *ret_size)
{
    memcpy(ret_offset, v->window + 8, 4);
    memcpy(ret_size, v->window + 12, 4);
    return v->window[4] == 0 && (*ret_size == 1 || *ret_size == 2 || *ret_size == 4) && *ret_offset % *ret_size == 0 &&
           *ret_offset < PCI_MSIX_TABLE;
}

static void config_read(void *virtio, unsigned offset, uint8_t *bytes, unsigned size)
{
    struct virtio *v = virtio;
    uint32_t at, n;

    if (offset + size > sizeof(v->window))
        return;
    if (offset + size > 16 && window_access(v, &at, &n)) {
        uint32_t value = (uint32_t)bar_read(v, at, n);

        memcpy(v->window + 16, &value, n);
    }
    for (unsigned i = 0; i < size; i++)
        if (offset + i >= 4) /* the first bytes say what it is */
            bytes[i] = v->window[offset + i];
}

static void config_write(void *virtio, unsigned offset, const uint8_t *bytes, unsigned size)
{
    struct virtio *v = virtio;
    uint32_t at, n, value = 0;

    for (unsigned i = 0; i < size; i++)
        if (offset + i == 4 || (offset + i >= 8 && offset + i < sizeof(v->window)))
            v->window[offset + i] = bytes[i];
    if (offset + size > 16 && offset < sizeof(v->window) && window_access(v, &at, &n)) {
        memcpy(&value, v->window + 16, n);
        bar_write(v, at, n, value);
    }
}

static const struct pci_ops pci_ops = {.bar_read = bar_read,
                                       .bar_write = bar_write,
                                       .bar_moved = bar_moved,
                                       .config_read = config_read,
                                       .config_write = config_write};

/* --- Making, resetting, saving ---------------------------------------------------------------------------------------
 */

static void make_capability(uint8_t *c, uint8_t length, uint8_t type, uint32_t offset, uint32_t bytes)
{
    memset(c, 0, length);
    c[0] = 0x09; /* vendor-specific */
    c[2] = length;
    c[3] = type;
    memcpy(c + 8, &offset, 4);
    memcpy(c + 12, &bytes, 4);
}

static int make_function(struct virtio *v, struct err *e)
{
    const struct pci_identity id = {.vendor = VENDOR,
                                    .device = (uint16_t)(0x1040 + v->ops->id),
                                    .subsystem_vendor = VENDOR,
                                    .subsystem = (uint16_t)(0x1040 + v->ops->id),
                                    .revision = 1,
                                    .class_code = v->ops->class_code,
                                    .n_vectors = v->n_queues + 1};
    uint8_t window[20], common[16], notify[20], isr[16], device[16];
    const uint8_t *const all[] = {window, common, notify, isr, device};
    uint32_t multiplier = 4;

    make_capability(window, sizeof(window), 5, 0, 0);
    make_capability(common, sizeof(common), 1, COMMON_AT, COMMON_END);
    make_capability(notify, sizeof(notify), 2, NOTIFY_AT, NOTIFY_END - NOTIFY_AT);
    memcpy(notify + 16, &multiplier, 4);
    make_capability(isr, sizeof(isr), 3, ISR_AT, 4);
    make_capability(device, sizeof(device), 4, DEVICE_AT, CONFIG_MAX);
    return pci_function_new(v->host->pci, &id, &pci_ops, v, all, ARRAY_SIZE(all), &v->function, e);
}

int virtio_new(struct virtio_host *h, const struct virtio_ops *ops, void *device, uint64_t features, unsigned n_queues,
               struct virtio **ret_virtio, struct err *e)
{
    struct virtio *v = n_queues <= VIRTIO_QUEUES_MAX ? calloc(1, sizeof(*v) + n_queues * sizeof(v->queues[0])) : NULL;
    int r;

    if (!v) {
        ops->free(device);
        return err_set(e, n_queues <= VIRTIO_QUEUES_MAX ? -ENOMEM : -EINVAL, NULL, "a device cannot have %u queues",
                       n_queues);
    }
    v->host = h;
    v->ops = ops;
    v->device = device;
    v->offered = features | VIRTIO_VERSION_1 | VIRTQ_F_INDIRECT | VIRTQ_F_EVENT_IDX;
    v->n_queues = n_queues;
    v->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < n_queues; i++) {
        virtq_init(&v->queues[i].q, h->memory, ops->queue_size);
        v->queues[i].vector = NO_VECTOR;
        v->queues[i].doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (v->queues[i].doorbell < 0) {
            r = err_errno(e, errno, "eventfd");
            virtio_free(v);
            return r;
        }
    }
    r = make_function(v, e);
    if (r < 0) {
        virtio_free(v);
        return r;
    }
    *ret_virtio = v;
    return 0;
}

void virtio_free(struct virtio *v)
{
    if (!v)
        return;
    stop_device(v);
    v->ops->free(v->device);
    for (unsigned i = 0; i < v->n_queues; i++)
        if (v->queues[i].doorbell > 0)
            close(v->queues[i].doorbell);
    free(v);
}

void virtio_reset(struct virtio *v)
{
    pthread_mutex_lock(pci_function_lock(v->function));
    reset_locked(v);
    memset(v->window, 0, sizeof(v->window));
    pthread_mutex_unlock(pci_function_lock(v->function));
}

const struct virtio_ops *virtio_ops_of(const struct virtio *v)
{
    return v->ops;
}

void *virtio_device(const struct virtio *v)
{
    return v->device;
}

unsigned virtio_slot(const struct virtio *v)
{
    return pci_function_slot(v->function);
}

struct virtq *virtio_queue(struct virtio *v, unsigned index)
{
    return &v->queues[index].q;
}

int virtio_doorbell(const struct virtio *v, unsigned index)
{
    return v->queues[index].doorbell;
}

static void save_locked(struct virtio *v, struct buf *b)
{
    state_put_u8(b, 1);
    state_put_u64(b, v->accepted);
    state_put_u32(b, v->device_select);
    state_put_u32(b, v->driver_select);
    state_put_u16(b, v->queue_select);
    state_put_u8(b, v->status);
    state_put_u8(b, v->isr);
    state_put_u8(b, v->generation);
    state_put_u16(b, v->config_vector);
    state_put_u16(b, (uint16_t)v->n_queues);
    for (unsigned i = 0; i < v->n_queues; i++) {
        const struct virtq *q = &v->queues[i].q;

        state_put_u16(b, v->queues[i].vector);
        state_put_u16(b, q->size);
        state_put_u8(b, q->is_enabled);
        state_put_u8(b, q->is_broken);
        state_put_u64(b, q->desc_gpa);
        state_put_u64(b, q->avail_gpa);
        state_put_u64(b, q->used_gpa);
        state_put_u16(b, q->next_avail);
        state_put_u16(b, q->next_used);
        state_put_u16(b, q->signalled_used);
    }
    if (v->ops->save)
        v->ops->save(v->device, b);
}

/* The device's threads touch no queue meanwhile. */
void virtio_save(struct virtio *v, struct buf *b)
{
    bool has_threads = v->is_running && !v->ops->is_on_main;

    pthread_mutex_lock(pci_function_lock(v->function));
    if (has_threads)
        v->ops->stop(v->device);
    save_locked(v, b);
    if (has_threads && v->ops->start(v->device, v->accepted) < 0)
        virtio_fail(v);
    pthread_mutex_unlock(pci_function_lock(v->function));
}

static void load_queue(struct virtio *v, struct queue *s, struct state_reader *r)
{
    bool is_enabled;

    s->vector = state_get_u16(r);
    s->q.size = state_get_u16(r);
    is_enabled = state_get_u8(r);
    s->q.is_broken = state_get_u8(r);
    s->q.desc_gpa = state_get_u64(r);
    s->q.avail_gpa = state_get_u64(r);
    s->q.used_gpa = state_get_u64(r);
    s->q.next_avail = state_get_u16(r);
    s->q.next_used = state_get_u16(r);
    s->q.signalled_used = state_get_u16(r);
    /* The addresses are checked as if a driver had given them. */
    if (s->vector > v->n_queues && s->vector != NO_VECTOR)
        r->is_failed = true;
    if (is_enabled && !r->is_failed && virtq_enable(&s->q, v->accepted) < 0)
        r->is_failed = true;
}

static int load_all(struct virtio *v, struct state_reader *r)
{
    uint8_t status;

    if (state_get_u8(r) != 1)
        r->is_failed = true;
    v->accepted = state_get_u64(r);
    v->device_select = state_get_u32(r);
    v->driver_select = state_get_u32(r);
    v->queue_select = state_get_u16(r);
    status = state_get_u8(r);
    v->isr = state_get_u8(r);
    v->generation = state_get_u8(r);
    v->config_vector = state_get_u16(r);
    if (state_get_u16(r) != v->n_queues)
        r->is_failed = true;
    /* A driver could not have come this far; what it only asked for says nothing yet. */
    if ((status & STATUS_FEATURES_OK) && ((v->accepted & ~v->offered) || !(v->accepted & VIRTIO_VERSION_1)))
        r->is_failed = true;
    if ((status & STATUS_DRIVER_OK) && !(status & STATUS_FEATURES_OK))
        r->is_failed = true;
    for (unsigned i = 0; i < v->n_queues && !r->is_failed; i++)
        load_queue(v, &v->queues[i], r);
    if (v->ops->load && !r->is_failed)
        v->ops->load(v->device, r);
    v->status = status;
    return r->is_failed ? -EBADMSG : 0;
}

int virtio_load(struct virtio *v, struct state_reader *r, struct err *e)
{
    virtio_reset(v);
    if (load_all(v, r) < 0) {
        virtio_reset(v);
        return err_set(e, -EBADMSG, "state.format", "the saved state of a %s is damaged or of another version",
                       v->ops->name);
    }
    if (v->status & STATUS_DRIVER_OK) {
        v->is_running = true;
        if (v->ops->start(v->device, v->accepted) < 0)
            virtio_fail(v);
    }
    return 0;
}

uint64_t virtio_test_read(struct virtio *v, uint64_t offset, unsigned size)
{
    uint64_t value;

    pthread_mutex_lock(pci_function_lock(v->function));
    value = bar_read(v, offset, size);
    pthread_mutex_unlock(pci_function_lock(v->function));
    return value;
}

void virtio_test_write(struct virtio *v, uint64_t offset, unsigned size, uint64_t value)
{
    pthread_mutex_lock(pci_function_lock(v->function));
    bar_write(v, offset, size, value);
    pthread_mutex_unlock(pci_function_lock(v->function));
}

int virtio_test_interrupt_fd(struct virtio *v, unsigned vector)
{
    return pci_interrupt_fd(v->function, vector);
}
