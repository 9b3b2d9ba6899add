/* gen-man-vmm: writes the manual page of holm-vmm into a folder when Holm is built; its options are those of the table
 * that holm-vmm itself reads. Not installed.
 *
 * usage: gen-man-vmm DIR */
#include <stdio.h>

#include "cli/roff.h"
#include "vmm/options.h"

static void put_option(void *out, const char *name, const char *value, const char *help)
{
    char option[64];

    snprintf(option, sizeof(option), "--%s", name);
    roff_item(out, option, value, help);
}

static void make(struct buf *out)
{
    roff_head(out, "holm-vmm", "8", "runs one virtual machine on KVM");
    roff_macro(out, "SH", "SYNOPSIS");
    buf_append_str(out, "\\fBholm\\-vmm run\\fR \\-\\-kernel \\fIFILE\\fR [\\fIOPTION VALUE\\fR]...\n");
    roff_macro(out, "SH", "DESCRIPTION");
    buf_append_str(
        out, "The hypervisor of the Holm virtualization platform: boots a kernel directly, on modern virtio devices, "
             "in a jail.\nThe platform starts it for guests of its own engine; this is how it is used by hand. Where a "
             "file is wanted,\nfd=N names a descriptor that was inherited.\n");
    roff_macro(out, "SH", "OPTIONS");
    options_each(put_option, out);
    roff_macro(out, "SH", "THE JAIL");
    buf_append_str(
        out, "Before the guest runs, when everything is open, holm\\-vmm gives up all that it does not need: it moves "
             "into an empty\nroot and namespaces of its own, becomes an unprivileged user if root started it, drops "
             "every capability, and\nallows each thread only the system calls of its work. A call that is not "
             "allowed ends it with SIGSYS.\n");
    roff_macro(out, "SH", "EXIT STATUS");
    roff_item(out, "0", NULL, "The guest turned itself off.");
    roff_item(out, "1", NULL, "The machine could not be made, or not go on; one line on standard error says why.");
    roff_item(out, "2", NULL, "The options are wrong.");
    roff_macro(out, "SH", "EXAMPLE");
    buf_append_str(out, "holm\\-vmm run \\-\\-kernel vmlinuz \\-\\-initrd initrd.img \\-\\-disk raw=root.img "
                        "\\-\\-memory 512M \\-\\-console stdio\n");
    roff_macro(out, "SH", "SEE ALSO");
    buf_append_str(out, ".BR holmd (8)\n");
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct buf page;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: gen-man-vmm DIR\n");
        return 64;
    }
    buf_init(&page, ROFF_PAGE_MAX);
    make(&page);
    r = roff_write(argv[1], "holm-vmm.8", &page, &e);
    if (r < 0)
        fprintf(stderr, "gen-man-vmm: %s\n", e.text);
    buf_done(&page);
    return r < 0;
}
