/* SPDX-License-Identifier: MIT */
#include "uring/steer.h"

/* The program sees the payload of the UDP datagram, and returns the number of a socket; a number
 * that the group does not have means the hash. */

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/base/assert.h"

#define BY_HASH UINT32_MAX

enum {
    LONG_HEADER = 0x80,
    HEAD_SIZE = 13, /* instructions that read the byte, at most */
    EACH_SIZE = 2,
    HASH_SHIFT = 16,
    MASK_SHIFT = 24,
    HASH_SIZE = 4, /* bytes that are hashed */
};

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The multipliers are odd, so that no bit gets lost.  append_mask() computes the same. */
uint8_t su_steer_mask(const struct su_steer_byte *byte, const uint8_t *cid)
{
    if (!byte->is_masked)
        return 0;
    SB_ASSERT(byte->at >= HASH_SIZE);
    uint32_t hash = (load_u32(cid + byte->at - HASH_SIZE) ^ byte->key[0]) * (byte->key[1] | 1);
    hash = (hash ^ hash >> HASH_SHIFT) * (byte->key[2] | 1);
    return (uint8_t)(hash >> MASK_SHIFT);
}

/* Leaves the mask in X.  Returns the number of instructions. */
static uint16_t append_mask(struct sock_filter *code, const struct su_steer_byte *byte)
{
    const struct sock_filter mask[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 1u + byte->at - HASH_SIZE),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, byte->key[0]),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, byte->key[1] | 1),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, HASH_SHIFT),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, byte->key[2] | 1),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, MASK_SHIFT),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
    };
    memcpy(code, mask, sizeof(mask));
    return SB_COUNT(mask);
}

int su_steer(int fd, const struct su_steer_byte *byte, const uint8_t *values, uint32_t count)
{
    SB_ASSERT(count > 0 && count <= SU_STEER_SOCKETS_MAX);
    SB_ASSERT(!byte->is_masked || byte->at >= HASH_SIZE);
    struct sock_filter code[HEAD_SIZE + EACH_SIZE * SU_STEER_SOCKETS_MAX + 1];
    uint32_t to_end = EACH_SIZE * count + (byte->is_masked ? HEAD_SIZE - 2 : 1);
    uint16_t at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0);
    code[at++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER, (uint8_t)to_end, 0);
    if (byte->is_masked)
        at = (uint16_t)(at + append_mask(code + at, byte));
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1u + byte->at);
    if (byte->is_masked)
        code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0);
    for (uint32_t i = 0; i < count; i++) {
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i], 0, 1);
        code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, i);
    }
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, BY_HASH);

    const struct sock_fprog program = {.len = at, .filter = code};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
        return -errno;
    return 0;
}
