/* SPDX-License-Identifier: MIT */
/* A client that sends what its stdin says, and prints what comes: for servers whose protocol a test
 * wants to break.  `raw_client PORT CA-FILE ALPN [TICKET-FILE]`.  A ticket of the server goes into
 * the file; with one in it what stdin says before the handshake is 0-RTT.
 *
 *     uni NAME, bidi NAME          opens a stream
 *     send NAME HEX [fin]          "-" for no bytes
 *     reset NAME CODE, stop NAME CODE
 *     datagram HEX
 *     close CODE
 *
 * It prints "connected", with "early" behind it if the server took 0-RTT, "ticket", "data NAME HEX
 * [fin]", "reset NAME CODE", "stopped NAME CODE", "datagram HEX", "room KIND" when more streams may
 * be opened, "refused WORD" for what the library did not take, and "closed KIND CODE REASON" as the
 * last line.  Streams of the server are called by their numbers. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <spate/spate.h>

enum { NAMES_MAX = 4096, LINE_MAX_SIZE = 1 << 20, TURN_NS = 2000000 };

static struct {
    char name[32];
    uint64_t id;
} streams[NAMES_MAX];
static size_t stream_count;
static char line[LINE_MAX_SIZE];
static size_t line_size;
static const char *ticket_file;
/* What was lent, until the program ends. */
static struct kept {
    struct kept *next;
    uint8_t bytes[];
} *kept;

static uint64_t id_of(const char *name)
{
    for (size_t i = 0; i < stream_count; i++) {
        if (strcmp(streams[i].name, name) == 0)
            return streams[i].id;
    }
    /* One that was not opened is none of ours. */
    return name[0] >= '0' && name[0] <= '9' ? strtoull(name, NULL, 10) : UINT64_MAX >> 2;
}

static const char *name_of(uint64_t id)
{
    static char number[24];
    for (size_t i = 0; i < stream_count; i++) {
        if (streams[i].id == id)
            return streams[i].name;
    }
    (void)snprintf(number, sizeof(number), "%" PRIu64, id);
    return number;
}

static void print_bytes(const char *what, const char *name, const struct spate_slice *slice,
                        bool fin)
{
    printf("%s%s%s ", what, name[0] != 0 ? " " : "", name);
    for (size_t i = 0; i < slice->size; i++)
        printf("%02x", slice->data[i]);
    puts(slice->size == 0 ? fin ? "- fin" : "-" : fin ? " fin" : "");
}

/* Returns bytes that stay until the program ends: they are lent. */
static uint8_t *read_hex(const char *text, size_t *ret_size)
{
    *ret_size = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    struct kept *new = malloc(sizeof(*new) + *ret_size);
    if (new == NULL)
        abort();
    new->next = kept;
    kept = new;
    for (size_t i = 0; i < *ret_size; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        new->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return new->bytes;
}

static int take(struct spate_conn *conn, char *text)
{
    const char *verb = strtok(text, " ");
    const char *name = strtok(NULL, " ");
    const char *more = strtok(NULL, " ");
    const bool fin = strtok(NULL, " ") != NULL;
    size_t size;
    if (verb == NULL || name == NULL)
        return 0;
    if (strcmp(verb, "uni") == 0 || strcmp(verb, "bidi") == 0) {
        if (stream_count == NAMES_MAX)
            abort();
        int e = spate_stream_open(conn, verb[0] == 'u', &streams[stream_count].id);
        (void)snprintf(streams[stream_count].name, sizeof(streams[0].name), "%s", name);
        stream_count += e == 0;
        return e;
    }
    if (strcmp(verb, "close") == 0) {
        spate_conn_close(conn, strtoull(name, NULL, 0), "");
        return 0;
    }
    if (strcmp(verb, "datagram") == 0) {
        uint8_t *bytes = read_hex(name, &size);
        return spate_conn_datagram_send(conn, bytes, size, 0, SPATE_FOREVER, SPATE_DATAGRAM_SILENT);
    }
    if (more == NULL)
        return -EINVAL;
    if (strcmp(verb, "reset") == 0)
        return spate_stream_reset(conn, id_of(name), strtoull(more, NULL, 0));
    if (strcmp(verb, "stop") == 0)
        return spate_stream_stop(conn, id_of(name), strtoull(more, NULL, 0));
    uint8_t *bytes = read_hex(more, &size);
    return spate_stream_send(conn, id_of(name), bytes, size, fin, 0);
}

/* Returns false at the end of stdin. */
static bool read_commands(struct spate_conn *conn)
{
    ssize_t got = read(STDIN_FILENO, line + line_size, sizeof(line) - line_size - 1);
    if (got == 0)
        return false;
    if (got > 0)
        line_size += (size_t)got;
    line[line_size] = 0;
    for (char *end; (end = strchr(line, '\n')) != NULL;) {
        *end = 0;
        size_t used = (size_t)(end + 1 - line);
        char verb[16];
        (void)snprintf(verb, sizeof(verb), "%.15s", line);
        int e = take(conn, line);
        if (e != 0)
            printf("refused %s %s\n", strtok(verb, " "), strerror(-e));
        memmove(line, line + used, line_size - used + 1);
        line_size -= used;
    }
    return true;
}

static void write_ticket(const struct spate_event *event)
{
    FILE *file = ticket_file != NULL ? fopen(ticket_file, "wb") : NULL;
    if (file == NULL)
        return;
    size_t size = fwrite(event->u.bytes.data, 1, event->u.bytes.size, file);
    if (fclose(file) == 0 && size == event->u.bytes.size)
        puts("ticket");
}

/* Returns false after the last event. */
static bool print_event(struct spate_shard *shard, struct spate_event *event)
{
    const char *name = name_of(event->stream_id);
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        puts(spate_conn_early(event->conn) == SPATE_EARLY_ACCEPTED ? "connected early"
                                                                   : "connected");
        break;
    case SPATE_EVENT_TICKET:
        write_ticket(event);
        break;
    case SPATE_EVENT_STREAM_DATA:
        print_bytes("data", name, &event->u.data.slice, event->u.data.fin);
        spate_slice_release(shard, &event->u.data.slice);
        break;
    case SPATE_EVENT_DATAGRAM:
        print_bytes("datagram", "", &event->u.datagram.slice, false);
        spate_slice_release(shard, &event->u.datagram.slice);
        break;
    case SPATE_EVENT_STREAM_RESET:
        printf("reset %s 0x%" PRIx64 "\n", name, event->u.error);
        break;
    case SPATE_EVENT_STREAM_STOPPED:
        printf("stopped %s 0x%" PRIx64 "\n", name, event->u.error);
        break;
    case SPATE_EVENT_STREAMS_AVAILABLE:
        puts(event->u.is_uni ? "room uni" : "room bidi");
        break;
    case SPATE_EVENT_CLOSED:
        printf("closed %d 0x%" PRIx64 " %s\n", (int)event->u.close.kind, event->u.close.error,
               event->u.close.reason);
        return false;
    default:
        break;
    }
    return true;
}

static int run(struct spate_shard *shard, struct spate_conn *conn)
{
    struct spate_event events[64];
    bool may_send = false;
    for (bool is_open = true; is_open;) {
        if (spate_shard_turn(shard, TURN_NS) < 0)
            return 1;
        for (uint32_t count; is_open && (count = spate_shard_events(shard, events, 64)) > 0;) {
            for (uint32_t i = 0; i < count; i++) {
                may_send = may_send || events[i].kind == SPATE_EVENT_EARLY ||
                           events[i].kind == SPATE_EVENT_CONNECTED;
                is_open = print_event(shard, &events[i]) && is_open;
            }
        }
        if (is_open && may_send && !read_commands(conn))
            return 0;
        (void)fflush(stdout);
    }
    (void)fflush(stdout);
    return 0;
}

/* Returns the number of bytes, or 0 if there is no ticket. */
static size_t read_ticket(uint8_t *ret, size_t size_max)
{
    FILE *file = ticket_file != NULL ? fopen(ticket_file, "rb") : NULL;
    if (file == NULL)
        return 0;
    size_t size = fread(ret, 1, size_max, file);
    (void)fclose(file);
    return size;
}

int main(int argc, char **argv)
{
    static uint8_t ticket[8192];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct spate_config config;
    struct spate_tls_options options;
    struct spate_engine *engine;
    struct spate_tls *tls;
    struct spate_conn *conn;
    if (argc != 4 && argc != 5)
        return 2;
    ticket_file = argv[4]; /* may be NULL */
    const char *const alpn[] = {argv[3]};
    address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    spate_config_init(&config);
    config.message_frame_size_max = 65535;
    spate_tls_options_init(&options);
    options.ca_file = argv[2];
    options.alpn = alpn;
    options.alpn_count = 1;
    if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) != 0 ||
        spate_tls_client_create(&options, &tls, NULL) != 0 ||
        spate_engine_create(&config, &engine, NULL) != 0)
        return 1;
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    const struct spate_connect_options to = {
        .size = sizeof(to),
        .address = (const struct sockaddr *)&address,
        .address_size = sizeof(address),
        .server_name = "localhost",
        .tls = tls,
        .ticket = ticket,
        .ticket_size = read_ticket(ticket, sizeof(ticket)),
        .early = true,
    };
    if (spate_shard_connect_with(shard, &to, &conn, NULL) != 0)
        return 1;
    int status = run(shard, conn);
    spate_engine_destroy(engine);
    spate_tls_destroy(tls);
    return status;
}
