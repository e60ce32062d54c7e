/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_ROUTES_H
#define SPATE_RELAY_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

/* By which neighbour each unit is reached best.
 *
 * Each unit floods announcements with a sequence number.  Every neighbour passes them on once, so
 * one announcement comes by all neighbours that lead to the unit, each with the cost of its way:
 * these are the candidates, and the cheapest is the route.  One that is not refreshed expires.  A
 * route is changed only for one that costs a fifth less, so that two of about equal cost do not
 * alternate. */

enum { RELAY_UNITS_MAX = 1024, RELAY_CANDIDATES_MAX = 4, RELAY_NO_PEER = 0xffff };

struct relay_candidate {
    uint16_t peer; /* RELAY_NO_PEER: none */
    uint16_t cost;
    uint32_t sequence;
    uint64_t heard_ns;
};

struct relay_route {
    uint32_t unit;     /* 0: no route */
    uint32_t sequence; /* the newest */
    uint64_t paid_ns;  /* of the limit: each new announcement adds RELAY_NEW_NS */
    uint16_t best;     /* index of a candidate, or RELAY_NO_PEER */
    struct relay_candidate candidates[RELAY_CANDIDATES_MAX];
};

/* Open addressing by unit; never more than RELAY_UNITS_MAX of twice as many places are used. */
struct relay_routes {
    struct relay_route places[2 * RELAY_UNITS_MAX];
    uint32_t count;
    uint64_t lifetime_ns; /* of a candidate */
    /* Is told of each unit that was forgotten; may be NULL. */
    void (*removed)(void *user, uint32_t unit);
    void *user;
};

void relay_routes_init(struct relay_routes *ret, uint64_t lifetime_ns);

/* What an announcement is.  A unit may announce itself RELAY_NEW_BURST times at once, and else
 * every RELAY_NEW_NS: each costs work here and at all others. */
enum relay_age { RELAY_NEW, RELAY_KNOWN /* by another way, or old */, RELAY_TOO_MANY };
enum { RELAY_NEW_BURST = 4 };
#define RELAY_NEW_NS UINT64_C(50000000)

enum relay_age relay_routes_age(struct relay_routes *routes, uint32_t unit, uint32_t sequence,
                                uint64_t now_ns);

/* An announcement of `unit` came by `peer`; the way by it costs `cost`.  Returns false if it is
 * older than what is known, or there is no room. */
bool relay_routes_hear(struct relay_routes *routes, uint32_t unit, uint32_t sequence, uint16_t peer,
                       uint16_t cost, uint64_t now_ns);

/* Returns the route of a unit, or NULL if none is known. */
const struct relay_candidate *relay_routes_find(const struct relay_routes *routes, uint32_t unit);

/* Forgets the ways by a neighbour that has gone or does not answer. */
void relay_routes_lose(struct relay_routes *routes, uint16_t peer);
/* Forgets what has expired. */
void relay_routes_expire(struct relay_routes *routes, uint64_t now_ns);

#endif
