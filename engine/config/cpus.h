/* SPDX-License-Identifier: MIT */
#ifndef SE_CPUS_H
#define SE_CPUS_H

#include <spate/config.h>

#include "engine/config/config.h"
#include "proto/base/compiler.h"

/* Which CPUs there are for shards: how many of them, which thread on which, whose memory. */

struct se_cpus {
    uint32_t count;          /* in the affinity mask of the calling thread; may exceed the list */
    int list[SE_SHARDS_MAX]; /* the first of them */
    uint32_t quota;          /* that the control groups allow at a time, or SE_QUOTA_NONE */
};

/* Reads what holds for the calling thread. */
void se_cpus_read(struct se_cpus *ret);

/* Returns whether se_cpus_choose() looks at the CPUs: if not, they need not be read, which takes
 * 0.2 ms. */
bool se_cpus_matter(const struct spate_config *config);

/* Returns how many shards SPATE_SHARDS_AUTO means. */
uint32_t se_cpus_shard_count(const struct se_cpus *cpus);

/* Replaces SPATE_SHARDS_AUTO by a number in `config`.  Writes a CPU per shard to `ret`, and returns
 * true, if the shards' threads are to be pinned.  `cpus`: what was read, or all zero where they do
 * not matter. */
SB_MUST_USE bool se_cpus_choose(const struct se_cpus *cpus, struct spate_config *config,
                                int ret[SE_SHARDS_MAX]);

/* A memory policy of the calling thread that is put back later. */
struct se_memory_policy {
    bool is_changed;
    int mode;
    unsigned long nodes[16];
};

/* Makes the calling thread take new memory from the node of a CPU, where there are several nodes.
 * Where that is refused, by a filter for example, memory comes from the node of the thread that
 * touches it first.
 *
 *   root  Folder with sys/: "" for this machine; tests have their own. */
void se_cpus_begin_node(const char *root, int cpu, struct se_memory_policy *ret);

/* Puts the policy back that was there before. */
void se_cpus_end_node(const struct se_memory_policy *policy);

#endif
