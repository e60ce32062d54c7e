/* SPDX-License-Identifier: MIT */
/* The sample packets of RFC 9001 and of RFC 9369, appendix A of each, through the keys that crypto/
 * gives to proto/, bit for bit in both directions.  One program for each version of QUIC. */

#include "test/support/qt.h"

#include "crypto/hkdf.h"
#include "crypto/keys.h"
#include "crypto/protect.h"
#include "crypto/retry_tag.h"
#include "proto/wire/stateless.h"
#include "test/support/ciphers.h"
#include "test/support/hex.h"
#include "test/support/owned.h"
#ifdef QT_VERSION_2
#include "test/vector/rfc9369.h"
#define V(name) RFC9369_##name
#define VERSION SP_VERSION_2
#else
#include "test/vector/rfc9001.h"
#define V(name) RFC9001_##name
#define VERSION SP_VERSION_1
#endif

static const struct sp_protect_ops *const ops = &sc_protect_ops;

static void key_end(void *key)
{
    ops->destroy(key);
}

static struct sp_key *chacha_key(void)
{
    struct qt_hex secret = qt_hex(V(CHACHA_SECRET));
    struct sp_key *key =
        ops->key(qt_cipher, VERSION, SP_SUITE_CHACHA20_POLY1305, secret.bytes, secret.size);
    assert_non_null(key);
    return owned_add(key, key_end);
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    struct qt_hex want = qt_hex(hex);
    assert_memory_equal(bytes, want.bytes, want.size);
}

static struct sp_cid cid_of(const char *hex)
{
    struct qt_hex bytes = qt_hex(hex);
    return sp_cid_of(bytes.bytes, bytes.size);
}

/* Applies header protection, or removes it: the same, once it is known where.
 * [RFC9001 5.4.1] */
static void mask_header(uint8_t *packet, size_t pn_at, size_t pn_size, const uint8_t *mask)
{
    packet[0] ^= mask[0] & (packet[0] & 0x80 ? 0x0f : 0x1f);
    for (size_t i = 0; i < pn_size; i++)
        packet[pn_at + i] ^= mask[1 + i];
}

struct sample {
    const char *header; /* before protection; ends with the packet number */
    const char *payload;
    size_t payload_size; /* padded with zeros up to here */
    uint64_t pn;
    size_t pn_size;
    const char *sample;
    const char *mask;
    const char *packet;
};

static void assert_sealed(struct sp_key *key, const struct sample *s)
{
    uint8_t packet[1500];
    uint8_t payload[1500] = {0};
    struct qt_hex header = qt_hex(s->header);
    struct qt_hex frames = qt_hex(s->payload);
    struct qt_hex want = qt_hex(s->packet);
    memcpy(packet, header.bytes, header.size);
    memcpy(payload, frames.bytes, frames.size);
    assert_int_equal(header.size + s->payload_size + SP_TAG_SIZE, want.size);

    const struct sb_bytes part = {.data = payload, .size = s->payload_size};
    ops->seal(key, &(struct sp_seal){
                       .pn = s->pn,
                       .header = packet,
                       .header_size = header.size,
                       .parts = &part,
                       .part_count = 1,
                       .out = packet + header.size,
                   });

    size_t pn_at = header.size - s->pn_size;
    const uint8_t *sample = packet + pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    assert_hex(sample, s->sample);
    ops->masks(key, &sample, 1, mask);
    assert_hex(mask[0], s->mask);
    mask_header(packet, pn_at, s->pn_size, mask[0]);
    assert_memory_equal(packet, want.bytes, want.size);
}

static void assert_opened(struct sp_key *key, const struct sample *s)
{
    struct qt_hex packet = qt_hex(s->packet);
    struct qt_hex header = qt_hex(s->header);
    struct qt_hex frames = qt_hex(s->payload);

    size_t pn_at = header.size - s->pn_size;
    const uint8_t *sample = packet.bytes + pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    ops->masks(key, &sample, 1, mask);
    mask_header(packet.bytes, pn_at, s->pn_size, mask[0]);
    assert_memory_equal(packet.bytes, header.bytes, header.size);

    uint8_t *data = packet.bytes + header.size;
    assert_true(sp_open_in_place(ops, key, s->pn, (struct sb_bytes){packet.bytes, header.size},
                                 data, packet.size - header.size));
    assert_memory_equal(data, frames.bytes, frames.size);
    for (size_t i = frames.size; i < s->payload_size; i++)
        assert_int_equal(data[i], 0);
}

static const struct sample client_initial = {
    .header = V(CLIENT_HEADER),
    .payload = V(CLIENT_CRYPTO_FRAME),
    .payload_size = 1162,
    .pn = 2,
    .pn_size = 4,
    .sample = V(CLIENT_SAMPLE),
    .mask = V(CLIENT_MASK),
    .packet = V(CLIENT_PACKET),
};

static const struct sample server_initial = {
    .header = V(SERVER_HEADER),
    .payload = V(SERVER_PAYLOAD),
    .payload_size = 99,
    .pn = 1,
    .pn_size = 2,
    .sample = V(SERVER_SAMPLE),
    .mask = V(SERVER_MASK),
    .packet = V(SERVER_PACKET),
};

static const struct sample chacha_short = {
    .header = V(CHACHA_HEADER),
    .payload = V(CHACHA_PLAIN),
    .payload_size = 1,
    .pn = 654360564,
    .pn_size = 3,
    .sample = V(CHACHA_SAMPLE),
    .mask = V(CHACHA_MASK),
    .packet = V(CHACHA_PACKET),
};

/* Makes the keys of both ends, {read, write}. */
static void make_initial(struct sp_key *ret_client[2], struct sp_key *ret_server[2])
{
    struct sp_cid dcid = cid_of(V(DCID));
    assert_true(ops->initial(qt_cipher, VERSION, &dcid, SP_CLIENT, &ret_client[0], &ret_client[1]));
    (void)owned_add(ret_client[0], key_end);
    (void)owned_add(ret_client[1], key_end);
    assert_true(ops->initial(qt_cipher, VERSION, &dcid, SP_SERVER, &ret_server[0], &ret_server[1]));
    (void)owned_add(ret_server[0], key_end);
    (void)owned_add(ret_server[1], key_end);
}

static void initial_secrets_and_keys_are_those_of_a1(void **state)
{
    (void)state;
    static const struct {
        enum sp_role sender;
        const char *secret, *key, *iv, *hp;
    } sides[] = {
        {SP_CLIENT, V(CLIENT_SECRET), V(CLIENT_KEY), V(CLIENT_IV), V(CLIENT_HP)},
        {SP_SERVER, V(SERVER_SECRET), V(SERVER_KEY), V(SERVER_IV), V(SERVER_HP)},
    };
    struct sp_cid dcid = cid_of(V(DCID));
    const struct sc_suite *suite = sc_suite_find(SP_SUITE_AES_128_GCM);
    uint8_t secrets[2][SC_INITIAL_SECRET_SIZE];
    sc_keys_initial_secrets(VERSION, &dcid, secrets[SP_CLIENT], secrets[SP_SERVER]);
    for (size_t i = 0; i < QT_COUNT(sides); i++) {
        struct sc_keys keys;
        const uint8_t *secret = secrets[sides[i].sender];
        assert_hex(secret, sides[i].secret);
        sc_keys_derive(VERSION, suite, secret, &keys);
        assert_hex(keys.key, sides[i].key);
        assert_hex(keys.iv, sides[i].iv);
        assert_hex(keys.hp, sides[i].hp);
    }
}

static void the_common_initial_secret_is_that_of_a1(void **state)
{
    (void)state;
    struct qt_hex salt = qt_hex(V(INITIAL_SALT));
    struct qt_hex dcid = qt_hex(V(DCID));
    uint8_t secret[32];
    sc_hkdf_extract(sizeof(secret), (struct sb_bytes){salt.bytes, salt.size},
                    (struct sb_bytes){dcid.bytes, dcid.size}, secret);
    assert_hex(secret, V(INITIAL_SECRET));
}

static void the_client_initial_is_that_of_a2(void **state)
{
    (void)state;
    struct sp_key *client[2], *server[2];
    make_initial(client, server);
    assert_sealed(client[1], &client_initial);
    assert_opened(server[0], &client_initial);
}

static void the_server_initial_is_that_of_a3(void **state)
{
    (void)state;
    struct sp_key *client[2], *server[2];
    make_initial(client, server);
    assert_sealed(server[1], &server_initial);
    assert_opened(client[0], &server_initial);
}

static void the_retry_tag_is_that_of_a4(void **state)
{
    (void)state;
    struct sp_cid dcid = cid_of(V(DCID));
    struct qt_hex packet = qt_hex(V(RETRY_PACKET));
    uint8_t tag[SP_TAG_SIZE];
    assert_true(sc_retry_tag_make(VERSION, &dcid, packet.bytes, packet.size - sizeof(tag), tag));
    assert_memory_equal(tag, packet.bytes + packet.size - sizeof(tag), sizeof(tag));
    assert_true(ops->retry_is_authentic(NULL, VERSION, &dcid, packet.bytes, packet.size));
}

/* The whole packet, as a server writes it. */
static void the_retry_packet_is_that_of_a4(void **state)
{
    (void)state;
    struct qt_hex want = qt_hex(V(RETRY_PACKET));
    struct sp_cid original_dcid = cid_of(V(DCID));
    struct sp_cid scid = cid_of("f067a5502a4262b5");
    const struct sp_peek initial = {
        .is_long = true,
        .version = VERSION,
        .dcid = {original_dcid.bytes, original_dcid.size},
    };
    uint8_t packet[SP_RETRY_SIZE_MAX];
    uint8_t tag[SP_TAG_SIZE];
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    sp_retry_write(&w, &initial, &scid, (struct sb_bytes){(const uint8_t *)"token", 5}, 0xff);
    assert_true(sc_retry_tag_make(VERSION, &original_dcid, packet, sb_writer_used(&w), tag));
    sb_writer_bytes(&w, tag, sizeof(tag));
    assert_false(w.failed);
    assert_int_equal(sb_writer_used(&w), want.size);
    assert_memory_equal(packet, want.bytes, want.size);
}

static void the_chacha20_packet_is_that_of_a5(void **state)
{
    (void)state;
    struct sp_key *key = chacha_key();
    assert_sealed(key, &chacha_short);
    assert_opened(key, &chacha_short);
}

static void the_chacha20_keys_and_the_next_secret_are_those_of_a5(void **state)
{
    (void)state;
    const struct sc_suite *suite = sc_suite_find(SP_SUITE_CHACHA20_POLY1305);
    struct qt_hex secret = qt_hex(V(CHACHA_SECRET));
    struct sc_keys keys;
    sc_keys_derive(VERSION, suite, secret.bytes, &keys);
    assert_hex(keys.key, V(CHACHA_KEY));
    assert_hex(keys.iv, V(CHACHA_IV));
    assert_hex(keys.hp, V(CHACHA_HP));

    sc_keys_next_secret(VERSION, suite, secret.bytes, secret.bytes); /* in place */
    assert_hex(secret.bytes, V(CHACHA_KU));
}

static void every_flipped_bit_and_every_truncation_of_a_packet_is_noticed(void **state)
{
    (void)state;
    struct sp_key *key = chacha_key();
    struct qt_hex header = qt_hex(V(CHACHA_HEADER));
    struct qt_hex cipher = qt_hex(V(CHACHA_CIPHER));
    uint64_t pn = chacha_short.pn;

    for (size_t bit = 0; bit < 8 * (header.size + cipher.size); bit++) {
        struct qt_hex h = header, c = cipher;
        size_t byte = bit / 8;
        uint8_t flip = (uint8_t)(1u << (bit % 8));
        if (byte < h.size)
            h.bytes[byte] ^= flip;
        else
            c.bytes[byte - h.size] ^= flip;
        assert_false(
            sp_open_in_place(ops, key, pn, (struct sb_bytes){h.bytes, h.size}, c.bytes, c.size));
    }
    for (size_t size = 0; size < cipher.size; size++) {
        struct qt_hex c = cipher;
        assert_false(sp_open_in_place(ops, key, pn, (struct sb_bytes){header.bytes, header.size},
                                      c.bytes, size));
    }
    for (uint64_t wrong_pn = 0; wrong_pn < 62; wrong_pn++) {
        struct qt_hex c = cipher;
        assert_false(sp_open_in_place(ops, key, pn ^ (UINT64_C(1) << wrong_pn),
                                      (struct sb_bytes){header.bytes, header.size}, c.bytes,
                                      c.size));
    }
    assert_true(sp_open_in_place(ops, key, pn, (struct sb_bytes){header.bytes, header.size},
                                 cipher.bytes, cipher.size));
}

static void every_flipped_bit_and_every_truncation_of_a_retry_is_noticed(void **state)
{
    (void)state;
    struct sp_cid dcid = cid_of(V(DCID));
    const struct qt_hex packet = qt_hex(V(RETRY_PACKET));
    for (size_t bit = 0; bit < 8 * packet.size; bit++) {
        struct qt_hex bad = packet;
        bad.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(ops->retry_is_authentic(NULL, VERSION, &dcid, bad.bytes, bad.size));
    }
    for (size_t size = 0; size < packet.size; size++)
        assert_false(ops->retry_is_authentic(NULL, VERSION, &dcid, packet.bytes, size));
    const uint32_t other = SP_VERSION_1 + SP_VERSION_2 - VERSION;
    assert_false(ops->retry_is_authentic(NULL, other, &dcid, packet.bytes, packet.size));
    dcid.bytes[7] ^= 1;
    assert_false(ops->retry_is_authentic(NULL, VERSION, &dcid, packet.bytes, packet.size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_common_initial_secret_is_that_of_a1),
        cmocka_unit_test(initial_secrets_and_keys_are_those_of_a1),
        QT_TEST(owned, the_client_initial_is_that_of_a2),
        QT_TEST(owned, the_server_initial_is_that_of_a3),
        cmocka_unit_test(the_retry_tag_is_that_of_a4),
        cmocka_unit_test(the_retry_packet_is_that_of_a4),
        QT_TEST(owned, the_chacha20_packet_is_that_of_a5),
        cmocka_unit_test(the_chacha20_keys_and_the_next_secret_are_those_of_a5),
        QT_TEST(owned, every_flipped_bit_and_every_truncation_of_a_packet_is_noticed),
        cmocka_unit_test(every_flipped_bit_and_every_truncation_of_a_retry_is_noticed),
    };

    sb_assert_handler = qt_on_assert;
    return qt_run_with_each_cipher(tests, QT_COUNT(tests));
}
