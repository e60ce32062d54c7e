/* SPDX-License-Identifier: MIT */
#include "tools/spate/share.h"

#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* An IPv6 address is known by so much of it: its owner has the rest, to choose from. */
enum { IPV6_PREFIX_SIZE = 7 };

static int compare(const void *a, const void *b)
{
    const struct share_source *left = a;
    const struct share_source *right = b;
    return memcmp(left->prefix, right->prefix, sizeof(left->prefix));
}

static void write_prefix(const struct spate_conn *conn, uint8_t ret[8])
{
    struct sockaddr_storage address;
    socklen_t size;
    memset(ret, 0, 8);
    if (spate_conn_peer_address(conn, &address, &size) != 0)
        return;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    bool is_v6 = address.ss_family == AF_INET6;
    bool is_mapped = is_v6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    ret[0] = is_v6 && !is_mapped ? AF_INET6 : AF_INET;
    if (is_mapped)
        memcpy(ret + 1, v6->sin6_addr.s6_addr + 12, 4);
    else if (is_v6)
        memcpy(ret + 1, v6->sin6_addr.s6_addr, IPV6_PREFIX_SIZE);
    else
        memcpy(ret + 1, &v4->sin_addr, 4);
}

struct share_source *share_source_join(struct share_sources *sources, const struct spate_conn *conn)
{
    struct share_source *source = calloc(1, sizeof(*source));
    if (source == NULL)
        return NULL;
    write_prefix(conn, source->prefix);
    struct share_source **found = tsearch(source, &sources->tree, compare);
    if (found == NULL || *found != source) {
        free(source);
        source = found != NULL ? *found : NULL;
    }
    if (source != NULL)
        source->users++;
    return source;
}

void share_source_leave(struct share_sources *sources, struct share_source *source)
{
    if (source == NULL || --source->users > 0)
        return;
    (void)tdelete(source, &sources->tree, compare);
    free(source);
}

void share_sources_deinit(struct share_sources *sources)
{
    tdestroy(sources->tree, free);
    sources->tree = NULL;
}
