/* SPDX-License-Identifier: MIT */
#ifndef QS_TAP_H
#define QS_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/packet/protect.h"
#include "test/sim/null_protect.h"
#include "test/sim/plan.h"
#include "test/sim/trace.h"

/* Wraps the packet protection of a connection, and reports every packet in plaintext: as it
 * is sealed, and when it was opened. */
struct qs_tap {
    struct sp_protect inner;
    void (*on_packet)(void *context, const struct qs_packet *packet);
    void *context;
    struct qs_trace *trace;
    const struct qs_null_plan *limits; /* keys last no longer than this, whatever they say */
    const struct qs_forgery *forgery;  /* NULL: none */
    bool has_forged;
    uint64_t key_count;    /* that exist now */
    uint64_t failed_count; /* opens that failed */
};

/* `tap` is borrowed by the protection that is returned, and by all its keys. */
struct sp_protect qs_tap_protect(struct qs_tap *tap);

#endif
