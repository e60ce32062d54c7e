/* SPDX-License-Identifier: MIT */
/* The program that steers packets, in this kernel: sockets on loopback, and packets of all kinds.
 */

#include "test/support/owned.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring/steer.h"

enum {
    SOCKETS = 6,
    CID_SIZE = 8,
    CID_AT = 1,
    PACKET_SIZE = 60,
    NOWHERE = -1,
    INITIAL = 0xc0,
    HANDSHAKE = 0xe0,
    SHORT = 0x40,
};

struct group {
    int fds[SOCKETS];
    int sender;
    struct sockaddr_storage address;
    socklen_t size;
};

static int bound_socket(const struct group *group)
{
    int one = 1;
    int fd = owned_fd(socket(group->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&group->address, group->size), 0);
    return fd;
}

static struct group *make_group(bool is_v6)
{
    struct group *group = owned_alloc(sizeof(*group));
    if (is_v6) {
        const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                                        .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        group->size = sizeof(v6);
        memcpy(&group->address, &v6, sizeof(v6));
    } else {
        const struct sockaddr_in v4 = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        group->size = sizeof(v4);
        memcpy(&group->address, &v4, sizeof(v4));
    }
    for (uint32_t i = 0; i < SOCKETS; i++) {
        group->fds[i] = bound_socket(group);
        assert_int_equal(
            getsockname(group->fds[i], (struct sockaddr *)&group->address, &group->size), 0);
    }
    group->sender = owned_fd(socket(group->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return group;
}

/* Returns which of the sockets gets a packet, and asserts that no other one does. */
static int sent_to(const struct group *group, const uint8_t *packet, size_t size)
{
    int found = NOWHERE;
    uint8_t got[PACKET_SIZE];
    assert_int_equal(sendto(group->sender, packet, size, 0,
                            (const struct sockaddr *)&group->address, group->size),
                     size);
    for (int i = 0; i < SOCKETS; i++) {
        if (recv(group->fds[i], got, sizeof(got), MSG_DONTWAIT) < 0)
            continue;
        assert_int_equal(found, NOWHERE);
        found = i;
    }
    assert_int_not_equal(found, NOWHERE);
    return found;
}

static int sent_with(const struct group *group, uint8_t first, uint8_t cid_size,
                     const uint8_t cid[CID_SIZE])
{
    uint8_t packet[PACKET_SIZE] = {first, 0, 0, 0, 1, cid_size};
    memcpy(packet + ((first & 0x80) != 0 ? 6 : 1), cid, CID_SIZE);
    return sent_to(group, packet, sizeof(packet));
}

/* Two processes: the old one has sockets 0 and 1, the new one 4 and 2; 3 and 5 are idle. */
static const struct su_steer_socket sockets[SOCKETS] = {
    {.word = 0x00aa, .is_named = true},
    {.word = 0x01aa, .is_named = true},
    {.word = 0x01bb, .is_named = true, .takes_unnamed = true},
    {.word = 0x01aa},
    {.word = 0x00bb, .is_named = true, .takes_unnamed = true},
    {.word = 0},
};

static struct group *make_steered(bool is_v6)
{
    struct group *group = make_group(is_v6);
    const struct su_steer steer = {{.at = CID_AT}, 2, CID_SIZE, SOCKETS, sockets};
    assert_int_equal(su_steer(group->fds[3], &steer), 0);
    return group;
}

static void packets_reach_the_socket_that_their_cid_names(void **state)
{
    (void)state;
    static const struct {
        uint8_t first;
        uint8_t cid_size;
        uint8_t shard;
        uint8_t tag;
        int socket;
    } cases[] = {
        {SHORT, 0, 0, 0xaa, 0},
        {SHORT, 0, 1, 0xaa, 1},
        {SHORT, 0, 1, 0xbb, 2},
        {SHORT, 0, 0, 0xbb, 4},
        {HANDSHAKE, CID_SIZE, 0, 0xaa, 0},
        {HANDSHAKE, CID_SIZE, 1, 0xbb, 2},
        {INITIAL, CID_SIZE, 1, 0xaa, 1},
        {INITIAL, CID_SIZE, 0, 0xbb, 4},
        /* Others: 4 and 2, by the first bytes of the CID. */
        {SHORT, 0, 2, 0xaa, NOWHERE},
        {SHORT, 0, 0, 0xac, NOWHERE},
        {INITIAL, CID_SIZE, 9, 9, NOWHERE},
        {INITIAL, CID_SIZE + 1, 0, 0xaa, NOWHERE},
        {INITIAL, CID_SIZE - 1, 1, 0xaa, NOWHERE},
        {HANDSHAKE, 0, 0, 0xaa, NOWHERE},
    };
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        const struct group *group = make_steered(is_v6 != 0);
        for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const uint8_t cid[CID_SIZE] = {(uint8_t)(i * 37), cases[i].shard, cases[i].tag, 7};
            int got = sent_with(group, cases[i].first, cases[i].cid_size, cid);
            int want = cases[i].socket != NOWHERE ? cases[i].socket : got == 2 ? 2 : 4;
            if (got != want)
                fail_msg("case %u: socket %d, not %d", i, got, want);
        }
    }
}

/* One client's first packets reach one socket, also from another address, and all the sockets of
 * the new process get some. */
static void first_packets_of_a_client_reach_one_socket_of_the_new_process(void **state)
{
    (void)state;
    struct group *group = make_steered(false);
    uint32_t counts[SOCKETS] = {0};
    for (uint32_t i = 0; i < 64; i++) {
        const uint8_t cid[CID_SIZE] = {1, 200, 3, (uint8_t)i};
        int first = sent_with(group, INITIAL, CID_SIZE, cid);
        int other = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        int before = group->sender;
        group->sender = other;
        assert_int_equal(sent_with(group, INITIAL, CID_SIZE, cid), first);
        group->sender = before;
        counts[first]++;
    }
    assert_int_equal(counts[2], 32);
    assert_int_equal(counts[4], 32);
}

static void a_word_of_one_byte_names_a_shard(void **state)
{
    (void)state;
    static const struct su_steer_socket shards[SOCKETS] = {
        {.word = 5, .is_named = true, .takes_unnamed = true},
        {.word = 4, .is_named = true, .takes_unnamed = true},
        {.word = 3, .is_named = true, .takes_unnamed = true},
        {.word = 2, .is_named = true, .takes_unnamed = true},
        {.word = 1, .is_named = true, .takes_unnamed = true},
        {.word = 0, .is_named = true, .takes_unnamed = true},
    };
    const struct group *group = make_group(false);
    const struct su_steer steer = {{.at = CID_AT}, 1, CID_SIZE, SOCKETS, shards};
    assert_int_equal(su_steer(group->fds[0], &steer), 0);
    for (uint8_t i = 0; i < SOCKETS; i++) {
        const uint8_t cid[CID_SIZE] = {99, i, 77};
        assert_int_equal(sent_with(group, SHORT, 0, cid), 5 - i);
        assert_int_equal(sent_with(group, HANDSHAKE, CID_SIZE, cid), 5 - i);
    }
}

/* Load balancers read the other bytes of such CIDs. */
static struct su_steer masked(uint32_t word_size, const struct su_steer_socket *named)
{
    return (struct su_steer){
        .byte = {.at = (uint8_t)(CID_SIZE - word_size),
                 .is_masked = true,
                 .key = {0x12345678, 0x9abcdef1, 77}},
        .word_size = word_size,
        .cid_size = CID_SIZE,
        .count = SOCKETS,
        .sockets = named,
    };
}

/* Writes a CID that names `word`, the `i`-th.  Returns the bytes that name it. */
static uint16_t make_masked(const struct su_steer *steer, uint16_t word, uint32_t i, uint8_t *ret)
{
    for (uint8_t at = 0; at < steer->byte.at; at++)
        ret[at] = (uint8_t)(at < 2 ? 9 : i * (7u + 8u * at) + at);
    uint16_t mask = su_steer_mask(&steer->byte, ret);
    uint16_t bytes = (uint16_t)(steer->word_size == 2 ? word ^ mask : word ^ mask >> 8);
    if (steer->word_size == 2)
        ret[steer->byte.at] = (uint8_t)(bytes >> 8);
    ret[CID_SIZE - 1] = (uint8_t)bytes;
    return bytes;
}

static void a_masked_word_names_a_socket(void **state)
{
    (void)state;
    struct su_steer_socket named[SOCKETS];
    const struct group *group = make_group(false);
    for (uint32_t word_size = 1; word_size <= 2; word_size++) {
        const struct su_steer steer = masked(word_size, named);
        uint8_t seen[256] = {0};
        uint32_t different = 0;
        for (uint32_t i = 0; i < SOCKETS; i++)
            named[i] = (struct su_steer_socket){
                .word =
                    (uint16_t)(word_size == 2 ? (SOCKETS - 1 - i) << 8 | 0xa7 : SOCKETS - 1 - i),
                .is_named = true,
                .takes_unnamed = true};
        assert_int_equal(su_steer(group->fds[0], &steer), 0);
        for (uint32_t i = 0; i < 8 * SOCKETS; i++) {
            uint8_t cid[CID_SIZE];
            uint32_t socket = i % SOCKETS;
            uint16_t bytes = make_masked(&steer, named[socket].word, i, cid);
            different += seen[bytes & 0xff]++ == 0;
            assert_int_equal(sent_with(group, SHORT, 0, cid), socket);
            assert_int_equal(sent_with(group, HANDSHAKE, CID_SIZE, cid), socket);
            assert_int_equal(sent_with(group, INITIAL, CID_SIZE, cid), socket);
        }
        assert_true(different > 30); /* of 48, in which the last byte has 1 or 6 values */
    }
}

/* The first bytes of such CIDs are those of all.  Two processes: the old one has the first three
 * sockets. */
static void masked_cids_that_name_nobody_are_spread(void **state)
{
    (void)state;
    const struct group *group = make_group(false);
    struct su_steer_socket named[SOCKETS];
    for (uint32_t i = 0; i < SOCKETS; i++)
        named[i] = (struct su_steer_socket){.word = (uint16_t)(i << 8 | (i < 3 ? 1 : 2)),
                                            .is_named = true,
                                            .takes_unnamed = i >= 3};
    const struct su_steer steer = masked(2, named);
    assert_int_equal(su_steer(group->fds[0], &steer), 0);
    static const uint8_t firsts[] = {SHORT, INITIAL};
    for (uint32_t kind = 0; kind < sizeof(firsts); kind++) {
        uint32_t counts[SOCKETS] = {0};
        for (uint32_t i = 0; i < 96; i++) {
            uint8_t cid[CID_SIZE];
            (void)make_masked(&steer, 0x0077, i, cid);
            int socket = sent_with(group, firsts[kind], CID_SIZE, cid);
            assert_int_equal(sent_with(group, firsts[kind], CID_SIZE, cid), socket);
            counts[socket]++;
        }
        for (uint32_t i = 0; i < SOCKETS; i++)
            assert_in_range(counts[i], i < 3 ? 0 : 16, i < 3 ? 0 : 64);
    }
}

/* What ends before the CID does not go astray either: some socket gets it. */
static void short_datagrams_reach_some_socket(void **state)
{
    (void)state;
    const struct group *group = make_steered(false);
    static const uint8_t firsts[] = {SHORT, INITIAL};
    for (uint32_t i = 0; i < sizeof(firsts); i++) {
        const uint8_t packet[12] = {firsts[i], 0xff, 0xff, 0xff, 0xff, CID_SIZE};
        for (size_t size = 1; size <= sizeof(packet); size++)
            (void)sent_to(group, packet, size);
    }
}

/* The kernel refuses programs of more than 4,096 instructions, or of more than optmem_max. */
static void the_kernel_takes_the_longest_program(void **state)
{
    (void)state;
    static struct su_steer_socket all[SU_STEER_SOCKETS_MAX];
    const struct group *group = make_group(false);
    for (uint32_t i = 0; i < SU_STEER_SOCKETS_MAX; i++)
        all[i] = (struct su_steer_socket){
            .word = (uint16_t)(i + 1), .is_named = true, .takes_unnamed = true};
    const struct su_steer steer = {{.at = CID_AT}, 2, CID_SIZE, SU_STEER_SOCKETS_MAX, all};
    assert_int_equal(su_steer(group->fds[0], &steer), 0);
    const uint8_t cid[CID_SIZE] = {0, 0, 6};
    assert_int_equal(sent_with(group, SHORT, 0, cid), 5);
    assert_int_equal(sent_with(group, INITIAL, CID_SIZE, cid), 5);
}

static void a_socket_alone_has_no_group(void **state)
{
    (void)state;
    const struct su_steer steer = {{.at = CID_AT}, 2, CID_SIZE, 3, sockets};
    assert_true(su_steer(-1, &steer) == -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, packets_reach_the_socket_that_their_cid_names),
        QT_TEST(owned, first_packets_of_a_client_reach_one_socket_of_the_new_process),
        QT_TEST(owned, a_word_of_one_byte_names_a_shard),
        QT_TEST(owned, a_masked_word_names_a_socket),
        QT_TEST(owned, masked_cids_that_name_nobody_are_spread),
        QT_TEST(owned, short_datagrams_reach_some_socket),
        QT_TEST(owned, the_kernel_takes_the_longest_program),
        QT_TEST(owned, a_socket_alone_has_no_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
