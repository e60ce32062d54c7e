/* SPDX-License-Identifier: MIT */
#include "tools/examples/client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tools/examples/number.h"

int client_failed(const char *call, int result, const struct spate_error *error)
{
    fprintf(stderr, "%s: %s\n", call, error->text[0] != 0 ? error->text : strerror(-result));
    return 1;
}

int client_localhost(const char *port, struct sockaddr_in *ret)
{
    uint16_t number;
    if (!number_read_port(port, &number))
        return 1;
    *ret = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(number),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return 0;
}

int client_create(struct client *client, const struct spate_config *config, const char *alpn,
                  const char *ca_file)
{
    struct spate_error error = {""};
    struct spate_tls_options options;
    memset(client, 0, sizeof(*client));
    spate_tls_options_init(&options);
    options.ca_file = ca_file;
    options.insecure = ca_file == NULL;
    options.alpn = &alpn;
    options.alpn_count = 1;
    int result = spate_tls_client_create(&options, &client->tls, &error);
    if (result != 0)
        return client_failed("spate_tls_client_create", result, &error);
    result = spate_engine_create(config, &client->engine, &error);
    if (result != 0)
        return client_failed("spate_engine_create", result, &error);
    client->shard = spate_engine_shard(client->engine, 0);
    return 0;
}

int client_connect(struct client *client, const struct sockaddr_in *address, void *user,
                   struct spate_conn **ret)
{
    struct spate_error error = {""};
    int result = spate_shard_connect(client->shard, (const struct sockaddr *)address,
                                     sizeof(*address), "localhost", client->tls, user, ret, &error);
    return result == 0 ? 0 : client_failed("spate_shard_connect", result, &error);
}

int client_open(struct client *client, const struct spate_config *config, const char *port,
                const char *ca_file)
{
    struct sockaddr_in address;
    struct spate_conn *conn; /* events name it */
    int result = client_create(client, config, "echo", ca_file);
    if (result == 0)
        result = client_localhost(port, &address);
    return result == 0 ? client_connect(client, &address, NULL, &conn) : result;
}

int client_turn(struct client *client, uint64_t wait_ns)
{
    struct spate_error error = {""};
    int result = spate_shard_turn(client->shard, wait_ns);
    return result >= 0 ? 0 : client_failed("spate_shard_turn", result, &error);
}

void client_close(struct client *client)
{
    spate_engine_destroy(client->engine);
    spate_tls_destroy(client->tls);
}
