/* The options of holmd: what --help and the manual page say of each. */
#ifndef HOLM_DAEMON_OPTION_TABLE_H
#define HOLM_DAEMON_OPTION_TABLE_H

struct daemon_option {
    const char *name;  /* without "--"; NULL ends the table */
    const char *value; /* what it takes; NULL = nothing */
    const char *help;
    char letter; /* what getopt returns */
};

extern const struct daemon_option daemon_options[];

#endif
