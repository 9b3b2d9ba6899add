/* The sampler behind rrddata: every ten seconds the host, each running guest and each storage, kept by src/rrd in files
 * below ROOT/var/rrd. Loop thread; files are read and written by one job at a time in the pool, so a slow disk delays
 * statistics and nothing else. */
#ifndef HOLM_API_STATS_H
#define HOLM_API_STATS_H

#include "api/api.h"

struct stats;

MUST_CHECK int stats_new(struct api *a, struct stats **ret, struct err *e);
/* Writes what is finished. Before the guests and storages go. */
void stats_free(struct stats *s);

enum stats_kind { STATS_NODE, STATS_QEMU, STATS_STORAGE };
/* Names of the values of a kind, in the order of a row; NULL ends. */
const char *const *stats_names(enum stats_kind kind);
unsigned stats_count(enum stats_kind kind);
/* File of an object ("" as id for the node) below stats_dirfd. */
void stats_file(enum stats_kind kind, const char *id, char *dst, size_t cap);
int stats_dirfd(const struct stats *s);

#endif
