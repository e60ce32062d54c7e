/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SPREAD_H
#define LOAD_SPREAD_H

#include <stdint.h>

/* How evenly something is shared.  Zero is empty. */
struct spread {
    uint64_t count;
    double least;
    double most;
    double sum;
    double square_sum;
};

void spread_add(struct spread *spread, double share);

/* Returns the least share over the greatest one: 1 is even.  NAN if there is none, or nothing to
 * share. */
double spread_slowest_over_fastest(const struct spread *spread);

/* Returns Jain's index, (sum of x)^2 / (n * sum of x^2): 1 is even, 1/n is all for one.  NAN if
 * there is no share, or nothing to share.  [R. Jain, D. Chiu, W. Hawe: A quantitative measure of
 * fairness, DEC-TR-301, 1984] */
double spread_jain(const struct spread *spread);

#endif
