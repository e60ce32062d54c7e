/* SPDX-License-Identifier: MIT */
#ifndef ATTACK_H
#define ATTACK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "test/support/hostile.h"

/* Attacks on a real server over real sockets, one at a time.
 *
 *     attack.c     the command line, the clock, the report
 *     clients.c    clients that complete a handshake, or do not, and then misbehave
 *     strangers.c  datagrams of nobody: Initials that bring no ClientHello, guessed packets
 */

struct attack_options {
    struct sockaddr_in server;
    uint64_t duration_ns;
    uint64_t rate;       /* datagrams per second, all together; 0: as many as go */
    uint32_t conn_count; /* connections, or sockets, at a time */
    uint64_t seed;
};

/* What an attack did. */
struct attack_result {
    uint64_t datagram_count; /* sent; those of handshakes are not counted */
    uint64_t byte_count;
    uint64_t begun_count;  /* handshakes begun */
    uint64_t ready_count;  /* handshakes completed */
    uint64_t closed_count; /* connections that the server closed */
    uint64_t bytes_in;     /* of streams */
    uint64_t found_count;  /* what the attack was after: reset tokens, or addresses that got
                              more than three times what they have sent */
};

/* A budget of datagrams that grows with time. */
struct attack_pace {
    uint64_t start_ns;
    uint64_t rate; /* 0: no limit */
    uint64_t sent_count;
};

uint64_t attack_now_ns(void);

/* Returns how many of `wanted` datagrams may be sent now, and counts them. */
uint32_t attack_pace_take(struct attack_pace *pace, uint32_t wanted, uint64_t now_ns);

/* Opens a UDP socket that is connected to the server, from 127.0.0.(1 + host).  Returns the file
 * descriptor; ends the program if there is none. */
int attack_socket(const struct attack_options *options, uint32_t host);

/* Fills in the packet protection and TLS of real clients, which verify nothing. */
void attack_host_init(struct hostile_host *host);

struct attack_client_plan;

/* Returns the plan of a client attack, or NULL if there is none of this name. */
const struct attack_client_plan *attack_client_plan(const char *name);
void attack_clients(const struct attack_client_plan *plan, const struct attack_options *options,
                    struct attack_result *ret);

enum attack_stranger {
    ATTACK_PING_INITIALS,   /* an Initial with nothing but a PING, each of a new client */
    ATTACK_CRYPTO_INITIALS, /* CRYPTO bytes at odd offsets, a few Initials per client */
    ATTACK_RESET_ORACLE,    /* short packets with a CID of a connection, from other ports */
    ATTACK_STRANGERS,
};

/* Returns ATTACK_STRANGERS if there is none of this name. */
enum attack_stranger attack_stranger_of(const char *name);
void attack_strangers(enum attack_stranger kind, const struct attack_options *options,
                      struct attack_result *ret);

/* Prints the names and what they do, one per line. */
void attack_list_clients(void);
void attack_list_strangers(void);

/* Ends the program with a line on standard error. */
_Noreturn void attack_die(const char *what);

#endif
