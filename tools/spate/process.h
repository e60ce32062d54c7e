/* SPDX-License-Identifier: MIT */
#ifndef SPATE_PROCESS_H
#define SPATE_PROCESS_H

/* Of this process. */

/* Lets it have as many descriptors as the system allows: one for each file that is open at a time.
 */
void process_raise_descriptors(void);

/* Returns the CPU time that it has used, in seconds, and the most memory that it had, in KiB. */
double process_cpu_s(long *ret_rss_kib);

#endif
