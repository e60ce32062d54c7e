/* SPDX-License-Identifier: MIT */
/* soak: mixed, with a point every --interval.  For a point the client waits until the server's
 * process has answered, up to a millisecond: latencies have that too, once in each interval. */

#include "bench/load/client_impl.h"

#include <stdlib.h>

#include "bench/load/options.h"
#include "bench/load/soak.h"

struct soaking {
    uint64_t next_ns;
};

static bool soak_open(struct client *c)
{
    static struct soak soak; /* 460 KB, of the one run */
    c->result->soak = &soak;
    c->state = calloc(1, sizeof(struct soaking));
    return c->state != NULL ? client_mixed_ops.open(c) : client_fail(c, "out of memory");
}

static void soak_begin_load(struct client *c, uint64_t now_ns)
{
    client_mixed_ops.begin(c, now_ns);
}

static void soak_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    client_mixed_ops.on_event(c, e, now_ns);
}

static uint64_t soak_on_turn(struct client *c, uint64_t now_ns)
{
    struct soaking *s = c->state;
    uint64_t due_ns = client_mixed_ops.on_turn(c, now_ns);
    if (c->phase != PHASE_MEASURE)
        return due_ns;
    if (now_ns >= s->next_ns) {
        struct sample client;
        static struct sample server; /* stays zero without a server of our own */
        if (!client_sample(c, &client, &server))
            return due_ns;
        soak_add(c->result->soak, &client, &server, &c->result->latency, c->payload_in_bytes);
        s->next_ns += c->options->interval_ns;
    }
    return due_ns < s->next_ns ? due_ns : s->next_ns;
}

static bool soak_is_done(const struct client *c)
{
    return client_mixed_ops.is_done(c);
}

static void soak_on_sample(struct client *c, uint32_t index)
{
    struct soaking *s = c->state;
    client_mixed_ops.on_sample(c, index);
    if (index > 0)
        return;
    uint64_t now_ns = c->result->client[0].now_ns;
    soak_begin(c->result->soak, now_ns, c->payload_in_bytes);
    s->next_ns = now_ns + c->options->interval_ns;
}

static void soak_finish(struct client *c, uint64_t now_ns)
{
    client_mixed_ops.finish(c, now_ns);
}

static void soak_close(struct client *c)
{
    client_mixed_ops.close(c);
    free(c->state);
}

const struct client_ops client_soak_ops = {
    .keeps_conns = true,
    .waits_for_samples = true,
    .open = soak_open,
    .begin = soak_begin_load,
    .on_event = soak_on_event,
    .on_turn = soak_on_turn,
    .is_done = soak_is_done,
    .on_sample = soak_on_sample,
    .finish = soak_finish,
    .close = soak_close,
};
