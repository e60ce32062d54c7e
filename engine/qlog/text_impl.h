/* SPDX-License-Identifier: MIT */
#ifndef SE_QLOG_TEXT_IMPL_H
#define SE_QLOG_TEXT_IMPL_H

#include "engine/qlog/text.h"
#include "proto/base/compiler.h"

/* Shared by text.c, packets.c, frames.c and flow.c. */

/* A record that becomes an event: each function below writes the fields of its `data`. */
struct se_qlog_work {
    struct se_json *json;
    const struct se_qlog_trace *trace;
    const struct sp_qlog_record *record;
    const uint64_t *numbers; /* of the record */
};

/* Returns the name at an index, the first one beyond the end. */
static inline const char *se_qlog_name_of(const char *const *names, size_t count, uint64_t index)
{
    return names[index < count ? index : 0];
}
#define NAME_OF(names, index) se_qlog_name_of(names, SB_COUNT(names), index)

/* Writes the fields `old`, unless it is NULL, and `new`. */
void se_qlog_put_change(struct se_json *json, const char *before, const char *now);

void se_qlog_put_versions(struct se_json *json, struct sb_bytes list);
void se_qlog_put_packet(const struct se_qlog_work *w);
void se_qlog_put_dropped(const struct se_qlog_work *w);
void se_qlog_put_lost(const struct se_qlog_work *w);
void se_qlog_put_acked(const struct se_qlog_work *w);
void se_qlog_put_retry(const struct se_qlog_work *w);
void se_qlog_put_refusal(const struct se_qlog_work *w);
void se_qlog_put_udp(const struct se_qlog_work *w);
void se_qlog_put_wait(const struct se_qlog_work *w);
void se_qlog_put_stream_wait(const struct se_qlog_work *w);
void se_qlog_put_moved(const struct se_qlog_work *w);

#endif
