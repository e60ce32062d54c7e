/* SPDX-License-Identifier: MIT */
/* Sends a request of a megabyte to the example's echo server for messages: `message_client PORT
 * CA-FILE`.  Exits with 0 if the reply has the same bytes. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

enum { SIZE = 1 << 20 };

static uint8_t data[SIZE];

static bool is_same(const struct spate_message *message)
{
    size_t at = 0;
    for (size_t i = 0; i < message->piece_count && message->size_bytes == SIZE; i++) {
        if (memcmp(message->pieces[i].iov_base, data + at, message->pieces[i].iov_len) != 0)
            return false;
        at += message->pieces[i].iov_len;
    }
    return at == SIZE;
}

static int run(struct spate_shard *shard)
{
    struct spate_event events[64];
    struct spate_messenger *messenger = NULL;
    struct spate_message message;
    const struct iovec piece = {data, SIZE};
    const struct spate_message_options request = {.size = sizeof(request), .wants_reply = true};
    for (;;) {
        if (spate_shard_turn(shard, SPATE_FOREVER) < 0)
            return 1;
        uint32_t count = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].kind == SPATE_EVENT_CLOSED)
                return 2;
            if (events[i].kind == SPATE_EVENT_CONNECTED &&
                (spate_messenger_create(events[i].conn, NULL, &messenger, NULL) != 0 ||
                 spate_message_send(messenger, &piece, 1, &request, NULL) != 0))
                return 3;
            (void)spate_messenger_event(messenger, &events[i]);
            while (spate_messenger_next(messenger, &message))
                if (message.kind == SPATE_MESSAGE_REPLY)
                    return is_same(&message) ? 0 : 4;
        }
    }
}

int main(int argc, char **argv)
{
    static const char *const alpn[] = {"echo"};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct spate_config config;
    struct spate_tls_options options;
    struct spate_engine *engine;
    struct spate_tls *tls;
    struct spate_conn *conn;
    if (argc != 3)
        return 9;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 131 ^ i >> 8);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    spate_config_init(&config);
    spate_tls_options_init(&options);
    options.ca_file = argv[2];
    options.alpn = alpn;
    options.alpn_count = 1;
    if (spate_tls_client_create(&options, &tls, NULL) != 0 ||
        spate_engine_create(&config, &engine, NULL) != 0 ||
        spate_shard_connect(spate_engine_shard(engine, 0), (struct sockaddr *)&address,
                            sizeof(address), "localhost", tls, NULL, &conn, NULL) != 0)
        return 8;
    int result = run(spate_engine_shard(engine, 0));
    spate_engine_destroy(engine);
    spate_tls_destroy(tls);
    return result;
}
