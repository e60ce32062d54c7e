/* SPDX-License-Identifier: MIT */
#include "engine/config/cpus.h"

/* One shard per CPU of the affinity mask, and no more than the time that control groups allow: with
 * more threads than that, all of them stand still when the time of a period is used up.
 *
 * A thread is pinned only where the CPUs are ours: the program has named them, or the engine has a
 * shard for each one of the mask.  Containers with a quota all see all CPUs of the machine: if each
 * pinned its two shards to the first two of them, they would share these.
 *
 * A shard's slots, rings and tables are made by the thread that creates the engine.  Its memory
 * policy puts them on the node of the shard's CPU.  What a shard takes later it touches first
 * itself. */

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <spate/shards.h>

#include "engine/config/quota.h"
#include "proto/base/assert.h"

enum {
    CPUS_FIRST = CPU_SETSIZE,
    CPUS_LAST = 1 << 16, /* far beyond what the kernel supports */
    NODES_MAX = 1024,    /* of the kernel */
    PATH_SIZE = 4096,
    NODE_NONE = -1,
    POLICY_PREFERRED = 1, /* MPOL_PREFERRED of set_mempolicy(2) */
};

#define NODE_BITS (8 * sizeof(unsigned long))

_Static_assert(sizeof(((struct se_memory_policy *)NULL)->nodes) * 8 == NODES_MAX, "a bit per node");

/* ---- CPUs ---- */

static void take_mask(const cpu_set_t *set, size_t size, int cpu_count, struct se_cpus *ret)
{
    for (int cpu = 0; cpu < cpu_count; cpu++) {
        if (!CPU_ISSET_S((size_t)cpu, size, set))
            continue;
        if (ret->count < SE_SHARDS_MAX)
            ret->list[ret->count] = cpu;
        ret->count++;
    }
}

void se_cpus_read(struct se_cpus *ret)
{
    *ret = (struct se_cpus){.quota = se_quota_cpus("")};
    int error = EINVAL;
    for (int count = CPUS_FIRST; error == EINVAL && count <= CPUS_LAST; count *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)count);
        size_t size = CPU_ALLOC_SIZE((size_t)count);
        if (set == NULL)
            break;
        error = sched_getaffinity(0, size, set) == 0 ? 0 : errno; /* EINVAL: the mask is larger */
        if (error == 0)
            take_mask(set, size, count, ret);
        CPU_FREE(set);
    }
    if (ret->count == 0)
        ret->count = 1; /* the one that runs this, whichever it is */
}

uint32_t se_cpus_shard_count(const struct se_cpus *cpus)
{
    uint32_t count = SB_MIN(cpus->count, cpus->quota);
    return SB_MIN(SB_MAX(count, 1u), (uint32_t)SE_SHARDS_MAX);
}

bool se_cpus_matter(const struct spate_config *config)
{
    return config->shard_count == SPATE_SHARDS_AUTO ||
           (config->pinning == SPATE_PINNING_ON && config->cpus == NULL);
}

bool se_cpus_choose(const struct se_cpus *cpus, struct spate_config *config, int ret[SE_SHARDS_MAX])
{
    bool is_auto = config->shard_count == SPATE_SHARDS_AUTO;
    if (is_auto)
        config->shard_count = se_cpus_shard_count(cpus);
    bool has_all = is_auto && config->shard_count == cpus->count;
    bool is_pinned = config->pinning == SPATE_PINNING_ON ||
                     (config->pinning == SPATE_PINNING_AUTO && (config->cpus != NULL || has_all));
    uint32_t listed = SB_MIN(cpus->count, (uint32_t)SE_SHARDS_MAX);
    for (uint32_t i = 0; is_pinned && i < config->shard_count; i++)
        ret[i] = config->cpus != NULL ? config->cpus[i] : cpus->list[i % listed];
    return is_pinned;
}

uint32_t spate_shards_probe(struct spate_error *reason)
{
    struct se_cpus cpus;
    se_cpus_read(&cpus);
    uint32_t count = se_cpus_shard_count(&cpus);
    if (count == cpus.quota && count < cpus.count)
        se_error_set(reason, "the control group allows %u of %u CPUs at a time", count, cpus.count);
    else if (count < cpus.count)
        se_error_set(reason, "an engine has at most %u shards, for %u CPUs", count, cpus.count);
    else
        se_error_set(reason, "the affinity mask has %u CPUs", cpus.count);
    return count;
}

/* ---- Memory ---- */

/* Returns whether sysfs has a folder. */
__attribute__((format(printf, 2, 3))) static bool exists(const char *root, const char *format, ...)
{
    char name[64];
    char path[PATH_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    int size = snprintf(path, sizeof(path), "%s/sys/devices/system/%s", root, name);
    return size > 0 && (size_t)size < sizeof(path) && access(path, F_OK) == 0;
}

/* Returns the node of a CPU, NODE_NONE if it is the only one or unknown. */
static int node_of(const char *root, int cpu)
{
    if (!exists(root, "node/node%d", 1))
        return NODE_NONE;
    for (int node = 0; node < NODES_MAX; node++)
        if (exists(root, "cpu/cpu%d/node%d", cpu, node))
            return node;
    return NODE_NONE;
}

void se_cpus_begin_node(const char *root, int cpu, struct se_memory_policy *ret)
{
    unsigned long nodes[NODES_MAX / NODE_BITS] = {0};
    *ret = (struct se_memory_policy){.is_changed = false};
    int node = node_of(root, cpu);
    if (node == NODE_NONE ||
        syscall(SYS_get_mempolicy, &ret->mode, ret->nodes, NODES_MAX, NULL, 0) != 0)
        return;
    nodes[(size_t)node / NODE_BITS] = 1ul << ((size_t)node % NODE_BITS);
    ret->is_changed = syscall(SYS_set_mempolicy, POLICY_PREFERRED, nodes, NODES_MAX) == 0;
}

void se_cpus_end_node(const struct se_memory_policy *policy)
{
    if (policy->is_changed)
        (void)syscall(SYS_set_mempolicy, policy->mode, policy->nodes, NODES_MAX);
}
