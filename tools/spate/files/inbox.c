/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = FILES_HEAD_SIZE + FILES_BODY_MAX };

/* Appends up to `wanted` bytes in all, and moves `*data` on. */
static void fill(struct files_inbox *inbox, size_t wanted, const uint8_t **data, size_t *size)
{
    size_t more = wanted > inbox->size ? wanted - inbox->size : 0;
    if (more > *size)
        more = *size;
    if (more > 0)
        memcpy(inbox->data + inbox->size, *data, more);
    inbox->size += more;
    *data += more;
    *size -= more;
}

static bool make_room(struct files_inbox *inbox)
{
    if (inbox->data != NULL)
        return true;
    if (!files_share_keep(inbox->share, ROOM))
        return false;
    inbox->data = malloc(ROOM);
    if (inbox->data == NULL)
        files_share_forget(inbox->share, ROOM);
    return inbox->data != NULL;
}

/* Returns the bytes of the message whose head is there, or FILES_HEAD_SIZE. */
static size_t wanted_bytes(const struct files_inbox *inbox)
{
    size_t body = 0;
    for (size_t i = 1; inbox->size >= FILES_HEAD_SIZE && i < FILES_HEAD_SIZE; i++)
        body = body << 8 | inbox->data[i];
    return FILES_HEAD_SIZE + body;
}

int files_inbox_take(struct files_inbox *inbox, const uint8_t **data, size_t *size,
                     struct files_message *ret)
{
    if (inbox->size == 0) {
        int found = files_message_find(*data, *size, ret);
        if (found > 0) {
            size_t used = FILES_HEAD_SIZE + ret->size;
            *data += used;
            *size -= used;
        }
        if (found != 0 || *size == 0)
            return found;
    }
    if (!make_room(inbox))
        return -ENOMEM;
    fill(inbox, FILES_HEAD_SIZE, data, size);
    int found = files_message_find(inbox->data, inbox->size, ret);
    if (found == 0 && inbox->size >= FILES_HEAD_SIZE) { /* its body is not too large */
        fill(inbox, wanted_bytes(inbox), data, size);
        found = files_message_find(inbox->data, inbox->size, ret);
    }
    if (found > 0)
        inbox->size = 0;
    return found;
}

bool files_inbox_is_partial(const struct files_inbox *inbox)
{
    return inbox->size > 0;
}

void files_inbox_deinit(struct files_inbox *inbox)
{
    if (inbox->data != NULL)
        files_share_forget(inbox->share, ROOM);
    free(inbox->data);
    inbox->data = NULL;
    inbox->size = 0;
}
