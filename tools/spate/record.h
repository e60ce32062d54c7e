/* SPDX-License-Identifier: MIT */
#ifndef RECORD_H
#define RECORD_H

#include <spate/spate.h>

/* Recording connections for "spate serve" and "spate get" (--qlog). */
struct record {
    struct spate_qlog qlog;
    struct spate_log log;
};

/* Lets an engine record its connections in files of `folder`; NULL: it does not.  What goes wrong
 * meanwhile is a line on stderr.  `record` belongs to the configuration, and is used until the
 * engine was created; `command`, until it is destroyed. */
void record_configure(struct record *record, const char *folder, const char *command,
                      struct spate_config *config);

#endif
