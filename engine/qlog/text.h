/* SPDX-License-Identifier: MIT */
#ifndef SE_QLOG_TEXT_H
#define SE_QLOG_TEXT_H

#include "engine/qlog/json.h"
#include "proto/wire/qlog.h"

/* The text of qlog: JSON text sequences [RFC7464], the events of draft-ietf-quic-qlog-main-schema
 * and draft-ietf-quic-qlog-quic-events.  Makes text and nothing else; any thread may. */

enum {
    SE_QLOG_TEXT_SIZE_MAX = 96 * 1024, /* of one record: 30 bytes for each that was recorded */
    SE_QLOG_GROUP_SIZE = 2 * SP_CID_SIZE_MAX + 1,
};

/* What the text of a connection needs beside its records. */
struct se_qlog_trace {
    enum sp_role role;
    uint64_t start_ns;   /* time 0 of the text */
    uint64_t wall_us;    /* the time of day then, since 1970; 0: unknown */
    struct sp_cid group; /* the client's first destination CID */
};

/* Takes it from the first record, of SP_QLOG_STARTED.  Returns false for another one. */
SB_MUST_USE bool se_qlog_trace_init(const struct sp_qlog_record *started, uint64_t wall_us,
                                    struct se_qlog_trace *ret);

/* Writes the group as hexadecimal digits: files are named by it. */
void se_qlog_group(const struct se_qlog_trace *trace, char ret[SE_QLOG_GROUP_SIZE]);

/* Writes the head of a file.  Returns its size, 0 without room. */
size_t se_qlog_head(const struct se_qlog_trace *trace, char *out, size_t room);

/* Writes the events that a record stands for, mostly one.  Returns their size, 0 without room or
 * for a record that is none. */
size_t se_qlog_text(const struct se_qlog_trace *trace, const struct sp_qlog_record *record,
                    char *out, size_t room);

/* The event that ends a file which may not grow. */
size_t se_qlog_cut(const struct se_qlog_trace *trace, uint64_t now_ns, char *out, size_t room);

/* Appends the frames of a packet as an array of JSON, and returns how many were not recorded.
 * `ack_exponent`: of who has sent it. */
uint64_t se_qlog_put_frames(struct se_json *json, struct sb_bytes frames, uint64_t ack_exponent);

/* Appends "error" or "connection_error", and the code where it has no name. */
void se_qlog_put_error(struct se_json *json, const char *field, bool is_app, uint64_t error);

#endif
