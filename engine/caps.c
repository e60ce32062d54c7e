/* SPDX-License-Identifier: MIT */
/* What this kernel and this build can do, for people. */

#include <pthread.h>

#include <spate/stats.h>

#include "uring/caps.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct su_caps caps; /* written once, under `once` */

static void probe(void)
{
    su_caps_probe(&caps);
}

size_t spate_caps(struct spate_cap *ret, size_t count_max)
{
    (void)pthread_once(&once, probe);
    for (size_t i = 0; i < SU_CAP_COUNT && i < count_max; i++) {
        const struct su_cap *cap = su_caps_at(&caps, (uint32_t)i);
        ret[i] = (struct spate_cap){.name = cap->name, .have = cap->have, .reason = cap->reason};
    }
    return SU_CAP_COUNT;
}
