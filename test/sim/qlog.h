/* SPDX-License-Identifier: MIT */
#ifndef QS_QLOG_H
#define QS_QLOG_H

#include "proto/wire/qlog.h"

/* Writes what one end of a connection records to a file of a folder, at once.  The name is that
 * which the engine gives: the client's first destination CID, and the side. */
struct qs_qlog;

/* Returns the sink, owned by the caller.  `folder` must exist and is borrowed. */
struct qs_qlog *qs_qlog_create(const char *folder);

/* NULL is accepted. */
void qs_qlog_destroy(struct qs_qlog *qlog);

struct sp_qlog *qs_qlog_sink(struct qs_qlog *qlog);

#endif
