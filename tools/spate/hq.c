/* SPDX-License-Identifier: MIT */
#include "tools/spate/hq.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *hq_status_text(uint64_t code)
{
    switch (code) {
    case HQ_BAD_REQUEST:
        return "bad request";
    case HQ_FORBIDDEN:
        return "not a file that may be read";
    case HQ_NOT_FOUND:
        return "not found";
    case HQ_TOO_LONG:
        return "the path is too long";
    case HQ_FAILED:
        return "the server cannot read it";
    case HQ_UNAVAILABLE:
        return "the server is busy";
    case HQ_CANCELLED:
        return "cancelled";
    default:
        return "refused by the server";
    }
}

int hq_status_of(int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
        return HQ_NOT_FOUND;
    case -ENAMETOOLONG:
        return HQ_TOO_LONG;
    case -EACCES:
    case -EPERM:
        return HQ_FORBIDDEN;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return HQ_UNAVAILABLE;
    default:
        return HQ_FAILED;
    }
}

void hq_print_line(int status, uint64_t bytes, const char *path)
{
    printf("%d %" PRIu64 " /", status, bytes);
    for (const char *c = path != NULL ? path : ""; *c != 0; c++)
        (void)putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    puts("");
    (void)fflush(stdout);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX.  Returns the size of the result, or -1 for a bad '%', a zero byte, or a result of
 * ret_size bytes and more. */
static long decode(const char *text, size_t size, char *ret, size_t ret_size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            if (size - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
                return -1;
            c = (char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        }
        if (c == 0 || used + 1 >= ret_size)
            return -1;
        ret[used++] = c;
    }
    ret[used] = 0;
    return (long)used;
}

/* ".", ".." and nothing are no names of files. */
static bool is_plain_component(const char *text, size_t size)
{
    return !(size == 0 || (size == 1 && text[0] == '.') ||
             (size == 2 && text[0] == '.' && text[1] == '.'));
}

static bool is_plain_path(const char *path)
{
    for (;;) {
        size_t size = strcspn(path, "/");
        if (!is_plain_component(path, size))
            return false;
        if (path[size] == 0)
            return true;
        path += size + 1;
    }
}

int hq_path_parse(const char *text, size_t size, char *ret)
{
    if (size >= HQ_REQUEST_MAX)
        return HQ_TOO_LONG;
    const char *query = memchr(text, '?', size);
    if (query != NULL)
        size = (size_t)(query - text);
    char path[HQ_REQUEST_MAX];
    long path_size = decode(text, size, path, sizeof(path));
    if (path_size < 0 || (path_size > 0 && !is_plain_path(path)))
        return HQ_BAD_REQUEST;
    memcpy(ret, path, (size_t)path_size + 1);
    return 0;
}

int hq_request_parse(const char *text, size_t size, char *ret)
{
    static const char method[] = "GET /";
    const size_t method_size = sizeof(method) - 1;
    const char *end = memchr(text, '\n', size);
    if (end != NULL)
        size = (size_t)(end - text);
    if (size > 0 && text[size - 1] == '\r')
        size--;
    if (size >= HQ_REQUEST_MAX)
        return HQ_TOO_LONG;
    if (size < method_size || memcmp(text, method, method_size) != 0)
        return HQ_BAD_REQUEST;
    return hq_path_parse(text + method_size, size - method_size, ret);
}

/* ---- URLs ---- */

/* Reads HOST[:PORT] or [V6]:PORT. */
static const char *parse_authority(const char *text, size_t size, struct hq_url *ret)
{
    const char *port = NULL;
    const char *host = text;
    size_t host_size = size;
    if (memchr(text, '@', size) != NULL)
        return "has a user name, which HTTP/0.9 cannot send";
    if (size > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', size);
        if (close == NULL)
            return "has no ']' after the address";
        host = text + 1;
        host_size = (size_t)(close - host);
        size_t rest = size - host_size - 2;
        if (rest > 0 && close[1] != ':')
            return "has something between ']' and the port";
        port = rest > 0 ? close + 2 : NULL;
    } else {
        const char *colon = memchr(text, ':', size);
        if (colon != NULL) {
            host_size = (size_t)(colon - host);
            port = colon + 1;
        }
    }
    if (host_size == 0 || host_size >= sizeof(ret->host))
        return "has no host, or its name is too long";
    unsigned long number = 443;
    if (port != NULL) {
        size_t digits = (size_t)(text + size - port);
        number = digits >= 1 && digits <= 5 && strspn(port, "0123456789") == digits
                     ? strtoul(port, NULL, 10)
                     : 0;
        if (number < 1 || number > 65535)
            return "has a port that is not 1 to 65535";
    }
    memcpy(ret->host, host, host_size);
    ret->host[host_size] = 0;
    ret->port = (uint16_t)number;
    net_format_name(ret->host, ret->port, ret->server);
    return NULL;
}

/* What a path on the wire cannot hold as it is: RFC 3986 has neither blanks nor controls nor bytes
 * beyond ASCII in a URL, but people write them. */
static bool needs_encoding(char c)
{
    return (unsigned char)c <= 0x20 || (unsigned char)c >= 0x7f || strchr("\"<>\\^`{|}", c) != NULL;
}

static bool write_request(const char *path, size_t size, struct hq_url *ret)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 4;
    memcpy(ret->request, "GET ", used);
    for (size_t i = 0; i < size; i++) {
        if (used + 3 + 2 > sizeof(ret->request))
            return false;
        unsigned char c = (unsigned char)path[i];
        if (needs_encoding(path[i])) {
            ret->request[used++] = '%';
            ret->request[used++] = digits[c >> 4];
            ret->request[used++] = digits[c & 15];
        } else {
            ret->request[used++] = path[i];
        }
    }
    memcpy(ret->request + used, "\r\n", 2);
    ret->request_size = used + 2;
    return true;
}

const char *hq_url_parse(const char *text, struct hq_url *ret)
{
    static const char scheme[] = "https://";
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0)
        return "does not begin with https://";
    text += sizeof(scheme) - 1;
    size_t authority_size = strcspn(text, "/?#");
    const char *path = text + authority_size;
    const char *wrong = parse_authority(text, authority_size, ret);
    if (wrong != NULL)
        return wrong;
    if (path[0] != '/')
        return "has no path";
    size_t wire_size = strcspn(path, "#");
    size_t path_size = strcspn(path, "?#");

    size_t name_at = path_size;
    while (path[name_at - 1] != '/')
        name_at--;
    long name_size = decode(path + name_at, path_size - name_at, ret->name, sizeof(ret->name));
    if (name_size < 0)
        return "has a file name that is too long, or a '%' without two hexadecimal digits";
    if (!is_plain_component(ret->name, (size_t)name_size) || strchr(ret->name, '/') != NULL)
        return "names no file";
    if (!write_request(path, wire_size, ret))
        return "is too long";
    return NULL;
}
