/* SPDX-License-Identifier: MIT */
#ifndef SP_VERSION_H
#define SP_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/quic.h"

/* Versions of QUIC, and lists of them.  [RFC9368, RFC9369 3] */

enum {
    SP_VERSIONS_MAX = 2, /* versions that this code speaks */
};

/* Versions that an endpoint uses, the preferred one first.  At least one, each once. */
struct sp_versions {
    uint32_t count;
    uint32_t list[SP_VERSIONS_MAX];
};

static inline bool sp_version_is_known(uint32_t version)
{
    return version == SP_VERSION_1 || version == SP_VERSION_2;
}

static inline bool sp_versions_has(const struct sp_versions *versions, uint32_t version)
{
    bool has = false;
    for (uint32_t i = 0; i < versions->count; i++)
        has |= versions->list[i] == version;
    return has;
}

#endif
