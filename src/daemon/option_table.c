/* The options of holmd; see option_table.h. */
#include "daemon/option_table.h"

#include <stddef.h>

const struct daemon_option daemon_options[] = {
    {"root", "DIR", "everything of Holm lies below it (default /var/lib/holm)", 'r'},
    {"listen", "A:P", "address and port of the API and the page (default 127.0.0.1:8006)", 'l'},
    {"node", "NAME", "name of this node (default: the host name)", 'n'},
    {"web", "DIR", "folder of the page's files; the installed one if not given", 'w'},
    {"fronts", "N", "processes that serve clients, 1 to 8 (default 2)", 'f'},
    {"hsts", "SECONDS",
     "browsers shall use this host by https only, so long (default 0: not said; needs a certificate that browsers "
     "trust)",
     's'},
    {"interfaces", "FILE",
     "also write the networks to this file, for ifupdown (default: no file): /etc/network/interfaces.d/holm brings "
     "them "
     "up before Holm itself",
     'i'},
    {"verbose", NULL, "log debug messages", 'v'},
    {"version", NULL, "print the version", 'V'},
    {"help", NULL, "print this", 'h'},
    {NULL, NULL, NULL, 0},
};
