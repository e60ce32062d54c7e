/* SPDX-License-Identifier: MIT */
#include "crypto/session_der.h"

/* OpenSSL keeps the certificate of the server in each session of a client, and decodes it with the
 * session: that is a search through all decoders of all providers, and half of what a resumption
 * costs the client before its first packet.  A session that lacks it resumes as well: the server
 * proves that it has the ticket's key.  So it is stored beside the session, as bytes.
 *
 * A session is a SEQUENCE of INTEGERs, OCTET STRINGs and elements [1], [2], ..; [3] is the
 * certificate, which is optional.  DER has one length for each value, so what is left of it is DER
 * again when the length of the whole is written anew. */

#include <string.h>

enum {
    SEQUENCE = 0x30,
    CERTIFICATE = 0xa3, /* [3], constructed */
    HIGH_TAG = 0x1f,    /* a tag of several bytes: a session has none */
    LONG = 0x80,
};

/* Reads tag and length at `*at`, and moves it to the value.  Returns false if the value is not
 * within `end`. */
static bool read_head(const uint8_t **at, const uint8_t *end, uint8_t *ret_tag, size_t *ret_size)
{
    const uint8_t *next = *at;
    if (end - next < 2 || (*next & HIGH_TAG) == HIGH_TAG)
        return false;
    uint8_t tag = *next++;
    size_t size = *next++;
    if (size >= LONG) {
        size_t count = size - LONG;
        size = 0;
        if (count == 0 || count > 3 || (size_t)(end - next) < count)
            return false;
        for (size_t i = 0; i < count; i++)
            size = size << 8 | *next++;
    }
    if ((size_t)(end - next) < size)
        return false;
    *at = next;
    *ret_tag = tag;
    *ret_size = size;
    return true;
}

static size_t write_head(uint8_t tag, size_t size, uint8_t ret[5])
{
    size_t count = size < LONG ? 0 : size < 1 << 8 ? 1 : size < 1 << 16 ? 2 : 3;
    size_t used = 0;
    ret[used++] = tag;
    if (count > 0)
        ret[used++] = (uint8_t)(LONG + count);
    else
        ret[used++] = (uint8_t)size;
    for (size_t i = count; i > 0; i--)
        ret[used++] = (uint8_t)(size >> 8 * (i - 1));
    return used;
}

bool sc_session_der_drop_cert(uint8_t *der, size_t *size)
{
    const uint8_t *end = der + *size;
    const uint8_t *at = der;
    uint8_t tag;
    size_t whole, value;
    if (!read_head(&at, end, &tag, &whole) || tag != SEQUENCE || at + whole != end)
        return false;
    const uint8_t *first = at;
    for (;;) {
        const uint8_t *element = at;
        if (!read_head(&at, end, &tag, &value))
            return false; /* the end, too */
        at += value;
        if (tag != CERTIFICATE)
            continue;
        uint8_t head[5];
        size_t left = whole - (size_t)(at - element);
        size_t before = (size_t)(element - first);
        size_t used = write_head(SEQUENCE, left, head); /* not longer than it was */
        memmove(der + used, first, before);
        memmove(der + used + before, at, (size_t)(end - at));
        memcpy(der, head, used);
        *size = used + left;
        return true;
    }
}
