/* Shared by the two files of the network routes. */
#ifndef HOLM_API_NETWORK_H
#define HOLM_API_NETWORK_H

#include "api/common.h"
#include "network/network.h"

/* Members of one configured interface, inside an open object. */
void api_network_members(struct jw *w, const struct net_iface *i);

#endif
