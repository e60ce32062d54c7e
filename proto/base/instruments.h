/* SPDX-License-Identifier: MIT */
#ifndef SB_INSTRUMENTS_H
#define SB_INSTRUMENTS_H

/* What tells the outside about a program that runs.  All of it is always there: only to measure
 * what it costs does a build leave some out, by -DSB_INSTRUMENTS=N with the sum of what stays.
 * Such a build fails the tests that look at what it has left out.  See bench/README.md. */
#define SB_INSTRUMENT_PROBES     1 /* proto/base/probe.h */
#define SB_INSTRUMENT_HISTOGRAMS 2 /* engine/shard/stages.h */
#define SB_INSTRUMENT_WAITS      4 /* engine/conn/waits.h */

#ifndef SB_INSTRUMENTS
#define SB_INSTRUMENTS 7
#endif

#define SB_HAS_INSTRUMENT(name) ((SB_INSTRUMENTS & SB_INSTRUMENT_##name) != 0)

#endif
