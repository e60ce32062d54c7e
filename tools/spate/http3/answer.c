/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/answer.h"

/* What a server of files says: which file, if it changed, which bytes of it.  The order of the
 * conditions is that of RFC 9110 section 13.2.2.  Nothing of a request is believed: the path is
 * decoded once, has no "." or "..", and the kernel resolves it below the root. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/spate/http3/listing.h"
#include "tools/spate/http3/mime.h"
#include "tools/spate/root.h"

static const char index_name[] = "index.html";

static const char *status_name(int status)
{
    switch (status) {
    case 301:
        return "moved permanently";
    case 405:
        return "method not allowed";
    case 412:
        return "precondition failed";
    case 416:
        return "range not satisfiable";
    case 431:
        return "the fields of the request are too large";
    case 501:
        return "not implemented";
    default:
        return hq_status_text((uint64_t)status);
    }
}

void answer_add(struct answer *answer, const char *name, const char *value)
{
    if (answer->field_count == ANSWER_FIELDS_MAX)
        abort(); /* the number of fields does not depend on a request */
    answer->fields[answer->field_count++] = (nghttp3_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
        .flags = NGHTTP3_NV_FLAG_NO_COPY_NAME,
    };
}

void answer_begin(struct answer *ret, int status)
{
    ret->status = status;
    ret->field_count = 0;
    ret->has_body = false;
    (void)snprintf(ret->status_text, sizeof(ret->status_text), "%03u", (unsigned)status % 1000);
    http_date_write((int64_t)time(NULL), ret->date);
    answer_add(ret, ":status", ret->status_text);
    answer_add(ret, "date", ret->date);
}

static void add_length(struct answer *answer, uint64_t size)
{
    (void)snprintf(answer->length, sizeof(answer->length), "%" PRIu64, size);
    answer_add(answer, "content-length", answer->length);
}

/* Ends an answer with a text, which was made by malloc().  Returns false if the memory does not
 * allow it now. */
static bool add_text(struct answer *answer, const char *type, char *text, size_t size)
{
    answer_add(answer, "content-type", type);
    add_length(answer, size);
    answer->has_body = !answer->request->is_head;
    if (answer->has_body)
        return body_set_text(answer->body, text, size);
    free(text);
    return true;
}

/* An answer that is no file: its body says why. */
static void refuse(struct answer *ret, int status)
{
    char *text = NULL;
    int size = asprintf(&text, "%d %s\n", status, status_name(status));
    answer_begin(ret, status);
    if (status == 405)
        answer_add(ret, "allow", "GET, HEAD");
    if (status == 503)
        answer_add(ret, "retry-after", "1");
    if (status == 301)
        answer_add(ret, "location", ret->location);
    if (status == 416)
        answer_add(ret, "content-range", ret->range);
    if (size >= 0)
        (void)add_text(ret, "text/plain; charset=utf-8", text, (size_t)size); /* it is small */
}

/* ---- Conditions ---- */

/* Whether a field is a date, and the file has not changed after it. */
static bool unchanged_since(const char *text, int64_t modified, bool *ret_is_date)
{
    int64_t date;
    *ret_is_date = text != NULL && http_date_read(text, &date);
    return *ret_is_date && modified <= date;
}

/* Returns 200, 304 or 412. */
static int check_conditions(const struct request *request, const char *tag, int64_t modified)
{
    bool is_date;
    const char *text = request->values[REQUEST_IF_MATCH];
    const char *since = request->values[REQUEST_IF_UNMODIFIED_SINCE];
    if (text != NULL && !http_tags_have(text, tag, false))
        return 412;
    if (text == NULL && !unchanged_since(since, modified, &is_date) && is_date)
        return 412;
    text = request->values[REQUEST_IF_NONE_MATCH];
    since = request->values[REQUEST_IF_MODIFIED_SINCE];
    if (text != NULL)
        return http_tags_have(text, tag, true) ? 304 : 200;
    return unchanged_since(since, modified, &is_date) ? 304 : 200;
}

/* Whether a range may be answered: there is no If-Range, or it names what the file is now.  A date
 * is only sure if the file did not change within its second.  [RFC9110 13.1.5, 8.8.2.2] */
static bool range_fits(const char *if_range, const char *tag, int64_t modified)
{
    int64_t date;
    if (if_range != NULL && http_date_read(if_range, &date))
        return date == modified && modified + 1 < (int64_t)time(NULL);
    return if_range == NULL || strcmp(if_range, tag) == 0;
}

/* Reads the range that is asked for, if it is to be answered.  Returns 200, 206 or 416. */
static int choose_range(struct answer *ret, int64_t modified, uint64_t file_size,
                        uint64_t *ret_first, uint64_t *ret_size)
{
    const struct request *request = ret->request;
    const char *range = request->values[REQUEST_RANGE];
    if (range == NULL || request->is_head ||
        !range_fits(request->values[REQUEST_IF_RANGE], ret->tag, modified))
        return 200;
    switch (http_range_read(range, file_size, ret_first, ret_size)) {
    case HTTP_RANGE_PART:
        (void)snprintf(ret->range, sizeof(ret->range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                       *ret_first, *ret_first + *ret_size - 1, file_size);
        return 206;
    case HTTP_RANGE_OUTSIDE:
        (void)snprintf(ret->range, sizeof(ret->range), "bytes */%" PRIu64, file_size);
        return 416;
    case HTTP_RANGE_IGNORED:
        break;
    }
    return 200;
}

/* ---- Files and folders.  Each returns 0, or the status of a refusal ---- */

/* Takes the descriptor. */
static int answer_file(struct answer *ret, int fd, const struct stat *file)
{
    uint64_t first = 0;
    uint64_t size = (uint64_t)file->st_size;
    /* A file of tomorrow was changed now.  [RFC9110 8.8.2.1] */
    int64_t now = (int64_t)time(NULL);
    int64_t modified = (int64_t)file->st_mtim.tv_sec < now ? (int64_t)file->st_mtim.tv_sec : now;
    http_date_write(modified, ret->modified);
    (void)snprintf(ret->tag, sizeof(ret->tag), "\"%jx.%lx-%jx-%jx\"",
                   (uintmax_t)file->st_mtim.tv_sec, (unsigned long)file->st_mtim.tv_nsec,
                   (uintmax_t)size, (uintmax_t)file->st_ino);
    int status = check_conditions(ret->request, ret->tag, modified);
    if (status == 200)
        status = choose_range(ret, modified, size, &first, &size);
    const bool is_refused = status == 412 || status == 416;
    const bool has_body = !is_refused && status != 304 && !ret->request->is_head;
    if (has_body)
        body_set_file(ret->body, fd, first, size);
    else
        (void)close(fd);
    if (is_refused)
        return status;
    answer_begin(ret, status);
    ret->has_body = has_body;
    answer_add(ret, "etag", ret->tag);
    answer_add(ret, "last-modified", ret->modified);
    if (status == 304)
        return 0;
    answer_add(ret, "content-type", mime_of(ret->path));
    answer_add(ret, "x-content-type-options", "nosniff");
    answer_add(ret, "accept-ranges", "bytes");
    add_length(ret, size);
    if (status == 206)
        answer_add(ret, "content-range", ret->range);
    return 0;
}

/* The path without its last '/': its index.html, or a list of what is in the folder. */
static int answer_folder(const struct http3_options *site, struct answer *ret)
{
    const size_t size = strlen(ret->path);
    struct stat file;
    int fd = -ENAMETOOLONG;
    if (size + 1 + sizeof(index_name) <= sizeof(ret->path)) {
        (void)snprintf(ret->path + size, sizeof(ret->path) - size, "%s%s", size > 0 ? "/" : "",
                       index_name);
        fd = root_open_regular(site->root, ret->path, &file);
    }
    if (fd >= 0)
        return answer_file(ret, fd, &file);
    ret->path[size] = 0;
    if (fd != -ENOENT || !site->lists_folders)
        return hq_status_of(fd);
    char *text = NULL;
    size_t text_size = 0;
    int e = listing_make(site->root, ret->path, &text, &text_size);
    if (e != 0)
        return hq_status_of(e);
    answer_begin(ret, 200);
    return add_text(ret, "text/html; charset=utf-8", text, text_size) ? 0 : HQ_UNAVAILABLE;
}

/* A folder that was asked for without '/': relative links in it need one. */
static bool is_folder(const struct http3_options *site, const char *path)
{
    int fd = root_open_folder(site->root, path);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static int answer_path(const struct http3_options *site, struct answer *ret)
{
    const char *text = ret->request->values[REQUEST_PATH];
    if (text == NULL || text[0] != '/')
        return HQ_BAD_REQUEST;
    size_t size = strcspn(text, "?");
    const bool is_slashed = text[size - 1] == '/';
    /* "/" is the root, and has one '/'; "//" is nothing. */
    const size_t path_size = size - 1 - (is_slashed && size > 1 ? 1 : 0);
    int status =
        is_slashed && size == 2 ? HQ_BAD_REQUEST : hq_path_parse(text + 1, path_size, ret->path);
    if (status != 0)
        return status;
    if (is_slashed)
        return answer_folder(site, ret);
    struct stat file;
    int fd = root_open_regular(site->root, ret->path, &file);
    if (fd >= 0)
        return answer_file(ret, fd, &file);
    if (fd != -EACCES || !is_folder(site, ret->path))
        return hq_status_of(fd);
    (void)snprintf(ret->location, sizeof(ret->location), "%.*s/%s", (int)size, text, text + size);
    return 301;
}

void answer_request(const struct http3_options *site, const struct request *request,
                    struct body *body, struct answer *ret)
{
    int status;
    ret->request = request;
    ret->body = body;
    ret->path[0] = 0;
    if (request->size > REQUEST_SIZE_MAX)
        status = 431;
    else if (request_is(request, REQUEST_METHOD, "CONNECT") &&
             request->values[REQUEST_PROTOCOL] != NULL)
        status = 501;
    else if (!request->is_head && !request_is(request, REQUEST_METHOD, "GET"))
        status = 405;
    else
        status = answer_path(site, ret);
    if (status != 0)
        refuse(ret, status);
}
