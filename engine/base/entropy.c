/* SPDX-License-Identifier: MIT */
#include "engine/base/entropy.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "proto/base/assert.h"

static int fetch(uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        out += got;
        size -= (size_t)got;
    }
    return 0;
}

int se_entropy_init(struct se_entropy *entropy)
{
    int error = fetch(entropy->block, sizeof(entropy->block));
    entropy->left = error == 0 ? sizeof(entropy->block) : 0;
    return error;
}

void se_entropy_deinit(struct se_entropy *entropy)
{
    explicit_bzero(entropy, sizeof(*entropy));
}

void se_entropy_fill(struct se_entropy *entropy, void *out, size_t size)
{
    uint8_t *to = out;
    while (size > 0) {
        if (entropy->left == 0) {
            int error = fetch(entropy->block, sizeof(entropy->block));
            SB_ASSERT(error == 0);
            entropy->left = sizeof(entropy->block);
        }
        size_t count = SB_MIN(size, entropy->left);
        uint8_t *from = entropy->block + sizeof(entropy->block) - entropy->left;
        memcpy(to, from, count);
        explicit_bzero(from, count);
        entropy->left -= (uint32_t)count;
        to += count;
        size -= count;
    }
}
