/* SPDX-License-Identifier: MIT */
#include "tools/examples/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS UINT64_C(10000000000)

int server_failed(const char *call, int result, const struct spate_error *error)
{
    fprintf(stderr, "%s: %s\n", call, error->text[0] != 0 ? error->text : strerror(-result));
    return 1;
}

int server_turn(struct spate_shard *shard, uint64_t wait_ns)
{
    struct spate_error error = {""};
    int result = spate_shard_turn(shard, wait_ns);
    return result >= 0 ? 0 : server_failed("spate_shard_turn", result, &error);
}

int server_create(struct server *server, const struct spate_config *config, const char *alpn,
                  const char *cert_file, const char *key_file)
{
    struct spate_error error = {""};
    struct spate_tls_options options;
    *server = (struct server){NULL, NULL};
    spate_tls_options_init(&options);
    options.cert_file = cert_file;
    options.key_file = key_file;
    options.alpn = &alpn;
    options.alpn_count = 1;
    int result = spate_tls_server_create(&options, &server->tls, &error);
    if (result != 0)
        return server_failed("spate_tls_server_create", result, &error);
    result = spate_engine_create(config, &server->engine, &error);
    return result == 0 ? 0 : server_failed("spate_engine_create", result, &error);
}

void server_destroy(struct server *server)
{
    spate_engine_destroy(server->engine);
    spate_tls_destroy(server->tls);
}

int server_take_over(struct server *server, const char *path)
{
    struct spate_error error = {""};
    int channel = spate_hand_over_connect(path, &error);
    if (channel < 0) {
        if (channel != -ENOENT)
            (void)server_failed("spate_hand_over_connect", channel, &error);
        return channel;
    }
    int result = spate_engine_take_over(server->engine, channel, PATIENCE_NS, &error);
    (void)close(channel); /* the engine has its own */
    if (result == 0)
        return 0;
    (void)server_failed("spate_engine_take_over", result, &error);
    return result == -ENOENT ? -EPROTO : result;
}

int server_take_over_finish(struct server *server, const char *path, bool is_first)
{
    struct spate_error error = {""};
    int result = is_first ? 0 : spate_engine_take_over_finish(server->engine, PATIENCE_NS, &error);
    if (result != 0) {
        (void)server_failed("spate_engine_take_over_finish", result, &error);
        return -1;
    }
    int successors = spate_hand_over_listen(path, &error);
    if (successors >= 0)
        return successors;
    (void)server_failed("spate_hand_over_listen", successors, &error);
    return -1;
}

int server_hand_over(struct server *server, int *channel)
{
    struct spate_error error = {""};
    int result = spate_engine_hand_over(server->engine, *channel, 0, &error);
    if (result == -EAGAIN)
        return result;
    (void)close(*channel);
    *channel = -1;
    if (result != 0)
        (void)server_failed("spate_engine_hand_over", result, &error);
    return result;
}
