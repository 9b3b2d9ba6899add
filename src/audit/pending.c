/* Notes of requests that are being worked on: a mapped file of fixed slots. What is stored there is in the page cache
 * at once, without a system call, and survives kill -9 of the daemon; it is not synced, so a power cut may lose it.
 * All blocks are allocated when it is opened, so that a full disk cannot fault the mapping. Loop thread. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "audit/audit_priv.h"

struct slot {
    _Atomic uint32_t len; /* of body; 0 = free. Written last. */
    uint32_t version;
    uint64_t id;
    char object[AUDIT_OBJECT_MAX + 1];
    char body[AUDIT_PENDING_MAX + 1];
};
_Static_assert(sizeof(struct slot) == 2048, "slots are 2 KiB on disk");

#define FILE_BYTES (AUDIT_SLOTS * sizeof(struct slot))

struct audit_pending {
    struct slot *slots;
    bool is_used[AUDIT_SLOTS];
};

/* A look at every slot maps two megabytes, and one or two are ever used: the rest is unmapped again. What is in them
 * stays in the page cache, where it belongs to the file. */
static void put_away(struct audit_pending *p)
{
    madvise(p->slots, FILE_BYTES, MADV_DONTNEED);
}

struct audit_pending *audit_pending_open(int dirfd)
{
    autoclose int fd = openat(dirfd, "pending", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct audit_pending *p = fd >= 0 ? calloc(1, sizeof(*p)) : NULL;

    if (!p)
        return NULL;
    if (posix_fallocate(fd, 0, (off_t)FILE_BYTES) == 0)
        p->slots = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!p->slots || p->slots == MAP_FAILED) {
        free(p);
        return NULL;
    }
    madvise(p->slots, FILE_BYTES, MADV_DONTDUMP);
    for (size_t i = 0; i < AUDIT_SLOTS; i++)
        p->is_used[i] = atomic_load(&p->slots[i].len) != 0;
    put_away(p);
    return p;
}

void audit_pending_close(struct audit_pending *p)
{
    if (!p)
        return;
    munmap(p->slots, FILE_BYTES);
    free(p);
}

int audit_pending_put(struct audit_pending *p, uint64_t id, const char *object, const char *body)
{
    size_t i = 0, n = strlen(body);

    while (p && i < AUDIT_SLOTS && p->is_used[i])
        i++;
    if (!p || i == AUDIT_SLOTS || n == 0 || n > AUDIT_PENDING_MAX)
        return -1;
    struct slot *s = &p->slots[i];
    s->version = 1;
    s->id = id;
    snprintf(s->object, sizeof(s->object), "%s", object);
    memcpy(s->body, body, n + 1);
    atomic_store(&s->len, (uint32_t)n);
    p->is_used[i] = true;
    return (int)i;
}

void audit_pending_clear(struct audit_pending *p, int slot)
{
    if (!p || slot < 0 || slot >= (int)AUDIT_SLOTS)
        return;
    atomic_store(&p->slots[slot].len, 0);
    p->is_used[slot] = false;
}

void audit_pending_each_old(struct audit_pending *p,
                            void (*fn)(void *arg, int slot, uint64_t id, const char *object, const char *body),
                            void *arg)
{
    for (size_t i = 0; p && i < AUDIT_SLOTS; i++) {
        struct slot *s = &p->slots[i];
        uint32_t len = atomic_load(&s->len);
        if (len == 0)
            continue;
        if (len > AUDIT_PENDING_MAX || s->version != 1) { /* not ours */
            audit_pending_clear(p, (int)i);
            continue;
        }
        s->body[len] = 0;
        s->object[AUDIT_OBJECT_MAX] = 0;
        fn(arg, (int)i, s->id, s->object, s->body);
    }
    if (p)
        put_away(p);
}
