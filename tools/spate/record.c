/* SPDX-License-Identifier: MIT */
#include "tools/spate/record.h"

#include <stddef.h>
#include <stdint.h>

#include "tools/spate/message.h"

static void print_line(enum spate_log_level level, const char *line, void *user)
{
    const char *command = user;
    (void)level;
    message(command, "%s", line);
}

void record_configure(struct record *record, const char *folder, const char *command,
                      struct spate_config *config)
{
    if (folder == NULL)
        return;
    spate_qlog_init(&record->qlog);
    record->qlog.dir = folder;
    config->qlog = &record->qlog;
    spate_log_init(&record->log);
    record->log.write = print_line;
    record->log.user = (void *)(uintptr_t)command; /* given back as const */
    config->log = &record->log;
}
