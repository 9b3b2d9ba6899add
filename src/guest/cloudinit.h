/* cloud-init: what a guest is told about itself at its first start (its name, a user, keys, addresses), from the keys
 * ci*, sshkeys, ipconfigN, nameserver and searchdomain of its configuration, as Proxmox VE has them. The guest reads it
 * from a CD-ROM image of the kind NoCloud, the volume vm-ID-cloudinit.raw of one of its drives, which is made anew from
 * the configuration at every start.
 *
 * cloudinit_keys.c and cloudinit_text.c are pure; cloudinit_drive.c blocks (pool threads); cloudinit_live.c is of the
 * loop. */
#ifndef HOLM_GUEST_CLOUDINIT_H
#define HOLM_GUEST_CLOUDINIT_H

#include "guest/guest.h"

/* What stands for a password wherever a configuration is shown. */
#define CLOUDINIT_HIDDEN "**********"

/* The size of its volume, whatever is in it. */
#define CLOUDINIT_BYTES        (4u << 20)
#define CLOUDINIT_SNIPPET_MAX  (512u << 10) /* of each file of cicustom */
#define CLOUDINIT_PASSWORD_MAX 256u
#define CLOUDINIT_HASH_MAX     128u
#define CLOUDINIT_KEYS_MAX     128u        /* of sshkeys */
#define CLOUDINIT_SSHKEYS_MAX  (32u << 10) /* bytes of them, decoded */

/* ---- keys ---- */

/* Is it a key of a configuration that only cloud-init looks at? */
bool cloudinit_is_key(const char *key);
/* -EINVAL "param.invalid" or "param.unsupported"; true of every value that is in a configuration. */
MUST_CHECK int cloudinit_check(const char *key, const char *value, struct err *e);
/* What is stored of a password: its SHA-256 hash of crypt(5), or the value itself if it is such a hash already. Takes
 * milliseconds: not on the loop. */
MUST_CHECK int cloudinit_hash(const char *password, char dst[CLOUDINIT_HASH_MAX], struct err *e);
/* The decoded text of sshkeys: one key a line, no empty lines. */
MUST_CHECK int cloudinit_sshkeys(const char *value, struct buf *ret, struct err *e);

/* A file of cicustom: "user", "network", "meta" or "vendor". False if the value does not name one. */
bool cloudinit_snippet(const char *cicustom, const char *what, struct volume_id *ret);

/* ---- drives ---- */

/* A drive's value names this guest's cloud-init volume. */
bool cloudinit_is_drive(const char *value, uint32_t vmid);
/* "STORE:cloudinit" of a drive's value: one is wanted on STORE. */
bool cloudinit_is_wanted(const char *value, char *ret_storage, size_t cap);
/* The key of the drive, or NULL. */
const char *cloudinit_drive_key(const struct config *c, uint32_t vmid);
MUST_CHECK int cloudinit_volume(const char *storage, uint32_t vmid, struct volume_id *ret, struct err *e);

/* ---- texts ---- */

/* Of /etc/resolv.conf: what a guest gets whose configuration names no servers, or no domain. */
struct cloudinit_host {
    char search[256];
    char servers[3][64];
    size_t n_servers;
};
void cloudinit_host_parse(const char *resolv_conf, struct cloudinit_host *ret);

/* Each appends to out, whose max caps it. is_hidden: for people, with CLOUDINIT_HIDDEN instead of the hash. */
void cloudinit_user(const struct config *c, uint32_t vmid, bool is_hidden, struct buf *out);
void cloudinit_network(const struct config *c, const struct cloudinit_host *h, struct buf *out);
/* The instance's id is a digest of the others: cloud-init runs again when one of them changes. */
void cloudinit_meta(const struct buf *user, const struct buf *network, const struct buf *vendor, struct buf *out);

/* ---- images ---- */

/* What GET cloudinit/dump shows: "user", "network" or "meta", as Holm makes them; files of cicustom are not read.
 * Blocks. */
MUST_CHECK int cloudinit_dump(const struct config *c, uint32_t vmid, const char *what, struct buf *out, struct err *e);
/* Makes the image of the guest's drive anew, durably and in one step: a crash leaves the old one or the new one.
 * Nothing without a drive. Blocks. */
MUST_CHECK int cloudinit_write(struct storage_mgr *storages, const struct config *c, uint32_t vmid, struct err *e);

/* The same for a guest, running or not (PUT cloudinit): what of its cloud-init keys is pending takes effect, and a
 * running guest finds the new medium in its drive. The caller holds the configuration (task_hold) until fn is called,
 * once. -EINVAL "guest.no-cloudinit" without a drive. */
void cloudinit_update(struct guest_mgr *m, uint32_t vmid, guest_live_done_fn fn, void *arg);
/* The guest runs, one of its cloud-init keys is pending, and `hotplug` says that this is not to wait. */
bool cloudinit_is_due(const struct guest *g);

#endif
