/* SPDX-License-Identifier: MIT */
#include "engine/spin.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* The rule by which hypervisors poll before they halt a CPU. */

void se_spin_init(struct se_spin *spin, uint64_t limit_ns)
{
    /* It begins with hope: the first waits of a connection are those of its handshake. */
    *spin = (struct se_spin){.limit_ns = limit_ns, .window_ns = limit_ns};
}

void se_spin_learn(struct se_spin *spin, uint64_t waited_ns, bool has_news)
{
    if (spin->limit_ns == 0 || spin->limit_ns == SB_NEVER)
        return;
    uint64_t window_ns_min = SB_MAX(spin->limit_ns / SE_SPIN_STEPS, 1);
    if (waited_ns > spin->limit_ns) {
        uint64_t half_ns = spin->window_ns / 2;
        spin->window_ns = half_ns >= window_ns_min ? half_ns : 0;
    } else if (has_news) {
        uint64_t window_ns = SB_MAX(spin->window_ns, window_ns_min);
        spin->window_ns = SB_MIN(2 * window_ns, spin->limit_ns);
    }
}
