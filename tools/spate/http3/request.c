/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[REQUEST_FIELDS] = {
    [REQUEST_METHOD] = ":method",
    [REQUEST_PATH] = ":path",
    [REQUEST_PROTOCOL] = ":protocol",
    [REQUEST_RANGE] = "range",
    [REQUEST_IF_RANGE] = "if-range",
    [REQUEST_IF_MATCH] = "if-match",
    [REQUEST_IF_NONE_MATCH] = "if-none-match",
    [REQUEST_IF_MODIFIED_SINCE] = "if-modified-since",
    [REQUEST_IF_UNMODIFIED_SINCE] = "if-unmodified-since",
};

static bool is_text(nghttp3_vec bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.base, text, bytes.len) == 0;
}

/* Adds to what fields of the same name have said, as one would have said it.  [RFC9110 5.3]
 * Returns NULL, and frees that, if there is no memory. */
static char *join(char *before, nghttp3_vec value)
{
    char *text;
    if (before == NULL)
        return strndup((const char *)value.base, value.len);
    if (asprintf(&text, "%s, %.*s", before, (int)value.len, (const char *)value.base) < 0)
        text = NULL;
    free(before);
    return text;
}

void request_add(struct request *request, nghttp3_vec name, nghttp3_vec value)
{
    const uint64_t size = 32 + (uint64_t)name.len + value.len;
    int i = 0;
    while (i < REQUEST_FIELDS && !is_text(name, names[i]))
        i++;
    if (i == REQUEST_METHOD)
        request->is_head = is_text(value, "HEAD");
    bool fits = request->size + size <= REQUEST_SIZE_MAX;
    if (fits && i < REQUEST_FIELDS) {
        request->values[i] = join(request->values[i], value);
        fits = request->values[i] != NULL;
    }
    request->size += (uint32_t)size;
    if (!fits) {
        request_end(request);
        request->size = REQUEST_SIZE_MAX + 1;
    }
}

bool request_is(const struct request *request, enum request_field field, const char *text)
{
    return request->values[field] != NULL && strcmp(request->values[field], text) == 0;
}

void request_end(struct request *request)
{
    for (int i = 0; i < REQUEST_FIELDS; i++) {
        free(request->values[i]);
        request->values[i] = NULL;
    }
}
