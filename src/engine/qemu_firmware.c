/* UEFI firmware and the TPM of the qemu engine. The firmware's code and the guest's variables are flash chips on passed
 * descriptors. The TPM is another program, swtpm, that the monitor starts beside QEMU: they talk over a socket pair,
 * and it gets the descriptor of its state and nothing else. Pure. */
#include "engine/firmware.h"
#include "engine/qemu_priv.h"
#include "proto/frame.h"

/* Sets of the drives count from 1. */
enum { FDSET_EFI_CODE = 201, FDSET_EFI_VARS = 202 };
/* Descriptors of the helper (see engine.h). */
#define HELPER_STATE "backend-uri=file:///proc/self/fd/4"

static int add_flash(struct qemu_build *q, const char *name, int fd, int set, bool is_read_only, bool is_qcow2,
                     struct err *e)
{
    struct qemu_json d;
    char path[40];
    int number, r = qemu_add_fd(q, fd, &number, e);

    if (r < 0)
        return r;
    qemu_arg(q, "-add-fd");
    qemu_argf(q, "fd=%d,set=%d", number, set);
    snprintf(path, sizeof(path), "/dev/fdset/%d", set);
    qemu_json_begin(&d);
    jw_kv_str(&d.w, "driver", is_qcow2 ? "qcow2" : "raw");
    jw_kv_str(&d.w, "node-name", name);
    jw_key(&d.w, "read-only");
    jw_bool(&d.w, is_read_only);
    if (is_qcow2) {
        jw_key(&d.w, "backing");
        jw_null(&d.w);
    }
    jw_key(&d.w, "file");
    jw_object(&d.w);
    jw_kv_str(&d.w, "driver", "file");
    jw_kv_str(&d.w, "filename", path);
    jw_kv_str(&d.w, "locking", is_read_only ? "off" : "auto"); /* every guest reads the same code */
    jw_key(&d.w, "read-only");
    jw_bool(&d.w, is_read_only);
    jw_object_end(&d.w);
    qemu_json_end(q, "-blockdev", &d);
    return 0;
}

int qemu_add_firmware(struct qemu_build *q, struct err *e)
{
    const struct engine_vm *vm = q->vm;

    if (!vm->is_efi)
        return 0;
    int r = add_flash(q, "efi-code", vm->efi_code_fd, FDSET_EFI_CODE, true, false, e);
    if (r == 0)
        r = add_flash(q, "efi-vars", vm->efi_vars_fd, FDSET_EFI_VARS, false, vm->is_efi_vars_qcow2, e);
    if (r < 0)
        return r;
    qemu_arg(q, "-machine");
    qemu_argf(q, "pflash0=efi-code,pflash1=efi-vars%s", vm->is_efi_smm ? ",smm=on" : "");
    if (vm->is_efi_smm) {
        /* The chip is written in system management mode only: that is what guards the keys of Secure Boot. */
        qemu_arg(q, "-global");
        qemu_arg(q, "driver=cfi.pflash01,property=secure,value=on");
    }
    return 0;
}

static void add_swtpm(struct qemu_build *q, bool is_v2)
{
    static const char *const args[] = {ENGINE_SWTPM_PATH,        "socket",      "--tpmstate", HELPER_STATE, "--ctrl",
                                       "type=unixio,clientfd=3", "--terminate", "--seccomp",  "action=kill"};
    struct buf *b = &q->out->payload;

    for (size_t i = 0; i < ARRAY_SIZE(args); i++)
        field_str(b, FIELD_HELPER_ARG, args[i]);
    if (is_v2)
        field_str(b, FIELD_HELPER_ARG, "--tpm2");
    field_u32(b, FIELD_HELPER_PEER, QEMU_FD_TPM);
}

int qemu_add_tpm(struct qemu_build *q, struct err *e)
{
    struct engine_launch *l = q->out;
    struct qemu_json d;

    if (q->vm->tpm_fd < 0)
        return 0;
    if (l->n_fds == ARRAY_SIZE(l->fds))
        return err_set(e, -E2BIG, "engine.too-many", "more than %zu drives and interfaces", ARRAY_SIZE(l->fds));
    l->fds[l->n_fds++] = q->vm->tpm_fd;
    field_u32(&l->payload, FIELD_HELPER_FD, (uint32_t)q->next_fd++);
    add_swtpm(q, q->vm->is_tpm_v2);
    qemu_arg(q, "-chardev");
    qemu_argf(q, "socket,id=tpm0-control,fd=%d,server=off", QEMU_FD_TPM);
    qemu_arg(q, "-tpmdev");
    qemu_arg(q, "emulator,id=tpm0,chardev=tpm0-control");
    qemu_device_begin(&d, "tpm-tis", "tpm0-device");
    jw_kv_str(&d.w, "tpmdev", "tpm0");
    qemu_device_end(q, &d);
    return 0;
}

int qemu_check_efidisk(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    bool ignored;
    int r = propstr_parse(value, "file", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    const char *cert = propstr_get(&p, "ms-cert"), *type = propstr_get(&p, "efitype");
    const char *format = propstr_get(&p, "format");
    if (cert && !streq(cert, "2011"))
        return engine_unsupported(e, "qemu", key, "ms-cert=%.16s: the firmware on this host has the keys of 2011",
                                  cert);
    if (type && !streq(type, "2m") && !streq(type, "4m"))
        return err_set(e, -EINVAL, "param.invalid", "%s: efitype=%.16s", key, type);
    if (format && !streq(format, "raw"))
        return engine_unsupported(e, "qemu", key, "format=%.16s; use raw", format);
    return propstr_get_bool(&p, "pre-enrolled-keys", false, &ignored, e);
}

int qemu_check_tpm(const char *key, const char *value, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, "file", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    const char *version = propstr_get(&p, "version"), *format = propstr_get(&p, "format");
    if (version && !streq(version, "v1.2") && !streq(version, "v2.0"))
        return err_set(e, -EINVAL, "param.invalid", "%s: version=%.16s", key, version);
    if (format && !streq(format, "raw"))
        return engine_unsupported(e, "qemu", key, "format=%.16s; the state is raw", format);
    return 0;
}
