/* SPDX-License-Identifier: MIT */
/* The scenarios by name.  A scenario that is a kind with other defaults is a line here; what it
 * does beside that is chosen by an option that it presets, so that each other scenario of its kind
 * can have it too. */

#include "bench/load/scenarios.h"

#include <stdio.h>
#include <string.h>

const struct scenario_spec scenario_specs[SCENARIO_COUNT] = {
    [SCENARIO_NONE] = {"none", SCENARIO_NONE, "", {{NULL, NULL}}},
    [SCENARIO_BULK] = {"bulk",
                       SCENARIO_BULK,
                       "streams full of data one way: throughput",
                       {{NULL, NULL}}},
    [SCENARIO_RR] = {"rr",
                     SCENARIO_RR,
                     "requests and responses, each on a stream of its own: latency",
                     {{NULL, NULL}}},
    [SCENARIO_HANDSHAKE] = {"handshake",
                            SCENARIO_HANDSHAKE,
                            "handshakes, full or resumed, one connection after the other",
                            {{NULL, NULL}}},
    [SCENARIO_DATAGRAM] = {"datagram",
                           SCENARIO_DATAGRAM,
                           "unreliable messages, as many as pass: messages per second",
                           {{NULL, NULL}}},
    [SCENARIO_MIXED] = {"mixed",
                        SCENARIO_MIXED,
                        "rr beside bulk on other connections: what each leaves of the other",
                        {{NULL, NULL}}},
    [SCENARIO_IDLE] = {"idle",
                       SCENARIO_IDLE,
                       "connections with nothing but keep-alives: memory, CPU time and wake-ups "
                       "of each; with --bulk what a download loses beside them.  --seconds is "
                       "each part, --warmup (4) what connections rest before they are measured",
                       {{NULL, NULL}}},
    [SCENARIO_MESSAGES] = {"messages",
                           SCENARIO_MESSAGES,
                           "whole messages of any size, by the message layer: requests and replies "
                           "of --size bytes, or publications to all --conns",
                           {{NULL, NULL}}},
    [SCENARIO_LIMIT] = {"limit",
                        SCENARIO_LIMIT,
                        "what kernel and cipher allow, each alone; takes --seconds --runs "
                        "--direction --request --response --listen --server-cpu --client-cpu "
                        "--mtu --cipher --crypto --timeout --json",
                        {{NULL, NULL}}},
    [SCENARIO_SERVE] = {"serve", SCENARIO_SERVE, "the server alone", {{NULL, NULL}}},
    [SCENARIO_BIDI] = {"bidi",
                       SCENARIO_BULK,
                       "bulk both ways at once",
                       {{"direction", "both"}, {NULL, NULL}}},
    [SCENARIO_FANIN] = {"fanin",
                        SCENARIO_BULK,
                        "bulk from many connections to the server",
                        {{"conns", "16"}, {"direction", "up"}, {NULL, NULL}}},
    [SCENARIO_FANOUT] = {"fanout",
                         SCENARIO_BULK,
                         "bulk from the server to many connections",
                         {{"conns", "16"}, {"direction", "down"}, {NULL, NULL}}},
    /* Two such messages do not fit one datagram, and equal ones still share a train. */
    [SCENARIO_PPS] = {"pps",
                      SCENARIO_DATAGRAM,
                      "datagrams of one message of 600 bytes each: packets per second",
                      {{"size", "600"}, {"mtu", "1200"}, {NULL, NULL}}},
    [SCENARIO_CHURN] = {"churn",
                        SCENARIO_HANDSHAKE,
                        "connections that come, ask once and go, full or with --resume or --early; "
                        "fails if memory or descriptors leak",
                        {{"first-byte", ""}, {"leaks", ""}, {NULL, NULL}}},
    [SCENARIO_LOSS] = {"loss",
                       SCENARIO_BULK,
                       "bulk over a path that loses packets and delivers some late",
                       {{"loss", "1"}, {"delay", "0.005"}, {NULL, NULL}}},
    [SCENARIO_PRESSURE] =
        {"pressure",
         SCENARIO_BULK,
         "bulk with memory and slots at their limits, and an application that "
         "holds what it gets",
         {{"conns", "16"}, {"memory", "16Mi"}, {"slots", "16"}, {"hold", "0.002"}, {NULL, NULL}}},
    [SCENARIO_SOAK] = {"soak",
                       SCENARIO_MIXED,
                       "mixed for hours: memory, descriptors and latency over time, and their "
                       "drift",
                       {{"seconds", "3600"}, {"conns", "10"}, {"rate", "1000"}, {NULL, NULL}}},
};

enum scenario scenario_find(const char *name)
{
    for (int i = SCENARIO_BULK; i < SCENARIO_COUNT; i++) {
        if (strcmp(name, scenario_specs[i].name) == 0)
            return (enum scenario)i;
    }
    return SCENARIO_NONE;
}

void scenario_names(char *ret, size_t ret_size)
{
    size_t used = 0;
    for (int i = SCENARIO_BULK; i < SCENARIO_COUNT && used < ret_size; i++) {
        const char *joint = i == SCENARIO_BULK ? "" : i == SCENARIO_COUNT - 1 ? " or " : ", ";
        int size = snprintf(ret + used, ret_size - used, "%s%s", joint, scenario_specs[i].name);
        used += size > 0 ? (size_t)size : 0;
    }
}
