/* SPDX-License-Identifier: MIT */
#ifndef SE_QUOTA_H
#define SE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* How much CPU time the control groups of this process allow: what container managers set, and
 * what the affinity mask does not show.  [cgroups(7), cgroup-v2.rst "cpu.max"] */

#define SE_QUOTA_NONE UINT32_MAX

/* Returns the CPUs that the process may use at a time, rounded up, at least 1: the least of its
 * group and all groups above it, of cgroups v1 and v2.  Returns SE_QUOTA_NONE if there is no limit,
 * or none can be read.
 *
 *   root  Folder with proc/ and what the mounts name: "" for this machine; tests have their own. */
uint32_t se_quota_cpus(const char *root);

/* ---- Its parsers, for tests ---- */

/* A line of /proc/self/cgroup. */
struct se_quota_group {
    bool is_v2;
    const char *path; /* into the line, whose end is cut */
};

/* Reads a line of /proc/self/cgroup, which it changes.  Returns false if it is not of the group
 * that limits the CPU time. */
bool se_quota_read_group(char *line, struct se_quota_group *ret);

/* A line of /proc/self/mountinfo. */
struct se_quota_mount {
    bool is_v2;
    const char *group; /* of the hierarchy, that is mounted: "/" is all of it */
    const char *path;  /* where it is mounted */
};

/* Reads a line of /proc/self/mountinfo, which it changes.  Returns false if it is not a hierarchy
 * that limits the CPU time. */
bool se_quota_read_mount(char *line, struct se_quota_mount *ret);

/* Reads what cpu.max says: "max 100000" or "150000 100000".  Returns the CPUs, rounded up, or
 * SE_QUOTA_NONE. */
uint32_t se_quota_read_max(const char *text);

#endif
