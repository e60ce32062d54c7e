/* SPDX-License-Identifier: MIT */
#include "proto/wire/tparam.h"

/* Transport parameters: a sequence of (id, length, value).
 *
 * They arrive inside the TLS handshake, before the peer has proved anything but that it
 * can send: every value is checked before any of them is believed.  Numbers share one table,
 * with their field, default and limits; the others have a form each. */

#include "proto/base/assert.h"

/* [RFC9000 18.2] */
enum {
    ID_ORIGINAL_DCID = 0x00,
    ID_MAX_IDLE_TIMEOUT = 0x01,
    ID_RESET_TOKEN = 0x02,
    ID_MAX_UDP_PAYLOAD_SIZE = 0x03,
    ID_MAX_DATA = 0x04,
    ID_MAX_STREAM_DATA_BIDI_LOCAL = 0x05,
    ID_MAX_STREAM_DATA_BIDI_REMOTE = 0x06,
    ID_MAX_STREAM_DATA_UNI = 0x07,
    ID_MAX_STREAMS_BIDI = 0x08,
    ID_MAX_STREAMS_UNI = 0x09,
    ID_ACK_DELAY_EXPONENT = 0x0a,
    ID_MAX_ACK_DELAY = 0x0b,
    ID_DISABLE_ACTIVE_MIGRATION = 0x0c,
    ID_PREFERRED_ADDRESS = 0x0d,
    ID_ACTIVE_CID_LIMIT = 0x0e,
    ID_INITIAL_SCID = 0x0f,
    ID_RETRY_SCID = 0x10,
    ID_VERSION_INFORMATION = 0x11,     /* [RFC9368 10.1] */
    ID_RESET_STREAM_AT = 0x1d,         /* [reliable-reset 3] */
    ID_MAX_DATAGRAM_FRAME_SIZE = 0x20, /* [RFC9221 3] */
    /* Our numbers for those whose own would be too large for a bit: see long_ids. */
    ID_LONG = 0x30,
    ID_GREASE_QUIC_BIT = ID_LONG,
    ID_MIN_ACK_DELAY,
    ID_RESET_STREAM_AT_07, /* of the drafts 07 and 08, otherwise the one above */
    ID_COUNT,
};

static const uint64_t long_ids[] = {
    [ID_GREASE_QUIC_BIT - ID_LONG] = 0x2ab2,   /* [RFC9287 3] */
    [ID_MIN_ACK_DELAY - ID_LONG] = 0xff04de1b, /* [ack-frequency 3] */
    [ID_RESET_STREAM_AT_07 - ID_LONG] = UINT64_C(0x17f7586d2cb571),
};

static uint64_t wire_id(uint64_t id)
{
    return id < ID_LONG ? id : long_ids[id - ID_LONG];
}

/* Returns our number of a parameter, ID_COUNT for one that we do not know. */
static uint64_t own_id(uint64_t wire)
{
    for (size_t i = 0; i < SB_COUNT(long_ids); i++)
        if (long_ids[i] == wire)
            return ID_LONG + i;
    return wire < ID_LONG ? wire : (uint64_t)ID_COUNT;
}

enum {
    IP4_SIZE = 4,
    IP6_SIZE = 16,
    PREFERRED_ADDRS_SIZE = IP4_SIZE + 2 + IP6_SIZE + 2, /* with their ports */
};

/* One for each ID below ID_COUNT. */
#define BIT(id) (UINT64_C(1) << (id))

/* [RFC9000 18.2] A client must not send these. */
#define SERVER_ONLY \
    (BIT(ID_ORIGINAL_DCID) | BIT(ID_RESET_TOKEN) | BIT(ID_PREFERRED_ADDRESS) | BIT(ID_RETRY_SCID))

/* [RFC9000 7.4.1] A server that accepts 0-RTT must not lower these. */
#define EARLY_LIMITS \
    (1u << ID_MAX_DATA | 1u << ID_MAX_STREAM_DATA_BIDI_LOCAL | \
     1u << ID_MAX_STREAM_DATA_BIDI_REMOTE | 1u << ID_MAX_STREAM_DATA_UNI | \
     1u << ID_MAX_STREAMS_BIDI | 1u << ID_MAX_STREAMS_UNI | 1u << ID_ACTIVE_CID_LIMIT)

/* [RFC9000 18.1] Reserved: 31 * N + 27. */
#define GREASE_STEP  UINT64_C(31)
#define GREASE_FIRST UINT64_C(27)
#define GREASE_COUNT ((SB_VARINT_MAX - GREASE_FIRST) / GREASE_STEP)

static const struct number {
    uint8_t id;
    uint16_t at;     /* in struct sp_tparams */
    uint64_t absent; /* what holds if it is not sent */
    uint64_t min;
    uint64_t max;
} numbers[] = {
#define NUMBER(id, member, ...) {id, offsetof(struct sp_tparams, member), __VA_ARGS__}
    NUMBER(ID_MAX_IDLE_TIMEOUT, max_idle_timeout_ms, 0, 0, SB_VARINT_MAX),
    NUMBER(ID_MAX_UDP_PAYLOAD_SIZE, max_udp_payload_size, SP_UDP_PAYLOAD_SIZE_MAX,
           SP_DATAGRAM_SIZE_MIN, SB_VARINT_MAX),
    NUMBER(ID_MAX_DATA, initial_max_data, 0, 0, SB_VARINT_MAX),
    NUMBER(ID_MAX_STREAM_DATA_BIDI_LOCAL, initial_max_stream_data_bidi_local, 0, 0, SB_VARINT_MAX),
    NUMBER(ID_MAX_STREAM_DATA_BIDI_REMOTE, initial_max_stream_data_bidi_remote, 0, 0,
           SB_VARINT_MAX),
    NUMBER(ID_MAX_STREAM_DATA_UNI, initial_max_stream_data_uni, 0, 0, SB_VARINT_MAX),
    /* [RFC9000 4.6] */
    NUMBER(ID_MAX_STREAMS_BIDI, initial_max_streams_bidi, 0, 0, SP_STREAM_COUNT_MAX),
    NUMBER(ID_MAX_STREAMS_UNI, initial_max_streams_uni, 0, 0, SP_STREAM_COUNT_MAX),
    NUMBER(ID_ACK_DELAY_EXPONENT, ack_delay_exponent, 3, 0, 20),
    NUMBER(ID_MAX_ACK_DELAY, max_ack_delay_ms, 25, 0, (1 << 14) - 1),
    NUMBER(ID_ACTIVE_CID_LIMIT, active_cid_limit, 2, 2, SB_VARINT_MAX),
    NUMBER(ID_MAX_DATAGRAM_FRAME_SIZE, max_datagram_frame_size, 0, 0, SB_VARINT_MAX),
    NUMBER(ID_MIN_ACK_DELAY, min_ack_delay_us, SP_MIN_ACK_DELAY_NONE, 0, SP_MIN_ACK_DELAY_NONE),
#undef NUMBER
};

static uint64_t number_get(const struct sp_tparams *params, const struct number *number)
{
    uint64_t value;
    memcpy(&value, (const char *)params + number->at, sizeof(value));
    return value;
}

static void number_set(struct sp_tparams *params, const struct number *number, uint64_t value)
{
    memcpy((char *)params + number->at, &value, sizeof(value));
}

static const struct number *number_of(uint64_t id)
{
    for (size_t i = 0; i < SB_COUNT(numbers); i++) {
        if (numbers[i].id == id)
            return &numbers[i];
    }
    return NULL;
}

/* The IDs up to ID_VERSION_INFORMATION are all in use; those of extensions have gaps between them.
 */
static bool is_known(uint64_t id)
{
    return id <= ID_VERSION_INFORMATION || id == ID_RESET_STREAM_AT ||
           (id >= ID_LONG && id < ID_COUNT) || number_of(id) != NULL;
}

void sp_tparams_init(struct sp_tparams *params)
{
    *params = (struct sp_tparams){0};
    for (size_t i = 0; i < SB_COUNT(numbers); i++)
        number_set(params, &numbers[i], numbers[i].absent);
}

static void write_bytes(struct sb_writer *w, uint64_t id, const uint8_t *data, size_t size)
{
    sb_writer_varint(w, id);
    sb_writer_varint(w, size);
    sb_writer_bytes(w, data, size);
}

/* Writes an address of `ip_size` bytes, or zeros if there is none. */
static void write_addr(struct sb_writer *w, const struct sp_addr *addr, size_t ip_size)
{
    static const uint8_t none[16];
    sb_writer_bytes(w, addr->family != 0 ? addr->ip : none, ip_size);
    sb_writer_u16(w, addr->family != 0 ? addr->port : 0);
}

/* [RFC9000 18.2] */
static void write_preferred_address(struct sb_writer *w, const struct sp_tparams *params)
{
    const struct sp_cid *cid = &params->preferred_cid;
    SB_ASSERT(cid->size > 0);
    sb_writer_varint(w, ID_PREFERRED_ADDRESS);
    sb_writer_varint(w, PREFERRED_ADDRS_SIZE + 1 + cid->size + SP_RESET_TOKEN_SIZE);
    write_addr(w, &params->preferred.v4, IP4_SIZE);
    write_addr(w, &params->preferred.v6, IP6_SIZE);
    sb_writer_u8(w, cid->size);
    sb_writer_bytes(w, cid->bytes, cid->size);
    sb_writer_bytes(w, params->preferred_token, SP_RESET_TOKEN_SIZE);
}

static void write_grease(struct sb_writer *w, uint64_t grease)
{
    uint8_t value[sizeof(grease)];
    struct sb_writer v = sb_writer_of(value, sizeof(value));
    sb_writer_u64(&v, grease);
    write_bytes(w, GREASE_FIRST + GREASE_STEP * (grease % GREASE_COUNT), value,
                grease % (sizeof(value) + 1));
}

/* [RFC9000 7.4] Each at most once; the reserved one has an ID of its own. */
void sp_tparams_write(struct sb_writer *w, const struct sp_tparams *params, uint64_t grease)
{
    for (size_t i = 0; i < SB_COUNT(numbers); i++) {
        uint64_t value = number_get(params, &numbers[i]);
        SB_ASSERT(value >= numbers[i].min && value <= numbers[i].max);
        if (value == numbers[i].absent)
            continue;
        sb_writer_varint(w, wire_id(numbers[i].id));
        sb_writer_varint(w, sb_varint_size(value));
        sb_writer_varint(w, value);
    }
    if (params->has_original_dcid)
        write_bytes(w, ID_ORIGINAL_DCID, params->original_dcid.bytes, params->original_dcid.size);
    if (params->has_initial_scid)
        write_bytes(w, ID_INITIAL_SCID, params->initial_scid.bytes, params->initial_scid.size);
    if (params->has_retry_scid)
        write_bytes(w, ID_RETRY_SCID, params->retry_scid.bytes, params->retry_scid.size);
    if (params->has_reset_token)
        write_bytes(w, ID_RESET_TOKEN, params->reset_token, sizeof(params->reset_token));
    if (params->has_preferred_cid)
        write_preferred_address(w, params);
    if (params->disable_active_migration)
        write_bytes(w, ID_DISABLE_ACTIVE_MIGRATION, NULL, 0);
    if (params->grease_quic_bit)
        write_bytes(w, wire_id(ID_GREASE_QUIC_BIT), NULL, 0);
    if (params->reset_stream_at) {
        write_bytes(w, ID_RESET_STREAM_AT, NULL, 0);
        write_bytes(w, wire_id(ID_RESET_STREAM_AT_07), NULL, 0);
    }
    if (params->chosen_version != 0) {
        sb_writer_varint(w, ID_VERSION_INFORMATION);
        sb_writer_varint(w, 4 + params->available_versions.size);
        sb_writer_u32(w, params->chosen_version);
        sb_writer_bytes(w, params->available_versions.data, params->available_versions.size);
    }
    write_grease(w, grease);
}

static bool read_cid(struct sb_bytes value, struct sp_cid *ret, bool *ret_has)
{
    if (value.size > SP_CID_SIZE_MAX)
        return false;
    *ret = sp_cid_of(value.data, value.size);
    *ret_has = true;
    return true;
}

/* Reads an address of `ip_size` bytes.  One of zeros, or without a port, is none. */
static struct sp_addr read_addr(struct sb_reader *r, size_t ip_size)
{
    static const uint8_t none[16];
    struct sp_addr addr = {.family = ip_size == IP4_SIZE ? 4 : 6};
    const uint8_t *ip = sb_reader_take(r, ip_size);
    addr.port = sb_reader_u16(r);
    if (ip == NULL || addr.port == 0 || memcmp(ip, none, ip_size) == 0)
        return (struct sp_addr){0};
    memcpy(addr.ip, ip, ip_size);
    return addr;
}

/* [RFC9000 18.2] Two addresses with ports, then a CID and its token as in NEW_CONNECTION_ID. */
static bool read_preferred_address(struct sb_bytes value, struct sp_tparams *ret)
{
    struct sb_reader r = sb_reader_of(value.data, value.size);
    ret->preferred.v4 = read_addr(&r, IP4_SIZE);
    ret->preferred.v6 = read_addr(&r, IP6_SIZE);
    uint8_t cid_size = sb_reader_u8(&r);
    const uint8_t *cid = sb_reader_take(&r, cid_size);
    const uint8_t *token = sb_reader_take(&r, SP_RESET_TOKEN_SIZE);
    if (r.failed || sb_reader_left(&r) > 0 || cid_size == 0 || cid_size > SP_CID_SIZE_MAX)
        return false;
    ret->has_preferred_cid = true;
    ret->preferred_cid = sp_cid_of(cid, cid_size);
    memcpy(ret->preferred_token, token, SP_RESET_TOKEN_SIZE);
    return true;
}

/* [RFC9368 3, 4] */
static bool read_versions(struct sb_bytes value, struct sp_tparams *ret)
{
    struct sb_reader r = sb_reader_of(value.data, value.size);
    ret->chosen_version = sb_reader_u32(&r);
    ret->available_versions = (struct sb_bytes){r.at, sb_reader_left(&r)};
    if (r.failed || value.size % 4 != 0)
        return false;
    for (r = sb_reader_of(value.data, value.size); sb_reader_left(&r) > 0;)
        if (sb_reader_u32(&r) == 0)
            return false;
    return true;
}

/* [RFC9368 4] A client's list has the version that it has chosen. */
static bool lists_its_choice(const struct sp_tparams *params)
{
    struct sb_bytes list = params->available_versions;
    struct sb_reader r = sb_reader_of(list.data, list.size);
    bool has = params->chosen_version == 0;
    while (sb_reader_left(&r) > 0)
        has |= sb_reader_u32(&r) == params->chosen_version;
    return has;
}

static bool read_number(const struct number *number, struct sb_bytes value, struct sp_tparams *ret)
{
    SB_ASSERT(number != NULL);
    struct sb_reader r = sb_reader_of(value.data, value.size);
    uint64_t n = sb_reader_varint(&r);
    /* [RFC9000 7.4, 18.2] */
    if (r.failed || sb_reader_left(&r) > 0 || n < number->min || n > number->max)
        return false;
    number_set(ret, number, n);
    return true;
}

static bool read_value(uint64_t id, struct sb_bytes value, struct sp_tparams *ret)
{
    switch (id) {
    case ID_ORIGINAL_DCID:
        return read_cid(value, &ret->original_dcid, &ret->has_original_dcid);
    case ID_INITIAL_SCID:
        return read_cid(value, &ret->initial_scid, &ret->has_initial_scid);
    case ID_RETRY_SCID:
        return read_cid(value, &ret->retry_scid, &ret->has_retry_scid);
    case ID_RESET_TOKEN:
        if (value.size != SP_RESET_TOKEN_SIZE)
            return false;
        memcpy(ret->reset_token, value.data, SP_RESET_TOKEN_SIZE);
        ret->has_reset_token = true;
        return true;
    case ID_DISABLE_ACTIVE_MIGRATION:
        ret->disable_active_migration = true;
        return value.size == 0;
    case ID_PREFERRED_ADDRESS:
        return read_preferred_address(value, ret);
    case ID_GREASE_QUIC_BIT:
        ret->grease_quic_bit = true;
        return value.size == 0;
    case ID_RESET_STREAM_AT:
    case ID_RESET_STREAM_AT_07:
        ret->reset_stream_at = true;
        return value.size == 0;
    case ID_VERSION_INFORMATION:
        return read_versions(value, ret);
    default:
        return read_number(number_of(id), value, ret);
    }
}

enum sp_err sp_tparams_read(struct sb_bytes encoded, enum sp_role sender, struct sp_tparams *ret)
{
    struct sp_tparams params;
    sp_tparams_init(&params);

    uint64_t seen = 0;
    _Static_assert(ID_COUNT <= 64, "one bit each");
    struct sb_reader r = sb_reader_of(encoded.data, encoded.size);
    while (sb_reader_left(&r) > 0) {
        uint64_t id = own_id(sb_reader_varint(&r));
        struct sb_bytes value = {.size = sb_reader_varint(&r)};
        value.data = sb_reader_take(&r, value.size);
        if (r.failed)
            return SP_ERR_TRANSPORT_PARAMETER;
        if (!is_known(id)) /* [RFC9000 7.4.2] Unknown ones are ignored. */
            continue;
        if ((seen & BIT(id)) != 0) /* [RFC9000 7.4] */
            return SP_ERR_TRANSPORT_PARAMETER;
        seen |= BIT(id);
        if (!read_value(id, value, &params))
            return SP_ERR_TRANSPORT_PARAMETER;
    }
    if (sender == SP_CLIENT && (seen & SERVER_ONLY) != 0) /* [RFC9000 18.2] */
        return SP_ERR_TRANSPORT_PARAMETER;
    /* [ack-frequency 3] */
    if (params.min_ack_delay_us != SP_MIN_ACK_DELAY_NONE &&
        params.min_ack_delay_us > params.max_ack_delay_ms * 1000)
        return SP_ERR_TRANSPORT_PARAMETER;
    if (sender == SP_CLIENT && !lists_its_choice(&params))
        return SP_ERR_TRANSPORT_PARAMETER;
    /* [RFC9000 18.2] No preferred address from a server without CIDs. */
    if ((seen & BIT(ID_PREFERRED_ADDRESS)) != 0 && params.has_initial_scid &&
        params.initial_scid.size == 0)
        return SP_ERR_TRANSPORT_PARAMETER;
    *ret = params;
    return SP_OK;
}

bool sp_tparams_cover(const struct sp_tparams *now, const struct sp_tparams *remembered)
{
    for (size_t i = 0; i < SB_COUNT(numbers); i++) {
        bool is_limit = numbers[i].id < 32 && (EARLY_LIMITS & 1u << numbers[i].id) != 0;
        if (is_limit && number_get(now, &numbers[i]) < number_get(remembered, &numbers[i]))
            return false;
    }
    /* [RFC9221 3, reliable-reset 3] */
    return now->max_datagram_frame_size >= remembered->max_datagram_frame_size &&
           (now->reset_stream_at || !remembered->reset_stream_at);
}
