/* SPDX-License-Identifier: MIT */
#ifndef QT_FUSED_VARIANTS_H
#define QT_FUSED_VARIANTS_H

#include <stdio.h>

#include "test/support/aead_fused_lanes.h"

enum { QT_FUSED_VARIANTS_MAX = 8, QT_FUSED_LANES = 2 };

/* Lists the variants that this CPU can run, followed by those that need none of its special
 * instructions.  Prints why one is missing.  Returns their number; the last QT_FUSED_LANES are of
 * the second kind. */
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
