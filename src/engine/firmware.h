/* Firmware files of UEFI guests. Constants; opening and copying is the caller's. */
#ifndef HOLM_ENGINE_FIRMWARE_H
#define HOLM_ENGINE_FIRMWARE_H

#include "base/propstr.h"

struct engine_firmware {
    const char *name;
    const char *code, *vars; /* paths */
    uint64_t vars_bytes;     /* size of the template, and of an efidisk0 */
    bool is_smm;
};
const struct engine_firmware *engine_firmware_find(const char *name);
/* efidisk: the parsed key efidisk0, or NULL for a guest without one (its variables last until it ends). */
const struct engine_firmware *engine_firmware_choose(const struct propstr *efidisk, bool is_q35);

/* PVE's size of a new tpmstate0. */
#define ENGINE_TPM_STATE_BYTES (4u * 1024u * 1024u)
#define ENGINE_SWTPM_PATH      "/usr/bin/swtpm"

#endif
