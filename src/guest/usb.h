/* USB devices of the host that a guest is given: which file of /dev one is. Blocking; called by launch.c in a pool
 * thread. */
#ifndef HOLM_GUEST_USB_H
#define HOLM_GUEST_USB_H

#include "base/err.h"

struct usb_place {
    unsigned bus, device;
};
/* text: "VENDOR:PRODUCT" in hexadecimal, or "BUS-PORT[.PORT…]"; sysfs: /sys/bus/usb/devices, or a test's. -ENODEV
 * "usb.missing": not plugged in; of several alike the one with the lowest name. */
MUST_CHECK int usb_find(const char *sysfs, const char *text, struct usb_place *ret, struct err *e);
/* Opens the device of a value of usbN. */
MUST_CHECK int usb_open(const char *value, int *ret_fd, struct err *e);

#endif
