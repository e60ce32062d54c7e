/* SPDX-License-Identifier: MIT */
/* A program as a user would write it: only the installed headers and library, one shard that is
 * turned by our own thread.  A client sends a greeting over loopback, a server echoes it.  Exits
 * with 0 if the greeting came back.
 *
 *     echo               the server is in this process too
 *     echo PORT CA-FILE  the server is another program, and may still be starting
 *     echo PORT CA-FILE reset
 *                        gives its stream up: the server should give up its side too */
#include <spate/spate.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char greeting[] = "good morning";
static const char *const alpn[] = {"echo"};

struct party {
    const char *name;
    char heard[sizeof(greeting)];
    size_t heard_size;
    bool said;
    bool gives_up;
    bool closed;
    bool refused; /* nobody listens there (yet) */
};

static void die(const char *what, const struct spate_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

static void say(struct party *party, struct spate_conn *conn, uint64_t stream_id, const char *text)
{
    if (spate_stream_send(conn, stream_id, text, sizeof(greeting), true, 0) != 0)
        exit(2);
    party->said = true;
}

static void hear(struct party *party, struct spate_event *event, struct spate_shard *shard)
{
    struct spate_slice *slice = &event->u.data.slice;
    if (slice->size > sizeof(party->heard) - party->heard_size)
        exit(3);
    if (slice->size > 0)
        memcpy(party->heard + party->heard_size, slice->data, slice->size);
    party->heard_size += slice->size;
    bool is_last = event->u.data.fin;
    spate_slice_release(shard, slice);
    if (!is_last)
        return;
    if (!party->said)
        say(party, event->conn, event->stream_id, party->heard); /* the server */
    else
        spate_conn_close(event->conn, 0, "bye");
}

static void handle(struct spate_event *event, struct spate_shard *shard)
{
    struct party *party = (struct party *)event->conn_user; /* the cast is for C++ */
    uint64_t stream_id;
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        if (spate_conn_is_server(event->conn))
            break;
        if (spate_stream_open(event->conn, false, &stream_id) != 0)
            exit(4);
        if (party->gives_up)
            spate_stream_reset(event->conn, stream_id, 1);
        else
            say(party, event->conn, stream_id, greeting);
        break;
    case SPATE_EVENT_STREAM_DATA:
        hear(party, event, shard);
        break;
    case SPATE_EVENT_STREAM_RESET:
        printf("%s: the stream was reset\n", party->name);
        spate_conn_close(event->conn, 0, "reset");
        break;
    case SPATE_EVENT_CLOSED:
        party->closed = true;
        party->refused = event->u.close.kind == SPATE_CLOSE_UNREACHABLE;
        if (!party->refused)
            printf("%s: closed: %s\n", party->name, event->u.close.reason);
        break;
    default:
        break;
    }
}

static struct spate_engine *make_engine(void)
{
    struct spate_error error = {""};
    struct spate_config config;
    spate_config_init(&config);
    config.conns_max = 16;
    config.receive_slots = 16;
    config.transmit_slots = 16;
    struct spate_engine *engine;
    if (spate_engine_create(&config, &engine, &error) != 0)
        die("engine", &error);
    return engine;
}

static struct spate_tls *make_client_tls(const char *ca_pem, const char *ca_file)
{
    struct spate_error error = {""};
    struct spate_tls_options options;
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    options.ca_pem = ca_pem;
    options.ca_file = ca_file;
    struct spate_tls *tls;
    if (spate_tls_client_create(&options, &tls, &error) != 0)
        die("client", &error);
    return tls;
}

/* A server and a client that trusts nobody else. */
static void make_tls(struct spate_tls **ret_server, struct spate_tls **ret_client)
{
    struct spate_error error = {""};
    struct spate_self_signed_options self;
    spate_self_signed_options_init(&self);
    char *cert;
    char *key;
    if (spate_self_signed(&self, &cert, &key, &error) != 0)
        die("certificate", &error);
    struct spate_tls_options options;
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    options.cert_pem = cert;
    options.key_pem = key;
    if (spate_tls_server_create(&options, ret_server, &error) != 0)
        die("server", &error);
    *ret_client = make_client_tls(cert, NULL);
    spate_free(cert);
    spate_free(key);
}

static void connect_to(struct spate_shard *shard, const struct sockaddr *address, socklen_t size,
                       struct spate_tls *tls, struct party *client)
{
    struct spate_error error = {""};
    struct spate_conn *conn;
    if (spate_shard_connect(shard, address, size, "localhost", tls, client, &conn, &error) != 0)
        die("connect", &error);
}

static void turn(struct spate_shard *shard)
{
    struct spate_event events[16];
    if (spate_shard_turn(shard, SPATE_FOREVER) < 0)
        exit(5);
    uint32_t count = spate_shard_events(shard, events, 16);
    for (uint32_t i = 0; i < count; i++)
        handle(&events[i], shard);
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void greet_in_one_process(struct spate_shard *shard, struct party *client)
{
    struct spate_error error = {""};
    struct party server = {"server", "", 0, false, false, false, false};
    struct spate_tls *server_tls;
    struct spate_tls *client_tls;
    make_tls(&server_tls, &client_tls);
    struct sockaddr_in any = loopback(0);
    struct spate_listener *listener;
    if (spate_shard_listen(shard, (struct sockaddr *)&any, sizeof(any), server_tls, &server,
                           &listener, &error) != 0)
        die("listen", &error);
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof(bound);
    if (spate_listener_address(listener, &bound, &bound_size) != 0)
        exit(5);
    connect_to(shard, (struct sockaddr *)&bound, bound_size, client_tls, client);
    /* Closing takes three probe timeouts; the handshake timeout bounds everything before. */
    while (!server.closed || !client->closed)
        turn(shard);
    spate_tls_destroy(server_tls);
    spate_tls_destroy(client_tls);
}

static void greet_a_server(struct spate_shard *shard, struct party *client, uint16_t port,
                           const char *ca_file)
{
    struct spate_tls *tls = make_client_tls(NULL, ca_file);
    struct sockaddr_in address = loopback(port);
    do { /* the caller bounds the time */
        client->closed = false;
        client->refused = false;
        connect_to(shard, (struct sockaddr *)&address, sizeof(address), tls, client);
        while (!client->closed)
            turn(shard);
    } while (client->refused);
    spate_tls_destroy(tls);
}

int main(int argc, char **argv)
{
    struct party client = {"client", "", 0, false, argc == 4, false, false};
    struct spate_engine *engine = make_engine();
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    if (argc >= 3)
        greet_a_server(shard, &client, (uint16_t)atoi(argv[1]), argv[2]);
    else
        greet_in_one_process(shard, &client);
    spate_engine_destroy(engine);
    bool same = client.heard_size == sizeof(greeting) && strcmp(client.heard, greeting) == 0;
    printf("spate %s: %s\n", spate_version(), same ? client.heard : "no echo");
    return same ? 0 : 6;
}
