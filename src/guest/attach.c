/* See attach.h. Files are opened here, as root, and handed over as descriptors; two programs open theirs anew through
 * /proc/self/fd, as the guest's user: QEMU its kernel (which therefore must be readable for everybody, or is copied to
 * memory) and swtpm its state (which therefore belongs to the guest's user while the guest runs). */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/propstr.h"
#include "engine/firmware.h"
#include "guest/attach.h"
#include "image/lock.h"

int attach_volume(struct storage_mgr *storages, const char *text, bool is_read_only, struct volume_attachment *ret,
                  struct err *e)
{
    struct volume_id v;
    struct storage *s;
    int r = volume_id_parse(text, &v, e);

    if (r == 0)
        r = storage_mgr_ref(storages, v.storage, &s, e);
    if (r < 0)
        return r;
    r = volume_open(s, &v, is_read_only, ret, e);
    storage_unref(s);
    return r;
}

static void name_below(const struct volume_id *v, const struct volume_id *disk, unsigned *n_bases, char dst[16])
{
    if (v->layer && v->vmid == disk->vmid && streq(v->name, disk->name))
        snprintf(dst, 16, "%u", v->layer);
    else
        snprintf(dst, 16, "base%u", ++*n_bases);
}

int attach_names(const struct chain *c, struct engine_disk *d, struct err *e)
{
    unsigned n_bases = 0;

    d->below = c ? calloc(c->n, sizeof(*d->below)) : NULL;
    if (c && !d->below)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (; c && d->n_below < c->n; d->n_below++) {
        d->below[d->n_below].fd = -1;
        name_below(&c->below[d->n_below], &c->volume, &n_bases, d->below[d->n_below].name);
    }
    return 0;
}

/* From the top down, each on the next and on nothing else. */
static int open_chain(struct storage *s, const struct volume_id *v, const struct chain *c, bool is_read_only,
                      struct engine_disk *d, struct err *e)
{
    struct volume_attachment a;
    int r = volume_open_on(s, v, c ? &c->below[0] : NULL, is_read_only, &a, e);

    if (r < 0)
        return r;
    d->fd = a.fd;
    d->size_bytes = a.size_bytes;
    d->is_qcow2 = a.format == VOLUME_QCOW2;
    r = d->is_qcow2 && !is_read_only ? image_lock(d->fd, false, e) : 0;
    if (r == 0)
        r = attach_names(c, d, e);
    for (size_t i = 0; r == 0 && i < d->n_below; i++) {
        r = volume_open_on(s, &c->below[i], i + 1 < c->n ? &c->below[i + 1] : NULL, true, &a, e);
        if (r == 0) {
            d->below[i].fd = a.fd;
            d->below[i].is_qcow2 = a.format == VOLUME_QCOW2;
        }
    }
    return r;
}

int attach_overlay(struct storage_mgr *storages, const struct chain *c, struct engine_disk *d, struct err *e)
{
    struct volume_attachment top;
    struct storage *s;
    int r = storage_mgr_ref(storages, c->volume.storage, &s, e);

    if (r < 0)
        return r;
    r = volume_open_on(s, &c->volume, &c->below[0], false, &top, e);
    if (r == 0) {
        d->fd = top.fd;
        d->size_bytes = top.size_bytes;
        d->is_qcow2 = top.format == VOLUME_QCOW2;
        r = image_lock(d->fd, true, e); /* it may have been this guest's before */
    }
    storage_unref(s);
    return r;
}

int attach_disk(struct storage_mgr *storages, const struct chains *chains, const char *text, bool is_read_only,
                struct engine_disk *d, struct err *e)
{
    struct volume_id v;
    struct storage *s;
    int r = volume_id_parse(text, &v, e);

    if (r == 0)
        r = storage_mgr_ref(storages, v.storage, &s, e);
    if (r < 0)
        return r;
    r = open_chain(s, &v, chains_find(chains, &v), is_read_only, d, e);
    if (r < 0)
        engine_disk_done(d);
    storage_unref(s);
    return r;
}

static int copy_to_memory(int fd, uint64_t size_bytes, bool is_sealed, int *ret_fd, struct err *e)
{
    autoclose int copy = memfd_create("boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    off_t at = 0;

    if (copy < 0)
        return err_errno(e, errno, "memory for a boot file");
    while ((uint64_t)at < size_bytes) {
        ssize_t n = sendfile(copy, fd, &at, size_bytes - (uint64_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(e, n < 0 ? errno : EIO, "copy a boot file");
    }
    if (is_sealed)
        fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    *ret_fd = TAKE_FD(copy);
    return 0;
}

int attach_boot_file(struct storage_mgr *storages, const char *text, int *ret_fd, struct err *e)
{
    struct volume_attachment a;
    struct stat st;
    int r = attach_volume(storages, text, true, &a, e);

    if (r < 0)
        return r;
    autoclose int fd = a.fd;
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "look at it");
    if (!(st.st_mode & S_IROTH))
        return copy_to_memory(fd, (uint64_t)st.st_size, true, ret_fd, e);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- UEFI ---- */

static int open_host_file(const char *path, int *ret_fd, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        err_set(e, -errno, "engine.missing", "the firmware %s is not on this node", path);
        err_hint(e, "apt-get install ovmf");
        return e->num;
    }
    *ret_fd = fd;
    return 0;
}

/* The guest's own variables. */
static int open_efidisk(struct storage_mgr *storages, const char *file, const struct engine_firmware *fw,
                        struct engine_vm *vm, struct err *e)
{
    struct volume_attachment a;
    int r = attach_volume(storages, file, false, &a, e);

    if (r < 0)
        return err_wrap(e, r, "efidisk0");
    vm->efi_vars_fd = a.fd;
    vm->is_efi_vars_qcow2 = a.format == VOLUME_QCOW2;
    if (a.size_bytes != fw->vars_bytes)
        return err_set(e, -EINVAL, "guest.efidisk", "efidisk0 has %llu bytes; its efitype needs %llu",
                       (unsigned long long)a.size_bytes, (unsigned long long)fw->vars_bytes);
    return 0;
}

int attach_firmware(struct storage_mgr *storages, const struct config *c, struct engine_vm *vm, struct err *e)
{
    const char *bios = config_get(c, "bios"), *value = config_get(c, "efidisk0");
    struct propstr p;
    int r = value ? propstr_parse(value, "file", &p, e) : 0;

    if (r < 0)
        return err_wrap(e, r, "efidisk0");
    if (!bios || !streq(bios, "ovmf"))
        return 0;
    const struct engine_firmware *fw = engine_firmware_choose(value ? &p : NULL, strstr(vm->machine, "q35") != NULL);
    vm->is_efi = true;
    vm->is_efi_smm = fw->is_smm;
    r = open_host_file(fw->code, &vm->efi_code_fd, e);
    if (r < 0)
        return r;
    if (value) {
        const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
        return open_efidisk(storages, file ? file : "", fw, vm, e);
    }
    autoclose int template = -EBADF;
    r = open_host_file(fw->vars, &template, e);
    return r < 0 ? r : copy_to_memory(template, fw->vars_bytes, false, &vm->efi_vars_fd, e);
}

/* ---- TPM ---- */

static int open_tpm(struct storage_mgr *storages, const char *value, struct propstr *p, struct volume_attachment *ret,
                    struct err *e)
{
    int r = propstr_parse(value, "file", p, e);

    if (r < 0)
        return r;
    const char *file = propstr_get(p, "file") ? propstr_get(p, "file") : propstr_get(p, "volume");
    return attach_volume(storages, file ? file : "", false, ret, e);
}

/* swtpm shortens the file to what it uses; a bigger one is none of its states. */
static int grow(int fd, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "state of a TPM");
    if (st.st_size > (off_t)ENGINE_TPM_STATE_BYTES)
        return err_set(e, -EINVAL, "guest.tpmstate", "the volume is bigger than the state of a TPM");
    if (st.st_size < (off_t)ENGINE_TPM_STATE_BYTES && ftruncate(fd, ENGINE_TPM_STATE_BYTES) < 0)
        return err_errno(e, errno, "state of a TPM");
    return 0;
}

int attach_tpm(struct storage_mgr *storages, const struct config *c, uint32_t uid, struct engine_vm *vm, struct err *e)
{
    const char *value = config_get(c, "tpmstate0");
    struct volume_attachment a;
    struct propstr p;

    if (!value)
        return 0;
    if (access(ENGINE_SWTPM_PATH, X_OK) < 0) {
        err_set(e, -ENOENT, "engine.missing", "tpmstate0: swtpm is not installed on this node");
        err_hint(e, "apt-get install swtpm");
        return e->num;
    }
    int r = open_tpm(storages, value, &p, &a, e);
    if (r < 0)
        return err_wrap(e, r, "tpmstate0");
    autoclose int fd = a.fd;
    if (a.format != VOLUME_RAW)
        return err_set(e, -EINVAL, "param.unsupported", "tpmstate0: the state is raw");
    r = grow(fd, e);
    if (r == 0 && (fchmod(fd, 0600) < 0 || fchown(fd, uid, uid) < 0))
        r = err_errno(e, errno, "hand over the state");
    if (r < 0)
        return err_wrap(e, r, "tpmstate0");
    const char *version = propstr_get(&p, "version");
    vm->is_tpm_v2 = version && streq(version, "v2.0");
    vm->tpm_fd = TAKE_FD(fd);
    return 0;
}

int attach_release(struct storage_mgr *storages, const char *value, struct err *e)
{
    struct volume_attachment a;
    struct propstr p;
    int r = value ? open_tpm(storages, value, &p, &a, e) : 0;

    if (!value || r < 0)
        return r;
    autoclose int fd = a.fd;
    if (fchown(fd, geteuid(), getegid()) < 0)
        return err_errno(e, errno, "take back the state of the TPM");
    return grow(fd, e);
}

/* ---- huge pages ---- */

int attach_hugepages(const struct config *c, struct engine_vm *vm, struct err *e)
{
    const char *value = config_get(c, "hugepages");
    uint32_t page_mib = value && streq(value, "1024") ? 1024 : 2;

    if (!value)
        return 0;
    if (streq(value, "any") && vm->memory_mib % 1024 == 0 && engine_host_free_hugepages(1024) * 1024 >= vm->memory_mib)
        page_mib = 1024;
    uint64_t needed = vm->memory_mib / page_mib, n_free = engine_host_free_hugepages(page_mib);
    if (n_free < needed) {
        err_set(e, -ENOMEM, "host.hugepages", "hugepages: %llu pages of %u MiB are needed, %llu are free on this node",
                (unsigned long long)needed, page_mib, (unsigned long long)n_free);
        err_hint(e, "reserve them: /sys/kernel/mm/hugepages/hugepages-%ukB/nr_hugepages", page_mib * 1024);
        return e->num;
    }
    vm->hugepage_mib = page_mib;
    return 0;
}
