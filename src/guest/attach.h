/* What a start opens besides drives: boot files, firmware, the TPM's state, huge pages. Blocking; pool threads. */
#ifndef HOLM_GUEST_ATTACH_H
#define HOLM_GUEST_ATTACH_H

#include "guest/chain.h"

MUST_CHECK int attach_volume(struct storage_mgr *storages, const char *text, bool is_read_only,
                             struct volume_attachment *ret, struct err *e);
/* The same with everything it stands on, into d: descriptors, format and size. chains: of its guest. On failure nothing
 * is left open. */
MUST_CHECK int attach_disk(struct storage_mgr *storages, const struct chains *chains, const char *text,
                           bool is_read_only, struct engine_disk *d, struct err *e);
/* What the images of a running disk are called, nothing opened. c: NULL for one that stands on nothing. */
MUST_CHECK int attach_names(const struct chain *c, struct engine_disk *d, struct err *e);
/* The image of a running disk that is to take over, into d, which attach_names has filled. */
MUST_CHECK int attach_overlay(struct storage_mgr *storages, const struct chain *c, struct engine_disk *d,
                              struct err *e);
/* A kernel or initrd: a descriptor that the guest's user may open anew. */
MUST_CHECK int attach_boot_file(struct storage_mgr *storages, const char *text, int *ret_fd, struct err *e);
/* Firmware, TPM state and page size of vm; vm's descriptors are -1 before, and the caller's to close even on failure.
 * The TPM's state is made the user's own, see attach_release. */
MUST_CHECK int attach_firmware(struct storage_mgr *storages, const struct config *c, struct engine_vm *vm,
                               struct err *e);
MUST_CHECK int attach_tpm(struct storage_mgr *storages, const struct config *c, uint32_t uid, struct engine_vm *vm,
                          struct err *e);
MUST_CHECK int attach_hugepages(const struct config *c, struct engine_vm *vm, struct err *e);
/* After the guest's end: its TPM state is root's again. value: the key tpmstate0, or NULL. */
MUST_CHECK int attach_release(struct storage_mgr *storages, const char *value, struct err *e);

#endif
