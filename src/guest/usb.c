/* See usb.h. sysfs has a folder for each device, named after its port ("2-1.4"), with files idVendor, idProduct, busnum
 * and devnum; the device itself is /dev/bus/usb/BUS/DEVICE. A device that is plugged in anew has another number, so the
 * file that was opened stands for this one plugging only. */
#include "guest/usb.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>

#include "base/propstr.h"

#define SYSFS "/sys/bus/usb/devices"

static bool read_word(int dir, const char *name, const char *file, char *ret, size_t cap)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", name, file);
    autoclose int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, cap - 1);
    if (n <= 0)
        return false;
    ret[n] = 0;
    ret[strcspn(ret, " \n")] = 0;
    return true;
}

static bool read_place(int dir, const char *name, struct usb_place *ret)
{
    char bus[16], device[16];
    uint64_t b, d;

    if (!read_word(dir, name, "busnum", bus, sizeof(bus)) || !read_word(dir, name, "devnum", device, sizeof(device)) ||
        str_to_u64(bus, &b) < 0 || str_to_u64(device, &d) < 0 || b > 999 || d > 999)
        return false;
    *ret = (struct usb_place){(unsigned)b, (unsigned)d};
    return true;
}

/* "0x1D6B" and "1d6b" are the same. */
static bool parse_id(const char *text, size_t n, unsigned *ret)
{
    char digits[8];

    if (n > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        text += 2;
        n -= 2;
    }
    if (n != 4)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    snprintf(digits, sizeof(digits), "%.4s", text);
    *ret = (unsigned)strtoul(digits, NULL, 16);
    return true;
}

static bool is_model(int dir, const char *name, unsigned vendor, unsigned product)
{
    char v[16], p[16];

    return read_word(dir, name, "idVendor", v, sizeof(v)) && read_word(dir, name, "idProduct", p, sizeof(p)) &&
           strtoul(v, NULL, 16) == vendor && strtoul(p, NULL, 16) == product;
}

static int find_model(const char *sysfs, unsigned vendor, unsigned product, struct usb_place *ret)
{
    DIR *d = opendir(sysfs);
    char best[64] = "";
    struct usb_place place;

    for (struct dirent *de; d && (de = readdir(d));)
        if (de->d_name[0] != '.' && strlen(de->d_name) < sizeof(best) &&
            is_model(dirfd(d), de->d_name, vendor, product) && read_place(dirfd(d), de->d_name, &place) &&
            (!best[0] || strcmp(de->d_name, best) < 0)) {
            snprintf(best, sizeof(best), "%s", de->d_name);
            *ret = place;
        }
    if (d)
        closedir(d);
    return best[0] ? 0 : -ENODEV;
}

static bool is_port(const char *text)
{
    const char *dash = strchr(text, '-');

    return dash && dash != text && dash[1] && strlen(text) < 64 &&
           strspn(text, "0123456789") == (size_t)(dash - text) && strspn(dash + 1, "0123456789.") == strlen(dash + 1) &&
           dash[1] != '.';
}

int usb_find(const char *sysfs, const char *text, struct usb_place *ret, struct err *e)
{
    const char *colon = strchr(text, ':');
    unsigned vendor, product;
    int r = -ENODEV;

    if (colon && parse_id(text, (size_t)(colon - text), &vendor) && parse_id(colon + 1, strlen(colon + 1), &product)) {
        r = find_model(sysfs, vendor, product, ret);
    } else if (is_port(text)) {
        autoclose int dir = open(sysfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir >= 0 && read_place(dir, text, ret) ? 0 : -ENODEV;
    } else {
        return err_set(e, -EINVAL, "param.invalid", "'%.40s' is neither VENDOR:PRODUCT nor BUS-PORT", text);
    }
    return r < 0 ? err_set(e, r, "usb.missing", "no USB device %.40s is plugged into this host", text) : 0;
}

int usb_open(const char *value, int *ret_fd, struct err *e)
{
    struct usb_place place;
    struct propstr p;
    char path[64];
    int r = propstr_parse(value, "host", &p, e);

    if (r < 0)
        return r;
    const char *device = propstr_get(&p, "host");
    if (!device)
        return err_set(e, -EINVAL, "param.invalid", "no device of the host is named");
    r = usb_find(SYSFS, device, &place, e);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/dev/bus/usb/%03u/%03u", place.bus, place.device);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    *ret_fd = fd;
    return 0;
}
