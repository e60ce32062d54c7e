/* SPDX-License-Identifier: MIT */
/* Echoes messages: `message CERT-FILE KEY-FILE PORT`. */

#include <stdlib.h>

#include "tools/examples/echo.h"

/* Answers with the bytes of the request, which are kept until the peer has the reply. */
static void answer(struct spate_messenger *messenger, struct spate_message *message)
{
    struct spate_message *kept = malloc(sizeof(*kept));
    if (kept != NULL)
        *kept = *message;
    if (kept == NULL || spate_message_reply(messenger, kept->id, kept->pieces, kept->piece_count,
                                            (uintptr_t)kept) != 0) {
        spate_message_release(messenger, message);
        free(kept);
    }
}

static void handle(struct spate_event *event)
{
    struct spate_messenger *messenger = event->conn_user;
    struct spate_message message;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        if (spate_messenger_create(event->conn, NULL, &messenger, NULL) != 0)
            spate_conn_close(event->conn, 1, "no memory");
        spate_conn_set_user(event->conn, messenger);
    }
    if (messenger == NULL)
        return;
    (void)spate_messenger_event(messenger, event);
    while (spate_messenger_next(messenger, &message)) {
        if (message.kind == SPATE_MESSAGE_REQUEST) {
            answer(messenger, &message);
        } else if (message.kind == SPATE_MESSAGE_SENT) {
            struct spate_message *kept = (struct spate_message *)(uintptr_t)message.tag;
            spate_message_release(messenger, kept);
            free(kept);
        }
        if (message.kind == SPATE_MESSAGE_RECEIVED)
            spate_message_release(messenger, &message);
    }
    if (event->kind == SPATE_EVENT_CLOSED)
        spate_messenger_destroy(messenger);
}

int main(int argc, char **argv)
{
    struct echo echo;
    struct spate_event events[64];
    int result = echo_open(&echo, argc, argv);
    while (result == 0) {
        result = server_turn(echo.shard, SPATE_FOREVER);
        uint32_t count = spate_shard_events(echo.shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(&events[i]);
    }
    echo_close(&echo);
    return result;
}
