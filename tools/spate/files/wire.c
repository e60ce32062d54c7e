/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/wire.h"

/* Every number of a message is checked here, before anybody uses it. */

#include <errno.h>
#include <string.h>

#include "tools/spate/cursor.h"

/* Reads a text of 16 bits of size and its bytes. */
static void take_text(struct cursor *c, char ret[FILES_PATH_SIZE])
{
    size_t size = (size_t)cursor_number(c, 2);
    const uint8_t *text = size < FILES_PATH_SIZE ? cursor_take(c, size) : NULL;
    ret[0] = 0;
    if (text == NULL || memchr(text, 0, size) != NULL) {
        c->has_failed = true;
        return;
    }
    memcpy(ret, text, size);
    ret[size] = 0;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t size = strlen(text);
    at = number_write(at, size, 2);
    memcpy(at, text, size);
    return at + size;
}

static bool is_done(const struct cursor *c)
{
    return !c->has_failed && c->left == 0;
}

bool files_speaks(const char *alpn)
{
    return strcmp(alpn, FILES_ALPN) == 0 || strcmp(alpn, FILES_ALPN_SHA256) == 0;
}

bool files_path_is_good(const char *path, size_t size)
{
    if (size == 0 || size >= FILES_PATH_SIZE || memchr(path, 0, size) != NULL)
        return false;
    for (size_t start = 0; start <= size;) {
        const char *slash = start < size ? memchr(path + start, '/', size - start) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - path) : size;
        size_t length = end - start;
        bool is_dots = (length == 1 && path[start] == '.') ||
                       (length == 2 && path[start] == '.' && path[start + 1] == '.');
        if (length == 0 || length > 255 || is_dots)
            return false;
        start = end + 1;
    }
    return true;
}

uint64_t files_chunk_size(uint64_t file_size)
{
    uint64_t chunk = FILES_CHUNK_SIZE;
    while (file_size / chunk >= FILES_CHUNKS_MAX)
        chunk *= 2;
    return chunk;
}

uint32_t files_chunk_count(uint64_t file_size)
{
    uint64_t chunk = files_chunk_size(file_size);
    return (uint32_t)(file_size / chunk + (file_size % chunk != 0));
}

int files_message_find(const uint8_t *data, size_t size, struct files_message *ret)
{
    if (size > 0 && (data[0] < FILES_AUTH || data[0] > FILES_KEY))
        return -1;
    struct cursor c = {.data = data, .left = size};
    enum files_type type = (enum files_type)cursor_number(&c, 1);
    uint32_t body_size = (uint32_t)cursor_number(&c, 4);
    if (c.has_failed)
        return 0;
    if (body_size > FILES_BODY_MAX)
        return -1;
    const uint8_t *body = cursor_take(&c, body_size);
    if (body == NULL)
        return 0;
    *ret = (struct files_message){.type = type, .body = body, .size = body_size};
    return 1;
}

void files_head_write(enum files_type type, uint32_t size, uint8_t ret[FILES_HEAD_SIZE])
{
    ret[0] = (uint8_t)type;
    (void)number_write(ret + 1, size, 4);
}

static size_t finish(enum files_type type, uint8_t *start, const uint8_t *end)
{
    size_t size = (size_t)(end - start);
    files_head_write(type, (uint32_t)(size - FILES_HEAD_SIZE), start);
    return size;
}

static bool piece_is_good(uint64_t size, uint64_t offset, uint64_t piece_size)
{
    return size <= FILES_SIZE_MAX && offset <= size && piece_size <= size - offset;
}

/* Reads the extents, and adds them up. */
static bool take_extents(struct cursor *c, struct files_item *ret)
{
    uint64_t at = ret->offset;
    uint64_t end = ret->offset + ret->piece_size;
    ret->extent_count = (uint32_t)cursor_number(c, 1);
    ret->data_size = 0;
    if (ret->extent_count > FILES_EXTENTS_MAX)
        return false;
    for (uint32_t i = 0; i < ret->extent_count; i++) {
        struct files_extent *extent = &ret->extents[i];
        extent->offset = cursor_number(c, 8);
        extent->size = cursor_number(c, 8);
        if (extent->size == 0 || extent->offset < at || extent->offset > end ||
            extent->size > end - extent->offset)
            return false;
        at = extent->offset + extent->size;
        ret->data_size += extent->size;
    }
    return true;
}

bool files_item_read(const struct files_message *message, struct files_item *ret)
{
    struct cursor c = {.data = message->body, .left = message->size};
    if (message->type != FILES_ITEM)
        return false;
    ret->kind = (enum files_kind)cursor_number(&c, 1);
    ret->mode = (uint16_t)cursor_number(&c, 2);
    ret->mtime_ns = (int64_t)cursor_number(&c, 8);
    ret->size = cursor_number(&c, 8);
    ret->offset = cursor_number(&c, 8);
    ret->piece_size = cursor_number(&c, 8);
    if (ret->kind < FILES_FILE || ret->kind > FILES_LINK || ret->mode > 0777 ||
        !piece_is_good(ret->size, ret->offset, ret->piece_size) || !take_extents(&c, ret))
        return false;
    take_text(&c, ret->path);
    take_text(&c, ret->target);
    return is_done(&c) && files_path_is_good(ret->path, strlen(ret->path)) &&
           (ret->kind == FILES_LINK) == (ret->target[0] != 0) &&
           (ret->kind == FILES_FILE || ret->size == 0);
}

size_t files_item_write(const struct files_item *item, uint8_t *ret)
{
    uint8_t *at = ret + FILES_HEAD_SIZE;
    at = number_write(at, item->kind, 1);
    at = number_write(at, item->mode, 2);
    at = number_write(at, (uint64_t)item->mtime_ns, 8);
    at = number_write(at, item->size, 8);
    at = number_write(at, item->offset, 8);
    at = number_write(at, item->piece_size, 8);
    at = number_write(at, item->extent_count, 1);
    for (uint32_t i = 0; i < item->extent_count; i++) {
        at = number_write(at, item->extents[i].offset, 8);
        at = number_write(at, item->extents[i].size, 8);
    }
    at = put_text(at, item->path);
    at = put_text(at, item->target);
    return finish(FILES_ITEM, ret, at);
}

bool files_request_read(const struct files_message *message, struct files_request *ret)
{
    struct cursor c = {.data = message->body, .left = message->size};
    *ret = (struct files_request){.type = message->type};
    if (message->type < FILES_LIST || message->type > FILES_REMOVE)
        return false;
    uint64_t flags = cursor_number(&c, 1);
    ret->is_recursive = (flags & 1) != 0;
    ret->is_pinned = (flags & 2) != 0;
    ret->mode = (uint16_t)cursor_number(&c, 2);
    ret->mtime_ns = (int64_t)cursor_number(&c, 8);
    ret->size = cursor_number(&c, 8);
    ret->offset = cursor_number(&c, 8);
    ret->piece_size = cursor_number(&c, 8);
    take_text(&c, ret->path);
    bool is_root = message->type == FILES_LIST && ret->path[0] == 0;
    return is_done(&c) && flags <= 3 && ret->mode <= 0777 && ret->size <= FILES_SIZE_MAX &&
           ret->offset <= FILES_SIZE_MAX && ret->piece_size <= FILES_SIZE_MAX &&
           (is_root || files_path_is_good(ret->path, strlen(ret->path)));
}

size_t files_request_write(const struct files_request *request, uint8_t *ret)
{
    uint8_t *at = ret + FILES_HEAD_SIZE;
    at = number_write(at, (request->is_recursive ? 1 : 0) | (request->is_pinned ? 2 : 0), 1);
    at = number_write(at, request->mode, 2);
    at = number_write(at, (uint64_t)request->mtime_ns, 8);
    at = number_write(at, request->size, 8);
    at = number_write(at, request->offset, 8);
    at = number_write(at, request->piece_size, 8);
    at = put_text(at, request->path);
    return finish(request->type, ret, at);
}

bool files_result_read(const struct files_message *message, struct files_result *ret)
{
    struct cursor c = {.data = message->body, .left = message->size};
    if (message->type != FILES_RESULT && message->type != FILES_END)
        return false;
    ret->index = (uint32_t)cursor_number(&c, 4);
    uint64_t status = cursor_number(&c, 2);
    ret->status = status < FILES_STATUS_COUNT ? (enum files_status)status : FILES_FAILED;
    return is_done(&c);
}

size_t files_result_write(enum files_type type, const struct files_result *result, uint8_t *ret)
{
    uint8_t *at = ret + FILES_HEAD_SIZE;
    at = number_write(at, result->index, 4);
    at = number_write(at, result->status, 2);
    return finish(type, ret, at);
}

const char *files_status_text(uint64_t status)
{
    static const char *const texts[FILES_STATUS_COUNT] = {
        [FILES_OK] = "done",
        [FILES_BAD_MESSAGE] = "a message that is not understood",
        [FILES_BAD_PATH] = "a path that is not allowed",
        [FILES_NOT_FOUND] = "no such file",
        [FILES_FORBIDDEN] = "permission denied",
        [FILES_READ_ONLY] = "the server takes in nothing there",
        [FILES_IS_FOLDER] = "is a folder",
        [FILES_NO_SPACE] = "no space left",
        [FILES_CHANGED] = "the file changed while it was sent",
        [FILES_CORRUPT] = "the digest does not match",
        [FILES_BUSY] = "another transfer writes it",
        [FILES_NO_TOKEN] = "the token is missing or wrong",
        [FILES_FAILED] = "an error of the file system",
        [FILES_CANCELLED] = "cancelled",
        [FILES_SPECIAL] = "neither a file, a folder nor a symbolic link",
    };
    return status < FILES_STATUS_COUNT ? texts[status] : "an unknown error";
}

enum files_status files_status_of(int error)
{
    switch (error) {
    case 0:
        return FILES_OK;
    case -ENOENT:
        return FILES_NOT_FOUND;
    case -ENOTDIR:
    case -ELOOP:
    case -EXDEV:
    case -ENAMETOOLONG:
    case -EINVAL:
        return FILES_BAD_PATH;
    case -EACCES:
    case -EPERM:
        return FILES_FORBIDDEN;
    case -EROFS:
        return FILES_READ_ONLY;
    case -EISDIR:
        return FILES_IS_FOLDER;
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
        return FILES_NO_SPACE;
    case -ENODATA:
    case -ESTALE:
        return FILES_CHANGED;
    case -EBADMSG:
        return FILES_CORRUPT;
    case -EWOULDBLOCK:
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
        return FILES_BUSY;
    case -EMEDIUMTYPE:
        return FILES_SPECIAL;
    default:
        return FILES_FAILED;
    }
}
