/* SPDX-License-Identifier: MIT */
#include "tools/spate/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define INTERVAL_NS UINT64_C(200000000)
#define CLEAR       "\r\033[K"

void progress_init(struct progress *progress, bool is_quiet, uint64_t now_ns)
{
    *progress =
        (struct progress){.is_on = !is_quiet && isatty(STDERR_FILENO) == 1, .shown_ns = now_ns};
}

bool progress_is_due(struct progress *progress, uint64_t bytes, uint64_t now_ns, double *ret_rate)
{
    if (!progress->is_on || now_ns - progress->shown_ns < INTERVAL_NS)
        return false;
    double seconds = (double)(now_ns - progress->shown_ns) / 1e9;
    *ret_rate = (double)(bytes - progress->shown_bytes) / seconds;
    progress->shown_ns = now_ns;
    progress->shown_bytes = bytes;
    return true;
}

void progress_print(struct progress *progress, const char *format, ...)
{
    va_list arguments;
    fputs(CLEAR, stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fflush(stderr);
    progress->is_visible = true;
}

void progress_clear(struct progress *progress)
{
    if (progress->is_visible)
        fputs(CLEAR, stderr);
    progress->is_visible = false;
}
