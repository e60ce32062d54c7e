/* SPDX-License-Identifier: MIT */
/* In the place of the other files where libnghttp3 was not found: no connection speaks HTTP/3. */
#include <stddef.h>

#include "tools/spate/http3/http3.h"

struct http3 *http3_create(const struct http3_options *options)
{
    (void)options;
    return NULL;
}

void http3_destroy(struct http3 *http3)
{
    (void)http3;
}

void http3_begin(struct http3 *http3, struct spate_conn *conn)
{
    (void)http3, (void)conn;
}

void http3_event(struct spate_event *event)
{
    (void)event;
}

uint64_t http3_flush(struct http3 *http3)
{
    (void)http3;
    return SPATE_FOREVER;
}

void http3_go_away(struct http3 *http3)
{
    (void)http3;
}
