/* SPDX-License-Identifier: MIT */
#include "engine/backend.h"

/* AUTO is decided by making a ring, not by the kernel's version: mostly a filter refuses io_uring,
 * and filters differ.  A failure that mmsg would share, such as a lack of memory or of descriptors,
 * does not count: it occurs again, with its name, when the shards are made. */

#include "engine/config.h"
#include "uring/caps.h"

static int try_ring(void)
{
    struct su_ring ring;
    int error = su_ring_init(&ring, &(struct su_ring_config){.sq_count = 4, .file_count = 1});
    su_ring_deinit(&ring);
    return error;
}

enum spate_backend spate_backend_probe(struct spate_error *reason)
{
    int error = try_ring();
    if (!su_ring_is_refusal(error))
        return SPATE_BACKEND_IO_URING;
    char why[128];
    su_caps_explain_ring(error, why, sizeof(why));
    se_error_set(reason, "%s", why);
    return SPATE_BACKEND_MMSG;
}

enum spate_backend se_backend_choose(enum spate_backend asked, struct spate_error *warning)
{
    if (asked != SPATE_BACKEND_AUTO)
        return asked;
    struct spate_error reason = {""};
    enum spate_backend backend = spate_backend_probe(&reason);
    if (backend == SPATE_BACKEND_MMSG)
        se_error_set(warning, "io_uring cannot be used, epoll and recvmmsg take its place: %s",
                     reason.text);
    return backend;
}

enum su_backend se_backend_of_ring(enum spate_backend backend)
{
    return backend == SPATE_BACKEND_MMSG ? SU_BACKEND_MMSG : SU_BACKEND_IO_URING;
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
    }
    return "unknown";
}
