/* SPDX-License-Identifier: MIT */
#include "engine/config/lent.h"

/* The ring that a program lends, with what it says about it. */

#include <errno.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/config/sized.h"

_Static_assert(SPATE_LENT_NO_FILES == SU_LENT_NO_FILES, "one value");

struct su_lent_config se_lent_to_uring(const struct spate_lent_ring *lent)
{
    return (struct su_lent_config){
        .uring = lent->ring,
        .tag = lent->tag,
        .tag_mask = lent->tag_mask,
        .file_first = lent->file_first,
    };
}

int se_lent_take(const struct spate_config *config, struct spate_lent_ring *ret,
                 struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_lent_ring",
        SE_SIZE_THROUGH(struct spate_lent_ring, reserved),
        sizeof(struct spate_lent_ring),
    };
    struct spate_lent_ring own = {.size = sizeof(own), .file_first = SPATE_LENT_NO_FILES};
    if (config->lent_ring == NULL)
        return 0;
    int result = se_sized_take(&shape, config->lent_ring, &own, error);
    if (result != 0)
        return result;
    const struct su_lent_config lent = se_lent_to_uring(&own);
    const char *reason = su_lent_check(&lent);
    if (config->backend != SPATE_BACKEND_AUTO && config->backend != SPATE_BACKEND_IO_URING)
        reason = "backend must be SPATE_BACKEND_AUTO or SPATE_BACKEND_IO_URING";
    else if (config->shard_count != 1)
        reason = "shard_count must be 1: create an engine for each ring";
    else if (config->zero_copy)
        reason = "zero_copy registers buffers, which are the program's in its own ring";
    if (reason == NULL) {
        *ret = own;
        return 0;
    }
    se_error_set(error, "lent_ring: %s", reason);
    return -EINVAL;
}

void se_lent_explain(const struct spate_lent_ring *lent, const char *step, int result,
                     struct spate_error *error)
{
    const char *hint = strerrordesc_np(-result);
    if (result == -EEXIST)
        hint = "the buffer group is taken, or the ring belongs to another thread "
               "(IORING_SETUP_SINGLE_ISSUER)";
    else if (result == -ENXIO || (result == -EINVAL && lent->file_first != SPATE_LENT_NO_FILES))
        hint = "the program has not registered 64 files from file_first on, or this kernel is too "
               "old";
    se_error_set(error, "lent_ring: %s: %s", step, hint);
}
