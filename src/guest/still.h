/* A running guest and its images: going over to new ones, and holding it still meanwhile. Loop thread. */
#ifndef HOLM_GUEST_STILL_H
#define HOLM_GUEST_STILL_H

#include "guest/guest.h"

/* Has the hypervisor of a running guest go over to the images that its record names: after a snapshot, and for an
 * adopted guest whose daemon died in between (images.c). All disks at one moment; with quiet, the task that hears how
 * it went, the guest's agent, if there is one, holds its file systems still for it. fn is called once; for a guest that
 * does not run at once. The caller holds the configuration. */
struct ram;
/* ram: its memory is saved at that moment, or NULL. The code of an error that came when the disks were over already: */
#define SNAPSHOT_WITHOUT_MEMORY "snapshot.memory"
void guest_images_settle(struct guest_mgr *m, uint32_t vmid, struct task *quiet, struct ram *ram, guest_live_done_fn fn,
                         void *arg);
/* Runs the engine's script for these disks of a running guest (number: engine.h says of what); fn is called later if it
 * returns 0. */
MUST_CHECK int guest_images_run(struct guest_mgr *m, uint32_t vmid, enum engine_live what,
                                const struct engine_disk *disks, size_t n, uint64_t number, guest_answer_fn fn,
                                void *arg, struct err *e);
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
/* Only says that it may be found standing still, for what stops it otherwise; still_end lets it go on. */
void still_note(struct still *s, guest_live_done_fn fn, void *arg);
/* Back to where it was; fn may be NULL. */
void still_end(struct still *s, guest_live_done_fn fn, void *arg);

/* Copies of disks of a running guest (mirror.c) into volumes that are there and as big. begin ends when the guest
 * stands still, its file systems quiet too if is_quiet, and every volume holds what its disk holds, closed and durable;
 * end lets it go on. What fails, or is stopped with its task, leaves the guest as it was. A daemon that dies in between
 * is followed by one that ends it all (images.c). t: for progress and to be stopped by, or NULL. */
#define MIRROR_DISKS_MAX 64u
struct mirror;
/* bwlimit: bytes a second for each disk; 0: none. */
MUST_CHECK int mirror_new(struct guest_mgr *m, uint32_t vmid, struct task *t, uint64_t bwlimit, struct mirror **ret,
                          struct err *e);
/* The drive of this key into that volume. -EOPNOTSUPP "engine.live" where the engine cannot. */
MUST_CHECK int mirror_add(struct mirror *r, const char *key, const struct volume_id *to, struct err *e);
void mirror_free(struct mirror *r);
void mirror_begin(struct mirror *r, bool is_quiet, guest_live_done_fn fn, void *arg);
void mirror_end(struct mirror *r, guest_live_done_fn fn, void *arg);

/* Memory of a running guest into a volume (ram.c), which is there and empty: begin ends when the guest stands still and
 * all but the last is written, finish when that is, too, and durable, and the guest goes on. What fails leaves the
 * guest as it was. t: for progress. */
MUST_CHECK int ram_new(struct guest_mgr *m, uint32_t vmid, struct task *t, const char *volume, struct ram **ret,
                       struct err *e);
void ram_free(struct ram *r);
void ram_begin(struct ram *r, guest_live_done_fn fn, void *arg);
void ram_finish(struct ram *r, bool is_cancelled, guest_live_done_fn fn, void *arg);
/* An adopted guest whose memory somebody was writing. */
void ram_settle(struct guest_mgr *m, uint32_t vmid, guest_live_done_fn fn, void *arg);

#endif
