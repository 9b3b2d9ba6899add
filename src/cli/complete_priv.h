/* Completion of a command line, in two parts: what may stand at the cursor (complete.c), and what the daemon has of it
 * (complete_ask.c). */
#ifndef HOLM_CLI_COMPLETE_PRIV_H
#define HOLM_CLI_COMPLETE_PRIV_H

#include "cli/command_priv.h"

/* What the daemon gets of the user's patience, connecting included. */
#define COMPLETE_ASK_MS 1000u

/* Adds "candidate\tdescription\n" if it begins with prefix and holds nothing that a shell could take for its own. */
struct complete {
    struct cli *c;
    const char *prefix;
    const char *before; /* put in front of each candidate: "--output=" */
    const char *owner;  /* the first argument, for what belongs to it */
    struct buf *out;
};
void complete_offer(const struct complete *k, const char *candidate, const char *description);

/* Names of what the API parameter `key` takes: guests, storages, users. Offers nothing when the daemon does not answer
 * in time or the key is not known. */
void complete_ask(const struct complete *k, const char *key);

/* All that may stand as the last of the words; an own line "\tfiles" asks the shell for names of files. */
void complete_words(struct cli *c, const char *const *words, size_t n, struct buf *out);

#endif
