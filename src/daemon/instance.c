/* The instance number of a root: taps, cgroups and uids of several Holms on one host differ by it. */
#include <fcntl.h>
#include <sodium.h>

#include "base/fs.h"
#include "daemon/daemon.h"

#define INSTANCES 16384u /* GUEST_UID_BASE + instance * 65536 stays below 2^31 */

int instance_get(const char *root, uint32_t *ret, struct err *e)
{
    char path[4096], text[16];
    uint64_t value;
    struct buf b;

    snprintf(path, sizeof(path), "%s/var", root);
    autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(e, errno, "open %s", path);
    buf_init(&b, 64);
    int r = fs_read_file(dir, "instance", &b, e);
    if (r == 0 && b.data) {
        b.data[strcspn(b.data, "\n")] = 0;
        r = str_to_u64(b.data, &value) < 0 || value >= INSTANCES
                ? err_set(e, -EINVAL, "root.instance", "%s/instance does not hold a number below %u", path, INSTANCES)
                : 0;
        *ret = (uint32_t)value;
    } else if (r == -ENOENT) {
        *ret = randombytes_uniform(INSTANCES);
        snprintf(text, sizeof(text), "%u\n", *ret);
        r = fs_replace_durable(dir, "instance", text, strlen(text), 0600, e);
    }
    buf_done(&b);
    return r;
}
