/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HQ_H
#define SPATE_HQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/net.h"

/* HTTP/0.9 over QUIC, as the interop runner's endpoints speak it: a bidirectional stream carries
 * "GET /path\r\n" one way, and the bytes of the file the other way. */

#define HQ_ALPN "hq-interop"

enum {
    HQ_REQUEST_MAX = 2048, /* bytes of a request, its line end included */
    HQ_NAME_SIZE = 256,    /* a file's name with its zero byte: NAME_MAX of Linux, and 1 */
};

/* Why a server refuses a stream: the application error codes of its RESET_STREAM, which are the
 * status codes of HTTP. */
enum hq_status {
    HQ_BAD_REQUEST = 400,
    HQ_FORBIDDEN = 403,
    HQ_NOT_FOUND = 404,
    HQ_TOO_LONG = 414,
    HQ_FAILED = 500,      /* the file cannot be read, or became shorter while it was sent */
    HQ_UNAVAILABLE = 503, /* too much to do */
    HQ_CANCELLED = 499,   /* the client gives up */
};

/* Returns a few words about a code, for a person.  The string is static. */
const char *hq_status_text(uint64_t code);

/* Returns the hq_status for a file that cannot be opened, by a negative errno of root.h. */
int hq_status_of(int error);

/* Prints a line about an answer: its code, how many bytes of it were sent, and what was asked for
 * below the root, or NULL. */
void hq_print_line(int status, uint64_t bytes, const char *path);

/* Reads the path of a request, behind its first '/'.
 *
 *   text  May have a query, which is not for a server of files.
 *   ret   As for hq_request_parse().
 *
 * Returns 0 or an hq_status, as hq_request_parse() does. */
int hq_path_parse(const char *text, size_t size, char *ret);

/* Reads a complete request.
 *
 *   text  With or without its line end, which may be "\n".
 *   ret   The path below the root of the server: without the first '/', without a query, and with
 *         %XX decoded.  "" is the root itself.  Room for HQ_REQUEST_MAX bytes; always ends with a
 *         zero byte on success.
 *
 * Returns 0 or an hq_status: the request is no GET, or its path is not absolute, has a component
 * ".", ".." or nothing, a zero byte or a '%' without two hexadecimal digits. */
int hq_request_parse(const char *text, size_t size, char *ret);

/* Where a file is: https://HOST:PORT/PATH */
struct hq_url {
    char host[256];             /* without brackets */
    uint16_t port;              /* 443 if the URL has none */
    char server[NET_NAME_SIZE]; /* both, for messages */
    char name[HQ_NAME_SIZE];    /* the last component of the path, decoded: the file's name here */
    char request[HQ_REQUEST_MAX]; /* "GET /PATH\r\n" with the characters encoded that need it */
    size_t request_size;
};

/* Reads a URL.  Returns NULL, or what is wrong with it: a static string that reads well after
 * "the URL". */
const char *hq_url_parse(const char *text, struct hq_url *ret);

#endif
