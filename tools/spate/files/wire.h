/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_WIRE_H
#define SPATE_FILES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The messages of the protocol that README.md describes.  A message is a type, the size of its
 * body, and the body.  Numbers are in network byte order. */

#define FILES_ALPN        "spate-files/2"
#define FILES_ALPN_SHA256 "spate-files/1"

enum {
    FILES_HEAD_SIZE = 5,          /* type and size of the body */
    FILES_BODY_MAX = 48 << 10,    /* a peer that sends a larger one is refused */
    FILES_PATH_SIZE = 4096,       /* a path with its zero byte: PATH_MAX of Linux */
    FILES_DIGEST_SIZE = 32,       /* at most, after the data of each item: see hash.h */
    FILES_KEY_SIZE = 16,          /* of GMAC */
    FILES_PROOF_SIZE = 32,        /* HMAC with SHA-256 */
    FILES_EXTENTS_MAX = 64,       /* of one item; small holes are sent as zeros beyond it */
    FILES_SMALL_MAX = 256 << 10,  /* bytes of a file that is sent as one item among others */
    FILES_CHUNKS_MAX = 256 << 10, /* of one file: larger files have larger chunks */
    FILES_ITEM_SIZE_MAX = 5 + 48 + FILES_EXTENTS_MAX * 16 + 2 * FILES_PATH_SIZE,
};

#define FILES_CHUNK_SIZE (UINT64_C(4) << 20)
#define FILES_SIZE_MAX   (UINT64_C(1) << 50)

enum files_type {
    FILES_AUTH = 1,   /* client: a proof of the token; the answer is one, too */
    FILES_LIST = 2,   /* client: asks for what is at a path, as items without data */
    FILES_WANT = 3,   /* client: asks for a piece of a file; a stream may have many */
    FILES_PROBE = 4,  /* client: asks what the server has of a large file */
    FILES_REMOVE = 5, /* client: removes a file, a symbolic link or an empty folder */
    FILES_ITEM = 6,   /* a file or a piece, and its data and digest after the message */
    FILES_RESULT = 7, /* what became of an item or of a request */
    FILES_HAVE = 8,   /* answers FILES_PROBE */
    FILES_END = 9,    /* the last message of an answer */
    FILES_KEY = 10,   /* for the digests of the items that follow; not with FILES_ALPN_SHA256 */
};

/* What became of something; also the code of RESET_STREAM and STOP_SENDING. */
enum files_status {
    FILES_OK = 0,
    FILES_BAD_MESSAGE = 1, /* or one that is not allowed here */
    FILES_BAD_PATH = 2,    /* absolute, too long, with "..", or through a symbolic link */
    FILES_NOT_FOUND = 3,
    FILES_FORBIDDEN = 4, /* the file system refuses it */
    FILES_READ_ONLY = 5, /* outside of what the server takes in */
    FILES_IS_FOLDER = 6,
    FILES_NO_SPACE = 7,
    FILES_CHANGED = 8,   /* the file became another one while it was sent */
    FILES_CORRUPT = 9,   /* the digest is another one */
    FILES_BUSY = 10,     /* another transfer writes the same file, or too much to do */
    FILES_NO_TOKEN = 11, /* no proof, or a wrong one */
    FILES_FAILED = 12,   /* anything else */
    FILES_CANCELLED = 13,
    FILES_SPECIAL = 14, /* a device, a socket or a FIFO */
    FILES_STATUS_COUNT,
};

enum files_kind { FILES_FILE = 1, FILES_FOLDER = 2, FILES_LINK = 3 };

/* A range of bytes of a file. */
struct files_extent {
    uint64_t offset;
    uint64_t size;
};

/* FILES_ITEM.  Invariant: the extents are in order, apart from each other and within the piece;
 * data_size is their sum; the piece is within the file. */
struct files_item {
    enum files_kind kind;
    uint16_t mode;       /* permissions: 0 to 0777 */
    int64_t mtime_ns;    /* since 1970 */
    uint64_t size;       /* of the whole file; 0 for other kinds */
    uint64_t offset;     /* of the piece */
    uint64_t piece_size; /* holes included */
    uint64_t data_size;  /* bytes that follow, before the digest.  0: no digest follows */
    struct files_extent extents[FILES_EXTENTS_MAX];
    uint32_t extent_count;
    char path[FILES_PATH_SIZE];
    char target[FILES_PATH_SIZE]; /* of a FILES_LINK; else "" */
};

/* FILES_LIST, FILES_WANT, FILES_PROBE, FILES_REMOVE */
struct files_request {
    enum files_type type;
    bool is_recursive;          /* LIST */
    bool is_pinned;             /* WANT: the file must have `size` and `mtime_ns` */
    uint16_t mode;              /* PROBE */
    int64_t mtime_ns;           /* WANT, PROBE */
    uint64_t size;              /* WANT, PROBE: of the whole file */
    uint64_t offset;            /* WANT: of the piece */
    uint64_t piece_size;        /* WANT */
    char path[FILES_PATH_SIZE]; /* "" is the root, for LIST alone */
};

struct files_result {
    uint32_t index; /* of the item on its stream, from 0 */
    enum files_status status;
};

/* A message that is complete: its body lies in the bytes that were read. */
struct files_message {
    enum files_type type;
    const uint8_t *body;
    uint32_t size;
};

/* Finds the message at the start of `data`.
 *
 *   *ret  Untouched unless 1 is returned.
 *
 * Returns 1; 0 if more bytes are needed; or -1 if there is no message: an unknown type, or a body
 * larger than FILES_BODY_MAX. */
int files_message_find(const uint8_t *data, size_t size, struct files_message *ret);

/* Read the body of a message.  Return false if anything is wrong with it; `ret` is undefined then.
 * Every path that they hand out is one that files_path_is_good() accepts. */
bool files_item_read(const struct files_message *message, struct files_item *ret);
bool files_request_read(const struct files_message *message, struct files_request *ret);
bool files_result_read(const struct files_message *message, struct files_result *ret);

/* Write a message with its head.  `ret` has room for FILES_ITEM_SIZE_MAX bytes.  Return the bytes
 * written. */
size_t files_item_write(const struct files_item *item, uint8_t *ret);
size_t files_request_write(const struct files_request *request, uint8_t *ret);
size_t files_result_write(enum files_type type, const struct files_result *result, uint8_t *ret);

/* Returns whether a name is that of a version of the protocol. */
bool files_speaks(const char *alpn);

/* Writes the head of a message whose body of `size` bytes the caller adds. */
void files_head_write(enum files_type type, uint32_t size, uint8_t ret[FILES_HEAD_SIZE]);

/* Returns whether a path is one that may be asked for: relative, at most FILES_PATH_SIZE - 1 bytes,
 * each component of 1 to 255 bytes and neither "." nor "..".  "" is not. */
bool files_path_is_good(const char *path, size_t size);

/* Returns the bytes of each chunk but the last one of a file: a power of two of at least
 * FILES_CHUNK_SIZE, so that there are FILES_CHUNKS_MAX at most. */
uint64_t files_chunk_size(uint64_t file_size);

/* Returns the number of chunks.  A file of 0 bytes has none. */
uint32_t files_chunk_count(uint64_t file_size);

/* Returns a few words for a person.  The string is static; any code is accepted. */
const char *files_status_text(uint64_t status);

/* Returns the status for a negative errno of the file system. */
enum files_status files_status_of(int error);

#endif
