/* SPDX-License-Identifier: MIT */
#include "tools/spate/tickets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/hex.h"
#include "tools/spate/secret_file.h"

enum { HOST_SIZE_MAX = 255, LINE_HEAD_MAX = 300 }; /* kind, host, port, blanks, line end */

static const char head[] = "spate-tickets 1\n";
static const char *const kinds[] = {[TICKET_TLS] = "ticket ", [TICKET_TOKEN] = "token "};

void tickets_init(struct tickets *tickets)
{
    *tickets = (struct tickets){.count = 0};
    TAILQ_INIT(&tickets->list);
}

void ticket_destroy(struct ticket *ticket)
{
    if (ticket == NULL)
        return;
    secret_free(ticket->data, ticket->size);
    free(ticket->host);
    free(ticket);
}

static void drop(struct tickets *tickets, struct ticket *ticket)
{
    TAILQ_REMOVE(&tickets->list, ticket, link);
    tickets->count--;
    tickets->is_changed = true;
}

void tickets_deinit(struct tickets *tickets)
{
    struct ticket *ticket;
    while ((ticket = TAILQ_FIRST(&tickets->list)) != NULL) {
        drop(tickets, ticket);
        ticket_destroy(ticket);
    }
}

static bool is_of(const struct ticket *ticket, enum ticket_kind kind, const char *host,
                  uint16_t port)
{
    return ticket->kind == kind && ticket->port == port && strcmp(ticket->host, host) == 0;
}

/* Makes room for one more of a server. */
static void drop_oldest(struct tickets *tickets, enum ticket_kind kind, const char *host,
                        uint16_t port)
{
    struct ticket *ticket;
    struct ticket *oldest = NULL;
    uint32_t count = 0;
    TAILQ_FOREACH(ticket, &tickets->list, link)
    {
        if (is_of(ticket, kind, host, port) && count++ == 0)
            oldest = ticket;
    }
    if (count < TICKETS_PER_SERVER_MAX)
        oldest = tickets->count < TICKETS_MAX ? NULL : TAILQ_FIRST(&tickets->list);
    if (oldest != NULL) {
        drop(tickets, oldest);
        ticket_destroy(oldest);
    }
}

/* A host of a URL may be anything; in a line it must be a word. */
static bool is_word(const char *host)
{
    size_t size = strlen(host);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)host[i] <= 0x20 || host[i] == 0x7f)
            return false;
    }
    return size > 0 && size <= HOST_SIZE_MAX;
}

void tickets_add(struct tickets *tickets, enum ticket_kind kind, const char *host, uint16_t port,
                 const uint8_t *data, size_t size)
{
    if (size == 0 || size > TICKET_SIZE_MAX || !is_word(host))
        return;
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    if (ticket == NULL)
        return;
    ticket->kind = kind;
    ticket->port = port;
    ticket->host = strdup(host);
    ticket->data = malloc(size);
    if (ticket->host == NULL || ticket->data == NULL) {
        ticket_destroy(ticket);
        return;
    }
    ticket->size = size;
    memcpy(ticket->data, data, size);
    drop_oldest(tickets, kind, host, port);
    TAILQ_INSERT_TAIL(&tickets->list, ticket, link);
    tickets->count++;
    tickets->is_changed = true;
}

struct ticket *tickets_take(struct tickets *tickets, enum ticket_kind kind, const char *host,
                            uint16_t port)
{
    struct ticket *ticket;
    TAILQ_FOREACH_REVERSE(ticket, &tickets->list, ticket_list, link)
    {
        if (is_of(ticket, kind, host, port)) {
            drop(tickets, ticket);
            return ticket;
        }
    }
    return NULL;
}

/* ---- The file ---- */

/* Cuts the next word off a line.  Returns NULL if there is none. */
static char *take_word(char **rest)
{
    char *word = *rest;
    char *end = strchr(word, ' ');
    if (end == NULL || end == word)
        return NULL;
    *end = 0;
    *rest = end + 1;
    return word;
}

/* Reads a line without its end. */
static bool read_line(struct tickets *tickets, char *line)
{
    enum ticket_kind kind = TICKET_TLS;
    if (strncmp(line, kinds[TICKET_TOKEN], strlen(kinds[TICKET_TOKEN])) == 0)
        kind = TICKET_TOKEN;
    else if (strncmp(line, kinds[TICKET_TLS], strlen(kinds[TICKET_TLS])) != 0)
        return false;
    char *rest = line + strlen(kinds[kind]);
    const char *host = take_word(&rest);
    const char *port = host != NULL ? take_word(&rest) : NULL;
    if (port == NULL || !is_word(host) || strspn(port, "0123456789") != strlen(port) ||
        strlen(port) > 5 || strtoul(port, NULL, 10) > UINT16_MAX)
        return false;
    size_t digits = strlen(rest);
    if (digits == 0 || digits / 2 > TICKET_SIZE_MAX)
        return false;
    uint8_t *data = malloc(digits / 2 + 1);
    bool is_good = data != NULL && hex_read(rest, digits, data);
    if (is_good)
        tickets_add(tickets, kind, host, (uint16_t)strtoul(port, NULL, 10), data, digits / 2);
    secret_free(data, digits / 2 + 1);
    return is_good;
}

static bool read_text(struct tickets *tickets, char *text, size_t size)
{
    if (size < sizeof(head) - 1 || memcmp(text, head, sizeof(head) - 1) != 0 ||
        memchr(text, 0, size) != NULL)
        return false;
    char *line = text + sizeof(head) - 1;
    while (*line != 0) {
        char *end = strchr(line, '\n');
        if (end == NULL)
            return false;
        *end = 0;
        if (!read_line(tickets, line))
            return false;
        line = end + 1;
    }
    return true;
}

const char *tickets_read(struct tickets *tickets, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    int e = secret_file_read(path, TICKETS_FILE_SIZE_MAX, &text, &size);
    if (e == -ENOENT || (e == 0 && size == 0)) {
        secret_free(text, size);
        return NULL;
    }
    if (e == 0 && !read_text(tickets, text, size)) {
        tickets_deinit(tickets);
        e = -EINVAL;
    }
    secret_free(text, size);
    tickets->is_changed = false;
    return e == 0 ? NULL : e == -EINVAL ? "is no file of tickets" : strerror(-e);
}

static size_t write_line(const struct ticket *ticket, char *ret)
{
    int size =
        snprintf(ret, LINE_HEAD_MAX, "%s%s %u ", kinds[ticket->kind], ticket->host, ticket->port);
    hex_write(ticket->data, ticket->size, ret + size);
    ret[(size_t)size + 2 * ticket->size] = '\n';
    return (size_t)size + 2 * ticket->size + 1;
}

int tickets_write(struct tickets *tickets, const char *path)
{
    struct ticket *ticket;
    size_t room = sizeof(head);
    if (!tickets->is_changed)
        return 0;
    TAILQ_FOREACH(ticket, &tickets->list, link)
    room += LINE_HEAD_MAX + 2 * ticket->size;
    char *text = malloc(room);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, head, sizeof(head));
    size_t size = sizeof(head) - 1;
    TAILQ_FOREACH(ticket, &tickets->list, link)
    size += write_line(ticket, text + size);
    int e = secret_file_write(path, text, size, true);
    secret_free(text, room);
    if (e == 0)
        tickets->is_changed = false;
    return e;
}
