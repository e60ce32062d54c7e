/* SPDX-License-Identifier: MIT */
#include "bench/load/spread.h"

#include <math.h>

void spread_add(struct spread *spread, double share)
{
    if (spread->count == 0 || share < spread->least)
        spread->least = share;
    if (spread->count == 0 || share > spread->most)
        spread->most = share;
    spread->count++;
    spread->sum += share;
    spread->square_sum += share * share;
}

double spread_slowest_over_fastest(const struct spread *spread)
{
    return spread->most > 0 ? spread->least / spread->most : NAN;
}

double spread_jain(const struct spread *spread)
{
    if (spread->square_sum <= 0)
        return NAN;
    return spread->sum * spread->sum / ((double)spread->count * spread->square_sum);
}
