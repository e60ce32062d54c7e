/* SPDX-License-Identifier: MIT */
#include "engine/shard/backend.h"

/* AUTO is decided by making the shards, not by the kernel's version: a filter refuses io_uring, or
 * a limit of the process is too small for its rings, and both differ from one system to the next.
 * Without an engine it is found out by making what a shard makes, and undoing it. */

#include <errno.h>

#include "engine/config/config.h"
#include "engine/shard/shard.h"
#include "uring/caps.h"

void se_backend_explain(int error, struct spate_error *ret)
{
    char why[128];
    su_caps_explain_ring(error, why, sizeof(why));
    se_error_set(ret, "%s", why);
}

void se_backend_warn(const struct spate_error *reason, struct spate_error *ret)
{
    se_error_set(ret, "io_uring cannot be used, epoll and recvmmsg take its place: %.120s",
                 reason->text);
}

enum spate_backend spate_backend_probe(struct spate_error *reason)
{
    struct spate_config config;
    spate_config_init(&config);
    config.backend = SPATE_BACKEND_IO_URING;
    int error = se_shard_try(&config);
    if (error == 0)
        return SPATE_BACKEND_IO_URING;
    se_backend_explain(error, reason);
    return SPATE_BACKEND_MMSG;
}

enum su_backend se_backend_of_ring(enum spate_backend backend)
{
    switch (backend) {
    case SPATE_BACKEND_MMSG:
        return SU_BACKEND_MMSG;
    case SPATE_BACKEND_HOST:
        return SU_BACKEND_HOST;
    default:
        return SU_BACKEND_IO_URING;
    }
}

const char *spate_backend_name(enum spate_backend backend)
{
    switch (backend) {
    case SPATE_BACKEND_AUTO:
        return "auto";
    case SPATE_BACKEND_IO_URING:
        return "io_uring";
    case SPATE_BACKEND_MMSG:
        return "mmsg";
    case SPATE_BACKEND_HOST:
        return "host";
    }
    return "unknown";
}
