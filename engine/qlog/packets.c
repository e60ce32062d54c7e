/* SPDX-License-Identifier: MIT */
#include "engine/qlog/text_impl.h"

/* Packets and datagrams as qlog has them: what was sent, received, dropped, acknowledged, lost. */

#include "proto/wire/header.h"

static const char *packet_type_name(uint64_t type)
{
    static const char *const names[] = {
        [SP_PACKET_UNKNOWN_VERSION + 1] = "unknown", /* and for what is none */
        [SP_PACKET_INITIAL] = "initial",
        [SP_PACKET_ZERO_RTT] = "0RTT",
        [SP_PACKET_HANDSHAKE] = "handshake",
        [SP_PACKET_RETRY] = "retry",
        [SP_PACKET_VERSION_NEGOTIATION] = "version_negotiation",
        [SP_PACKET_ONE_RTT] = "1RTT",
        [SP_PACKET_UNKNOWN_VERSION] = "unknown",
    };
    return type < SB_COUNT(names) ? names[type] : "unknown";
}

static void put_header(struct se_json *json, uint64_t type, uint64_t pn, uint64_t phase)
{
    se_json_put(json, "\"header\":{\"packet_type\":\"%s\"", packet_type_name(type));
    if (pn != SP_QLOG_NONE)
        se_json_put(json, ",\"packet_number\":%" PRIu64, pn);
    if (type == SP_PACKET_ONE_RTT && phase != SP_QLOG_NONE)
        se_json_put(json, ",\"key_phase\":%" PRIu64, phase);
    se_json_put(json, "}");
}

void se_qlog_put_versions(struct se_json *json, struct sb_bytes list)
{
    struct sb_reader r = sb_reader_of(list.data, list.size);
    for (char comma = '['; sb_reader_left(&r) >= 4; comma = ',')
        se_json_put(json, "%c\"%08" PRIx32 "\"", comma, sb_reader_u32(&r));
    se_json_put(json, "]");
}

/* Frames that were not recorded are named beside `data`, after it. */
void se_qlog_put_packet(const struct se_qlog_work *w)
{
    bool is_sent = w->record->kind == SP_QLOG_SENT;
    put_header(w->json, w->numbers[0], w->numbers[1], w->numbers[4]);
    se_json_put(w->json, ",\"frames\":");
    uint64_t omitted_count = se_qlog_put_frames(w->json, w->record->texts[0], w->numbers[5]);
    se_json_put(w->json, ",\"raw\":{\"length\":%" PRIu64 ",\"payload_length\":%" PRIu64 "}",
                w->numbers[3], w->numbers[2]);
    if (is_sent && w->numbers[7] != 0)
        se_json_put(w->json, ",\"is_mtu_probe_packet\":true");
    if (is_sent && w->numbers[8] != 0)
        se_json_put(w->json, ",\"trigger\":\"pto_probe\"");
    if (!is_sent && w->numbers[6] != 0)
        se_json_put(w->json, ",\"trigger\":\"keys_available\"");
    if (omitted_count > 0) /* what end() adds closes this object instead of `data` */
        se_json_put(w->json, "},\"frames_omitted\":{\"count\":%" PRIu64, omitted_count);
}

void se_qlog_put_dropped(const struct se_qlog_work *w)
{
    static const char *const triggers[SP_QLOG_DROPS] = {
        [SP_QLOG_DROP_GENERAL] = "general",
        [SP_QLOG_DROP_INTERNAL] = "internal_error",
        [SP_QLOG_DROP_REJECTED] = "rejected",
        [SP_QLOG_DROP_UNSUPPORTED] = "unsupported",
        [SP_QLOG_DROP_INVALID] = "invalid",
        [SP_QLOG_DROP_DUPLICATE] = "duplicate",
        [SP_QLOG_DROP_UNKNOWN_CID] = "connection_unknown",
        [SP_QLOG_DROP_DECRYPTION] = "decryption_failure",
        [SP_QLOG_DROP_NO_KEY] = "key_unavailable",
    };
    bool is_dropped = w->record->kind == SP_QLOG_DROPPED;
    put_header(w->json, w->numbers[0], SP_QLOG_NONE, SP_QLOG_NONE);
    se_json_put(w->json, ",\"raw\":{\"length\":%" PRIu64 "},\"trigger\":\"%s\"", w->numbers[1],
                is_dropped ? NAME_OF(triggers, w->numbers[2]) : "keys_unavailable");
}

void se_qlog_put_lost(const struct se_qlog_work *w)
{
    static const char *const triggers[SP_QLOG_LOSSES] = {
        [SP_QLOG_LOSS_REORDERING] = "reordering_threshold",
        [SP_QLOG_LOSS_TIME] = "time_threshold",
    };
    static const enum sp_packet_type types[SP_SPACES] = {SP_PACKET_INITIAL, SP_PACKET_HANDSHAKE,
                                                         SP_PACKET_ONE_RTT};
    put_header(w->json, w->numbers[0] < SP_SPACES ? types[w->numbers[0]] : SP_PACKET_ONE_RTT,
               w->numbers[1], SP_QLOG_NONE);
    se_json_put(w->json, ",\"trigger\":\"%s\"", NAME_OF(triggers, w->numbers[2]));
}

void se_qlog_put_acked(const struct se_qlog_work *w)
{
    static const char *const spaces[] = {"initial", "handshake", "application_data"};
    se_json_put(w->json, "\"packet_number_space\":\"%s\",\"packet_numbers\":",
                spaces[SB_MIN(w->numbers[0], (uint64_t)SP_SPACE_APP)]);
    char comma = '[';
    for (uint64_t left = w->numbers[2]; left != 0; left &= left - 1, comma = ',')
        se_json_put(w->json, "%c%" PRIu64, comma, w->numbers[1] + (uint64_t)__builtin_ctzll(left));
    se_json_put(w->json, "%s]", comma == '[' ? "[" : "");
}

void se_qlog_put_retry(const struct se_qlog_work *w)
{
    se_json_put(w->json,
                "\"header\":{\"packet_type\":\"retry\",\"version\":\"%08" PRIx64 "\",\"scid\":",
                w->numbers[1]);
    se_json_hex(w->json, w->record->texts[0]);
    se_json_put(w->json,
                ",\"token\":{\"type\":\"retry\",\"raw\":{\"length\":%" PRIu64
                "}}},\"raw\":{\"length\":%" PRIu64 "}",
                w->numbers[2], w->numbers[0]);
}

void se_qlog_put_refusal(const struct se_qlog_work *w)
{
    put_header(w->json, SP_PACKET_VERSION_NEGOTIATION, SP_QLOG_NONE, SP_QLOG_NONE);
    if (w->record->texts[0].size >= 4) {
        se_json_put(w->json, ",\"supported_versions\":");
        se_qlog_put_versions(w->json, w->record->texts[0]);
    }
    se_json_put(w->json, ",\"raw\":{\"length\":%" PRIu64 "}", w->numbers[0]);
}

void se_qlog_put_udp(const struct se_qlog_work *w)
{
    static const char *const marks[] = {
        [SP_ECN_NOT] = "Not-ECT",
        [SP_ECN_ECT1] = "ECT(1)",
        [SP_ECN_ECT0] = "ECT(0)",
        [SP_ECN_CE] = "CE",
    };
    uint64_t count = SB_MIN(w->numbers[0], UINT64_C(1024)); /* the text is bounded */
    se_json_put(w->json, "\"count\":%" PRIu64 ",\"raw\":[", count);
    for (uint64_t i = 0; i < count; i++)
        se_json_put(w->json, "%s{\"length\":%" PRIu64 "}", i > 0 ? "," : "",
                    w->numbers[i + 1 < count ? 1 : 2]);
    se_json_put(w->json, "],\"ecn\":[");
    for (uint64_t i = 0; i < count; i++)
        se_json_put(w->json, "%s\"%s\"", i > 0 ? "," : "", NAME_OF(marks, w->numbers[3]));
    se_json_put(w->json, "]");
}
