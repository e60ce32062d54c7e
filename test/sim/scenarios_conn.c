/* SPDX-License-Identifier: MIT */
/* Scenarios of the connection: handshake, keys, versions, the end. */

#include "test/sim/scenarios.h"

#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/violations.h"

enum { PERCENT = 10000 }; /* of a million */

static void idle(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    plan->side[SP_CLIENT].config.idle_timeout_ns = 5 * SB_S;
    plan->side[SP_SERVER].config.idle_timeout_ns = 8 * SB_S; /* the shorter one counts */
    qs_plan_expect(plan, SP_CLOSE_IDLE, 0);
    plan->over_ns = 6 * SB_S;
    plan->work_ns = 2 * SB_S;
}

/* Nothing to say for ten times the idle timeout, and one side that wants to stay. */
static void keep_alive(struct qs_plan *plan, uint32_t member)
{
    idle(plan, member);
    struct qs_side_plan *side = &plan->side[member % 2 == 0];
    side->config.keep_alive_ns = member <= 2 ? SB_S : 3600 * SB_S; /* soon enough anyway */
    side->app.close_when = QS_CLOSE_AT;
    side->app.close_at_ns = 50 * SB_S;
    qs_plan_expect(plan, SP_CLOSE_APP, 0);
    plan->over_ns = 60 * SB_S;
}

static void amplification(struct qs_plan *plan, uint32_t number)
{
    plan->tls.certificate_size = 12000;
    if (number > 1) {
        plan->path[SP_CLIENT].drop_first = number;
        plan->path[SP_CLIENT].drop_count = 2;
    }
}

static void close_both(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->path[SP_CLIENT].delay_ns = 50 * SB_MS;
    plan->path[SP_SERVER].delay_ns = 50 * SB_MS;
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &plan->side[role].app;
        app->close_when = QS_CLOSE_AT;
        app->close_at_ns = 2 * SB_S;
        app->close_error = 10 + (uint64_t)role;
        plan->expect[role].error = 10 + (uint64_t)role;
    }
}

static void close_early(struct qs_plan *plan, uint32_t member)
{
    bool by_server = member % 2 == 0;
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    struct qs_app_plan *app = &plan->side[by_server].app;
    app->close_when = QS_CLOSE_AT;
    app->close_at_ns = 5 * SB_MS * member;
    app->close_error = 77;
    qs_plan_set_bytes(plan, 500000, 500000);
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_APP, 77);
}

static void version_negotiation(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->side[SP_SERVER].speaks_other_version = true;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_VERSION, 0);
}

/* The server's Version Negotiation offers version 1, which the client has used: the client must
 * ignore it.  [RFC9000 6.2] */
static void version_ignored(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->path[SP_CLIENT].version_nth = 1;
}

static void stateless_reset(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 1000000, 1000000);
    plan->side[SP_SERVER].sends_resets = true;
    plan->side[SP_SERVER].crash_at_ns = 100 * SB_MS;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_STATELESS_RESET, 0);
}

static void key_update(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_loss(plan, percent);
    qs_plan_set_bytes(plan, 400000, 400000);
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].reorder_ppm = percent > 0 ? 40 * PERCENT : 0;
        plan->path[role].reorder_ns = 40 * SB_MS;
    }
    plan->protect.seal_count_max = 200;
    plan->key_updates_min = 4;
    plan->opens_all = true;
}

/* Too many packets that do not open end the connection.  [RFC9001 6.6] */
static void forgery_limit(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 1000000, 1000000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].corrupt_ppm = 10 * PERCENT;
    plan->protect.fail_count_max = 5;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_TRANSPORT, SP_ERR_AEAD_LIMIT_REACHED);
}

static void large_hello(struct qs_plan *plan, uint32_t number)
{
    plan->needs_null = true;
    plan->tls.hello_size = 1800;
    plan->path[SP_CLIENT].late_nth = number - 1; /* 1: none, then one of the two */
    plan->path[SP_CLIENT].late_ns = 30 * SB_MS;
}

/* The client's first packet has only such frames.  The server keeps nothing for it, and the
 * ClientHello of the client's next packet completes the handshake. */
static void no_hello(struct qs_plan *plan, uint32_t number)
{
    static const struct {
        const char *frames;
        size_t size;
    } first[] = {
        {"\x01", 1},              /* PING */
        {"\x06\x05\x02zz", 5},    /* CRYPTO with an offset */
        {"\x06\x00\x02\x02z", 5}, /* CRYPTO that begins another message */
        {"\x0a\x00\x01z", 4},     /* STREAM, which is forbidden here */
    };
    plan->forgery = (struct qs_forgery){
        .is_wanted = true,
        .role = SP_CLIENT,
        .type = SP_PACKET_INITIAL,
        .size = first[number - 1].size,
    };
    memcpy(plan->forgery.frames, first[number - 1].frames, first[number - 1].size);
}

/* [RFC9000 8.1.2] The server demands a token of each client. */
static void retry(struct qs_plan *plan, uint32_t member)
{
    plan->side[SP_SERVER].sends_retry = true;
    switch (member) {
    case 1:
        plan->tls.certificate_size =
            12000; /* the address is valid: nothing holds the flight back */
        break;
    case 2:
        plan->path[SP_SERVER].drop_first = plan->path[SP_SERVER].drop_count = 1; /* the Retry */
        break;
    case 3:
        plan->path[SP_CLIENT].drop_first = 2; /* the answer to it */
        plan->path[SP_CLIENT].drop_count = 1;
        break;
    case 4:
        plan->needs_null = true;
        plan->tls.hello_size = 1800; /* two Initials, each gets a Retry */
        break;
    case 5:
        plan->path[SP_SERVER].duplicate_ppm = plan->path[SP_CLIENT].duplicate_ppm = 500000;
        break;
    default:
        qs_plan_set_loss(plan, 10);
        break;
    }
}

static void large_certificate(struct qs_plan *plan, uint32_t percent)
{
    plan->needs_null = true;
    qs_plan_set_loss(plan, percent);
    plan->tls.certificate_size = 40000;
    plan->tls.ticket_count = 8;
    plan->tls.ticket_size = 2000;
}

/* Nothing comes back from the server, ever. */
static void handshake_timeout(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->path[SP_SERVER].blackhole_until_ns = 1000 * SB_S;
    qs_plan_set_timeouts(plan, 5 * SB_S, 30 * SB_S);
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_HANDSHAKE_TIMEOUT, 0);
}

/* [RFC9001 4.8] */
static void tls_alert(struct qs_plan *plan, uint32_t message)
{
    plan->needs_null = true;
    plan->tls.fail_at = (enum qs_message)message;
    plan->tls.alert = 40; /* handshake_failure */
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_TRANSPORT, SP_ERR_CRYPTO + 40);
}

/* The side that receives the n-th message waits for an answer from outside, for up to a second; the
 * last member waits at every message.  Packets that nobody can read yet come meanwhile. */
static void tls_wait(struct qs_plan *plan, uint32_t message)
{
    plan->tls.waits = message == QS_MESSAGE_NONE ? UINT32_MAX : UINT32_C(1) << message;
    plan->tls.wait_ns = SB_S;
    plan->tls.certificate_size = 4000;
    plan->path[SP_CLIENT].loss_ppm = plan->path[SP_SERVER].loss_ppm = 5 * PERCENT;
    plan->path[SP_CLIENT].duplicate_ppm = 100000;
}

/* The answer for which the server, then the client, waits never comes. */
static void tls_wait_never(struct qs_plan *plan, uint32_t member)
{
    plan->needs_null = true;
    plan->tls.waits = UINT32_C(1) << (member == 1 ? QS_CLIENT_HELLO : QS_CERTIFICATE);
    plan->tls.wait_ns = SB_NEVER;
    qs_plan_set_timeouts(plan, 5 * SB_S, 30 * SB_S);
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_HANDSHAKE_TIMEOUT, 0);
}

static void many_connections(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    plan->conn_count = 30;
    plan->conn_interval_ns = 3 * SB_MS;
    qs_plan_set_faults(plan);
    plan->path[SP_SERVER].loss_ppm = 2 * PERCENT;
}

/* The packet that says the end is lost; what still comes is answered with another. */
static void close_lost(struct qs_plan *plan, uint32_t number)
{
    enum sp_role by = number == 1 ? SP_CLIENT : SP_SERVER;
    qs_plan_set_bytes(plan, 2000000, 2000000);
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_NEVER;
    plan->side[by].app.close_when = QS_CLOSE_AT;
    plan->side[by].app.close_at_ns = 100 * SB_MS;
    plan->side[by].app.close_error = 5;
    plan->side[by].drops_first_close = true;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_APP, 5);
}

static const uint32_t some_percents[] = {0, 5, 20};
static const uint32_t messages[] = {QS_CLIENT_HELLO, QS_SERVER_HELLO,       QS_ENCRYPTED_EXTENSIONS,
                                    QS_CERTIFICATE,  QS_CERTIFICATE_VERIFY, QS_FINISHED};

static const uint32_t waits[] = {QS_CLIENT_HELLO, QS_CERTIFICATE, QS_FINISHED, QS_MESSAGE_NONE};

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"idle", "nobody closes", idle, NULL, 0},
    {"keep-alive", "nothing to say for ten times the idle timeout", keep_alive, NULL, 4},
    {"amplification", "a large certificate, with the client's n-th datagrams lost", amplification,
     NULL, 5},
    {"close-both", "both sides close at the same time", close_both, NULL, 0},
    {"close-early", "one side closes in the handshake or the transfer", close_early, NULL, 20},
    {"version-negotiation", "the server speaks another version", version_negotiation, NULL, 0},
    {"version-ignored", "a negotiation that must not be believed", version_ignored, NULL, 0},
    {"stateless-reset", "the server forgets its connections", stateless_reset, NULL, 0},
    {"key-update", "keys that last for 200 packets, with loss", key_update, EACH_OF(some_percents)},
    {"forgery-limit", "five packets that do not open are too many", forgery_limit, NULL, 0},
    {"large-hello", "a ClientHello of two datagrams, one of them late", large_hello, NULL, 3},
    {"no-hello", "a first Initial without the beginning of a ClientHello", no_hello, NULL, 4},
    {"retry", "a server that demands a token, and losses on the way to it", retry, NULL, 6},
    {"large-certificate", "40 KB of certificate, 16 KB of tickets", large_certificate,
     EACH_OF(some_percents)},
    {"handshake-timeout", "the server's answers get lost", handshake_timeout, NULL, 0},
    {"tls-alert", "the handshake fails at the n-th type of message", tls_alert, EACH_OF(messages)},
    {"tls-wait", "a side waits for an answer at the n-th type of message, or at all", tls_wait,
     EACH_OF(waits)},
    {"tls-wait-never", "the answer for which the server or the client waits never comes",
     tls_wait_never, NULL, 2},
    {"many-connections", "30 connections between the same hosts", many_connections, NULL, 0},
    {"close-lost", "the CONNECTION_CLOSE of the client or the server is lost", close_lost, NULL, 2},
    {"violation", "a peer breaks the n-th rule", qs_violation_fill, NULL, QS_VIOLATIONS},
};
const struct qs_scenario_group qs_scenarios_conn = {EACH_OF(rows)};
