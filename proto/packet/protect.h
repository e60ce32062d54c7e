/* SPDX-License-Identifier: MIT */
#ifndef SP_PROTECT_H
#define SP_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/types.h"

/* Packet protection, as the connection needs it.  [RFC9001 5]
 *
 * proto/ declares this interface, crypto/ implements it; the simulator has an
 * implementation without a cipher.  Usage order:
 *
 *     initial() or key()  ->  seal() / open() / masks()  ->  next()  ->  destroy()
 *
 * A key belongs to one direction of one connection at one level and holds both
 * the packet key and the header key. */

struct sp_key; /* opaque; owned by the caller of initial(), key() or next() until destroy() */

/* AEADs by their TLS cipher suite.  [RFC8446 B.4] */
enum sp_suite {
    SP_SUITE_NONE = 0,
    SP_SUITE_AES_128_GCM = 0x1301,
    SP_SUITE_AES_256_GCM = 0x1302,
    SP_SUITE_CHACHA20_POLY1305 = 0x1303,
};

enum { SP_SECRET_SIZE_MAX = 48 };

struct sp_key_limits {
    uint64_t seal_count_max; /* packets sealed with one key. [RFC9001 6.6] */
    uint64_t fail_count_max; /* packets that failed to open, over all keys of a connection */
};

/* One packet to seal.  `header` ends with the packet number and is the
 * associated data.  The plaintext is `parts` in order; ciphertext and tag go to
 * `out`, which must not overlap a part unless it is exactly in place.
 * The size of `out` is the sum of the parts + SP_TAG_SIZE. */
struct sp_seal {
    uint64_t pn;
    const uint8_t *header;
    size_t header_size;
    const struct sb_bytes *parts;
    size_t part_count; /* at least 1 */
    uint8_t *out;
};

/* One packet to open.  `header` is the associated data; `data` is ciphertext and tag, `size`
 * bytes.  Without `body` the plaintext replaces the ciphertext.  With it only the first `head_size`
 * bytes of the plaintext do, or go to `head`, and the other bytes go to `body`: memory that does
 * not overlap `data`, and whose content is undefined unless the packet is authentic.  If the packet
 * is not authentic, its bytes at `data` are destroyed, except the tag, which may be the token of a
 * Stateless Reset.
 *
 * Where opens_down() says so, and with `head`, the body may also begin anywhere before `data` +
 * `head_size` and overlap `header` and `data`, which are read before that. */
struct sp_open {
    uint64_t pn;
    const uint8_t *header;
    size_t header_size;
    uint8_t *data;
    size_t size;
    uint8_t *body;     /* NULL: all in place */
    uint8_t *head;     /* NULL: at `data`; not looked at without `body` */
    size_t head_size;  /* <= size - SP_TAG_SIZE with `body`, otherwise not looked at */
    bool is_authentic; /* the result */
};

/* Where the plaintext begins. */
static inline uint8_t *sp_open_head(const struct sp_open *packet)
{
    return packet->body != NULL && packet->head != NULL ? packet->head : packet->data;
}

enum { SP_PEEK_SIZE_MAX = 64 };

struct sp_protect_ops {
    /* Makes both Initial keys of `version` for the client's first destination CID.
     * [RFC9001 5.2]  False, and nothing made, without memory. */
    bool (*initial)(void *context, uint32_t version, const struct sp_cid *dcid, enum sp_role role,
                    struct sp_key **ret_read, struct sp_key **ret_write);

    /* Makes a key of `version` from a TLS traffic secret.  NULL for an unknown suite or
     * without memory.  The secret stays the caller's. */
    struct sp_key *(*key)(void *context, uint32_t version, enum sp_suite suite,
                          const uint8_t *secret, size_t secret_size);

    /* Makes the key of the next key phase; `key` stays valid.  The header key
     * is not updated.  [RFC9001 6.1]  NULL without memory. */
    struct sp_key *(*next)(const struct sp_key *key);

    /* Wipes and frees; NULL is accepted. */
    void (*destroy)(struct sp_key *key);

    struct sp_key_limits (*limits)(const struct sp_key *key);

    /* Cannot fail for well-formed arguments.  Returns how many bytes of the parts were copied
     * to where the cipher could take them: 0 if it took them where they are. */
    size_t (*seal)(struct sp_key *key, const struct sp_seal *packet);

    /* Opens each of `count` packets and says in each whether it is authentic. */
    void (*open)(struct sp_key *key, struct sp_open *packets, size_t count);

    /* Returns whether a packet's body may go to lower addresses that overlap the packet. */
    bool (*opens_down)(const struct sp_key *key);

    /* Writes the first `size` bytes of the plaintext, at most SP_PEEK_SIZE_MAX and without the tag.
     * They are not authenticated yet.  `packet` does not change. */
    void (*peek)(struct sp_key *key, const struct sp_open *packet, size_t size, uint8_t *ret);

    /* The header protection masks of `count` samples of 16 bytes.
     * [RFC9001 5.4] */
    void (*masks)(struct sp_key *key, const uint8_t *const *samples, size_t count,
                  uint8_t (*ret_masks)[SP_MASK_SIZE]);

    /* Frees what can be made again from the secret: the key of a connection that is idle.  Until
     * wake() returns true, which it does not without memory, only next(), limits(), rest() and
     * destroy() may be called.  The next key shares its header key, and rests with it: wake both.
     */
    void (*rest)(struct sp_key *key);
    bool (*wake)(struct sp_key *key);

    /* [RFC9001 5.8] Checks the integrity tag at the end of a Retry packet of `version`. */
    bool (*retry_is_authentic)(void *context, uint32_t version, const struct sp_cid *original_dcid,
                               const uint8_t *packet, size_t size);
};

/* Opens one packet in place. */
static inline bool sp_open_in_place(const struct sp_protect_ops *ops, struct sp_key *key,
                                    uint64_t pn, struct sb_bytes header, uint8_t *data, size_t size)
{
    struct sp_open packet = {
        .pn = pn,
        .header = header.data,
        .header_size = header.size,
        .data = data,
        .size = size,
    };
    ops->open(key, &packet, 1);
    return packet.is_authentic;
}

/* What a connection keeps: the table, and the context for its functions that make keys. */
struct sp_protect {
    const struct sp_protect_ops *ops;
    void *context;
};

#endif
