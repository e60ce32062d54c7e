/* SPDX-License-Identifier: MIT */
#include "engine/base/path.h"

#include <errno.h>
#include <string.h>

void se_addr_from(const struct su_address *address, struct sp_addr *ret)
{
    *ret = (struct sp_addr){0};
    if (address->family == AF_INET) {
        ret->family = 4;
        memcpy(ret->ip, &address->v4.sin_addr, sizeof(address->v4.sin_addr));
    } else if (address->family == AF_INET6) {
        ret->family = 6;
        memcpy(ret->ip, &address->v6.sin6_addr, sizeof(address->v6.sin6_addr));
        ret->scope = address->v6.sin6_scope_id;
    }
    ret->port = su_address_port(address);
}

void se_addr_to(const struct sp_addr *addr, struct su_address *ret)
{
    *ret = (struct su_address){0};
    if (addr->family == 4) {
        ret->v4.sin_family = AF_INET;
        memcpy(&ret->v4.sin_addr, addr->ip, sizeof(ret->v4.sin_addr));
    } else if (addr->family == 6) {
        ret->v6.sin6_family = AF_INET6;
        memcpy(&ret->v6.sin6_addr, addr->ip, sizeof(ret->v6.sin6_addr));
        ret->v6.sin6_scope_id = addr->scope;
    } else {
        return;
    }
    su_address_set_port(ret, addr->port);
}

int se_address_to_user(const struct sp_addr *addr, struct sockaddr_storage *ret,
                       socklen_t *ret_size)
{
    struct su_address address;
    se_addr_to(addr, &address);
    socklen_t size = su_address_size(&address);
    if (size == 0)
        return -EINVAL;
    *ret = (struct sockaddr_storage){0};
    memcpy(ret, &address, size);
    *ret_size = size;
    return 0;
}
