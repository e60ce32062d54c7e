/* SPDX-License-Identifier: MIT */
#ifndef SB_PROBE_H
#define SB_PROBE_H

#include <stdint.h>

#include "proto/base/instruments.h"

/* Probes for bpftrace, perf, gdb and SystemTap (USDT): places in the code with a name and
 * arguments.  A probe is one nop, and a note in the file about where the arguments are; who wants
 * to know puts a breakpoint there.  No header of another package is needed: the notes are those of
 * <sys/sdt.h>, version 3, without semaphores.
 *
 *     SB_PROBE2(packet_lost, conn, pn)  ->  usdt:PROGRAM:spate:packet_lost { arg0, arg1 }
 *
 * Arguments are integers or pointers, 8 bytes each; take what is at hand, because a probe that
 * nobody looks at computes them too.  tools/bpftrace/ has scripts; test/e2e/probes.py the list. */

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && SB_HAS_INSTRUMENT(PROBES)

/* The labels are local numbers; the base lets tools see whether the program was prelinked. */
#define SB_PROBE_NOTE(name, arguments) \
    "990: nop\n" \
    ".pushsection .note.stapsdt,\"?\",\"note\"\n" \
    ".balign 4\n" \
    ".4byte 992f-991f, 994f-993f, 3\n" \
    "991: .asciz \"stapsdt\"\n" \
    "992: .balign 4\n" \
    "993: .8byte 990b\n" \
    ".8byte _.stapsdt.base\n" \
    ".8byte 0\n" \
    ".asciz \"spate\"\n" \
    ".asciz \"" #name "\"\n" \
    ".asciz \"" arguments "\"\n" \
    "994: .balign 4\n" \
    ".popsection\n" \
    ".ifndef _.stapsdt.base\n" \
    ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
    ".weak _.stapsdt.base\n" \
    ".hidden _.stapsdt.base\n" \
    "_.stapsdt.base: .space 1\n" \
    ".size _.stapsdt.base, 1\n" \
    ".popsection\n" \
    ".endif\n"

#define SB_PROBE_ARG(value) "nor"((uint64_t)(value))

#define SB_PROBE2(name, a, b) \
    __asm__ volatile(SB_PROBE_NOTE(name, "8@%0 8@%1")::SB_PROBE_ARG(a), SB_PROBE_ARG(b))
#define SB_PROBE3(name, a, b, c) \
    __asm__ volatile(SB_PROBE_NOTE(name, "8@%0 8@%1 8@%2")::SB_PROBE_ARG(a), SB_PROBE_ARG(b), \
                     SB_PROBE_ARG(c))
#define SB_PROBE4(name, a, b, c, d) \
    __asm__ volatile(SB_PROBE_NOTE(name, "8@%0 8@%1 8@%2 8@%3")::SB_PROBE_ARG(a), SB_PROBE_ARG(b), \
                     SB_PROBE_ARG(c), SB_PROBE_ARG(d))
#define SB_PROBE5(name, a, b, c, d, e) \
    __asm__ volatile(SB_PROBE_NOTE(name, "8@%0 8@%1 8@%2 8@%3 8@%4")::SB_PROBE_ARG(a), \
                     SB_PROBE_ARG(b), SB_PROBE_ARG(c), SB_PROBE_ARG(d), SB_PROBE_ARG(e))

#else

#define SB_PROBE2(name, a, b)          ((void)(a), (void)(b))
#define SB_PROBE3(name, a, b, c)       ((void)(a), (void)(b), (void)(c))
#define SB_PROBE4(name, a, b, c, d)    ((void)(a), (void)(b), (void)(c), (void)(d))
#define SB_PROBE5(name, a, b, c, d, e) ((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))

#endif

#endif
