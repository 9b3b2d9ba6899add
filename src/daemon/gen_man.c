/* gen-man-holmd: writes the manual page of holmd into a folder when Holm is built; its options are those of the table
 * that holmd itself reads. Not installed.
 *
 * usage: gen-man-holmd DIR */
#include <stdio.h>

#include "cli/roff.h"
#include "daemon/option_table.h"

static void make(struct buf *out)
{
    char name[64];

    roff_head(out, "holmd", "8", "daemon of the Holm virtualization platform");
    roff_macro(out, "SH", "SYNOPSIS");
    buf_append_str(out, "\\fBholmd\\fR");
    for (const struct daemon_option *o = daemon_options; o->name; o++)
        buf_printf(out, " [\\-\\-%s%s%s]", o->name, o->value ? " " : "", o->value ? o->value : "");
    buf_append_char(out, '\n');
    roff_macro(out, "SH", "DESCRIPTION");
    buf_append_str(out,
                   "Keeps the state of the host's guests, storages and users, runs their tasks, and serves the API "
                   "through\nholm\\-front, its child. Guests go on when it ends, and the next one takes them up.\n");
    roff_macro(out, "SH", "OPTIONS");
    for (const struct daemon_option *o = daemon_options; o->name; o++) {
        snprintf(name, sizeof(name), "--%s", o->name);
        roff_item(out, name, o->value, o->help);
    }
    roff_macro(out, "SH", "EXIT STATUS");
    roff_item(out, "0", NULL, "Ended by SIGTERM or SIGINT.");
    roff_item(out, "64", NULL, "Wrong usage.");
    roff_item(out, "70", NULL, "It could not start, or not go on; the log says why.");
    roff_item(out, "77", NULL, "It was not started by root.");
    roff_macro(out, "SH", "FILES");
    roff_item(out, "/etc/default/holm", NULL, "Settings of the service.");
    roff_item(out, "/var/lib/holm", NULL, "Everything that Holm keeps.");
    roff_macro(out, "SH", "SEE ALSO");
    buf_append_str(out, ".BR holm (1)\n");
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct buf page;

    if (argc != 2) {
        fprintf(stderr, "usage: gen-man-holmd DIR\n");
        return 64;
    }
    buf_init(&page, ROFF_PAGE_MAX);
    make(&page);
    int r = roff_write(argv[1], "holmd.8", &page, &e);
    if (r < 0)
        fprintf(stderr, "gen-man-holmd: %s\n", e.text);
    buf_done(&page);
    return r < 0;
}
