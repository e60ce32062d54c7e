/* SPDX-License-Identifier: MIT */
/* An echo server: sends back on each stream what it receives. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <spate/spate.h>

/* Prints why a call failed.  Returns the exit status of the program. */
static int failed(const char *call, int result, const struct spate_error *error)
{
    const char *why = error->text[0] != '\0' ? error->text : strerror(-result);
    fprintf(stderr, "%s: %s\n", call, why);
    return 1;
}

/* Sends the received bytes back without copying them: they are lent to the library until
 * SPATE_EVENT_SENT, so the slice is kept until then. */
static void echo(struct spate_shard *shard, struct spate_event *e)
{
    struct spate_slice *kept = (struct spate_slice *)malloc(sizeof(*kept));
    if (kept != NULL) {
        *kept = e->u.data.slice;
        if (spate_stream_send(e->conn, e->stream_id, kept->data, kept->size, e->u.data.fin,
                              (uintptr_t)kept) == 0)
            return;
        free(kept);
    }
    /* There is no memory, or the stream is closed: give the bytes back and end the stream. */
    spate_slice_release(shard, &e->u.data.slice);
    spate_stream_reset(e->conn, e->stream_id, 1);
}

static void handle(struct spate_shard *shard, struct spate_event *e)
{
    if (e->kind == SPATE_EVENT_STREAM_DATA) {
        echo(shard, e);
    } else if (e->kind == SPATE_EVENT_SENT) {
        struct spate_slice *kept = (struct spate_slice *)(uintptr_t)e->u.sent.tag;
        spate_slice_release(shard, kept);
        free(kept);
    } else if (e->kind == SPATE_EVENT_STREAM_RESET) { /* the client gives up: so do we */
        spate_stream_reset(e->conn, e->stream_id, 1);
    }
}

int main(void)
{
    static const char *alpn[] = {"echo"};
    struct spate_error error = {""};
    struct spate_tls_options options;
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_listener *listener;
    struct spate_tls *tls;
    struct sockaddr_in6 any; /* every address of this host, IPv4 too */
    int result;

    spate_tls_options_init(&options);
    options.cert_file = "cert.pem";
    options.key_file = "key.pem";
    options.alpn = alpn;
    options.alpn_count = 1;
    result = spate_tls_server_create(&options, &tls, &error);
    if (result != 0)
        return failed("spate_tls_server_create", result, &error);

    spate_config_init(&config);
    result = spate_engine_create(&config, &engine, &error);
    if (result != 0)
        return failed("spate_engine_create", result, &error);

    memset(&any, 0, sizeof(any));
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(4433);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    result = spate_shard_listen(shard, (struct sockaddr *)&any, sizeof(any), tls, NULL, &listener,
                                &error);
    if (result != 0)
        return failed("spate_shard_listen", result, &error);

    while ((result = spate_shard_turn(shard, SPATE_FOREVER)) >= 0) {
        struct spate_event events[64];
        uint32_t count = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(shard, &events[i]);
    }
    return failed("spate_shard_turn", result, &error);
}
