/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STAT_SCRAPE_H
#define SPATE_STAT_SCRAPE_H

#include <signal.h>

#include "tools/spate/net.h"
#include "tools/spate/stat_map.h"

/* Serves the counters in Prometheus' format by HTTP, until `*is_stopped`.  Says where it listens.
 * Returns the program's exit status. */
int stat_scrape_serve(struct stat_map *map, const struct net_address *address,
                      const volatile sig_atomic_t *is_stopped);

#endif
