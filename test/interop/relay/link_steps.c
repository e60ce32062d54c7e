/* SPDX-License-Identifier: MIT */
/* Rates that change: given as a list, or as a trace in a file. */

#include <stdlib.h>
#include <string.h>

#include "test/interop/relay/link.h"

#define TRACE_STEP_NS        UINT64_C(100000000)
#define TRACE_MBIT_PER_S_MAX 1e6

static bool add_step(struct link_rate *rate, uint64_t bits_per_s, uint64_t duration_ns)
{
    uint64_t begin_ns = rate->step_count > 0 ? rate->steps[rate->step_count - 1].end_ns : 0;
    if (rate->step_count == LINK_STEPS_MAX || duration_ns == 0)
        return false;
    rate->steps[rate->step_count++] =
        (struct link_step){.bits_per_s = bits_per_s, .end_ns = begin_ns + duration_ns};
    return true;
}

bool link_parse_steps(const char *text, struct link_rate *ret)
{
    char copy[4096];
    if (strlen(text) >= sizeof(copy))
        return false;
    memcpy(copy, text, strlen(text) + 1);
    ret->step_count = 0;
    for (char *rest = copy; rest != NULL;) {
        char *rate = strsep(&rest, "+");
        char *duration = strchr(rate, '/');
        uint64_t bits_per_s, duration_ns;
        if (duration == NULL)
            return false;
        *duration++ = 0;
        if (!link_parse_rate(rate, &bits_per_s) || !link_parse_time(duration, &duration_ns) ||
            !add_step(ret, bits_per_s, duration_ns))
            return false;
    }
    return true;
}

bool link_read_trace(const char *path, struct link_rate *ret)
{
    char line[64];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    ret->step_count = 0;
    bool is_good = true;
    while (is_good && fgets(line, sizeof(line), file) != NULL) {
        char *end;
        double mbit_per_s = strtod(line, &end);
        is_good = end != line && (*end == '\n' || *end == 0) && mbit_per_s >= 0.001 &&
                  mbit_per_s <= TRACE_MBIT_PER_S_MAX &&
                  add_step(ret, (uint64_t)(mbit_per_s * 1e6), TRACE_STEP_NS);
    }
    (void)fclose(file);
    return is_good && ret->step_count > 0;
}
