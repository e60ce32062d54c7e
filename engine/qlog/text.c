/* SPDX-License-Identifier: MIT */
#include "engine/qlog/text_impl.h"

/* Records of proto/wire/qlog.h as events of qlog, one JSON text each: a record separator (0x1e),
 * an object, a newline [RFC7464].
 *
 *     head: file_schema, trace.common_fields, trace.vantage_point, trace.event_schemas
 *     event: time in ms since the connection was made, name, data; of another path, tuple
 *
 * Fields that the schemas do not have stand beside `data`, where they allow any. */

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#include "proto/base/time.h"
#include "proto/conn/event.h"
#include "proto/recovery/bbr.h"
#include "proto/recovery/cc.h"
#include "proto/recovery/ecn.h"
#include "proto/wire/header.h"
#include "proto/wire/tparam.h"

#define SEPARATOR "\x1e"

static const char *const role_names[] = {[SP_CLIENT] = "client", [SP_SERVER] = "server"};

bool se_qlog_trace_init(const struct sp_qlog_record *started, uint64_t wall_us,
                        struct se_qlog_trace *ret)
{
    if (started->kind != SP_QLOG_STARTED || started->number_count < 1 || started->text_count < 5 ||
        started->texts[4].size > SP_CID_SIZE_MAX)
        return false;
    *ret = (struct se_qlog_trace){
        .role = started->numbers[0] == SP_SERVER ? SP_SERVER : SP_CLIENT,
        .start_ns = started->time_ns,
        .wall_us = wall_us,
        .group = sp_cid_of(started->texts[4].data, started->texts[4].size),
    };
    return true;
}

void se_qlog_group(const struct se_qlog_trace *trace, char ret[SE_QLOG_GROUP_SIZE])
{
    for (uint32_t i = 0; i < trace->group.size; i++)
        (void)snprintf(ret + (size_t)2 * i, 3, "%02x", trace->group.bytes[i]);
    ret[2 * trace->group.size] = '\0';
}

/* ---- The head ---- */

/* The clock is monotonic, so its zero is unknown; the time of day says when that of the trace is.
 */
static void put_reference(struct se_json *json, const struct se_qlog_trace *trace)
{
    se_json_put(json, "\"reference_time\":{\"clock_type\":\"monotonic\",\"epoch\":\"unknown\"");
    time_t seconds = (time_t)(trace->wall_us / 1000000);
    struct tm utc;
    char text[32];
    if (trace->wall_us > 0 && gmtime_r(&seconds, &utc) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc) > 0)
        se_json_put(json, ",\"wall_clock_time\":\"%s.%06" PRIu64 "Z\"", text,
                    trace->wall_us % 1000000);
    se_json_put(json, "}");
}

size_t se_qlog_head(const struct se_qlog_trace *trace, char *out, size_t room)
{
    struct se_json json = se_json_of(out, room);
    char group[SE_QLOG_GROUP_SIZE];
    se_qlog_group(trace, group);
    se_json_put(&json,
                SEPARATOR "{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\","
                          "\"serialization_format\":\"application/qlog+json-seq\","
                          "\"title\":\"spate\",\"trace\":{\"common_fields\":{"
                          "\"group_id\":\"%s\",\"time_format\":\"relative_to_epoch\",",
                group);
    put_reference(&json, trace);
    se_json_put(&json,
                "},\"vantage_point\":{\"type\":\"%s\"},"
                "\"event_schemas\":[\"urn:ietf:params:qlog:events:quic-13\","
                "\"urn:ietf:params:qlog:events:loglevel-13\"]}}\n",
                role_names[trace->role]);
    return json.failed ? 0 : (size_t)(json.at - json.start);
}

/* ---- The parts of events ---- */

static void begin(struct se_json *json, const struct se_qlog_trace *trace, uint64_t time_ns,
                  const char *name)
{
    se_json_put(json, SEPARATOR "{\"time\":");
    se_json_ms(json, sb_time_since(time_ns, trace->start_ns));
    se_json_put(json, ",\"name\":\"%s\",\"data\":{", name);
}

static void end(struct se_json *json)
{
    se_json_put(json, "}}\n");
}

static void put_endpoint(struct se_json *json, const char *name, struct sb_bytes text,
                         struct sb_bytes cid)
{
    struct sp_addr addr;
    char ip[INET6_ADDRSTRLEN];
    se_json_put(json, "\"%s\":{", name);
    bool has_addr = sp_qlog_addr_read(text, &addr) && addr.family != 0 &&
                    inet_ntop(addr.family == 4 ? AF_INET : AF_INET6, addr.ip, ip, sizeof(ip));
    if (has_addr)
        se_json_put(json, "\"ip_v%u\":\"%s\",\"port_v%u\":%u", addr.family, ip, addr.family,
                    addr.port);
    if (cid.data != NULL) {
        se_json_put(json, "%s\"connection_ids\":[", has_addr ? "," : "");
        se_json_hex(json, cid);
        se_json_put(json, "]");
    }
    se_json_put(json, "}");
}

/* ---- The events ---- */

static void put_started(const struct se_qlog_work *w)
{
    put_endpoint(w->json, "local", w->record->texts[0], w->record->texts[2]);
    se_json_put(w->json, ",");
    put_endpoint(w->json, "remote", w->record->texts[1], w->record->texts[3]);
}

static const char *state_name(uint64_t state)
{
    static const char *const names[] = {
        [SP_QLOG_STATE_NONE] = NULL,
        [SP_QLOG_STATE_ATTEMPTED] = "attempted",
        [SP_QLOG_STATE_HANDSHAKE] = "handshake_started",
        [SP_QLOG_STATE_COMPLETE] = "handshake_complete",
        [SP_QLOG_STATE_CONFIRMED] = "handshake_confirmed",
        [SP_QLOG_STATE_CLOSING] = "closing",
        [SP_QLOG_STATE_DRAINING] = "draining",
        [SP_QLOG_STATE_CLOSED] = "closed",
    };
    return NAME_OF(names, state);
}

void se_qlog_put_change(struct se_json *json, const char *before, const char *now)
{
    if (before != NULL)
        se_json_put(json, "\"old\":\"%s\",", before);
    se_json_put(json, "\"new\":\"%s\"", now);
}

static void put_state(const struct se_qlog_work *w)
{
    se_qlog_put_change(w->json, state_name(w->numbers[0]), state_name(w->numbers[1]));
}

static void put_closed(const struct se_qlog_work *w)
{
    static const char *const triggers[] = {
        [SP_CLOSE_NONE] = "unspecified",          [SP_CLOSE_TRANSPORT] = "error",
        [SP_CLOSE_APP] = "application",           [SP_CLOSE_IDLE] = "idle_timeout",
        [SP_CLOSE_HANDSHAKE_TIMEOUT] = "aborted", [SP_CLOSE_STATELESS_RESET] = "stateless_reset",
        [SP_CLOSE_VERSION] = "version_mismatch",
    };
    uint64_t kind = w->numbers[0];
    bool is_app = kind == SP_CLOSE_APP;
    se_json_put(w->json, "\"initiator\":\"%s\"", w->numbers[1] != 0 ? "local" : "remote");
    if (is_app || kind == SP_CLOSE_TRANSPORT) {
        se_json_put(w->json, ",");
        se_qlog_put_error(w->json, is_app ? "application_error" : "connection_error", is_app,
                          w->numbers[2]);
    }
    if (w->record->texts[0].size > 0) {
        se_json_put(w->json, ",\"reason\":");
        se_json_text(w->json, w->record->texts[0]);
    }
    se_json_put(w->json, ",\"trigger\":\"%s\"", NAME_OF(triggers, kind));
}

static void put_version(const struct se_qlog_work *w)
{
    if (w->record->texts[0].size >= 4) {
        se_json_put(w->json, "\"%s_versions\":", role_names[w->trace->role]);
        se_qlog_put_versions(w->json, w->record->texts[0]);
        se_json_put(w->json, ",");
    }
    se_json_put(w->json, "\"chosen_version\":\"%08" PRIx64 "\"", w->numbers[1]);
}

static void put_alpn(const struct se_qlog_work *w)
{
    se_json_put(w->json, "\"chosen_alpn\":{\"byte_value\":");
    se_json_hex(w->json, w->record->texts[0]);
    se_json_put(w->json, ",\"string_value\":");
    se_json_text(w->json, w->record->texts[0]);
    se_json_put(w->json, "}");
}

static void put_cid(struct se_json *json, const char *name, bool has, const struct sp_cid *cid)
{
    if (!has)
        return;
    se_json_put(json, ",\"%s\":", name);
    se_json_hex(json, (struct sb_bytes){cid->bytes, cid->size});
}

static void put_parameters(const struct se_qlog_work *w)
{
    struct sp_tparams p;
    enum sp_role sender = w->numbers[1] == SP_SERVER ? SP_SERVER : SP_CLIENT;
    se_json_put(w->json, "\"initiator\":\"%s\"", w->numbers[0] != 0 ? "local" : "remote");
    if (sp_tparams_read(w->record->texts[0], sender, &p) != SP_OK)
        return;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"max_idle_timeout", p.max_idle_timeout_ms},
        {"max_udp_payload_size", p.max_udp_payload_size},
        {"ack_delay_exponent", p.ack_delay_exponent},
        {"max_ack_delay", p.max_ack_delay_ms},
        {"active_connection_id_limit", p.active_cid_limit},
        {"initial_max_data", p.initial_max_data},
        {"initial_max_stream_data_bidi_local", p.initial_max_stream_data_bidi_local},
        {"initial_max_stream_data_bidi_remote", p.initial_max_stream_data_bidi_remote},
        {"initial_max_stream_data_uni", p.initial_max_stream_data_uni},
        {"initial_max_streams_bidi", p.initial_max_streams_bidi},
        {"initial_max_streams_uni", p.initial_max_streams_uni},
        {"max_datagram_frame_size", p.max_datagram_frame_size},
    };
    put_cid(w->json, "original_destination_connection_id", p.has_original_dcid, &p.original_dcid);
    put_cid(w->json, "initial_source_connection_id", p.has_initial_scid, &p.initial_scid);
    put_cid(w->json, "retry_source_connection_id", p.has_retry_scid, &p.retry_scid);
    for (size_t i = 0; i < SB_COUNT(numbers); i++)
        se_json_put(w->json, ",\"%s\":%" PRIu64, numbers[i].name, numbers[i].value);
    se_json_put(w->json,
                ",\"disable_active_migration\":%s,\"grease_quic_bit\":%s,\"reset_stream_at\":%s",
                p.disable_active_migration ? "true" : "false", p.grease_quic_bit ? "true" : "false",
                p.reset_stream_at ? "true" : "false");
}

static void put_restored(const struct se_qlog_work *w)
{
    se_json_put(w->json,
                "\"initial_max_data\":%" PRIu64 ",\"initial_max_stream_data_bidi_local\":%" PRIu64
                ",\"initial_max_stream_data_bidi_remote\":%" PRIu64
                ",\"initial_max_stream_data_uni\":%" PRIu64 ",\"initial_max_streams_bidi\":%" PRIu64
                ",\"initial_max_streams_uni\":%" PRIu64,
                w->numbers[0], w->numbers[1], w->numbers[2], w->numbers[3], w->numbers[4],
                w->numbers[5]);
}

static void put_recovery(const struct se_qlog_work *w)
{
    se_json_put(w->json,
                "\"reordering_threshold\":%u,\"time_threshold\":1.125,"
                "\"timer_granularity\":1,\"initial_rtt\":",
                (unsigned)SP_LOSS_PACKET_THRESHOLD);
    se_json_ms(w->json, w->numbers[0]);
    se_json_put(w->json,
                ",\"max_datagram_size\":%" PRIu64 ",\"initial_congestion_window\":%" PRIu64
                ",\"minimum_congestion_window\":%" PRIu64 ",\"persistent_congestion_threshold\":3",
                w->numbers[1], w->numbers[2], w->numbers[3]);
}

static void put_metrics(const struct se_qlog_work *w)
{
    static const char *const names[] = {
        "min_rtt",           "smoothed_rtt",    "latest_rtt", "rtt_variance",      "pto_count",
        "congestion_window", "bytes_in_flight", "ssthresh",   "packets_in_flight", "pacing_rate",
    };
    enum { TIMES = 4, PACING = 9 };
    const char *comma = "";
    for (uint32_t i = 0; i < SB_COUNT(names) && i < w->record->number_count; i++) {
        if (w->numbers[i] == SP_QLOG_NONE)
            continue;
        se_json_put(w->json, "%s\"%s\":", comma, names[i]);
        if (i < TIMES)
            se_json_ms(w->json, w->numbers[i]);
        else
            se_json_put(w->json, "%" PRIu64, w->numbers[i] * (i == PACING ? 8 : 1));
        comma = ",";
    }
}

static const char *phase_name(uint64_t phase)
{
    static const char *const names[] = {
        [SP_CC_PHASE_NONE] = "fixed_rate",
        [SP_CC_PHASE_SLOW_START] = "slow_start",
        [SP_CC_PHASE_AVOIDANCE] = "congestion_avoidance",
        [SP_CC_PHASE_BBR + SP_BBR_STARTUP] = "bbr_startup",
        [SP_CC_PHASE_BBR + SP_BBR_DRAIN] = "bbr_drain",
        [SP_CC_PHASE_BBR + SP_BBR_PROBE_DOWN] = "bbr_probe_bw_down",
        [SP_CC_PHASE_BBR + SP_BBR_PROBE_CRUISE] = "bbr_probe_bw_cruise",
        [SP_CC_PHASE_BBR + SP_BBR_PROBE_REFILL] = "bbr_probe_bw_refill",
        [SP_CC_PHASE_BBR + SP_BBR_PROBE_UP] = "bbr_probe_bw_up",
        [SP_CC_PHASE_BBR + SP_BBR_PROBE_RTT] = "bbr_probe_rtt",
    };
    return NAME_OF(names, phase);
}

static void put_congestion(const struct se_qlog_work *w)
{
    se_qlog_put_change(w->json, w->numbers[0] != 0 ? phase_name(w->numbers[0]) : NULL,
                       phase_name(w->numbers[1]));
}

static void put_timer(const struct se_qlog_work *w)
{
    static const char *const types[] = {
        [SP_QLOG_TIMER_LOSS] = "loss_timeout",
        [SP_QLOG_TIMER_ACK] = "ack",
    };
    static const char *const events[] = {
        [SP_QLOG_TIMER_SET] = "set",
        [SP_QLOG_TIMER_EXPIRED] = "expired",
        [SP_QLOG_TIMER_CANCELLED] = "cancelled",
    };
    se_json_put(w->json, "\"timer_type\":\"%s\",\"event_type\":\"%s\"",
                NAME_OF(types, w->numbers[0]), NAME_OF(events, w->numbers[1]));
    if (w->numbers[2] == SP_QLOG_NONE)
        return;
    se_json_put(w->json, ",\"delta\":");
    se_json_ms(w->json, w->numbers[2]);
}

static void put_key(const struct se_qlog_work *w)
{
    static const char *const types[SP_QLOG_KEYS] = {
        "server_initial_secret",   "client_initial_secret", "server_handshake_secret",
        "client_handshake_secret", "server_0rtt_secret",    "client_0rtt_secret",
        "server_1rtt_secret",      "client_1rtt_secret",
    };
    static const char *const triggers[] = {
        [SP_QLOG_KEY_BY_TLS] = "tls",
        [SP_QLOG_KEY_BY_PEER] = "remote_update",
        [SP_QLOG_KEY_BY_US] = "local_update",
        [SP_QLOG_KEY_DISCARDED] = NULL,
    };
    const char *trigger = NAME_OF(triggers, w->numbers[2]);
    se_json_put(w->json, "\"key_type\":\"%s\"", NAME_OF(types, w->numbers[0]));
    if (w->numbers[1] != SP_QLOG_NONE)
        se_json_put(w->json, ",\"key_phase\":%" PRIu64, w->numbers[1]);
    if (trigger != NULL)
        se_json_put(w->json, ",\"trigger\":\"%s\"", trigger);
}

static void put_mtu(const struct se_qlog_work *w)
{
    se_json_put(w->json, "\"old\":%" PRIu64 ",\"new\":%" PRIu64, w->numbers[0], w->numbers[1]);
}

static void put_ecn(const struct se_qlog_work *w)
{
    static const char *const names[] = {
        [SP_ECN_OFF] = NULL,          [SP_ECN_TESTING] = "testing", [SP_ECN_UNKNOWN] = "unknown",
        [SP_ECN_CAPABLE] = "capable", [SP_ECN_FAILED] = "failed",
    };
    const char *now = NAME_OF(names, w->numbers[1]);
    se_qlog_put_change(w->json, NAME_OF(names, w->numbers[0]), now != NULL ? now : "failed");
}

static void put_cid_change(const struct se_qlog_work *w)
{
    se_json_put(w->json, "\"initiator\":\"%s\",\"old\":", w->numbers[0] != 0 ? "local" : "remote");
    se_json_hex(w->json, w->record->texts[0]);
    se_json_put(w->json, ",\"new\":");
    se_json_hex(w->json, w->record->texts[1]);
}

static void put_path(const struct se_qlog_work *w)
{
    static const char *const states[] = {
        [SP_QLOG_PROBING] = "probing_started",
        [SP_QLOG_PROBING_ABANDONED] = "probing_abandoned",
        [SP_QLOG_PROBING_DONE] = "probing_successful",
        [SP_QLOG_MIGRATION_STARTED] = "migration_started",
        [SP_QLOG_MIGRATION_COMPLETE] = "migration_complete",
    };
    const struct sb_bytes none = {NULL, 0};
    if (w->record->kind == SP_QLOG_MIGRATION)
        se_json_put(w->json, "\"new\":\"%s\",", NAME_OF(states, w->numbers[1]));
    if (w->numbers[0] == 0)
        se_json_put(w->json, "\"tuple_id\":\"\","); /* the one of the handshake */
    else
        se_json_put(w->json, "\"tuple_id\":\"%" PRIu64 "\",", w->numbers[0]);
    put_endpoint(w->json, "tuple_local", w->record->texts[0], none);
    se_json_put(w->json, ",");
    put_endpoint(w->json, "tuple_remote", w->record->texts[1], none);
}

/* A stream has a state for each of its sides. */
static void put_stream(const struct se_qlog_work *w)
{
    uint64_t id = w->numbers[0];
    bool is_uni = (id & SP_STREAM_IS_UNI) != 0;
    bool is_ours = ((id & SP_STREAM_BY_SERVER) != 0) == (w->trace->role == SP_SERVER);
    const char *sides[] = {is_uni && !is_ours ? NULL : "sending",
                           is_uni && is_ours ? NULL : "receiving"};
    bool is_first = true;
    for (uint32_t i = 0; i < SB_COUNT(sides); i++) {
        if (sides[i] == NULL)
            continue;
        if (!is_first) {
            end(w->json);
            begin(w->json, w->trace, w->record->time_ns, "quic:stream_state_updated");
        }
        is_first = false;
        se_json_put(w->json,
                    "\"stream_id\":%" PRIu64 ",\"stream_type\":\"%s\",\"new\":\"%s\","
                    "\"stream_side\":\"%s\"",
                    id, is_uni ? "unidirectional" : "bidirectional",
                    w->numbers[1] != 0 ? "open" : "closed", sides[i]);
    }
}

static void put_omitted(const struct se_qlog_work *w)
{
    se_json_put(w->json, "\"message\":\"%" PRIu64 " records are missing here: too many at once\"",
                w->numbers[0]);
}

static void put_spin(const struct se_qlog_work *w)
{
    se_json_put(w->json, "\"state\":%s", w->numbers[0] != 0 ? "true" : "false");
}

/* Of each kind: its name, what a record of it has at least, and its fields. */
static const struct {
    const char *name;
    uint8_t number_count;
    uint8_t text_count;
    void (*put)(const struct se_qlog_work *w);
} kinds[SP_QLOG_KINDS] = {
    [SP_QLOG_STARTED] = {"quic:connection_started", 1, 5, put_started},
    [SP_QLOG_STATE] = {"quic:connection_state_updated", 2, 0, put_state},
    [SP_QLOG_CLOSED] = {"quic:connection_closed", 4, 1, put_closed},
    [SP_QLOG_VERSION] = {"quic:version_information", 2, 1, put_version},
    [SP_QLOG_ALPN] = {"quic:alpn_information", 0, 1, put_alpn},
    [SP_QLOG_PARAMETERS] = {"quic:parameters_set", 2, 1, put_parameters},
    [SP_QLOG_SENT] = {"quic:packet_sent", 9, 1, se_qlog_put_packet},
    [SP_QLOG_RECEIVED] = {"quic:packet_received", 7, 1, se_qlog_put_packet},
    [SP_QLOG_DROPPED] = {"quic:packet_dropped", 3, 0, se_qlog_put_dropped},
    [SP_QLOG_BUFFERED] = {"quic:packet_buffered", 2, 0, se_qlog_put_dropped},
    [SP_QLOG_LOST] = {"quic:packet_lost", 3, 0, se_qlog_put_lost},
    [SP_QLOG_RECOVERY] = {"quic:recovery_parameters_set", 4, 0, put_recovery},
    [SP_QLOG_METRICS] = {"quic:recovery_metrics_updated", 10, 0, put_metrics},
    [SP_QLOG_CONGESTION] = {"quic:congestion_state_updated", 2, 0, put_congestion},
    [SP_QLOG_TIMER] = {"quic:timer_updated", 3, 0, put_timer},
    [SP_QLOG_KEY] = {"quic:key_updated", 3, 0, put_key},
    [SP_QLOG_MTU] = {"quic:mtu_updated", 2, 0, put_mtu},
    [SP_QLOG_ECN] = {"quic:ecn_state_updated", 2, 0, put_ecn},
    [SP_QLOG_CID] = {"quic:connection_id_updated", 1, 2, put_cid_change},
    [SP_QLOG_TUPLE] = {"quic:tuple_assigned", 1, 2, put_path},
    [SP_QLOG_MIGRATION] = {"quic:migration_state_updated", 2, 2, put_path},
    [SP_QLOG_STREAM] = {"quic:stream_state_updated", 2, 0, put_stream},
    [SP_QLOG_OMITTED] = {"loglevel:warning", 1, 0, put_omitted},
    [SP_QLOG_ACKED] = {"quic:packets_acked", 3, 0, se_qlog_put_acked},
    [SP_QLOG_SPIN] = {"quic:spin_bit_updated", 1, 0, put_spin},
    [SP_QLOG_WAIT] = {"quic:connection_data_blocked_updated", 2, 0, se_qlog_put_wait},
    [SP_QLOG_RETRY] = {"quic:packet_received", 3, 1, se_qlog_put_retry},
    [SP_QLOG_REFUSAL] = {"quic:packet_received", 1, 1, se_qlog_put_refusal},
    [SP_QLOG_UDP_SENT] = {"quic:udp_datagrams_sent", 4, 0, se_qlog_put_udp},
    [SP_QLOG_UDP_RECEIVED] = {"quic:udp_datagrams_received", 4, 0, se_qlog_put_udp},
    [SP_QLOG_STREAM_WAIT] = {"quic:stream_data_blocked_updated", 3, 0, se_qlog_put_stream_wait},
    [SP_QLOG_MOVED] = {"quic:stream_data_moved", 5, 0, se_qlog_put_moved},
    [SP_QLOG_RESTORED] = {"quic:parameters_restored", 6, 0, put_restored},
};

/* Some kinds have events of two names. */
static const char *name_of(const struct sp_qlog_record *record)
{
    if (record->kind == SP_QLOG_KEY && record->numbers[2] == SP_QLOG_KEY_DISCARDED)
        return "quic:key_discarded";
    if (record->kind == SP_QLOG_MOVED && record->numbers[0] == SP_QLOG_NONE)
        return "quic:datagram_data_moved";
    return kinds[record->kind].name;
}

size_t se_qlog_text(const struct se_qlog_trace *trace, const struct sp_qlog_record *record,
                    char *out, size_t room)
{
    struct se_json json = se_json_of(out, room);
    const struct se_qlog_work work = {&json, trace, record, record->numbers};
    if (record->kind >= SP_QLOG_KINDS || record->number_count < kinds[record->kind].number_count ||
        record->text_count < kinds[record->kind].text_count)
        return 0;
    begin(&json, trace, record->time_ns, name_of(record));
    kinds[record->kind].put(&work);
    end(&json);
    return json.failed ? 0 : (size_t)(json.at - json.start);
}

size_t se_qlog_cut(const struct se_qlog_trace *trace, uint64_t now_ns, char *out, size_t room)
{
    struct se_json json = se_json_of(out, room);
    begin(&json, trace, now_ns, "loglevel:warning");
    se_json_put(&json, "\"message\":\"the file has its largest size: nothing follows\"");
    end(&json);
    return json.failed ? 0 : (size_t)(json.at - json.start);
}
