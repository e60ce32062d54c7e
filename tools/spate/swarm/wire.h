/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_WIRE_H
#define SPATE_SWARM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The messages of the protocol that README.md describes.  Numbers are in network byte order. */

#define SWARM_ALPN "spate-swarm/1"

enum {
    SWARM_BLOCK = 16 << 10,          /* bytes; the last one of the content may be shorter */
    SWARM_ID_SIZE = 32,              /* SHA-256 of the metainfo */
    SWARM_PROOF_SIZE = 32,           /* of a token; zeros without one */
    SWARM_PIECES_MAX = 1 << 20,      /* of one content */
    SWARM_PIECE_SIZE_MIN = 64 << 10, /* a power of two */
    SWARM_PIECE_SIZE_MAX = 16 << 20, /* .. and so is this */
    SWARM_MESSAGE_SIZE_MAX = 1 + 12, /* of those without bytes */
    SWARM_HELLO_SIZE = 1 + 4 + SWARM_ID_SIZE + SWARM_PROOF_SIZE,
};

enum swarm_type {
    SWARM_HELLO = 1,    /* number: pieces; bytes: the metainfo's ID and the proof of the token */
    SWARM_BITFIELD = 2, /* number: bytes; bytes: a bit per piece, that of piece 0 is 0x80 */
    SWARM_HAVE = 3,     /* number: a piece that has become complete */
    SWARM_CHOKE = 4,    /* requests are refused until UNCHOKE */
    SWARM_UNCHOKE = 5,
    SWARM_REQUEST = 6, /* numbers: piece, offset in it, size; alone on a stream of its own */
    SWARM_TYPE_COUNT,
};

/* Codes of RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE. */
enum swarm_code {
    SWARM_OK = 0,
    SWARM_BAD_MESSAGE = 1,   /* or one that is not allowed here */
    SWARM_OTHER_CONTENT = 2, /* another metainfo */
    SWARM_NO_TOKEN = 3,
    SWARM_CORRUPT = 4, /* a piece of this peer alone has another hash */
    SWARM_BUSY = 5,
    SWARM_CHOKED = 6,
    SWARM_NOT_HERE = 7, /* a piece that was not announced */
    SWARM_CANCELLED = 8,
    SWARM_CODE_COUNT,
};

/* Reads messages out of a stream in place: numbers are put together byte by byte, wherever a slice
 * ends, and bytes are handed out where they lie.  Nothing is copied or allocated.  Zero is the
 * state before the first byte. */
struct swarm_reader {
    uint8_t type;       /* of the message that is being read; 0: none */
    uint8_t field;      /* number that is being read */
    uint8_t field_left; /* bytes of it that are missing */
    bool in_bytes;
    bool has_failed;
    uint32_t numbers[3];
    uint32_t bytes_size; /* of the message */
    uint32_t bytes_done;
};

/* What swarm_reader_next() has found: a message without bytes; or a part of the bytes of one. */
struct swarm_message {
    enum swarm_type type;
    uint32_t numbers[3];
    const uint8_t *data; /* into the input; NULL: a message without bytes */
    uint32_t size;       /* of `data` */
    uint32_t offset;     /* of `data` in the bytes of the message */
    bool is_last;        /* the message ends with it */
};

/* Takes the next message, or the next part of one, off the input.
 *
 *   *data, *size  The input; what was read is taken off.
 *   *ret          Untouched unless 1 is returned.
 *
 * Returns 1; 0 if the input has ended; or -1: an unknown type, or more bytes than a message may
 * have.  After -1 there is no other result. */
int swarm_reader_next(struct swarm_reader *reader, const uint8_t **data, size_t *size,
                      struct swarm_message *ret);

/* Returns whether a message is incomplete. */
bool swarm_reader_is_partial(const struct swarm_reader *reader);

/* Writes a message, or the start of one with bytes that the caller adds.
 *
 *   numbers  As many as the type has.
 *   ret      Room for SWARM_MESSAGE_SIZE_MAX bytes.
 *
 * Returns the bytes written. */
size_t swarm_message_write(enum swarm_type type, const uint32_t *numbers, uint8_t *ret);

/* Returns a few words for a person.  The string is static; any code is accepted. */
const char *swarm_code_text(uint64_t code);

#endif
