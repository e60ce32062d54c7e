/* SPDX-License-Identifier: MIT */
#ifndef QT_FUSED_VARIANTS_H
#define QT_FUSED_VARIANTS_H

#include <stdio.h>

#include "test/support/aead_fused_lanes.h"

enum { QT_FUSED_VARIANTS_MAX = 8, QT_FUSED_LANES = 2 };

/* The variants that this CPU can run, and behind them those without its instructions.  Prints why
 * one is missing.  Returns how many there are, the last QT_FUSED_LANES of that kind. */
static inline size_t qt_fused_variants(const struct sc_fused *ret[QT_FUSED_VARIANTS_MAX])
{
    size_t count = 0;
    const struct sc_fused *fused;
    const char *reason = NULL;
    for (size_t i = 0; (fused = sc_fused_at(i, &reason)) != NULL; i++) {
        if (reason == NULL)
            ret[count++] = fused;
        else
            printf("not run - %s: %s\n", fused->name, reason);
    }
    ret[count++] = &fused_lanes_2;
    ret[count++] = &fused_lanes_4;
    return count;
}

#endif
