/* SPDX-License-Identifier: MIT */
#include "engine/qlog/text_impl.h"

/* What moves between a connection and its application, and what keeps it from being sent. */

/* The draft has no names for keys and memory: they stand beside `data`. */
static void put_block(struct se_json *json, uint64_t before, uint64_t now)
{
    static const char *const reasons[SP_QLOG_WAITS] = {
        [SP_QLOG_WAIT_SCHEDULING] = "scheduling",
        [SP_QLOG_WAIT_PACING] = "pacing",
        [SP_QLOG_WAIT_AMPLIFICATION] = "amplification_protection",
        [SP_QLOG_WAIT_CWND] = "congestion_control",
        [SP_QLOG_WAIT_CONN_CREDIT] = "connection_flow_control",
        [SP_QLOG_WAIT_STREAM_CREDIT] = "stream_flow_control",
        [SP_QLOG_WAIT_STREAM_ID] = "stream_id",
    };
    const char *reason = NAME_OF(reasons, now);
    se_qlog_put_change(json, before != SP_QLOG_WAIT_NONE ? "blocked" : "unblocked",
                       now != SP_QLOG_WAIT_NONE ? "blocked" : "unblocked");
    if (reason != NULL)
        se_json_put(json, ",\"reason\":\"%s\"", reason);
    if (now == SP_QLOG_WAIT_KEY || now == SP_QLOG_WAIT_MEMORY)
        se_json_put(json, "},\"blocked\":{\"by\":\"%s\"",
                    now == SP_QLOG_WAIT_KEY ? "key" : "memory");
}

void se_qlog_put_wait(const struct se_qlog_work *w)
{
    put_block(w->json, w->numbers[0], w->numbers[1]);
}

void se_qlog_put_stream_wait(const struct se_qlog_work *w)
{
    se_json_put(w->json, "\"stream_id\":%" PRIu64 ",", w->numbers[0]);
    put_block(w->json, w->numbers[1], w->numbers[2]);
}

void se_qlog_put_moved(const struct se_qlog_work *w)
{
    bool is_received = w->numbers[4] != 0;
    if (w->numbers[0] != SP_QLOG_NONE)
        se_json_put(w->json, "\"stream_id\":%" PRIu64 ",\"offset\":%" PRIu64 ",", w->numbers[0],
                    w->numbers[1]);
    se_json_put(w->json, "\"from\":\"%s\",\"to\":\"%s\"", is_received ? "transport" : "application",
                is_received ? "application" : "transport");
    if (w->numbers[3] != 0)
        se_json_put(w->json, ",\"additional_info\":\"fin_set\"");
    se_json_put(w->json, ",\"raw\":{\"length\":%" PRIu64 "}", w->numbers[2]);
}
