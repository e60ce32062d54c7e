/* SPDX-License-Identifier: MIT */
#include "engine/net/handover_wire.h"

/* The other process may be of another release, or no spate at all: each field is checked, and a
 * message has no byte too many. */

#include <errno.h>
#include <string.h>

#include "engine/config/config.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/wire/types.h"

static const uint8_t magic[4] = {'S', 'P', 'H', 'O'};

enum { ADDRESS_SIZE = 16, FAMILY_V4 = 4, FAMILY_V6 = 6 };
enum { USE_OTHER = 1, USE_IDLE = 2, USE_RESTING = 3 };

_Static_assert(sizeof(magic) + 2 + 1 + 2 + ADDRESS_SIZE + 4 + 1 +
                       SE_HANDOVER_SOCKET_SIZE * SU_STEER_SOCKETS_MAX <=
                   SE_HANDOVER_SIZE_MAX,
               "the largest group fits");

/* ---- writing ---- */

static void write_keys(struct sb_writer *w, const struct se_handover_keys *keys)
{
    sb_writer_bytes(w, keys->token, sizeof(keys->token));
    sb_writer_bytes(w, keys->reset, sizeof(keys->reset));
    sb_writer_u8(w, keys->cid_size);
    sb_writer_u8(w, keys->word_at);
    sb_writer_u8(w, keys->is_masked);
    sb_writer_u8(w, keys->group_count);
    sb_writer_u8(w, keys->process_count);
    sb_writer_bytes(w, keys->tags, keys->process_count);
}

static void write_address(struct sb_writer *w, const struct su_address *address)
{
    bool is_v4 = address->family == AF_INET;
    sb_writer_u8(w, is_v4 ? FAMILY_V4 : FAMILY_V6);
    sb_writer_u16(w, su_address_port(address));
    if (is_v4) {
        sb_writer_bytes(w, &address->v4.sin_addr, sizeof(address->v4.sin_addr));
        sb_writer_zeros(w, ADDRESS_SIZE - sizeof(address->v4.sin_addr));
    } else {
        sb_writer_bytes(w, &address->v6.sin6_addr, ADDRESS_SIZE);
    }
    sb_writer_u32(w, is_v4 ? 0 : address->v6.sin6_scope_id);
}

static void write_group(struct sb_writer *w, const struct se_handover_group *group)
{
    write_address(w, &group->address);
    sb_writer_u8(w, (uint8_t)group->count);
    for (uint32_t i = 0; i < group->count; i++) {
        const struct se_handover_socket *socket = &group->sockets[i];
        sb_writer_u8(w, socket->use == SE_SOCKET_OTHER ? USE_OTHER
                        : socket->is_resting           ? USE_RESTING
                                                       : USE_IDLE);
        sb_writer_u8(w, socket->shard);
        sb_writer_u8(w, socket->tag);
    }
}

size_t se_handover_write(const struct se_handover_message *message,
                         uint8_t ret[SE_HANDOVER_SIZE_MAX])
{
    struct sb_writer w = sb_writer_of(ret, SE_HANDOVER_SIZE_MAX);
    sb_writer_bytes(&w, magic, sizeof(magic));
    sb_writer_u8(&w, SE_HANDOVER_VERSION);
    sb_writer_u8(&w, (uint8_t)message->kind);
    switch (message->kind) {
    case SE_HANDOVER_KEYS:
        write_keys(&w, &message->keys);
        break;
    case SE_HANDOVER_GROUP:
        write_group(&w, &message->group);
        break;
    case SE_HANDOVER_TAKEN:
        sb_writer_u8(&w, message->tag);
        break;
    case SE_HANDOVER_REFUSED:
        sb_writer_bytes(&w, message->text, strlen(message->text));
        break;
    case SE_HANDOVER_HELLO:
    case SE_HANDOVER_TAKE:
    case SE_HANDOVER_GO:
        break;
    }
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}

/* ---- reading ---- */

static bool has_tag(const struct se_handover_keys *keys, uint32_t count, uint8_t tag)
{
    return count > 0 && memchr(keys->tags, tag, count) != NULL;
}

static bool read_keys(struct sb_reader *r, uint32_t fd_count, struct se_handover_keys *ret)
{
    const uint8_t *token = sb_reader_take(r, sizeof(ret->token));
    const uint8_t *reset = sb_reader_take(r, sizeof(ret->reset));
    ret->cid_size = sb_reader_u8(r);
    ret->word_at = sb_reader_u8(r);
    uint8_t is_masked = sb_reader_u8(r);
    ret->group_count = sb_reader_u8(r);
    ret->process_count = sb_reader_u8(r);
    const uint8_t *tags = sb_reader_take(r, ret->process_count);
    if (r->failed || ret->group_count > SE_HANDOVER_GROUPS_MAX || ret->process_count == 0 ||
        ret->process_count > SE_HANDOVER_PROCESSES_MAX || fd_count != ret->process_count - 1u)
        return false;
    if (ret->cid_size > SP_CID_SIZE_MAX || ret->word_at + 2 > ret->cid_size || is_masked > 1)
        return false;
    ret->is_masked = is_masked == 1;
    memcpy(ret->token, token, sizeof(ret->token));
    memcpy(ret->reset, reset, sizeof(ret->reset));
    for (uint32_t i = 0; i < ret->process_count; i++) {
        if (has_tag(ret, i, tags[i]))
            return false;
        ret->tags[i] = tags[i];
    }
    return true;
}

static bool read_address(struct sb_reader *r, struct su_address *ret)
{
    uint8_t family = sb_reader_u8(r);
    uint16_t port = sb_reader_u16(r);
    const uint8_t *bytes = sb_reader_take(r, ADDRESS_SIZE);
    uint32_t scope = sb_reader_u32(r);
    if (r->failed || port == 0)
        return false;
    *ret = (struct su_address){0};
    if (family == FAMILY_V4) {
        ret->v4.sin_family = AF_INET;
        memcpy(&ret->v4.sin_addr, bytes, sizeof(ret->v4.sin_addr));
    } else if (family == FAMILY_V6) {
        ret->v6.sin6_family = AF_INET6;
        memcpy(&ret->v6.sin6_addr, bytes, ADDRESS_SIZE);
        ret->v6.sin6_scope_id = scope;
    } else {
        return false;
    }
    su_address_set_port(ret, port);
    return true;
}

static bool read_group(struct sb_reader *r, uint32_t fd_count, struct se_handover_group *ret)
{
    if (!read_address(r, &ret->address))
        return false;
    ret->count = sb_reader_u8(r);
    if (r->failed || ret->count == 0 || ret->count > SU_STEER_SOCKETS_MAX || fd_count != ret->count)
        return false;
    for (uint32_t i = 0; i < ret->count; i++) {
        struct se_handover_socket *socket = &ret->sockets[i];
        uint8_t use = sb_reader_u8(r);
        socket->use = use == USE_OTHER ? SE_SOCKET_OTHER : SE_SOCKET_IDLE;
        socket->is_resting = use == USE_RESTING;
        socket->shard = sb_reader_u8(r);
        socket->tag = sb_reader_u8(r);
        if (use < USE_OTHER || use > USE_RESTING || socket->shard >= SE_SHARDS_MAX)
            return false;
    }
    return true;
}

static bool read_text(struct sb_reader *r, char ret[SE_HANDOVER_TEXT_MAX + 1])
{
    size_t size = sb_reader_left(r);
    if (size > SE_HANDOVER_TEXT_MAX)
        return false;
    const uint8_t *text = sb_reader_take(r, size);
    for (size_t i = 0; i < size; i++)
        ret[i] = text[i] >= ' ' && text[i] <= '~' ? (char)text[i] : '?';
    ret[size] = 0;
    return true;
}

static bool read_body(struct sb_reader *r, uint32_t fd_count, struct se_handover_message *ret)
{
    switch (ret->kind) {
    case SE_HANDOVER_KEYS:
        return read_keys(r, fd_count, &ret->keys);
    case SE_HANDOVER_GROUP:
        return read_group(r, fd_count, &ret->group);
    case SE_HANDOVER_TAKEN:
        ret->tag = sb_reader_u8(r);
        return fd_count == 0;
    case SE_HANDOVER_REFUSED:
        return fd_count == 0 && read_text(r, ret->text);
    case SE_HANDOVER_HELLO:
    case SE_HANDOVER_TAKE:
    case SE_HANDOVER_GO:
        return fd_count == 0;
    }
    return false; /* a kind that this version does not have */
}

int se_handover_read(const uint8_t *data, size_t size, uint32_t fd_count,
                     struct se_handover_message *ret)
{
    struct sb_reader r = sb_reader_of(data, size);
    const uint8_t *start = sb_reader_take(&r, sizeof(magic));
    uint8_t version = sb_reader_u8(&r);
    uint8_t kind = sb_reader_u8(&r);
    if (r.failed || memcmp(start, magic, sizeof(magic)) != 0)
        return -EPROTO;
    /* A refusal looks alike in all versions. */
    if (version != SE_HANDOVER_VERSION && kind != SE_HANDOVER_REFUSED)
        return -EPROTONOSUPPORT;
    ret->kind = (enum se_handover_kind)kind;
    bool is_good = read_body(&r, fd_count, ret);
    return is_good && !r.failed && sb_reader_left(&r) == 0 ? 0 : -EPROTO;
}
