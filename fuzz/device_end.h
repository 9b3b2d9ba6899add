/* The other end of a device under test: the file of a disk, the peers of a network card, a console or a vsock. For
 * fuzz/device.c only. */
#ifndef HOLM_FUZZ_DEVICE_END_H
#define HOLM_FUZZ_DEVICE_END_H

#include "program.h"
#include "vmm/harness.h"

#define END_PEERS    4u
#define END_VARIANTS 4u

/* A device with its other end. A kind is made several times, each with other options. */
struct end {
    struct harness harness;
    const char *kind;
    unsigned variant;
    int peers[END_PEERS]; /* -1: nobody */
    int listener_fd;      /* vsock: a peer is a new connection each time */
    int disk_fd;
    bool is_spent; /* an empty datagram says to a network card that its peer is gone, for good */
};

/* How many variants of a kind there are; each is made by end_init or this ends the program. */
unsigned end_variants(const char *kind);
void end_init(struct end *d, const char *kind, unsigned variant);
/* Frees it, whatever it does at the moment, and makes it anew. */
void end_remake(struct end *d);
/* Bytes to the device: those of the input, or a line that vsock knows. */
void end_say(struct end *d, struct program *p);
/* Takes what came; `how` may also end a peer or a direction of it. */
void end_hear(struct end *d, unsigned how);
/* Before and after an input. */
void end_begin(struct end *d);
void end_finish(struct end *d);

#endif
