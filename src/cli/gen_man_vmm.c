/* gen-man-holm-vmm: writes the manual page of holm-vmm into a folder when Holm is built; its options are those of the
 * tables that holm-vmm itself reads. Not installed.
 *
 * usage: gen-man-holm-vmm DIR */
#include <stdio.h>

#include "cli/roff.h"
#include "vmm/options.h"

static void put_option(void *arg, const char *name, const char *value, const char *help)
{
    char text[64];

    snprintf(text, sizeof(text), "--%s", name);
    roff_item(arg, text, value, help);
}

static void make(struct buf *out)
{
    roff_head(out, "holm-vmm", "8", "runs one virtual machine on KVM");
    roff_macro(out, "SH", "SYNOPSIS");
    buf_append_str(out, "\\fBholm\\-vmm run \\-\\-kernel\\fR \\fIFILE\\fR [\\fIOPTION VALUE\\fR]...\n");
    roff_macro(out, "SH", "DESCRIPTION");
    buf_append_str(
        out, "Starts a Linux kernel in a virtual machine without firmware: PCI Express, ACPI, virtio devices and a "
             "serial\nport. It ends when the guest turns itself off. holmd runs guests with engine=vmm by "
             "it; by hand it needs no\ndaemon.\n");
    roff_macro(out, "SH", "OPTIONS");
    options_each(put_option, out);
    roff_macro(out, "SH", "DEVICES");
    buf_append_str(out,
                   "Options of devices may be given several times. Each device also takes id=NAME, by which control "
                   "verbs call it;\nwithout it the name is the kind with a number (disk0).\n");
    roff_macro(out, "SH", "EXIT STATUS");
    roff_item(out, "0", NULL, "The guest turned itself off, or the machine was ended by its control connection.");
    roff_item(out, "1", NULL, "The machine could not be made, or not go on.");
    roff_item(out, "2", NULL, "Wrong options.");
    roff_macro(out, "SH", "EXAMPLE");
    roff_text(out, "holm-vmm run --kernel vmlinuz --initrd initrd.img --cmdline console=ttyS0 --memory 512M "
                   "--disk root.img --console stdio");
    buf_append_char(out, '\n');
    roff_macro(out, "SH", "SEE ALSO");
    buf_append_str(out, ".BR holmd (8),\n.BR holm (1)\n");
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct buf page;

    if (argc != 2) {
        fprintf(stderr, "usage: gen-man-holm-vmm DIR\n");
        return 64;
    }
    buf_init(&page, ROFF_PAGE_MAX);
    make(&page);
    int r = roff_write(argv[1], "holm-vmm.8", &page, &e);
    if (r < 0)
        fprintf(stderr, "gen-man-holm-vmm: %s\n", e.text);
    buf_done(&page);
    return r < 0;
}
