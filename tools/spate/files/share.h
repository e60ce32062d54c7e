/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_SHARE_H
#define SPATE_FILES_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/share.h"

/* What one connection of a server has of its memory. */
struct files_share {
    struct share lent;   /* of buffers */
    struct share wanted; /* of what is asked for, which is not in `lent` */
    struct share kept;   /* of streams, lists, parts, and what has come in part */
    uint64_t *kept_left; /* that all connections have left for these */
};

/* Takes room for a stream, for a folder that is listed, for the list of a large file's chunks, or
 * for a message or a small file that is not whole yet.  Such bytes have left the window of their
 * stream, so nothing else limits them.  Returns false if share_allows() does.  `share` is
 * NULL on a client, whose own streams are few. */
static inline bool files_share_keep(struct files_share *share, size_t size)
{
    if (share == NULL)
        return true;
    if (!share_allows(&share->kept, size, *share->kept_left))
        return false;
    share_take(&share->kept, size);
    *share->kept_left -= size;
    return true;
}

static inline void files_share_forget(struct files_share *share, size_t size)
{
    if (share == NULL)
        return;
    share_give(&share->kept, size);
    *share->kept_left += size;
}

#endif
