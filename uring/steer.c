/* SPDX-License-Identifier: MIT */
#include "uring/steer.h"

/* The program sees the payload of the UDP datagram, and returns the number of a socket; a number
 * that the group does not have means the hash. */

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "proto/base/assert.h"

#define BY_HASH UINT32_MAX

enum {
    LONG_HEADER = 0x80,
    HEAD_SIZE = 3, /* instructions that read the byte */
    EACH_SIZE = 2,
};

int su_steer(int fd, uint32_t cid_at, const uint8_t *values, uint32_t count)
{
    SB_ASSERT(count > 0 && count <= SU_STEER_SOCKETS_MAX);
    struct sock_filter code[HEAD_SIZE + EACH_SIZE * SU_STEER_SOCKETS_MAX + 1];
    uint8_t to_end = (uint8_t)(1 + EACH_SIZE * count);
    uint16_t at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0);
    code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER, to_end, 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1 + cid_at);
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
