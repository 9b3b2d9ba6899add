/* The snapshots of a guest: members `snapshots` and `parent` of its record. A snapshot is a configuration with a time,
 * a description (a key of that configuration, as in Proxmox VE) and perhaps a volume with the guest's memory; what its
 * images held is in `layers`. They are a tree: each has the snapshot that was current when it was taken. Pure. */
#ifndef HOLM_GUEST_SNAPSHOTS_H
#define HOLM_GUEST_SNAPSHOTS_H

#include "guest/config.h"
#include "guest/layers.h"

#define SNAPSHOTS_MAX 512u /* of a guest */

struct snapshot {
    char name[SNAPSHOT_NAME_MAX + 1];
    char parent[SNAPSHOT_NAME_MAX + 1]; /* "": none */
    int64_t time_s;
    char vmstate[VOLUME_ID_MAX + 1]; /* volume of its memory; "": without */
    bool is_saving;                  /* vmstate is not whole: it is being written, or its writer has died */
    struct config config;
};

struct snapshots {
    struct snapshot *items; /* in the order in which they were taken */
    size_t n;
    char parent[SNAPSHOT_NAME_MAX + 1]; /* of what the guest is now */
};

void snapshots_done(struct snapshots *s);
MUST_CHECK int snapshots_copy(const struct snapshots *from, struct snapshots *ret);
/* list: the array as it was written, or NULL. -EINVAL "guest.snapshots". */
MUST_CHECK int snapshots_load(const json_t *list, const char *parent, struct snapshots *ret, struct err *e);
/* The elements, inside an open array. */
void snapshots_write(const struct snapshots *s, struct jw *w);
struct snapshot *snapshots_find(const struct snapshots *s, const char *name);
/* A letter, then letters, digits, '-' and '_', 40 at most; not "current", not "pending". */
MUST_CHECK int snapshot_name_check(const char *name, struct err *e);

/* One more, which becomes what the guest stands on; config is copied. -EEXIST "guest.snapshot", -E2BIG. */
MUST_CHECK int snapshots_add(struct snapshots *s, const char *name, int64_t time_s, const struct config *config,
                             struct snapshot **ret, struct err *e);
/* Without it; those that stood on it stand on its parent. */
void snapshots_remove(struct snapshots *s, const char *name);

#endif
