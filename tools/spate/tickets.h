/* SPDX-License-Identifier: MIT */
#ifndef SPATE_TICKETS_H
#define SPATE_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* What servers have given for later connections, in a file.  A line of text for each, the oldest
 * first:
 *
 *     spate-tickets 1
 *     ticket HOST PORT HEXADECIMAL
 *     token HOST PORT HEXADECIMAL
 *
 * Each is used once: one that was taken is not written again.  Two programs that use the file at
 * the same time may use the same, and what the last one writes stays. */

enum {
    TICKETS_MAX = 256,          /* in a file; the oldest go first */
    TICKETS_PER_SERVER_MAX = 4, /* of each kind */
    TICKET_SIZE_MAX = 16 << 10, /* larger ones are not kept */
    TICKETS_FILE_SIZE_MAX = 16 << 20,
};

enum ticket_kind { TICKET_TLS, TICKET_TOKEN };

struct ticket {
    enum ticket_kind kind;
    char *host;
    uint16_t port;
    uint8_t *data;
    size_t size;
    TAILQ_ENTRY(ticket) link;
};

struct tickets {
    TAILQ_HEAD(ticket_list, ticket) list; /* the oldest first */
    uint32_t count;
    bool is_changed; /* since it was read */
};

void tickets_init(struct tickets *tickets);
void tickets_deinit(struct tickets *tickets);

/* Reads a file; one that does not exist is empty.  Returns NULL, or what is wrong: a static string
 * or that of an errno, valid until the next call.  Nothing has been read then. */
const char *tickets_read(struct tickets *tickets, const char *path);

/* Keeps a copy.  What is too large, or without memory, is forgotten. */
void tickets_add(struct tickets *tickets, enum ticket_kind kind, const char *host, uint16_t port,
                 const uint8_t *data, size_t size);

/* Returns the newest of a server, or NULL.  The caller owns it: ticket_destroy(). */
struct ticket *tickets_take(struct tickets *tickets, enum ticket_kind kind, const char *host,
                            uint16_t port);

/* Wipes and frees it; NULL is accepted. */
void ticket_destroy(struct ticket *ticket);

/* Writes the file, for its owner alone, if anything has changed.  Returns 0 or a negative errno. */
int tickets_write(struct tickets *tickets, const char *path);

#endif
