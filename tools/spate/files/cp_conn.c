/* SPDX-License-Identifier: MIT */
/* The connection of a copy: whom it trusts, what it resumes, and why it ended. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/close_text.h"
#include "tools/spate/files/cp.h"
#include "tools/spate/files/known.h"
#include "tools/spate/files/trust.h"
#include "tools/spate/message.h"

#define WAN_RTT_NS UINT64_C(5000000)
#define WINDOW_NS  UINT64_C(200000000)

enum { LAN_STREAMS = 4, WAN_STREAMS = 8, ALERT_BAD_CERTIFICATE = 42, ALERT_UNKNOWN = 46 };

/* [RFC7301 3.2] [RFC9001 4.8] */
enum { ERROR_NO_PROTOCOL = 0x100 + 120 };

/* ---- Trust ---- */

/* Returns whether the fingerprint is the one that is expected.  If not, one line says so. */
static bool is_trusted(struct cp_run *run, const char *fingerprint)
{
    const struct cp_options *o = run->options;
    progress_clear(&run->progress);
    if (o->fingerprint != NULL) {
        if (strcmp(o->fingerprint, fingerprint) == 0)
            return true;
        message(o->command, "%s has another fingerprint: %s", o->server, fingerprint);
        return false;
    }
    if (o->token != NULL) /* which proves more */
        return true;
    const struct trust trust = {
        .command = o->command,
        .known = run->known,
        .is_strict = o->is_strict,
        .server = o->server,
    };
    return trust_check(&trust, fingerprint);
}

static void on_verify(const struct spate_ask *ask, void *user)
{
    struct cp_run *run = user;
    char fingerprint[FINGERPRINT_SIZE];
    uint8_t alert = ALERT_BAD_CERTIFICATE;
    if (ask->chain_count > 0) {
        known_fingerprint(ask->chain[0].data, ask->chain[0].size, fingerprint);
        alert = is_trusted(run, fingerprint) ? 0 : ALERT_UNKNOWN;
    }
    run->is_refused = alert != 0;
    (void)spate_shard_answer_verify(ask->shard, ask->conn_id, alert, "not trusted");
}

static bool create_tls(struct cp_run *run)
{
    static const char *const alpn[] = {FILES_ALPN, FILES_ALPN_SHA256};
    const struct cp_options *o = run->options;
    bool is_sha256 = o->hash == CP_HASH_SHA256;
    struct spate_error error = {""};
    struct spate_tls_options tls;
    spate_tls_options_init(&tls);
    tls.ca_file = o->ca;
    tls.alpn = is_sha256 ? alpn + 1 : alpn;
    tls.alpn_count = o->hash == CP_HASH_ANY ? 2 : 1;
    tls.keylog_file = getenv("SSLKEYLOGFILE");
    if (o->ca == NULL) {
        tls.verify = SPATE_VERIFY_INSTEAD;
        tls.on_verify = on_verify;
        tls.ask_user = run;
        int e = o->known != NULL || o->fingerprint != NULL || o->token != NULL
                    ? 0
                    : known_default_path(run->known, sizeof(run->known));
        if (o->known != NULL)
            (void)snprintf(run->known, sizeof(run->known), "%s", o->known);
        if (e != 0) {
            message(o->command, "the file of known servers: %s; use --known", strerror(-e));
            return false;
        }
    }
    int e = spate_tls_client_create(&tls, &run->tls, &error);
    if (e != 0)
        message(o->command, "%s", message_why(&error, e));
    return e == 0;
}

/* ---- Begin and end ---- */

/* Names the tickets of a server.  A resumed session has the trust and the protocol of its first
 * handshake, so those of different kinds are kept apart. */
static void name_tickets(const struct cp_run *run, char ret[400])
{
    const struct cp_options *o = run->options;
    const char *kind = o->ca != NULL            ? "ca/"
                       : o->fingerprint != NULL ? o->fingerprint
                       : o->token != NULL       ? "token/"
                                                : "";
    const char *hash = o->hash == CP_HASH_GMAC     ? "gmac/"
                       : o->hash == CP_HASH_SHA256 ? "sha256/"
                                                   : "";
    (void)snprintf(ret, 400, "%s%.100s%s", hash, kind, o->host);
}

static int connect_to(struct cp_run *run, const struct net_address *address,
                      struct spate_error *error)
{
    const struct cp_options *o = run->options;
    struct ticket *ticket = NULL;
    struct ticket *token = NULL;
    if (o->tickets != NULL) {
        char name[400];
        name_tickets(run, name);
        ticket = tickets_take(&run->tickets, TICKET_TLS, name, o->port);
        token = tickets_take(&run->tickets, TICKET_TOKEN, name, o->port);
    }
    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)&address->storage,
        .address_size = address->size,
        /* A silent address would get what the next one is to be asked for. */
        .early = !o->is_push && o->token == NULL && run->address_next == run->addresses.count,
        .server_name = o->server_name != NULL ? o->server_name : o->host,
        .tls = run->tls,
        .ticket = ticket != NULL ? ticket->data : NULL,
        .ticket_size = ticket != NULL ? ticket->size : 0,
        .token = token != NULL ? token->data : NULL,
        .token_size = token != NULL ? token->size : 0,
    };
    int e = spate_shard_connect_with(run->core.shard, &options, &run->conn, error);
    ticket_destroy(ticket);
    ticket_destroy(token);
    return e;
}

static bool connect_next(struct cp_run *run)
{
    while (run->address_next < run->addresses.count) {
        struct spate_error error = {""};
        int e = connect_to(run, &run->addresses.items[run->address_next++], &error);
        if (e == 0) {
            run->why[0] = 0;
            return true;
        }
        (void)snprintf(run->why, sizeof(run->why), "%s", message_why(&error, e));
    }
    return false;
}

bool cp_connect(struct cp_run *run)
{
    const struct cp_options *o = run->options;
    if (!create_tls(run))
        return false;
    const char *wrong = net_resolve(o->host, o->port, &run->addresses);
    if (wrong == NULL && connect_next(run))
        return true;
    message(o->command, "%s: %s", o->server, wrong != NULL ? wrong : run->why);
    return false;
}

void cp_close(struct cp_run *run, enum files_status status, const char *reason)
{
    if (run->conn == NULL || run->is_over)
        return;
    run->is_over = true;
    spate_conn_stats(run->conn, &run->stats);
    spate_conn_close(run->conn, status, reason);
}

/* The server's codes are statuses, which say more than a number. */
static void describe(const struct spate_close *close, char *ret, size_t ret_size)
{
    if (close->kind == SPATE_CLOSE_TRANSPORT && close->error == ERROR_NO_PROTOCOL) {
        (void)snprintf(ret, ret_size, "the server does not speak this version of the protocol");
        return;
    }
    if (close->kind != SPATE_CLOSE_APP) {
        close_text(close, ret, ret_size);
        return;
    }
    (void)snprintf(ret, ret_size, "closed %s: %s", close->is_local ? "here" : "by the server",
                   close->reason[0] != 0 ? close->reason : files_status_text(close->error));
}

static void on_closed(struct cp_run *run, const struct spate_close *close)
{
    bool is_deaf =
        close->kind == SPATE_CLOSE_UNREACHABLE || close->kind == SPATE_CLOSE_HANDSHAKE_TIMEOUT;
    bool was_connected = run->is_connected;
    cp_streams_settle(run);
    run->conn = NULL;
    run->may_ask = run->is_connected = false;
    if (!was_connected && is_deaf && connect_next(run))
        return;
    if (run->is_over)
        return;
    run->is_over = true;
    char why[sizeof(run->why)];
    describe(close, why, sizeof(why));
    if (run->is_refused)
        return;
    progress_clear(&run->progress);
    message(run->options->command, "%s: %s", run->options->server, why);
}

static void on_connected(struct cp_run *run)
{
    const struct cp_options *o = run->options;
    run->is_connected = run->may_ask = true;
    run->connected_ns = spate_shard_now_ns(run->core.shard);
    run->hash = files_core_hash(run->conn);
    run->is_resumed = spate_conn_is_resumed(run->conn);
    run->early = spate_conn_early(run->conn);
    spate_conn_stats(run->conn, &run->stats);
    bool is_wan = o->profile == CP_PROFILE_WAN ||
                  (o->profile == CP_PROFILE_AUTO && run->stats.rtt_smoothed_ns > WAN_RTT_NS);
    uint32_t width = o->streams != 0 ? o->streams : is_wan ? WAN_STREAMS : LAN_STREAMS;
    adapt_init(&run->adapt, width, WINDOW_NS + 4 * run->stats.rtt_smoothed_ns, run->connected_ns);
}

static void keep(struct cp_run *run, enum ticket_kind kind, const struct spate_event *event)
{
    char name[400];
    name_tickets(run, name);
    if (run->options->tickets != NULL)
        tickets_add(&run->tickets, kind, name, run->options->port, event->u.bytes.data,
                    event->u.bytes.size);
}

void cp_event(struct cp_run *run, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_EARLY:
        run->may_ask = true;
        break;
    case SPATE_EVENT_CONNECTED:
        on_connected(run);
        break;
    case SPATE_EVENT_TICKET:
        keep(run, TICKET_TLS, event);
        break;
    case SPATE_EVENT_NEW_TOKEN:
        keep(run, TICKET_TOKEN, event);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(run, &event->u.close);
        break;
    default:
        if (event->stream_user != NULL)
            cp_stream_event(event->stream_user, event);
        else if (event->kind == SPATE_EVENT_STREAM_DATA)
            spate_slice_release(run->core.shard, &event->u.data.slice);
        break;
    }
}
