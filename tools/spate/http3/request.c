/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/request.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[REQUEST_FIELDS] = {
    [REQUEST_METHOD] = ":method",
    [REQUEST_PATH] = ":path",
    [REQUEST_AUTHORITY] = ":authority",
    [REQUEST_PROTOCOL] = ":protocol",
    [REQUEST_RANGE] = "range",
    [REQUEST_IF_RANGE] = "if-range",
    [REQUEST_IF_MATCH] = "if-match",
    [REQUEST_IF_NONE_MATCH] = "if-none-match",
    [REQUEST_IF_MODIFIED_SINCE] = "if-modified-since",
    [REQUEST_IF_UNMODIFIED_SINCE] = "if-unmodified-since",
};

static bool is_text(nghttp3_rcbuf *buffer, const char *text)
{
    nghttp3_vec bytes = nghttp3_rcbuf_get_buf(buffer);
    return bytes.len == strlen(text) && memcmp(bytes.base, text, bytes.len) == 0;
}

static bool is_list(int field)
{
    return field == REQUEST_IF_MATCH || field == REQUEST_IF_NONE_MATCH;
}

/* Joins what several fields say, as one would have said it.  [RFC9110 5.3]  Returns false without
 * memory. */
static bool join(struct request *request, int field, nghttp3_rcbuf *value)
{
    size_t size = 0;
    const char *before = request_text(request, (enum request_field)field, &size);
    nghttp3_vec more = nghttp3_rcbuf_get_buf(value);
    char *text = realloc(request->lists[field], size + 2 + more.len);
    if (text == NULL)
        return false;
    if (request->lists[field] == NULL)
        memcpy(text, before, size);
    memcpy(text + size, ", ", 2);
    memcpy(text + size + 2, more.base, more.len);
    request->lists[field] = text;
    request->list_sizes[field] = size + 2 + more.len;
    return true;
}

static void refuse(struct request *request)
{
    request_end(request);
    request->size = REQUEST_SIZE_MAX + 1;
}

void request_add(struct request *request, nghttp3_rcbuf *name, nghttp3_rcbuf *value)
{
    uint64_t size = 32 + nghttp3_rcbuf_get_buf(name).len + nghttp3_rcbuf_get_buf(value).len;
    if (is_text(name, names[REQUEST_METHOD]))
        request->is_head = is_text(value, "HEAD");
    if (request->size + size > REQUEST_SIZE_MAX) {
        refuse(request);
        return;
    }
    request->size += (uint32_t)size;
    for (int i = 0; i < REQUEST_FIELDS; i++) {
        if (!is_text(name, names[i]))
            continue;
        if (request->values[i] != NULL && is_list(i)) {
            if (!join(request, i, value))
                refuse(request);
            return;
        }
        if (request->values[i] != NULL)
            nghttp3_rcbuf_decref(request->values[i]);
        request->values[i] = NULL;
        if ((request->seen & 1u << i) == 0) {
            nghttp3_rcbuf_incref(value);
            request->values[i] = value;
        }
        request->seen |= (uint16_t)(1u << i);
        return;
    }
}

const char *request_text(const struct request *request, enum request_field field, size_t *ret_size)
{
    nghttp3_rcbuf *value = request->values[field];
    if (value == NULL)
        return NULL;
    if (request->lists[field] != NULL) {
        *ret_size = request->list_sizes[field];
        return request->lists[field];
    }
    nghttp3_vec bytes = nghttp3_rcbuf_get_buf(value);
    *ret_size = bytes.len;
    return (const char *)bytes.base;
}

bool request_is(const struct request *request, enum request_field field, const char *text)
{
    return request->values[field] != NULL && is_text(request->values[field], text);
}

void request_end(struct request *request)
{
    for (int i = 0; i < REQUEST_FIELDS; i++) {
        if (request->values[i] != NULL)
            nghttp3_rcbuf_decref(request->values[i]);
        request->values[i] = NULL;
        free(request->lists[i]);
        request->lists[i] = NULL;
    }
}
