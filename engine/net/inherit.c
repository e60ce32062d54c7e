/* SPDX-License-Identifier: MIT */
#include "engine/net/inherit.h"

/* Socket activation: a supervisor binds, and starts the process with the sockets as descriptors.
 *
 * What waits in them stays there: clients that came before the process was ready. */

#include <errno.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/net/shared_ports.h"
#include "engine/shard/shard.h"
#include "uring/socket.h"

static int check_each(struct se_listen_at *at, bool is_shared, struct spate_error *error)
{
    for (uint32_t i = 0; i < at->count; i++) {
        struct su_socket_facts facts;
        const char *problem;
        int result = su_socket_inspect(at->fds[i], &facts, &problem);
        if (result != 0) {
            se_error_set(error, "descriptor %d %s", at->fds[i], problem);
            return result;
        }
        if (i == 0)
            at->address = facts.local;
        if (!su_address_is_equal(&facts.local, &at->address)) {
            se_error_set(error, "descriptors %d and %d are not bound to one address", at->fds[0],
                         at->fds[i]);
            return -EINVAL;
        }
        if (is_shared && !facts.is_port_shared) {
            se_error_set(error,
                         "descriptor %d has no SO_REUSEPORT (ReusePort=yes of systemd): several "
                         "shards, or a hand-over, need it",
                         at->fds[i]);
            return -EINVAL;
        }
    }
    return 0;
}

int se_inherit(struct spate_shard *shard, struct se_listen_at *at, struct spate_error *error)
{
    struct se_shared_ports *shared = shard->shared_ports;
    bool is_shared = se_port_is_shared(shard);
    if (shard->config->backend == SPATE_BACKEND_HOST) {
        se_error_set(error, "SPATE_BACKEND_HOST has no sockets: the program moves the datagrams");
        return -EINVAL;
    }
    if (at->count == 0 || at->count > SU_STEER_SOCKETS_MAX) {
        se_error_set(error, "%u inherited descriptors, must be 1 to %d", at->count,
                     SU_STEER_SOCKETS_MAX);
        return -EINVAL;
    }
    if (!is_shared && at->count > 1) {
        se_error_set(error, "%u inherited descriptors for one shard: nobody would read the others",
                     at->count);
        return -EINVAL;
    }
    int result = check_each(at, is_shared, error);
    if (result != 0 || !is_shared)
        return result;
    (void)pthread_mutex_lock(&shared->lock);
    result = se_shared_ports_adopt(shared, &at->address, at->fds, at->count);
    (void)pthread_mutex_unlock(&shared->lock);
    if (result != 0)
        se_error_set(error, "inherited descriptors: %s", strerrordesc_np(-result));
    return result;
}
