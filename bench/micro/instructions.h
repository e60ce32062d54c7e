/* SPDX-License-Identifier: MIT */
#ifndef MICRO_INSTRUCTIONS_H
#define MICRO_INSTRUCTIONS_H

struct micro_subject;

/* Instructions instead of nanoseconds: the program runs itself under callgrind, which counts
 * within one function only and writes a file each time that function returns.  Unlike times
 * these counts repeat to the digit.  (callgrind's processor has AES-NI and AVX2, but neither VAES
 * nor AVX-512: ciphers choose their code accordingly.) */

/* In the counted process: runs the subject and names it on stdout for the parent. */
void micro_count_instructions(const struct micro_subject *subject);

/* In the process that was started by hand: runs `program` with `names` (NULL at the end) under
 * callgrind and prints instructions an item.  Returns an exit code. */
int micro_instructions(const char *program, char *const *names);

#endif
