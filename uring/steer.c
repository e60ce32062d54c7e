/* SPDX-License-Identifier: MIT */
#include "uring/steer.h"

/* The program sees the payload of the UDP datagram, and returns the number of a socket.  A number
 * that the group does not have would mean the hash; a read beyond the end of the datagram returns
 * 0.  QUIC has no datagram that is so short.
 *
 * Conditional jumps reach 255 instructions, so longer ones are a jump over an unconditional one. */

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "proto/base/assert.h"

enum {
    LONG_HEADER = 0x80,
    SHORT_CID_AT = 1,     /* [RFC9000 17.3] */
    LONG_CID_SIZE_AT = 5, /* [RFC9000 17.2] */
    LONG_CID_AT = 6,
    HASH_SHIFT = 16,
    MASK_BITS = 32,
    HASH_SIZE = 4,    /* bytes that are hashed */
    EACH_SIZE = 2,    /* instructions: is it this one?  return its number */
    MASK_SIZE = 10,   /* instructions that are about a mask, for each kind of header */
    OTHERS_SIZE = 15, /* instructions that are about neither */
    CODE_SIZE_MAX = 3 * EACH_SIZE * SU_STEER_SOCKETS_MAX + 2 * MASK_SIZE + OTHERS_SIZE,
};

_Static_assert(CODE_SIZE_MAX <= BPF_MAXINSNS, "the kernel takes it");

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The multipliers are odd, so that no bit gets lost.  add_mask() computes the same. */
uint16_t su_steer_mask(const struct su_steer_byte *byte, const uint8_t *cid)
{
    if (!byte->is_masked)
        return 0;
    SB_ASSERT(byte->at >= HASH_SIZE);
    uint32_t hash = (load_u32(cid + byte->at - HASH_SIZE) ^ byte->key[0]) * (byte->key[1] | 1);
    hash = (hash ^ hash >> HASH_SHIFT) * (byte->key[2] | 1);
    return (uint16_t)(hash >> 16);
}

struct code {
    struct sock_filter at[CODE_SIZE_MAX];
    uint16_t size;
};

static void add(struct code *code, uint16_t operation, uint32_t value)
{
    SB_ASSERT(code->size < CODE_SIZE_MAX);
    code->at[code->size++] = (struct sock_filter)BPF_STMT(operation, value);
}

static void add_test(struct code *code, uint16_t operation, uint32_t value, uint8_t if_true,
                     uint8_t if_false)
{
    SB_ASSERT(code->size < CODE_SIZE_MAX);
    code->at[code->size++] = (struct sock_filter)BPF_JUMP(operation, value, if_true, if_false);
}

/* Adds a jump whose target end_jump() sets.  Returns its place. */
static uint16_t begin_jump(struct code *code)
{
    add(code, BPF_JMP | BPF_JA, 0);
    return (uint16_t)(code->size - 1);
}

static void end_jump(struct code *code, uint16_t jump)
{
    code->at[jump].k = (uint32_t)(code->size - jump - 1);
}

/* Leaves the mask of a CID at `offset` in X. */
static void add_mask(struct code *code, const struct su_steer *steer, uint32_t offset)
{
    const struct su_steer_byte *byte = &steer->byte;
    add(code, BPF_LD | BPF_W | BPF_ABS, offset + byte->at - HASH_SIZE);
    add(code, BPF_ALU | BPF_XOR | BPF_K, byte->key[0]);
    add(code, BPF_ALU | BPF_MUL | BPF_K, byte->key[1] | 1);
    add(code, BPF_MISC | BPF_TAX, 0);
    add(code, BPF_ALU | BPF_RSH | BPF_K, HASH_SHIFT);
    add(code, BPF_ALU | BPF_XOR | BPF_X, 0);
    add(code, BPF_ALU | BPF_MUL | BPF_K, byte->key[2] | 1);
    add(code, BPF_ALU | BPF_RSH | BPF_K, MASK_BITS - 8 * steer->word_size);
    add(code, BPF_MISC | BPF_TAX, 0);
}

/* Returns the socket that the word of a CID at `offset` names, or goes on. */
static void add_named(struct code *code, const struct su_steer *steer, uint32_t offset)
{
    uint16_t load = (uint16_t)(BPF_LD | BPF_ABS | (steer->word_size == 1 ? BPF_B : BPF_H));
    if (steer->byte.is_masked)
        add_mask(code, steer, offset);
    add(code, load, offset + steer->byte.at);
    if (steer->byte.is_masked)
        add(code, BPF_ALU | BPF_XOR | BPF_X, 0);
    for (uint32_t i = 0; i < steer->count; i++) {
        if (!steer->sockets[i].is_named)
            continue;
        add_test(code, BPF_JMP | BPF_JEQ | BPF_K, steer->sockets[i].word, 0, 1);
        add(code, BPF_RET | BPF_K, i);
    }
}

/* Loads the number that chooses among the sockets that take what names none.  The first bytes of a
 * CID may be those of all that a load balancer reads. */
static void add_number(struct code *code, const struct su_steer *steer, uint32_t offset)
{
    uint32_t at = steer->byte.is_masked ? (uint32_t)(steer->byte.at - HASH_SIZE) : 0;
    add(code, BPF_LD | BPF_W | BPF_ABS, offset + at);
}

/* Returns one of the sockets that take what names none, by the number that is loaded. */
static void add_unnamed(struct code *code, const struct su_steer *steer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < steer->count; i++)
        count += steer->sockets[i].takes_unnamed;
    SB_ASSERT(count > 0);
    add(code, BPF_ALU | BPF_MOD | BPF_K, count);
    for (uint32_t i = 0; i < steer->count; i++) {
        if (!steer->sockets[i].takes_unnamed)
            continue;
        count--;
        add_test(code, BPF_JMP | BPF_JEQ | BPF_K, count, 0, 1);
        add(code, BPF_RET | BPF_K, i);
    }
}

int su_steer(int fd, const struct su_steer *steer)
{
    SB_ASSERT(steer->count > 0 && steer->count <= SU_STEER_SOCKETS_MAX);
    SB_ASSERT(steer->word_size == 1 || steer->word_size == 2);
    SB_ASSERT(steer->byte.at + steer->word_size <= steer->cid_size && steer->cid_size >= 4);
    SB_ASSERT(!steer->byte.is_masked || steer->byte.at >= HASH_SIZE);
    struct code code = {.size = 0};

    add(&code, BPF_LD | BPF_B | BPF_ABS, 0);
    add_test(&code, BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER, 0, 1);
    uint16_t to_long = begin_jump(&code);
    add_named(&code, steer, SHORT_CID_AT);
    add_number(&code, steer, SHORT_CID_AT);
    uint16_t short_to_unnamed = begin_jump(&code);

    end_jump(&code, to_long);
    add(&code, BPF_LD | BPF_B | BPF_ABS, LONG_CID_SIZE_AT);
    add_test(&code, BPF_JMP | BPF_JEQ | BPF_K, steer->cid_size, 1, 0);
    uint16_t to_others = begin_jump(&code);
    add_named(&code, steer, LONG_CID_AT);
    add_number(&code, steer, LONG_CID_AT);
    uint16_t long_to_unnamed = begin_jump(&code);

    end_jump(&code, to_others); /* a CID of another size */
    add(&code, BPF_LD | BPF_W | BPF_ABS, LONG_CID_AT);

    end_jump(&code, short_to_unnamed);
    end_jump(&code, long_to_unnamed);
    add_unnamed(&code, steer);
    /* Each rest was returned; the kernel wants a program to end with a return. */
    add(&code, BPF_RET | BPF_K, 0);

    const struct sock_fprog program = {.len = code.size, .filter = code.at};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
        return -errno;
    return 0;
}
