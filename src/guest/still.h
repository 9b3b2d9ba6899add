/* A running guest and its images: going over to new ones, and holding it still meanwhile. Loop thread. */
#ifndef HOLM_GUEST_STILL_H
#define HOLM_GUEST_STILL_H

#include "guest/guest.h"

/* Has the hypervisor of a running guest go over to the images that its record names: after a snapshot, and for an
 * adopted guest whose daemon died in between (images.c). All disks at one moment; with is_quiet the guest's agent, if
 * there is one, holds its file systems still for it. fn is called once; for a guest that does not run at once. The
 * caller holds the configuration. */
void guest_images_settle(struct guest_mgr *m, uint32_t vmid, bool is_quiet, guest_live_done_fn fn, void *arg);
/* 0 if this engine can do that with these images (qcow2 ones of a running guest). */
MUST_CHECK int guest_images_check(const struct guest *g, struct err *e);

/* Layers that nobody wants: those that nothing stands on are removed, those that one image stands on are merged with
 * it, one after the other; running guests merge theirs themselves. t: for its progress, or NULL. The caller holds the
 * configuration. What fails leaves a chain as good as before, and is tried again with the next call. */
void guest_shorten(struct guest_mgr *m, uint32_t vmid, struct task *t, const char *user, guest_live_done_fn fn,
                   void *arg);

/* A guest held still while its images are copied. What was begun is ended by whoever began it, or, after the daemon's
 * death, when the guest is adopted. task: for warnings, or NULL.
 */
struct still;
MUST_CHECK int still_new(struct guest_mgr *m, uint32_t vmid, struct task *t, struct still **ret, struct err *e);
/* NULL is allowed. */
void still_free(struct still *s);
/* File systems, by the agent: what it refuses is a warning. */
void still_quiet(struct still *s, guest_live_done_fn fn, void *arg);
/* CPUs. */
void still_pause(struct still *s, guest_live_done_fn fn, void *arg);
/* Back to where it was; fn may be NULL. */
void still_end(struct still *s, guest_live_done_fn fn, void *arg);

#endif
