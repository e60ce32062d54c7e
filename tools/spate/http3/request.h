/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_REQUEST_H
#define SPATE_HTTP3_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <nghttp3/nghttp3.h>

/* The fields of a request that a server of files looks at.  nghttp3 has checked that the pseudo
 * fields are there, once, and before the others, and that no value has a zero byte.
 * [RFC9114 4.1.2, 4.3.1] */
enum request_field {
    REQUEST_METHOD,
    REQUEST_PATH,
    REQUEST_PROTOCOL, /* of an extended CONNECT [RFC9220] */
    REQUEST_RANGE,
    REQUEST_IF_RANGE,
    REQUEST_IF_MATCH,
    REQUEST_IF_NONE_MATCH,
    REQUEST_IF_MODIFIED_SINCE,
    REQUEST_IF_UNMODIFIED_SINCE,
    REQUEST_FIELDS,
};

/* Names and values of all fields of a request, and 32 for each of them.  [RFC9114 4.2.2] */
#define REQUEST_SIZE_MAX 16384

/* A request.  It begins with zeros. */
struct request {
    char *values[REQUEST_FIELDS]; /* NULL: is not there; of several fields: joined by commas, which
                                     is no value but for lists */
    uint32_t size;
    bool is_head; /* also if the request is too large */
};

/* Keeps a field, if it is one of those above and the request is not too large: the size shows it
 * then. */
void request_add(struct request *request, nghttp3_vec name, nghttp3_vec value);

bool request_is(const struct request *request, enum request_field field, const char *text);

/* Forgets all fields. */
void request_end(struct request *request);

#endif
