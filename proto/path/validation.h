/* SPDX-License-Identifier: MIT */
#ifndef SP_VALIDATION_H
#define SP_VALIDATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/quic.h"

/* The validation of one path: PATH_CHALLENGEs until a PATH_RESPONSE comes, or time is up.
 * [RFC9000 8.2]
 *
 *     begin -> DUE -sent-> SENT -answer of 1,200 bytes-> done
 *               ^           | |
 *               +- again ---+ +-- time is up ---------> failed
 *               +- answer to a smaller datagram
 *
 * A challenge in a small datagram proves the address, and one of 1,200 bytes also that the path
 * takes QUIC.  The first may have to be small, because an unproven address gets three times what it
 * has sent; then a second one follows.  [RFC9000 8.2.1] */

enum {
    /* PATH_CHALLENGEs that a PATH_RESPONSE may answer, the newest.  Beyond: the oldest is
     * forgotten, which is several PTOs old by then. */
    SP_CHALLENGES_MAX = 4,
};

enum sp_validation_state {
    SP_VALIDATION_DUE,  /* a PATH_CHALLENGE is to be sent */
    SP_VALIDATION_SENT, /* .. was sent; at again_at_ns another one is due */
};

struct sp_validation {
    enum sp_validation_state state;
    bool wants_full;      /* the address is proven: the next one has 1,200 bytes */
    uint32_t sent_count;  /* challenges so far */
    uint64_t wanted_pn;   /* of the newest packet that asks to use the path once proven; 0: none */
    uint64_t pause_ns;    /* between two; doubles */
    uint64_t again_at_ns; /* SENT */
    uint64_t end_at_ns;   /* it has failed then.  [RFC9000 8.2.4] */
    struct {
        uint8_t data[SP_PATH_DATA_SIZE];
        uint64_t sent_ns;
        bool is_full;          /* in a datagram of 1,200 bytes */
    } sent[SP_CHALLENGES_MAX]; /* challenge n is at n % SP_CHALLENGES_MAX */
};

enum sp_validation_result {
    SP_VALIDATED_NONE,    /* to none of the challenges */
    SP_VALIDATED_ADDRESS, /* to a small one: the address is proven, and another challenge is due */
    SP_VALIDATED_PATH,    /* the path is validated */
};

/* Begins.  `pto_ns`: the first pause, of the path used so far.  [RFC9000 8.2.1, 8.2.4] */
void sp_validation_begin(struct sp_validation *validation, uint64_t pto_ns, uint64_t now_ns);

/* A PATH_CHALLENGE with `data` left in a datagram of `size` bytes. */
void sp_validation_on_sent(struct sp_validation *validation, const uint8_t data[SP_PATH_DATA_SIZE],
                           size_t size, uint64_t now_ns);

/* A PATH_RESPONSE came, on whichever path [RFC9000 8.2.2].  `*ret_delay_ns`: since the challenge,
 * unless the answer is NONE.  [RFC9000 8.2.3] */
SB_MUST_USE enum sp_validation_result
sp_validation_on_response(struct sp_validation *validation, const uint8_t data[SP_PATH_DATA_SIZE],
                          uint64_t now_ns, uint64_t *ret_delay_ns);

/* When sp_validation_on_time() has something to do. */
uint64_t sp_validation_deadline_ns(const struct sp_validation *validation);
/* Returns false if the validation has failed. */
SB_MUST_USE bool sp_validation_on_time(struct sp_validation *validation, uint64_t now_ns);

#endif
