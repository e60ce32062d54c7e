/* SPDX-License-Identifier: MIT */
#include "engine/config/log.h"

/* The log of an engine: what the program has asked for, and one line to it. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "proto/base/time.h"

#define INTERVAL_NS_MIN (100 * SB_MS)
#define INTERVAL_NS_MAX (86400 * SB_S)
#define TURN_NS_MIN     SB_MS
#define TURN_NS_MAX     (3600 * SB_S)

void spate_log_init_sized(struct spate_log *log, size_t size)
{
    const struct spate_log defaults = {
        .size = size, .interval_ns = 10 * SB_S, .level = SPATE_LOG_WARNING, .turn_ns = 100 * SB_MS};
    se_sized_give(&defaults, sizeof(defaults), log, size);
}

const char *spate_log_level_name(enum spate_log_level level)
{
    switch (level) {
    case SPATE_LOG_ERROR:
        return "error";
    case SPATE_LOG_WARNING:
        return "warning";
    case SPATE_LOG_INFO:
        return "info";
    }
    return "unknown";
}

int se_log_take(const struct spate_log *given, struct spate_log *ret, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_log",
        SE_SIZE_THROUGH(struct spate_log, reserved),
        sizeof(struct spate_log),
    };
    struct spate_log own;
    spate_log_init(&own);
    int result = given != NULL ? se_sized_take(&shape, given, &own, error) : 0;
    if (result != 0)
        return result;
    if (given != NULL && own.write == NULL)
        se_error_set(error, "log.write is NULL: name a function");
    else if (own.level < SPATE_LOG_ERROR || own.level > SPATE_LOG_INFO)
        se_error_set(error, "log.level is %d, must be 1 to 3", (int)own.level);
    else if (own.interval_ns < INTERVAL_NS_MIN || own.interval_ns > INTERVAL_NS_MAX)
        se_error_set(error, "log.interval_ns is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64,
                     own.interval_ns, INTERVAL_NS_MIN, INTERVAL_NS_MAX);
    else if (own.turn_ns != 0 && (own.turn_ns < TURN_NS_MIN || own.turn_ns > TURN_NS_MAX))
        se_error_set(error, "log.turn_ns is %" PRIu64 ", must be 0, or %" PRIu64 " to %" PRIu64,
                     own.turn_ns, TURN_NS_MIN, TURN_NS_MAX);
    else {
        *ret = own;
        return 0;
    }
    return -EINVAL;
}

void se_log_write(const struct spate_log *log, enum spate_log_level level, const char *format, ...)
{
    char line[512];
    if (log->write == NULL || level > log->level)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    log->write(level, line, log->user);
}
