/* SPDX-License-Identifier: MIT */
#include "uring/caps.h"

/* The capability report.  Each row is found by trying the thing itself rather
 * than by comparing versions: distributions port back, containers forbid, and
 * seccomp filters lie about the version but not about the call.
 *
 * The rows are a table of functions that return 0 or a negative errno; the
 * reasons are made from the errno and the row's own remark ("since 6.6"). */

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "uring/caps_impl.h"
#include "uring/qdisc.h"

#define PROBE_SQ_COUNT    8
#define PROBE_MEMORY_SIZE ((size_t)1 << 20)
#define PROBE_GROUP       0

/* What one run of the probe has at hand. */
struct probe {
    struct io_uring ring; /* the plain one, without flags; open if ring_error is 0 */
    uint32_t features;
    int ring_error;
};

/* ---- io_uring ---- */

static int try_setup(uint32_t flags, uint32_t *ret_flags)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags = flags};
    if ((flags & IORING_SETUP_CQSIZE) != 0)
        params.cq_entries = 4 * PROBE_SQ_COUNT;
    int error = io_uring_queue_init_params(PROBE_SQ_COUNT, &ring, &params);
    if (error != 0)
        return error;
    if (ret_flags != NULL)
        *ret_flags = params.flags;
    io_uring_queue_exit(&ring);
    return 0;
}

static int probe_ring(struct probe *probe)
{
    return probe->ring_error;
}

static int probe_single_issuer(struct probe *probe)
{
    (void)probe;
    return try_setup(IORING_SETUP_SINGLE_ISSUER, NULL);
}

static int probe_defer_taskrun(struct probe *probe)
{
    (void)probe;
    return try_setup(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, NULL);
}

static int probe_coop_taskrun(struct probe *probe)
{
    (void)probe;
    return try_setup(IORING_SETUP_COOP_TASKRUN, NULL);
}

static int probe_submit_all(struct probe *probe)
{
    (void)probe;
    return try_setup(IORING_SETUP_SUBMIT_ALL, NULL);
}

static int probe_cq_size(struct probe *probe)
{
    (void)probe;
    return try_setup(IORING_SETUP_CQSIZE, NULL);
}

static int probe_no_sqarray(struct probe *probe)
{
    (void)probe;
    uint32_t flags = 0; /* liburing asks for it by itself and takes it back if it is refused */
    int error = try_setup(0, &flags);
    if (error != 0)
        return error;
    return (flags & IORING_SETUP_NO_SQARRAY) != 0 ? 0 : -EINVAL;
}

static int probe_ext_arg(struct probe *probe)
{
    return (probe->features & IORING_FEAT_EXT_ARG) != 0 ? 0 : -EINVAL;
}

static int probe_no_drop(struct probe *probe)
{
    return (probe->features & IORING_FEAT_NODROP) != 0 ? 0 : -EINVAL;
}

static int probe_min_wait(struct probe *probe)
{
    return (probe->features & IORING_FEAT_MIN_TIMEOUT) != 0 ? 0 : -EINVAL;
}

static int probe_registered_files(struct probe *probe)
{
    int error = io_uring_register_files_sparse(&probe->ring, 4);
    if (error == 0)
        (void)io_uring_unregister_files(&probe->ring);
    return error;
}

static int probe_registered_ring(struct probe *probe)
{
    int registered = io_uring_register_ring_fd(&probe->ring);
    if (registered != 1)
        return registered < 0 ? registered : -EINVAL;
    (void)io_uring_unregister_ring_fd(&probe->ring);
    return 0;
}

static int probe_buffer_ring(struct probe *probe)
{
    int error = 0;
    struct io_uring_buf_ring *shared =
        io_uring_setup_buf_ring(&probe->ring, 1, PROBE_GROUP, 0, &error);
    if (shared != NULL)
        (void)io_uring_free_buf_ring(&probe->ring, shared, 1, PROBE_GROUP);
    return error;
}

static int probe_registered_memory(struct probe *probe)
{
    void *memory =
        mmap(NULL, PROBE_MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    struct iovec part = {.iov_base = memory, .iov_len = PROBE_MEMORY_SIZE};
    int error = io_uring_register_buffers(&probe->ring, &part, 1);
    if (error == 0)
        (void)io_uring_unregister_buffers(&probe->ring);
    (void)munmap(memory, PROBE_MEMORY_SIZE);
    return error;
}

static int probe_sync_cancel(struct probe *probe)
{
    struct io_uring_sync_cancel_reg cancel = {.addr = 1, .fd = -1};
    int error = io_uring_register_sync_cancel(&probe->ring, &cancel);
    return error == -ENOENT ? 0 : error; /* there is nothing to cancel: it was understood */
}

static int probe_napi(struct probe *probe)
{
    struct io_uring_napi napi = {.busy_poll_to = 1};
    int error = io_uring_register_napi(&probe->ring, &napi);
    if (error == 0)
        (void)io_uring_unregister_napi(&probe->ring, &napi);
    return error;
}

static int probe_opcode(struct probe *probe, int opcode)
{
    struct io_uring_probe *known = io_uring_get_probe_ring(&probe->ring);
    if (known == NULL)
        return -ENOMEM;
    int error = io_uring_opcode_supported(known, opcode) ? 0 : -EINVAL;
    io_uring_free_probe(known);
    return error;
}

static int probe_msg_ring(struct probe *probe)
{
    return probe_opcode(probe, IORING_OP_MSG_RING);
}

static int probe_sendmsg_zc(struct probe *probe)
{
    return probe_opcode(probe, IORING_OP_SENDMSG_ZC);
}

/* Submits what is queued and returns the result of the first completion, or `if_none`. */
static int run(struct io_uring *ring, int if_none)
{
    int taken = io_uring_submit_and_get_events(ring);
    if (taken < 0)
        return taken;
    struct io_uring_cqe *cqe;
    if (io_uring_peek_cqe(ring, &cqe) != 0)
        return if_none;
    int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

static int udp_bound(sa_family_t family, struct sockaddr_storage *ret_name, socklen_t *ret_size)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool is_v6 = family == AF_INET6;

    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    const void *name = is_v6 ? (const void *)&v6 : &v4;
    socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
    socklen_t ret = sizeof(*ret_name);
    if (bind(fd, (const struct sockaddr *)name, size) != 0 ||
        getsockname(fd, (struct sockaddr *)ret_name, &ret) != 0) {
        int error = -errno;
        (void)close(fd);
        return error;
    }
    *ret_size = ret;
    return fd;
}

/* Arms one on an empty socket: a kernel that does not know the flag completes it with EINVAL,
 * others wait for a datagram. */
static int probe_recvmsg_multishot(struct probe *probe)
{
    struct sockaddr_storage name;
    socklen_t size;
    int fd = udp_bound(AF_INET, &name, &size);
    if (fd < 0)
        return fd;

    static uint8_t slot[512]; /* no datagram comes, so that two threads may share it */
    struct msghdr message = {.msg_namelen = sizeof(struct sockaddr_in6)};
    int error = 0;
    struct io_uring_buf_ring *shared =
        io_uring_setup_buf_ring(&probe->ring, 1, PROBE_GROUP, 0, &error);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&probe->ring);
    if (shared != NULL && sqe != NULL) {
        io_uring_buf_ring_add(shared, slot, sizeof(slot), 0, 0, 0);
        io_uring_buf_ring_advance(shared, 1);
        io_uring_prep_recvmsg_multishot(sqe, fd, &message, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = PROBE_GROUP;
        sqe->user_data = 1;
        error = run(&probe->ring, 0);
        sqe = io_uring_get_sqe(&probe->ring);
        if (error == 0 && sqe != NULL) {
            io_uring_prep_cancel64(sqe, 1, IORING_ASYNC_CANCEL_ALL);
            (void)io_uring_submit_and_get_events(&probe->ring);
        }
    }
    io_uring_cq_advance(&probe->ring, io_uring_cq_ready(&probe->ring));
    if (shared != NULL)
        (void)io_uring_free_buf_ring(&probe->ring, shared, 1, PROBE_GROUP);
    (void)close(fd);
    return error < 0 ? error : 0;
}

/* Sends one byte to itself out of a registered buffer. */
static int probe_sendmsg_zc_fixed(struct probe *probe)
{
    static uint8_t byte[64]; /* only read */
    struct sockaddr_storage name;
    socklen_t size;
    int fd = udp_bound(AF_INET, &name, &size);
    if (fd < 0)
        return fd;

    struct iovec part = {.iov_base = byte, .iov_len = 1};
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = size, .msg_iov = &part, .msg_iovlen = 1};
    struct iovec registered = {.iov_base = byte, .iov_len = sizeof(byte)};
    int error = io_uring_register_buffers(&probe->ring, &registered, 1);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&probe->ring);
    if (error == 0 && sqe != NULL) {
        io_uring_prep_sendmsg_zc(sqe, fd, &message, 0);
        sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
        sqe->buf_index = 0;
        error = run(&probe->ring, 0);
        (void)io_uring_get_events(&probe->ring);
        io_uring_cq_advance(&probe->ring, io_uring_cq_ready(&probe->ring));
        (void)io_uring_unregister_buffers(&probe->ring); /* waits for the notification */
    }
    io_uring_cq_advance(&probe->ring, io_uring_cq_ready(&probe->ring));
    (void)close(fd);
    return error < 0 ? error : 0;
}

/* ---- sockets ---- */

static int try_option(sa_family_t family, int level, int option, int value)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    int error = setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
    (void)close(fd);
    return error;
}

static int try_family(sa_family_t family)
{
    struct sockaddr_storage name;
    socklen_t size;
    int fd = udp_bound(family, &name, &size);
    if (fd < 0)
        return fd;
    (void)close(fd);
    return 0;
}

static int probe_ipv4(struct probe *probe)
{
    (void)probe;
    return try_family(AF_INET);
}

static int probe_ipv6(struct probe *probe)
{
    (void)probe;
    return try_family(AF_INET6);
}

static int probe_dual_stack(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET6, SOL_IPV6, IPV6_V6ONLY, 0);
}

static int probe_udp_segment(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET, SOL_UDP, UDP_SEGMENT, 1200);
}

static int probe_udp_gro(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET, SOL_UDP, UDP_GRO, 1);
}

static int probe_rxq_ovfl(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET, SOL_SOCKET, SO_RXQ_OVFL, 1);
}

/* An IPv4 option, and its IPv6 twin where there is IPv6. */
static int try_both(int option4, int value4, int option6, int value6)
{
    int error = try_option(AF_INET, SOL_IP, option4, value4);
    if (error == 0 && try_family(AF_INET6) == 0)
        error = try_option(AF_INET6, SOL_IPV6, option6, value6);
    return error;
}

static int probe_ecn_receive(struct probe *probe)
{
    (void)probe;
    return try_both(IP_RECVTOS, 1, IPV6_RECVTCLASS, 1);
}

static int probe_pktinfo(struct probe *probe)
{
    (void)probe;
    return try_both(IP_PKTINFO, 1, IPV6_RECVPKTINFO, 1);
}

static int probe_mtu_probe(struct probe *probe)
{
    (void)probe;
    return try_both(IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
}

static int probe_reuse_port(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET, SOL_SOCKET, SO_REUSEPORT, 1);
}

static int probe_busy_poll(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET, SOL_SOCKET, SO_BUSY_POLL, 50);
}

static int probe_buffers_forced(struct probe *probe)
{
    (void)probe;
    return try_option(AF_INET, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20);
}

static int probe_txtime(struct probe *probe)
{
    (void)probe;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    int error = su_qdisc_set_txtime(fd);
    (void)close(fd);
    return error;
}

static int probe_fq(struct probe *probe)
{
    (void)probe;
    return su_qdisc_any_is_timed();
}

/* ---- the table ---- */

struct row {
    const char *name;
    int (*probe)(struct probe *);
    const char *since; /* the kernel that brought it */
    bool needs_ring;
};

static const struct row rows[SU_CAP_COUNT] = {
    [SU_CAP_RING] = {"io_uring_setup", probe_ring, "5.1", false},
    [SU_CAP_SINGLE_ISSUER] = {"IORING_SETUP_SINGLE_ISSUER", probe_single_issuer, "6.0", true},
    [SU_CAP_DEFER_TASKRUN] = {"IORING_SETUP_DEFER_TASKRUN", probe_defer_taskrun, "6.1", true},
    [SU_CAP_COOP_TASKRUN] = {"IORING_SETUP_COOP_TASKRUN", probe_coop_taskrun, "5.19", true},
    [SU_CAP_SUBMIT_ALL] = {"IORING_SETUP_SUBMIT_ALL", probe_submit_all, "5.18", true},
    [SU_CAP_CQ_SIZE] = {"IORING_SETUP_CQSIZE", probe_cq_size, "5.5", true},
    [SU_CAP_NO_SQARRAY] = {"IORING_SETUP_NO_SQARRAY", probe_no_sqarray, "6.6", true},
    [SU_CAP_EXT_ARG] = {"IORING_FEAT_EXT_ARG", probe_ext_arg, "5.11", true},
    [SU_CAP_NO_DROP] = {"IORING_FEAT_NODROP", probe_no_drop, "5.5", true},
    [SU_CAP_REGISTERED_FILES] = {"registered files", probe_registered_files, "5.19", true},
    [SU_CAP_REGISTERED_RING] = {"registered ring fd", probe_registered_ring, "5.18", true},
    [SU_CAP_BUFFER_RING] = {"provided-buffer ring", probe_buffer_ring, "5.19", true},
    [SU_CAP_REGISTERED_MEMORY] = {"registered buffers (1 MB)", probe_registered_memory, "5.1",
                                  true},
    [SU_CAP_RECVMSG_MULTISHOT] = {"multishot recvmsg", probe_recvmsg_multishot, "6.0", true},
    [SU_CAP_SYNC_CANCEL] = {"synchronous cancel", probe_sync_cancel, "6.0", true},
    [SU_CAP_MSG_RING] = {"IORING_OP_MSG_RING", probe_msg_ring, "5.18", true},
    [SU_CAP_SENDMSG_ZC] = {"IORING_OP_SENDMSG_ZC", probe_sendmsg_zc, "6.1", true},
    [SU_CAP_SENDMSG_ZC_FIXED] = {"SENDMSG_ZC, fixed buffer", probe_sendmsg_zc_fixed, "6.15", true},
    [SU_CAP_NAPI] = {"NAPI busy poll in the ring", probe_napi, "6.9", true},
    [SU_CAP_MIN_WAIT] = {"IORING_FEAT_MIN_TIMEOUT", probe_min_wait, "6.12", true},
    [SU_CAP_IPV4] = {"UDP over IPv4", probe_ipv4, "", false},
    [SU_CAP_IPV6] = {"UDP over IPv6", probe_ipv6, "", false},
    [SU_CAP_DUAL_STACK] = {"dual-stack sockets", probe_dual_stack, "", false},
    [SU_CAP_UDP_SEGMENT] = {"UDP_SEGMENT (GSO)", probe_udp_segment, "4.18", false},
    [SU_CAP_UDP_GRO] = {"UDP_GRO", probe_udp_gro, "5.0", false},
    [SU_CAP_RXQ_OVFL] = {"SO_RXQ_OVFL", probe_rxq_ovfl, "2.6.33", false},
    [SU_CAP_ECN_RECEIVE] = {"IP_RECVTOS, IPV6_RECVTCLASS", probe_ecn_receive, "2.6.14", false},
    [SU_CAP_PKTINFO] = {"IP_PKTINFO, IPV6_RECVPKTINFO", probe_pktinfo, "2.6.14", false},
    [SU_CAP_MTU_PROBE] = {"IP_PMTUDISC_PROBE", probe_mtu_probe, "2.6.22", false},
    [SU_CAP_REUSE_PORT] = {"SO_REUSEPORT", probe_reuse_port, "3.9", false},
    [SU_CAP_BUSY_POLL] = {"SO_BUSY_POLL", probe_busy_poll, "3.11", false},
    [SU_CAP_BUFFERS_FORCED] = {"SO_RCVBUFFORCE", probe_buffers_forced, "2.6.14", false},
    [SU_CAP_TXTIME] = {"SO_TXTIME", probe_txtime, "4.19", false},
    [SU_CAP_FQ] = {"fq on an interface", probe_fq, "", false},
    [SU_CAP_STEERING] = {"SO_ATTACH_REUSEPORT_CBPF", su_caps_try_steering, "4.6", false},
    [SU_CAP_STAMPS_IN] = {"SO_TIMESTAMPNS", su_caps_try_receive_stamps, "2.6.22", false},
    [SU_CAP_STAMPS_OUT] = {"SO_TIMESTAMPING, sent", su_caps_try_send_stamps, "2.6.30", false},
};

/* ---- reasons ---- */

/* The number in a small file of /proc, or -1. */
static long read_number(const char *path, const char *key)
{
    char line[128];
    long number = -1;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%ld", &number) == 1)
            break;
    }
    (void)fclose(file);
    return number;
}

void su_caps_explain_ring(int error, char *ret, size_t size)
{
    bool is_denied = error == -EPERM || error == -EACCES;
    long disabled = read_number("/proc/sys/kernel/io_uring_disabled", "");
    bool is_filtered = read_number("/proc/self/status", "Seccomp:") > 0;
    struct rlimit limit;

    if (error == -EPERM && disabled == 2)
        (void)snprintf(ret, size, "sysctl kernel.io_uring_disabled is 2: nobody may");
    else if (error == -EPERM && disabled == 1)
        (void)snprintf(ret, size,
                       "sysctl kernel.io_uring_disabled is 1, and we are not in "
                       "kernel.io_uring_group");
    else if (is_denied || (error == -ENOSYS && is_filtered))
        (void)snprintf(ret, size, "%s: a %s forbids it", strerrorname_np(-error),
                       is_filtered ? "seccomp filter (container?)" : "security module");
    else if (error == -ENOSYS)
        (void)snprintf(ret, size,
                       "ENOSYS: the kernel is built without io_uring, or older than 5.1");
    else if (error == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
             limit.rlim_cur != RLIM_INFINITY)
        (void)snprintf(ret, size,
                       "ENOMEM: out of memory, or RLIMIT_MEMLOCK, which is %llu KB (ulimit -l)",
                       (unsigned long long)limit.rlim_cur / 1024);
    else if (error == -EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        (void)snprintf(ret, size, "EMFILE: RLIMIT_NOFILE is %llu (ulimit -n)",
                       (unsigned long long)limit.rlim_cur);
    else if (error == -EINVAL)
        (void)snprintf(ret, size, "EINVAL: this kernel's io_uring is too old (before 5.19)");
    else
        (void)snprintf(ret, size, "%s", strerror(-error));
}

static void explain(const struct row *row, int error, char *ret, size_t size)
{
    bool is_unknown = error == -EINVAL || error == -ENOPROTOOPT || error == -EOPNOTSUPP;
    struct rlimit limit;
    if (is_unknown && row->since[0] != '\0')
        (void)snprintf(ret, size, "%s: this kernel does not have it (since %s)",
                       strerrorname_np(-error), row->since);
    else if (error == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
        (void)snprintf(ret, size, "ENOMEM: RLIMIT_MEMLOCK is %llu KB (ulimit -l)",
                       (unsigned long long)limit.rlim_cur / 1024);
    else if (error == -EPERM)
        (void)snprintf(ret, size, "EPERM: needs CAP_NET_ADMIN");
    else if (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL)
        (void)snprintf(ret, size, "%s: the address family is off", strerrorname_np(-error));
    else if (error == -ENODATA)
        (void)snprintf(ret, size, "accepted, but the kernel gave no time stamp on loopback");
    else if (error == -ENOENT)
        (void)snprintf(ret, size, "no interface has it (tc qdisc replace dev NAME root fq)");
    else
        (void)snprintf(ret, size, "%s", strerror(-error));
}

void su_caps_probe(struct su_caps *ret)
{
    SB_ASSERT(ret != NULL);
    struct probe probe = {0};
    struct io_uring_params params = {0};
    struct utsname system;

    *ret = (struct su_caps){0};
    if (uname(&system) == 0)
        (void)snprintf(ret->kernel, sizeof(ret->kernel), "%.60s", system.release);
    probe.ring_error = io_uring_queue_init_params(PROBE_SQ_COUNT, &probe.ring, &params);
    probe.features = params.features;

    for (uint32_t i = 0; i < SU_CAP_COUNT; i++) {
        const struct row *row = &rows[i];
        struct su_cap *cap = &ret->cap[i];
        cap->name = row->name;
        if (row->needs_ring && probe.ring_error != 0) {
            (void)snprintf(cap->reason, sizeof(cap->reason), "no io_uring");
            continue;
        }
        int error = row->probe(&probe);
        cap->have = error == 0;
        if (i == SU_CAP_RING && error != 0)
            su_caps_explain_ring(error, cap->reason, sizeof(cap->reason));
        else if (error != 0)
            explain(row, error, cap->reason, sizeof(cap->reason));
    }
    if (probe.ring_error == 0)
        io_uring_queue_exit(&probe.ring);
}

void su_caps_liburing(char *ret, size_t size)
{
    (void)snprintf(ret, size, "%d.%d", io_uring_major_version(), io_uring_minor_version());
}
