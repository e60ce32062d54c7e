/* SPDX-License-Identifier: MIT */
#ifndef SP_CAREFUL_H
#define SP_CAREFUL_H

#include <stdbool.h>
#include <stdint.h>

/* Careful resume: a connection on a path that an earlier one has measured.  [RFC9959, which was
 * draft-ietf-tsvwg-careful-resume]
 *
 * Slow start takes ten round trips to 5 MB.  Where an earlier connection had that window on the
 * path, half of it is tried in one jump, if nothing speaks against it:
 *
 *     RECONNAISSANCE  as without: until the initial window is acknowledged without congestion, and
 *                     the round trip is between half and ten times the saved one
 *     UNVALIDATED     the window is half the saved one, paced over a round trip
 *     VALIDATING      what was sent so is under way; the window grows as in slow start
 *     RETREAT         some of that got lost, or was marked: the window is half of what got through,
 *                     until the fate of all of it is known
 *
 * The other phases are ends: the controller goes on alone.
 *
 * For controllers with on_unused (see cc.h), with pacing.  The state is an object of its own, which
 * sp_cc points to; a connection that resumes nothing has none.
 *
 *     sp_careful_begin()     once, early in the connection
 *     sp_cc_on_ack_end(), sp_cc_on_lost()     call the functions below
 *     sp_careful_observe()   at the end of a connection: what to save */

struct sp_cc;
struct sp_cc_ack;
struct sp_cc_loss;
struct sp_rtt;

enum sp_careful_phase {
    SP_CAREFUL_RECONNAISSANCE,
    SP_CAREFUL_UNVALIDATED,
    SP_CAREFUL_VALIDATING,
    SP_CAREFUL_RETREAT,
    SP_CAREFUL_DECLINED, /* there was no jump: another round trip, congestion, or nothing to gain */
    SP_CAREFUL_VALIDATED, /* all that the jump has sent got through */
    SP_CAREFUL_RETREATED, /* some of it did not */
    SP_CAREFUL_PHASES,
};

/* What happens to the jump. */
enum sp_careful_event {
    SP_CAREFUL_JUMP,      /* the path looks as it did */
    SP_CAREFUL_REFUSE,    /* .. or it does not */
    SP_CAREFUL_SENT,      /* the jump is under way: its first packet arrived, it filled the window,
                             or a round trip has passed */
    SP_CAREFUL_UNUSED,    /* .. and the application had no more to send than slow start allows */
    SP_CAREFUL_ACKED,     /* the fate of all packets of the jump is known */
    SP_CAREFUL_CONGESTED, /* a loss or a mark */
    SP_CAREFUL_EVENTS,
};

/* What is kept of a path between connections. */
struct sp_careful_saved {
    uint64_t cwnd_bytes; /* what the shortest round trip has carried lately, queues left out */
    uint64_t rtt_ns;     /* the shortest round trip */
    uint64_t until_ns;   /* not used after that */
};

struct sp_careful {
    struct sp_careful_saved saved;
    uint64_t pipe_bytes; /* PipeSize: what got through, of all in RECONNAISSANCE, then with what was
                            in flight before the jump */
    uint64_t jump_bytes; /* the window of the jump */
    uint64_t jump_ns;    /* packets that left from then .. */
    uint64_t last_ns;    /* .. until then belong to the jump */
    enum sp_careful_phase phase;
};

/* Returns the phase after `event`; SP_CAREFUL_PHASES if it cannot happen in `phase`. */
enum sp_careful_phase sp_careful_next(enum sp_careful_phase phase, enum sp_careful_event event);

/* Begins with RECONNAISSANCE.  `careful`: borrowed as long as `cc` is used. */
void sp_careful_begin(struct sp_careful *careful, struct sp_cc *cc,
                      const struct sp_careful_saved *saved);

/* The parts of sp_cc_on_ack_end(), after the controller, and of sp_cc_on_lost(), in its place. */
void sp_careful_on_ack(struct sp_cc *cc, const struct sp_cc_ack *ack);
void sp_careful_on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss);

/* Gets what the connection knows about its path at `now_ns`, to be used until `until_ns`.  Returns
 * false if it knows nothing that is of use.  What it began with is kept, with its old time, if it
 * neither used nor refuted that. */
bool sp_careful_observe(const struct sp_cc *cc, const struct sp_rtt *rtt, uint64_t now_ns,
                        uint64_t until_ns, struct sp_careful_saved *ret);

#endif
