/* SPDX-License-Identifier: MIT */
#include "bench/load/cpu.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/failure.h"
#include "bench/load/options.h"

/* What the process was allowed before it pinned itself. */
static cpu_set_t unpinned;
static bool is_pinned;

static bool has(const cpu_set_t *set, int cpu)
{
    return CPU_ISSET((size_t)cpu, set);
}

/* "0-3,8" */
static void set_text(const cpu_set_t *set, char *ret, size_t ret_size)
{
    size_t used = 0;
    ret[0] = 0;
    for (int first = 0; first < CPU_SETSIZE && used + 16 < ret_size; first++) {
        if (!has(set, first))
            continue;
        int last = first;
        while (last + 1 < CPU_SETSIZE && has(set, last + 1))
            last++;
        const char *comma = used > 0 ? "," : "";
        int size = first == last
                       ? snprintf(ret + used, ret_size - used, "%s%d", comma, first)
                       : snprintf(ret + used, ret_size - used, "%s%d-%d", comma, first, last);
        used += (size_t)size;
        first = last;
    }
}

int cpu_choose(int wanted, int avoid)
{
    cpu_set_t allowed;
    if (wanted != CPU_DEFAULT)
        return wanted;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return CPU_ANY;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (has(&allowed, cpu) && cpu != avoid)
            return cpu;
    }
    return CPU_ANY;
}

int cpu_of_shard(uint32_t index, int avoid)
{
    cpu_set_t own;
    const cpu_set_t *set = &unpinned;
    if (!is_pinned && sched_getaffinity(0, sizeof(own), &own) != 0)
        return CPU_ANY;
    if (!is_pinned)
        set = &own;
    uint32_t count = (uint32_t)CPU_COUNT(set);
    bool avoids = avoid >= 0 && count > 1 && avoid < CPU_SETSIZE && has(set, avoid);
    uint32_t left = index % (count - avoids);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (has(set, cpu) && !(avoids && cpu == avoid) && left-- == 0)
            return cpu;
    return CPU_ANY;
}

void cpu_move(int cpu)
{
    cpu_set_t one;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    (void)sched_setaffinity(0, sizeof(one), &one);
}

bool cpu_pin(int cpu, const char *option, struct failure *failure)
{
    cpu_set_t allowed;
    if (cpu == CPU_ANY)
        return true;
    cpu_unpin();
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return failure_set(failure, "%s: cannot read the set of CPUs: %s", option, strerror(errno));

    char text[256];
    set_text(&allowed, text, sizeof(text));
    if (cpu >= CPU_SETSIZE || !has(&allowed, cpu))
        return failure_set(failure, "%s %d: this process may use CPU %s only", option, cpu, text);

    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0)
        return failure_set(failure, "%s %d: %s", option, cpu, strerror(errno));
    unpinned = allowed;
    is_pinned = true;
    return true;
}

void cpu_unpin(void)
{
    if (is_pinned)
        (void)sched_setaffinity(0, sizeof(unpinned), &unpinned);
    is_pinned = false;
}
