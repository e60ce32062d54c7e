/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/routes.h"

#include <string.h>

void relay_routes_init(struct relay_routes *ret, uint64_t lifetime_ns)
{
    memset(ret, 0, sizeof(*ret));
    ret->lifetime_ns = lifetime_ns;
}

static uint32_t place_of(uint32_t unit)
{
    return (uint32_t)(unit * UINT32_C(2654435761)) >> 21;
}

_Static_assert(2 * RELAY_UNITS_MAX == 1 << 11, "place_of() keeps 11 bits");

/* Returns the place of a unit, or the empty one where it would be. */
static uint32_t find_place(const struct relay_routes *routes, uint32_t unit)
{
    uint32_t at = place_of(unit);
    while (routes->places[at].unit != 0 && routes->places[at].unit != unit)
        at = (at + 1) % (2 * RELAY_UNITS_MAX);
    return at;
}

const struct relay_candidate *relay_routes_find(const struct relay_routes *routes, uint32_t unit)
{
    const struct relay_route *route = &routes->places[find_place(routes, unit)];
    return route->unit == 0 || route->best == RELAY_NO_PEER ? NULL
                                                            : &route->candidates[route->best];
}

/* Chooses the cheapest; the present one has an advantage. */
static void choose(struct relay_route *route)
{
    uint32_t best = RELAY_NO_PEER, best_cost = UINT32_MAX;
    for (uint32_t i = 0; i < RELAY_CANDIDATES_MAX; i++) {
        const struct relay_candidate *c = &route->candidates[i];
        uint32_t cost = i == route->best ? c->cost * 4u : c->cost * 5u;
        if (c->peer != RELAY_NO_PEER && cost < best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    route->best = (uint16_t)best;
}

/* Finds the candidate of a neighbour, or one that may be replaced: an empty one, or the dearest. */
static struct relay_candidate *candidate_of(struct relay_route *route, uint16_t peer)
{
    struct relay_candidate *other = NULL;
    for (uint32_t i = 0; i < RELAY_CANDIDATES_MAX; i++) {
        struct relay_candidate *c = &route->candidates[i];
        if (c->peer == peer)
            return c;
        if (c->peer == RELAY_NO_PEER)
            c->cost = RELAY_NO_PEER; /* dearer than any */
        if (other == NULL || c->cost > other->cost)
            other = c;
    }
    return other;
}

enum relay_age relay_routes_age(struct relay_routes *routes, uint32_t unit, uint32_t sequence,
                                uint64_t now_ns)
{
    struct relay_route *route = &routes->places[find_place(routes, unit)];
    if (route->unit == 0)
        return RELAY_NEW;
    if ((int32_t)(sequence - route->sequence) <= 0)
        return RELAY_KNOWN;
    if (route->paid_ns > now_ns + (RELAY_NEW_BURST - 1) * RELAY_NEW_NS)
        return RELAY_TOO_MANY;
    if (route->paid_ns < now_ns)
        route->paid_ns = now_ns;
    route->paid_ns += RELAY_NEW_NS;
    return RELAY_NEW;
}

bool relay_routes_hear(struct relay_routes *routes, uint32_t unit, uint32_t sequence, uint16_t peer,
                       uint16_t cost, uint64_t now_ns)
{
    struct relay_route *route = &routes->places[find_place(routes, unit)];
    if (route->unit == 0) {
        if (routes->count == RELAY_UNITS_MAX)
            return false;
        routes->count++;
        *route = (struct relay_route){.unit = unit, .sequence = sequence, .best = RELAY_NO_PEER};
        for (uint32_t i = 0; i < RELAY_CANDIDATES_MAX; i++)
            route->candidates[i].peer = RELAY_NO_PEER;
    }
    if ((int32_t)(sequence - route->sequence) > 0)
        route->sequence = sequence;
    struct relay_candidate *c = candidate_of(route, peer);
    if (c->peer == peer && (int32_t)(sequence - c->sequence) < 0)
        return false;
    if (c->peer != peer && c->peer != RELAY_NO_PEER && c->cost <= cost)
        return true; /* it is no better than any that is kept */
    if (c->peer == peer && c->sequence == sequence && c->cost < cost)
        cost = c->cost; /* a copy that took a longer way */
    *c = (struct relay_candidate){peer, cost, sequence, now_ns};
    choose(route);
    return true;
}

static void drop(struct relay_route *route, struct relay_candidate *c)
{
    c->peer = RELAY_NO_PEER;
    if (route->best != RELAY_NO_PEER && &route->candidates[route->best] == c)
        route->best = RELAY_NO_PEER;
    choose(route);
}

void relay_routes_lose(struct relay_routes *routes, uint16_t peer)
{
    for (uint32_t i = 0; i < 2 * RELAY_UNITS_MAX; i++) {
        struct relay_route *route = &routes->places[i];
        for (uint32_t k = 0; route->unit != 0 && k < RELAY_CANDIDATES_MAX; k++) {
            if (route->candidates[k].peer == peer)
                drop(route, &route->candidates[k]);
        }
    }
}

/* Takes a unit out, and moves those after it that would not be found any more. */
static void remove_place(struct relay_routes *routes, uint32_t at)
{
    uint32_t size = 2 * RELAY_UNITS_MAX;
    routes->places[at].unit = 0;
    routes->count--;
    for (uint32_t i = (at + 1) % size; routes->places[i].unit != 0; i = (i + 1) % size) {
        struct relay_route moved = routes->places[i];
        routes->places[i].unit = 0;
        routes->places[find_place(routes, moved.unit)] = moved;
    }
}

void relay_routes_expire(struct relay_routes *routes, uint64_t now_ns)
{
    for (uint32_t i = 0; i < 2 * RELAY_UNITS_MAX; i++) {
        struct relay_route *route = &routes->places[i];
        for (uint32_t k = 0; route->unit != 0 && k < RELAY_CANDIDATES_MAX; k++) {
            struct relay_candidate *c = &route->candidates[k];
            if (c->peer != RELAY_NO_PEER && now_ns >= c->heard_ns + routes->lifetime_ns)
                drop(route, c);
        }
        if (route->unit != 0 && route->best == RELAY_NO_PEER) {
            uint32_t unit = route->unit;
            remove_place(routes, i);
            if (routes->removed != NULL)
                routes->removed(routes->user, unit);
        }
    }
}
