/* SPDX-License-Identifier: MIT */
#include "test/sim/gather.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

enum { TOGETHER_MAX = 64 * 1024 }; /* bytes, as a receive slot has */

struct together {
    struct sb_buffer base;
    struct qs_host *host;
    size_t size;
    uint8_t data[];
};

static void release(struct sb_buffer *buffer)
{
    struct together *together = SB_CONTAINER_OF(buffer, struct together, base);
    SB_ASSERT(together->host->buffer_count > 0);
    together->host->buffer_count--;
    memset(together->data, 0xdd, together->size);
    free(together);
}

/* How many datagrams come together, from the first of `count` on, and their bytes. */
static uint32_t train_of(const struct sp_datagram *datagrams, uint32_t count, size_t *ret_size)
{
    uint32_t end = 1;
    *ret_size = datagrams[0].size;
    while (end < count && datagrams[end - 1].size == datagrams[0].size &&
           datagrams[end].size <= datagrams[0].size && datagrams[end].ecn == datagrams[0].ecn &&
           *ret_size + datagrams[end].size <= TOGETHER_MAX &&
           sp_path_equal(&datagrams[end].path, &datagrams[0].path))
        *ret_size += datagrams[end++].size;
    return end;
}

void qs_gather(struct qs_host *host, struct sp_datagram *datagrams, uint32_t count)
{
    for (uint32_t at = 0; at < count;) {
        size_t size;
        uint32_t end = at + train_of(&datagrams[at], count - at, &size);
        if (end - at < 2) {
            at = end;
            continue;
        }
        struct together *together = malloc(sizeof(*together) + size);
        SB_ASSERT(together != NULL);
        *together = (struct together){
            .base = {.ref_count = end - at, .release = release, .size = datagrams[at].buffer->size},
            .host = host,
            .size = size,
        };
        host->buffer_count++;
        uint8_t *to = together->data;
        for (; at < end; at++) {
            memcpy(to, datagrams[at].data, datagrams[at].size);
            sb_buffer_unref(datagrams[at].buffer);
            datagrams[at].data = to;
            datagrams[at].buffer = &together->base;
            to += datagrams[at].size;
        }
    }
}
