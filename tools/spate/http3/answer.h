/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_ANSWER_H
#define SPATE_HTTP3_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nghttp3/nghttp3.h>

#include "tools/spate/body.h"
#include "tools/spate/hq.h"
#include "tools/spate/http3/fields.h"
#include "tools/spate/http3/http3.h"
#include "tools/spate/http3/request.h"

enum { ANSWER_FIELDS_MAX = 12, ANSWER_TAG_SIZE = 64 };

/* The head of an answer.  The fields point into it and to static text: it must not be moved. */
struct answer {
    const struct request *request;
    struct body *body;
    int status;
    bool has_body; /* the body may still have 0 bytes */
    nghttp3_nv fields[ANSWER_FIELDS_MAX];
    size_t field_count;
    char path[HQ_REQUEST_MAX]; /* decoded, below the root; "" if there was none */
    char location[REQUEST_SIZE_MAX + 2];
    char status_text[4];
    char date[HTTP_DATE_SIZE];
    char modified[HTTP_DATE_SIZE];
    char tag[ANSWER_TAG_SIZE];
    char length[24];
    char range[72];
};

/* Answers a request for a file or a folder: GET and HEAD with ranges and conditions.  [RFC9110]
 *
 *   site  What is served, and how.
 *   body  From body_init().  Set if has_body is.
 *   ret   All is written; `request` and `body` are as they were given. */
void answer_request(const struct http3_options *site, const struct request *request,
                    struct body *body, struct answer *ret);

/* Begins an answer without a body: its status and the date. */
void answer_begin(struct answer *ret, int status);

void answer_add(struct answer *answer, const char *name, const char *value);

#endif
