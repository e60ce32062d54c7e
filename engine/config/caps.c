/* SPDX-License-Identifier: MIT */
#include <spate/stats.h>

/* What this kernel and this build can do, for people. */

#include <pthread.h>

#include "crypto/ossl_features.h"
#include "engine/config/sized.h"
#include "uring/caps.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Written once, under `once`. */
static struct su_caps caps;
static struct sc_feature features[SC_FEATURES_COUNT];

static void probe(void)
{
    su_caps_probe(&caps);
    sc_features_probe(features);
}

size_t spate_caps_sized(struct spate_cap *ret, size_t count_max, size_t size)
{
    (void)pthread_once(&once, probe);
    for (size_t i = 0; i < SU_CAP_COUNT && i < count_max; i++) {
        const struct su_cap *cap = su_caps_at(&caps, (uint32_t)i);
        const struct spate_cap own = {.name = cap->name, .have = cap->have, .reason = cap->reason};
        se_sized_give(&own, sizeof(own), (char *)ret + i * size, size);
    }
    for (size_t i = 0; i < SC_FEATURES_COUNT && SU_CAP_COUNT + i < count_max; i++) {
        const struct spate_cap own = {features[i].name, features[i].have, features[i].reason};
        se_sized_give(&own, sizeof(own), (char *)ret + (SU_CAP_COUNT + i) * size, size);
    }
    return SU_CAP_COUNT + SC_FEATURES_COUNT;
}
