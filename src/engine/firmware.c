/* Firmware images of Debian's package ovmf: which code and which template of variables belong to an efidisk0. With
 * efitype=4m on q35 the code is the one that can do Secure Boot, which needs system management mode; i440fx has none.
 */
#include "engine/firmware.h"

#define OVMF "/usr/share/OVMF/"

static const struct engine_firmware firmwares[] = {
    {"2m", OVMF "OVMF_CODE.fd", OVMF "OVMF_VARS.fd", 131072, false},
    {"4m", OVMF "OVMF_CODE_4M.fd", OVMF "OVMF_VARS_4M.fd", 540672, false},
    {"4m-keys", OVMF "OVMF_CODE_4M.fd", OVMF "OVMF_VARS_4M.ms.fd", 540672, false},
    {"4m-smm", OVMF "OVMF_CODE_4M.secboot.fd", OVMF "OVMF_VARS_4M.fd", 540672, true},
    {"4m-smm-keys", OVMF "OVMF_CODE_4M.secboot.fd", OVMF "OVMF_VARS_4M.ms.fd", 540672, true},
};

const struct engine_firmware *engine_firmware_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(firmwares); i++)
        if (streq(firmwares[i].name, name))
            return &firmwares[i];
    return NULL;
}

const struct engine_firmware *engine_firmware_choose(const struct propstr *efidisk, bool is_q35)
{
    const char *type = efidisk ? propstr_get(efidisk, "efitype") : "4m";
    const char *keys = efidisk ? propstr_get(efidisk, "pre-enrolled-keys") : NULL;
    bool has_keys = false;
    char name[24];

    if (!type || !streq(type, "4m"))
        return engine_firmware_find("2m"); /* the default; keys are for 4m only, as in Proxmox VE */
    if (keys && propstr_bool(keys, &has_keys) < 0)
        has_keys = false;
    snprintf(name, sizeof(name), "4m%s%s", is_q35 && efidisk ? "-smm" : "", has_keys ? "-keys" : "");
    return engine_firmware_find(name);
}
