# SPDX-License-Identifier: MIT
"""Numbers out of repetitions: medians, intervals by bootstrap, outliers.  Seeded: the same samples
give the same intervals."""
import random
import statistics

RESAMPLES = 2000


def median(values):
    return statistics.median(values)


def percentile(ordered, share):
    """By linear interpolation; `share` from 0 to 1."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def interval(values, level=0.95, seed=1):
    """The median's, by the percentile bootstrap [B. Efron, 1979]."""
    if len(values) < 2:
        return values[0], values[0]
    draw = random.Random(seed)
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    tail = (1 - level) / 2
    return percentile(medians, tail), percentile(medians, 1 - tail)


def outliers(values):
    """Those beyond the quartiles by more than 1.5 times their distance [J. Tukey, 1977].  They are
    shown, and stay in the median."""
    if len(values) < 4:
        return []
    ordered = sorted(values)
    first, third = percentile(ordered, 0.25), percentile(ordered, 0.75)
    room = 1.5 * (third - first)
    return [value for value in values if value < first - room or value > third + room]


def ratios(before, after, is_paired):
    """What to resample: of each round, or all against all where the rounds are not the same."""
    if is_paired:
        return [b / a for a, b in zip(before, after) if a > 0]
    return [b / a for a in before for b in after if a > 0]


def ratio_interval(before, after, is_paired, level, seed=1):
    """The median ratio after / before, and its interval."""
    if is_paired:
        values = ratios(before, after, True)
        return (median(values), *interval(values, level, seed))
    draw = random.Random(seed)
    found = sorted(median(draw.choices(after, k=len(after))) /
                   median(draw.choices(before, k=len(before))) for _ in range(RESAMPLES))
    tail = (1 - level) / 2
    return (median(after) / median(before), percentile(found, tail),
            percentile(found, 1 - tail))
