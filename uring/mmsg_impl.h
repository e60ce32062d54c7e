/* SPDX-License-Identifier: MIT */
#ifndef SU_MMSG_IMPL_H
#define SU_MMSG_IMPL_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/compiler.h"
#include "uring/mmsg.h"
#include "uring/ring.h"

/* What mmsg.c, mmsg_send.c and mmsg_recv.c share. */

enum {
    SU_MMSG_GROUPS_MAX = 8,
    SU_MMSG_POLLS_MIN = 16, /* places for POLL_ADD: as many at first, and then twice as many */
    SU_MMSG_POLLS_MAX = 1 << 20,
    SU_MMSG_SENDS_MAX = 64,    /* messages a sendmmsg: as much as fits a socket's send buffer */
    SU_MMSG_RECEIVES_MAX = 64, /* messages per recvmmsg */
    SU_MMSG_RECEIVES_MIN = 4,
    SU_MMSG_RECEIVE_BYTES = 1 << 20, /* bytes per recvmmsg, about: as many as fit the cache */
    SU_MMSG_NONE = UINT32_MAX,
};

/* A ring of buffers.  Those in [head, shared->tail) are free. */
struct su_mmsg_group {
    struct io_uring_buf_ring *shared; /* NULL: free */
    uint32_t mask;
    uint16_t head;
    uint16_t name;
};

/* A SENDMSG that was taken from the submission queue. */
struct su_mmsg_send {
    const struct msghdr *message;
    uint64_t user_data;
    uint32_t next; /* of the same file, free, or done */
    bool is_quiet; /* no completion if it goes well */
    /* See hosted.h. */
    bool is_taken;
    uint32_t take_count;
    int32_t result;
};

/* A multishot RECVMSG, or a READ; at most one a file. */
struct su_mmsg_input {
    const struct msghdr *asked; /* NULL: a READ */
    struct su_mmsg_group *group;
    void *read_data;
    uint32_t read_size;
    uint32_t batch; /* messages to ask for next time */
    uint64_t user_data;
    bool is_armed;
};

/* A POLL_ADD. */
struct su_mmsg_poll {
    uint64_t user_data;
    int fd; /* a duplicate, owned */
    uint32_t events;
    uint32_t next; /* of the free ones */
    bool is_armed;
    bool is_multishot;
};

/* epoll may watch more than is wanted: that is put right when it reports what nobody wants. */
struct su_mmsg_file {
    int fd;           /* -1: free; SU_HOSTED_FD: none, the host plays the kernel's part */
    uint32_t wanted;  /* EPOLLIN: the input is armed; EPOLLOUT: a send is blocked */
    uint32_t watched; /* events that epoll watches; 0: it does not watch the file */
    struct su_mmsg_input input;
    uint32_t send_first; /* of the sends in order, or SU_MMSG_NONE */
    uint32_t send_last;
};

struct su_mmsg {
    struct io_uring *uring; /* whose pointers point here */
    unsigned sq_head;
    unsigned sq_tail;
    unsigned cq_head;
    unsigned cq_tail;
    unsigned flags; /* of the submission queue: always 0 */
    int epoll_fd;
    bool is_coarse; /* no epoll_pwait2: milliseconds */
    uint64_t calls; /* system calls of this enter */
    bool has_more;  /* a socket gave as much as the last wait asked it for */

    struct su_mmsg_send *sends; /* as many as the completion queue holds */
    uint32_t send_free;         /* a chain */
    uint64_t sending;           /* bit i: file i has sends and is not blocked */
    uint32_t done_first;        /* sends of hosted sockets that are over, or SU_MMSG_NONE */
    uint32_t done_last;
    struct su_mmsg_poll *polls; /* NULL before the first one */
    uint32_t poll_count;
    uint32_t poll_free; /* a chain */
    struct su_mmsg_file files[SU_RING_FILE_COUNT_MAX];
    struct su_mmsg_group groups[SU_MMSG_GROUPS_MAX];
};

_Static_assert(SU_RING_FILE_COUNT_MAX <= 64, "a bit each in `sending`");

/* Free places of the completion queue. */
static inline uint32_t su_mmsg_room(const struct su_mmsg *mmsg)
{
    return mmsg->uring->cq.ring_entries - (mmsg->cq_tail - mmsg->cq_head);
}

/* There must be room. */
static inline void su_mmsg_complete(struct su_mmsg *mmsg, uint64_t user_data, int32_t result,
                                    uint32_t flags)
{
    struct io_uring_cq *cq = &mmsg->uring->cq;
    SB_ASSERT(su_mmsg_room(mmsg) > 0);
    struct io_uring_cqe *cqe = &cq->cqes[mmsg->cq_tail & cq->ring_mask];
    cqe->user_data = user_data;
    cqe->res = result;
    cqe->flags = flags;
    mmsg->cq_tail++;
}

/* Makes epoll watch what the file wants.  0 or -errno; to watch less cannot fail. */
int su_mmsg_watch(struct su_mmsg *mmsg, struct su_mmsg_file *file);

/* Queues a SENDMSG after the file's others.  Returns false if there is no place for it or no room
 * for its completion. */
bool su_mmsg_send(struct su_mmsg *mmsg, uint32_t index, const struct io_uring_sqe *sqe);

/* Sends what the file has, until the kernel takes no more. */
void su_mmsg_send_flush(struct su_mmsg *mmsg, uint32_t index);

/* Completes sends that the host is done with, as long as there is room. */
void su_mmsg_send_done(struct su_mmsg *mmsg);

/* Forgets the file's sends. */
void su_mmsg_send_forget(struct su_mmsg *mmsg, uint32_t index);

/* Arms the file's input. */
void su_mmsg_receive_arm(struct su_mmsg *mmsg, struct su_mmsg_file *file,
                         const struct io_uring_sqe *sqe);
void su_mmsg_read_arm(struct su_mmsg *mmsg, struct su_mmsg_file *file,
                      const struct io_uring_sqe *sqe);

/* Ends the file's input with a completion. */
void su_mmsg_input_end(struct su_mmsg *mmsg, struct su_mmsg_file *file, int32_t result);

/* Begins a POLL_ADD.  There must be room for a completion: that of a failure. */
void su_mmsg_poll_add(struct su_mmsg *mmsg, const struct io_uring_sqe *sqe);

/* Ends the POLL_ADD with `user_data` by -ECANCELED.  Returns false if there is none. */
bool su_mmsg_poll_cancel(struct su_mmsg *mmsg, uint64_t user_data);

/* Completes place `index`, for which epoll has reported `events`. */
void su_mmsg_poll_ready(struct su_mmsg *mmsg, uint32_t index, uint32_t events);

/* Forgets all of them. */
void su_mmsg_polls_forget(struct su_mmsg *mmsg);

/* Reads the file's data or error, after epoll has reported one. */
void su_mmsg_input_ready(struct su_mmsg *mmsg, struct su_mmsg_file *file);

#endif
