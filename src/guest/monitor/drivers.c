/* The table of hypervisors that holm-guest can speak to. */
#include "guest/monitor/monitor.h"

const struct driver *const driver_table[] = {&driver_qmp, &driver_vmm, NULL};

const struct driver *driver_find(const char *name)
{
    for (size_t i = 0; driver_table[i]; i++)
        if (streq(driver_table[i]->name, name))
            return driver_table[i];
    return NULL;
}
