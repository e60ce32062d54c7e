/* SPDX-License-Identifier: MIT */
#include "bench/load/burden.h"

#include <spate/spate.h>

#include "bench/load/clock.h"

void burden_bear(struct burden *burden, struct spate_shard *shard)
{
    if (burden->percent <= 0)
        return;
    struct spate_shard_stats stats;
    spate_shard_stats(shard, &stats);
    uint64_t cpu_ns = clock_cpu_ns();
    uint64_t used_ns = cpu_ns - burden->cpu_ns;
    uint64_t spun_ns = stats.spun_ns - burden->spun_ns;
    if (burden->cpu_ns != 0 && used_ns > spun_ns) {
        double wasted_ns = (double)(used_ns - spun_ns) * burden->percent / 100;
        uint64_t until_ns = cpu_ns + (uint64_t)wasted_ns;
        while (cpu_ns < until_ns)
            cpu_ns = clock_cpu_ns();
    }
    burden->cpu_ns = cpu_ns;
    burden->spun_ns = stats.spun_ns;
}
