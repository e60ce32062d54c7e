/* SPDX-License-Identifier: MIT */
#include "test/sim/qlog.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/qlog/text.h"

struct qs_qlog {
    struct sp_qlog sink;
    const char *folder;
    FILE *file; /* NULL before the first record */
    struct se_qlog_trace trace;
    char text[SE_QLOG_TEXT_SIZE_MAX];
};

static void begin(struct qs_qlog *qlog, const struct sp_qlog_record *record)
{
    char group[SE_QLOG_GROUP_SIZE], path[1024];
    bool is_first = se_qlog_trace_init(record, 0, &qlog->trace);
    SB_ASSERT(is_first);
    se_qlog_group(&qlog->trace, group);
    (void)snprintf(path, sizeof(path), "%s/%s_%s.sqlog", qlog->folder, group,
                   qlog->trace.role == SP_CLIENT ? "client" : "server");
    qlog->file = fopen(path, "w");
    if (qlog->file == NULL) {
        fprintf(stderr, "sim: cannot write %s\n", path);
        exit(2);
    }
    size_t size = se_qlog_head(&qlog->trace, qlog->text, sizeof(qlog->text));
    SB_ASSERT(size > 0);
    (void)fwrite(qlog->text, 1, size, qlog->file);
}

static void write_record(struct sp_qlog *sink, const uint8_t *data, size_t size)
{
    struct qs_qlog *qlog = SB_CONTAINER_OF(sink, struct qs_qlog, sink);
    struct sp_qlog_record record;
    bool is_record = sp_qlog_read(data, size, &record);
    SB_ASSERT(is_record);
    if (qlog->file == NULL)
        begin(qlog, &record);
    size_t text_size = se_qlog_text(&qlog->trace, &record, qlog->text, sizeof(qlog->text));
    SB_ASSERT(text_size > 0);
    (void)fwrite(qlog->text, 1, text_size, qlog->file);
}

struct qs_qlog *qs_qlog_create(const char *folder)
{
    struct qs_qlog *qlog = calloc(1, sizeof(*qlog));
    SB_ASSERT(qlog != NULL);
    qlog->sink.write = write_record;
    qlog->sink.has_datagrams = true;
    qlog->folder = folder;
    return qlog;
}

void qs_qlog_destroy(struct qs_qlog *qlog)
{
    if (qlog != NULL && qlog->file != NULL)
        (void)fclose(qlog->file);
    free(qlog);
}

struct sp_qlog *qs_qlog_sink(struct qs_qlog *qlog)
{
    return &qlog->sink;
}
