/* SPDX-License-Identifier: MIT */
#include "engine/shared_ports.h"

/* A list: an engine has a port or two that its shards share. */

#include <errno.h>
#include <stdlib.h>

#include "proto/base/assert.h"

struct shared_port {
    struct sb_link link;
    uint32_t socket_count;
    uint16_t number;
};

void se_shared_ports_init(struct se_shared_ports *ports)
{
    (void)pthread_mutex_init(&ports->lock, NULL);
    sb_list_init(&ports->all);
}

void se_shared_ports_deinit(struct se_shared_ports *ports)
{
    SB_ASSERT(sb_list_is_empty(&ports->all));
    (void)pthread_mutex_destroy(&ports->lock);
}

static struct shared_port *find(const struct se_shared_ports *ports, uint16_t number)
{
    for (struct sb_link *link = ports->all.next; link != &ports->all; link = link->next) {
        struct shared_port *port = SB_CONTAINER_OF(link, struct shared_port, link);
        if (port->number == number)
            return port;
    }
    return NULL;
}

bool se_shared_ports_has(const struct se_shared_ports *ports, uint16_t number)
{
    return find(ports, number) != NULL;
}

int se_shared_ports_add(struct se_shared_ports *ports, uint16_t number)
{
    struct shared_port *port = find(ports, number);
    if (port == NULL) {
        port = calloc(1, sizeof(*port));
        if (port == NULL)
            return -ENOMEM;
        port->number = number;
        sb_list_init(&port->link);
        sb_list_push_back(&ports->all, &port->link);
    }
    port->socket_count++;
    return 0;
}

void se_shared_ports_remove(struct se_shared_ports *ports, uint16_t number)
{
    struct shared_port *port = find(ports, number);
    SB_ASSERT(port != NULL && port->socket_count > 0);
    if (--port->socket_count > 0)
        return;
    sb_list_remove(&port->link);
    free(port);
}
