/* Facts of this host that the node routes show: read from /proc, cheap enough for the loop (a few tens of microseconds;
 * /proc does not wait for disks); but for the last. */
#ifndef HOLM_API_HOST_H
#define HOLM_API_HOST_H

#include <stdint.h>

struct host_memory {
    uint64_t total_bytes, free_bytes, available_bytes, swap_total_bytes, swap_free_bytes;
};
struct host_cpu {
    char model[128];
    unsigned cpus, sockets, cores;
    double mhz;
};
void host_memory_get(struct host_memory *ret);
void host_cpu_get(struct host_cpu *ret);   /* cached after the first call */
double host_cpu_usage(double *ret_iowait); /* fraction since the last call at least one second ago */
uint64_t host_uptime_s(void);
void host_loadavg(char ret[3][16]);

/* Blocking, pool threads: the root file system, and bytes through the physical network cards since boot. */
struct host_slow {
    uint64_t root_total, root_used, root_free, root_available, net_in, net_out;
};
void host_slow_get(struct host_slow *ret);

#endif
