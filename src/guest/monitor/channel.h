/* A byte stream of the guest: a serial port, or the guest agent's. The monitor always reads it, keeps the last bytes in
 * a ring, and copies them to any number of clients up to CLIENTS_MAX in the whole guest. */
#ifndef HOLM_GUEST_MONITOR_CHANNEL_H
#define HOLM_GUEST_MONITOR_CHANNEL_H

#include "base/buf.h"
#include "base/err.h"
#include "guest/monitor/loop.h"

#define RING_BYTES        (512u * 1024u)
#define RING_REPLAY_BYTES (256u * 1024u) /* what a new client is shown */
#define CLIENTS_MAX       16u
#define CLIENT_HELLO_MAX  4096u
#define CLIENT_HELLO_MS   10000u

struct monitor;

struct channel {
    struct monitor *m;
    char name[16];
    int fd;           /* the monitor's end; -1 once the hypervisor is gone */
    uint8_t *ring;    /* RING_BYTES of lazily touched memory */
    uint64_t total;   /* bytes ever read; the ring holds the last RING_BYTES of them */
    struct buf input; /* to the guest */
    struct list_node clients;
    struct loop_timer pause; /* of a guest that floods */
    uint64_t window_ms, window_bytes;
    bool is_silent;                                          /* nobody can attach, nothing is kept */
    void (*on_bytes)(void *arg, const uint8_t *p, size_t n); /* of a silent one: who reads it; may be NULL */
    void *on_bytes_arg;
};

/* Makes the socketpair; the other end is the hypervisor's. */
MUST_CHECK int channel_new(struct monitor *m, const char *name, struct channel **ret, int *ret_peer, struct err *e);
void channel_free(struct channel *c);
/* Reads what the hypervisor left behind, then forgets its end. */
void channel_end(struct channel *c);
/* Bytes for the guest. False when the buffer is full: offer them again when channel_has_room. */
bool channel_has_room(const struct channel *c);
void channel_write(struct channel *c, const uint8_t *p, size_t n);
/* A piece of the ring from position *pos on; *pos is moved up to the oldest byte kept only by the caller. */
size_t channel_peek(const struct channel *c, uint64_t pos, const uint8_t **ret);

/* client.c. Takes fd. hello NULL: raw bytes; otherwise the line a terminal client must send first. */
MUST_CHECK int client_add(struct channel *c, int fd, const char *hello, bool has_history, struct err *e);
void client_close_all(struct channel *c);
/* New bytes in the ring, or room for input. */
void client_update_all(struct channel *c);
bool client_all_drained(const struct channel *c);

#endif
