/* SPDX-License-Identifier: MIT */
/* Datagrams that belong to no connection.
 *
 * Initials whose Initial keys anyone can derive, from many addresses of loopback; and the search
 * for a Stateless Reset of a connection that exists.  The oracle: a short packet with somebody's
 * connection ID, sent from another port, must never be answered with that connection's token.
 * [RFC9000 10.3.2, 21.11] */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "proto/wire/frame.h"
#include "test/attack/attack.h"

enum {
    SOCKETS_MAX = 64,
    BATCH_MAX = 16,
    INITIALS_PER_CLIENT = 8, /* of ATTACK_CRYPTO_INITIALS */
    CRYPTO_FRAMES = 150,     /* in one of them */
    GUESS_SIZE = 60,         /* of a short packet: its reset is shorter */
    GUESSES_MAX = 64,        /* ports that the oracle tries */
    REST_NS = 200 * 1000,
};

static const struct {
    const char *name;
    const char *what;
    uint64_t rate;
} strangers[ATTACK_STRANGERS] = {
    [ATTACK_PING_INITIALS] = {"ping-initials", "Initials with nothing but a PING", 2000},
    [ATTACK_CRYPTO_INITIALS] = {"crypto-initials", "Initials with CRYPTO bytes at odd offsets",
                                10000},
    [ATTACK_RESET_ORACLE] = {"reset-oracle", "short packets with a connection's CID, other ports",
                             1000},
};

enum attack_stranger attack_stranger_of(const char *name)
{
    for (int i = 0; i < ATTACK_STRANGERS; i++)
        if (strcmp(strangers[i].name, name) == 0)
            return (enum attack_stranger)i;
    return ATTACK_STRANGERS;
}

void attack_list_strangers(void)
{
    for (int i = 0; i < ATTACK_STRANGERS; i++)
        printf("%-18s %s\n", strangers[i].name, strangers[i].what);
}

/* ---- Initials ---- */

struct initials {
    struct sp_protect protect;
    struct qs_random random;
    enum attack_stranger kind;
    struct sp_cid dcid;
    struct sp_cid scid;
    uint64_t pn;     /* in this client */
    uint64_t offset; /* of CRYPTO bytes */
};

static struct sp_cid random_cid(struct qs_random *random)
{
    uint8_t bytes[8];
    qs_random_bytes(random, bytes, sizeof(bytes));
    return sp_cid_of(bytes, sizeof(bytes));
}

static void make_initial(struct initials *s, uint8_t out[SP_DATAGRAM_SIZE_MIN])
{
    uint32_t per_client = s->kind == ATTACK_PING_INITIALS ? 1 : INITIALS_PER_CLIENT;
    if (s->pn % per_client == 0) {
        s->dcid = random_cid(&s->random);
        s->scid = random_cid(&s->random);
        s->pn = 0;
        s->offset = 1;
    }
    uint8_t frames[SP_DATAGRAM_SIZE_MIN];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    if (s->kind == ATTACK_PING_INITIALS)
        sp_frame_write_ping(&w);
    for (uint32_t i = 0; s->kind == ATTACK_CRYPTO_INITIALS && i < CRYPTO_FRAMES; i++) {
        sp_frame_write_crypto_head(&w, s->offset, 1);
        sb_writer_bytes(&w, (const uint8_t *)"x", 1);
        s->offset += 2;
    }
    SB_ASSERT(!w.failed);
    if (hostile_initial(&s->protect, &s->dcid, &s->scid, s->pn, frames, sb_writer_used(&w), out) ==
        0)
        attack_die("no memory for keys");
    s->pn++;
}

static void drain(int fd)
{
    uint8_t in[2048];
    for (uint32_t i = 0; i < BATCH_MAX && recv(fd, in, sizeof(in), 0) > 0; i++)
        continue;
}

static void send_initials(struct initials *s, const struct attack_options *options,
                          struct attack_result *ret)
{
    int fds[SOCKETS_MAX];
    uint32_t count = options->conn_count > 0 ? options->conn_count : 16;
    count = SB_MIN(count, SOCKETS_MAX);
    for (uint32_t i = 0; i < count; i++)
        fds[i] = attack_socket(options, i);
    uint64_t start_ns = attack_now_ns();
    struct attack_pace pace = {.start_ns = start_ns,
                               .rate = options->rate > 0 ? options->rate : strangers[s->kind].rate};
    for (uint32_t turn = 0; attack_now_ns() - start_ns < options->duration_ns; turn++) {
        /* All Initials of one client come from one socket. */
        int fd = fds[turn % count];
        drain(fd);
        uint32_t left = attack_pace_take(&pace, BATCH_MAX, attack_now_ns());
        if (left == 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
        for (; left > 0; left--) {
            uint8_t out[SP_DATAGRAM_SIZE_MIN];
            make_initial(s, out);
            (void)!send(fd, out, sizeof(out), 0);
            ret->datagram_count++;
            ret->byte_count += sizeof(out);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

/* ---- The reset oracle ---- */

/* Carries a handshake to its end.  False if that takes longer than the attack. */
static bool shake_hands(struct hostile *h, int fd, uint64_t until_ns)
{
    uint8_t data[65536];
    while (h->state == HOSTILE_HANDSHAKE && attack_now_ns() < until_ns) {
        uint64_t now_ns = attack_now_ns();
        size_t size;
        hostile_on_time(h, now_ns);
        while ((size = hostile_send(h, data, 2048, now_ns)) > 0)
            (void)!send(fd, data, size, 0);
        ssize_t got = recv(fd, data, sizeof(data), 0);
        if (got > 0)
            hostile_receive(h, data, (size_t)got, now_ns);
        else
            (void)nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
    }
    return h->state == HOSTILE_READY;
}

/* What came ends in the token of a CID that the server gave to `h`. */
static bool is_reset_of(const struct hostile *h, const uint8_t *data, size_t size)
{
    return size >= SP_RESET_TOKEN_SIZE &&
           sp_cid_remote_has_token(&h->conn->remote_ids, data + size - SP_RESET_TOKEN_SIZE);
}

static void guess(struct hostile *h, const struct attack_options *options, uint64_t until_ns,
                  struct attack_result *ret)
{
    for (uint32_t i = 0; i < GUESSES_MAX && attack_now_ns() < until_ns; i++) {
        int fd = attack_socket(options, 1 + i);
        uint8_t out[GUESS_SIZE];
        qs_random_bytes(&h->random, out, sizeof(out));
        out[0] = (uint8_t)(SP_HEADER_FIXED | (out[0] & 0x3f));
        memcpy(out + 1, h->dcid.bytes, h->dcid.size);
        (void)!send(fd, out, sizeof(out), 0);
        ret->datagram_count++;
        ret->byte_count += sizeof(out);
        uint8_t in[2048];
        ssize_t size = -1;
        for (uint32_t wait = 0; wait < 10 && size <= 0; wait++) {
            (void)nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
            size = recv(fd, in, sizeof(in), 0);
        }
        if (size > 0 && is_reset_of(h, in, (size_t)size))
            ret->found_count++;
        (void)close(fd);
    }
}

static void ask_oracle(const struct attack_options *options, struct attack_result *ret)
{
    struct hostile_host host;
    attack_host_init(&host);
    uint64_t now_ns = attack_now_ns();
    uint64_t until_ns = now_ns + options->duration_ns;
    struct sp_path path = {.local = {.family = 4}, .remote = {.family = 4, .port = 1}};
    while (attack_now_ns() < until_ns) {
        struct hostile *h = hostile_create(&host, &path, attack_now_ns(), attack_now_ns());
        if (h == NULL)
            attack_die("no memory for a client");
        int fd = attack_socket(options, 0);
        ret->begun_count++;
        if (shake_hands(h, fd, until_ns)) {
            ret->ready_count++;
            guess(h, options, until_ns, ret);
        }
        hostile_destroy(h);
        (void)close(fd);
    }
    hostile_host_deinit(&host);
}

void attack_strangers(enum attack_stranger kind, const struct attack_options *options,
                      struct attack_result *ret)
{
    if (kind == ATTACK_RESET_ORACLE) {
        ask_oracle(options, ret);
        return;
    }
    struct hostile_host host;
    attack_host_init(&host);
    struct initials initials = {.protect = host.protect, .kind = kind};
    qs_random_init(&initials.random, options->seed ^ attack_now_ns());
    send_initials(&initials, options, ret);
    hostile_host_deinit(&host);
}
