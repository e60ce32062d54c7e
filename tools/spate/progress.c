/* SPDX-License-Identifier: MIT */
#include "tools/spate/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_NS UINT64_C(200000000)
#define NS_PER_S    1e9

enum { BAR_SIZE = 30 };

void progress_init(struct progress *progress, uint64_t now_ns)
{
    *progress = (struct progress){
        .is_on = isatty(STDERR_FILENO) == 1, .start_ns = now_ns, .shown_ns = now_ns};
}

void progress_show(struct progress *progress, uint64_t bytes, uint32_t done, uint32_t count,
                   uint64_t now_ns)
{
    if (!progress->is_on || now_ns - progress->shown_ns < INTERVAL_NS)
        return;
    char bar[BAR_SIZE + 1];
    int filled = (int)((uint64_t)BAR_SIZE * done / count);
    memset(bar, '-', BAR_SIZE);
    memset(bar, '#', (size_t)filled);
    bar[BAR_SIZE] = 0;
    double seconds = (double)(now_ns - progress->shown_ns) / NS_PER_S;
    /* HTTP/0.9 does not say how long a file will be: the bar counts files. */
    fprintf(stderr, "\r\033[K[%s] %u/%u files  %.1f MB  %.1f Mbit/s", bar, done, count,
            (double)bytes / 1e6, (double)(bytes - progress->shown_bytes) * 8e-6 / seconds);
    (void)fflush(stderr);
    progress->is_visible = true;
    progress->shown_ns = now_ns;
    progress->shown_bytes = bytes;
}

void progress_clear(struct progress *progress)
{
    if (progress->is_visible)
        fputs("\r\033[K", stderr);
    progress->is_visible = false;
}
