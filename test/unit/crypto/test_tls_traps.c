/* SPDX-License-Identifier: MIT */
/* What is easy to get wrong with OpenSSL's QUIC callbacks: levels, lifetimes, the order of
 * facts, data after the handshake. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static const struct sp_tls_ops *const ops = &sc_tls_ops;

/* TLS handshake messages.  [RFC8446 B.3] */
enum {
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    NEW_SESSION_TICKET = 4,
    ENCRYPTED_EXTENSIONS = 8,
    CERTIFICATE = 11,
    CERTIFICATE_VERIFY = 15,
    FINISHED = 20,
};

enum { UNEXPECTED_MESSAGE = 10 };

/* Asserts that the bytes said at `level` are just these messages. */
static void assert_messages(struct qt_tls_end *end, enum sp_level level, const uint8_t *types,
                            size_t count)
{
    size_t size = (size_t)end->said[level];
    const uint8_t *data = size == 0 ? NULL : ops->bytes(end->tls, level, 0, size);
    struct sb_reader r = sb_reader_of(data, size);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sb_reader_u8(&r), types[i]);
        uint32_t body = (uint32_t)sb_reader_u8(&r) << 16;
        body |= sb_reader_u16(&r);
        (void)sb_reader_take(&r, body);
    }
    assert_false(r.failed);
    assert_int_equal(sb_reader_left(&r), 0);
}

#define ASSERT_MESSAGES(end, level, ...) \
    assert_messages(end, level, (const uint8_t[]){__VA_ARGS__}, \
                    sizeof((const uint8_t[]){__VA_ARGS__}))

/* crypto_send is given no level. */
static void each_message_is_said_at_its_level(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.server.ticket_count = 2;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    ASSERT_MESSAGES(&pair.client, SP_LEVEL_INITIAL, CLIENT_HELLO);
    ASSERT_MESSAGES(&pair.client, SP_LEVEL_HANDSHAKE, FINISHED);
    ASSERT_MESSAGES(&pair.server, SP_LEVEL_INITIAL, SERVER_HELLO);
    ASSERT_MESSAGES(&pair.server, SP_LEVEL_HANDSHAKE, ENCRYPTED_EXTENSIONS, CERTIFICATE,
                    CERTIFICATE_VERIFY, FINISHED);
    ASSERT_MESSAGES(&pair.server, SP_LEVEL_APP, NEW_SESSION_TICKET, NEW_SESSION_TICKET);
    assert_int_equal(pair.client.said[SP_LEVEL_APP], 0);
    assert_int_equal(pair.client.said[SP_LEVEL_EARLY] + pair.server.said[SP_LEVEL_EARLY], 0);
}

/* [RFC9001 5.7] A server must not open 1-RTT packets before the handshake is complete. */
static void the_secret_to_read_1rtt_comes_with_complete_and_not_before(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    pair.step_max = 1;
    do {
        assert_int_equal(pair.server.has_secret[SP_LEVEL_APP][false], pair.server.is_complete);
        assert_int_equal(pair.client.has_secret[SP_LEVEL_APP][false], pair.client.is_complete);
        if (pair.client.said[SP_LEVEL_INITIAL] == pair.client.delivered[SP_LEVEL_INITIAL])
            assert_true(pair.server.has_secret[SP_LEVEL_APP][true]); /* 0.5-RTT may be sent */
    } while (qt_tls_step(&pair));
    qt_tls_assert_complete(&pair);

    const struct qt_tls_end *ends[] = {&pair.client, &pair.server};
    for (size_t i = 0; i < QT_COUNT(ends); i++) {
        const struct sp_tls_event *last = &ends[i]->facts[ends[i]->fact_count - 1];
        assert_int_equal(last[0].kind, SP_TLS_COMPLETE);
        assert_int_equal(last[-1].kind, SP_TLS_SECRET);
        assert_int_equal(last[-1].level, SP_LEVEL_APP);
        assert_false(last[-1].is_write);
    }
}

/* What a key protects must be known before something comes that needs it: the write
 * secret of a level comes before its bytes, and before the read secret, for the ACK. */
static void the_secret_to_write_comes_first(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    args.server.ticket_count = 1;
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    qt_tls_run(&pair);
    const struct qt_tls_end *ends[] = {&pair.client, &pair.server};
    for (size_t e = 0; e < QT_COUNT(ends); e++) {
        bool can_write[SP_LEVELS] = {[SP_LEVEL_INITIAL] = true};
        for (size_t i = 0; i < ends[e]->fact_count; i++) {
            const struct sp_tls_event *fact = &ends[e]->facts[i];
            if (fact->kind == SP_TLS_SECRET && fact->is_write)
                can_write[fact->level] = true;
            else if (fact->kind == SP_TLS_SECRET || fact->kind == SP_TLS_CRYPTO)
                assert_true(can_write[fact->level]);
        }
    }
}

static void a_secret_is_wiped_by_the_next_call(void **state)
{
    (void)state;
    static const uint8_t zeros[SP_SECRET_SIZE_MAX];
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    size_t size = (size_t)pair.client.said[SP_LEVEL_INITIAL];
    const uint8_t *hello = ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, 0, size);
    ops->receive(pair.server.tls, SP_LEVEL_INITIAL, hello, size);
    struct sp_tls_event fact;
    size_t secret_count = 0;
    for (ops->next(pair.server.tls, &fact); fact.kind != SP_TLS_NONE;) {
        if (fact.kind != SP_TLS_SECRET) {
            ops->next(pair.server.tls, &fact);
            continue;
        }
        struct sb_bytes secret = fact.secret;
        assert_memory_not_equal(secret.data, zeros, secret.size);
        switch (secret_count++) { /* any call does it */
        case 0:
            ops->next(pair.server.tls, &fact);
            break;
        case 1:
            (void)ops->bytes(pair.server.tls, SP_LEVEL_INITIAL, 0, 1);
            break;
        default:
            ops->drop(pair.server.tls, SP_LEVEL_EARLY);
            break;
        }
        assert_memory_equal(secret.data, zeros, secret.size);
        if (secret_count > 1)
            ops->next(pair.server.tls, &fact);
    }
    assert_int_equal(secret_count, 3);
}

/* [RFC9001 4.1.3] Not an error of TLS: bytes after the last message of a level. */
static void bytes_after_the_end_of_a_level_are_excess(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        for (size_t extra = 1; extra <= 10; extra++) {
            struct qt_tls_args args = qt_tls_args();
            struct qt_tls_pair pair;
            qt_tls_open(&pair, &args);
            size_t size = (size_t)pair.client.said[SP_LEVEL_INITIAL];
            uint8_t *bytes = calloc(1, size + extra);
            memcpy(bytes, ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, 0, size), size);
            size_t first = is_late ? size : size + extra;
            qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, bytes, first);
            if (is_late) {
                assert_int_equal(pair.server.alert, -1);
                qt_tls_inject(&pair.server, SP_LEVEL_INITIAL, bytes + size, extra);
            }
            assert_true(pair.server.is_excess);
            free(bytes);
            qt_tls_close(&pair);
        }
    }
}

static void bytes_after_finished_are_excess(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        struct qt_tls_args args = qt_tls_args();
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        while (pair.client.said[SP_LEVEL_HANDSHAKE] == 0)
            assert_true(qt_tls_step(&pair));
        size_t size = (size_t)pair.client.said[SP_LEVEL_HANDSHAKE];
        uint8_t bytes[200] = {0};
        assert_true(size < sizeof(bytes));
        memcpy(bytes, ops->bytes(pair.client.tls, SP_LEVEL_HANDSHAKE, 0, size), size);
        qt_tls_inject(&pair.server, SP_LEVEL_HANDSHAKE, bytes, is_late ? size : size + 1);
        assert_int_equal(pair.server.is_complete, is_late);
        if (is_late)
            qt_tls_inject(&pair.server, SP_LEVEL_HANDSHAKE, bytes + size, 1);
        assert_true(pair.server.is_excess);
        qt_tls_close(&pair);
    }
}

/* After the handshake OpenSSL looks at CRYPTO data only when it is asked to read. */
static void tickets_are_taken_and_what_follows_is_still_checked(void **state)
{
    (void)state;
    for (size_t step = 0; step < 3; step++) {
        struct qt_tls_args args = qt_tls_args();
        args.server.ticket_count = 3;
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        pair.step_max = step;
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair); /* no alert */
        assert_true(pair.server.delivered[SP_LEVEL_APP] > 100);
        /* A ticket that is too short: whoever reads it notices. */
        qt_tls_inject(&pair.client, SP_LEVEL_APP, "\x04\0\0\x02\0\0", 6);
        assert_int_equal(pair.client.alert, 50); /* decode_error */
        qt_tls_close(&pair);
    }
}

/* [RFC9001 4.4, 6] */
static void what_quic_forbids_after_the_handshake_is_an_alert(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } messages[] = {
        {"\x18\0\0\x01\0", 5},       /* KeyUpdate */
        {"\x18\0\0\x01\x01", 5},     /* KeyUpdate that asks for another */
        {"\x0d\0\0\x03\0\0\0", 7},   /* CertificateRequest */
        {"\x01\0\0\x04\0\0\0\0", 8}, /* ClientHello: renegotiation */
        {"\x14\0\0\x04\0\0\0\0", 8}, /* another Finished */
    };
    for (size_t i = 0; i < QT_COUNT(messages); i++) {
        for (int is_server = 0; is_server < 2; is_server++) {
            struct qt_tls_args args = qt_tls_args();
            struct qt_tls_pair pair;
            qt_tls_open(&pair, &args);
            qt_tls_run(&pair);
            qt_tls_assert_complete(&pair);
            struct qt_tls_end *end = is_server ? &pair.server : &pair.client;
            for (size_t at = 0; at < messages[i].size && end->alert < 0; at++)
                qt_tls_inject(end, SP_LEVEL_APP, messages[i].bytes + at, 1);
            assert_int_equal(end->alert, UNEXPECTED_MESSAGE);
            assert_false(end->is_excess);
            assert_non_null(sc_tls_error(end->tls));
            qt_tls_close(&pair);
        }
    }
}

/* A client that rests has no OpenSSL: it follows the messages, ignores tickets, in pieces of any
 * size, and refuses all else as before.  [RFC8446 4.6.1; RFC9001 4.4, 6] */
static void a_resting_client_ignores_tickets_and_refuses_the_rest(void **state)
{
    (void)state;
    static const char ticket[] = "\x04\0\0\x05"
                                 "abcde";
    static const uint8_t types[] = {0x18, 0x0d, 0x01, 0x14, 0x00, 0xff};
    for (size_t i = 0; i < QT_COUNT(types); i++) {
        for (int is_server = 0; is_server < 2; is_server++) {
            struct qt_tls_args args = qt_tls_args();
            struct qt_tls_pair pair;
            qt_tls_open(&pair, &args);
            qt_tls_run(&pair);
            qt_tls_assert_complete(&pair);
            struct qt_tls_end *end = is_server ? &pair.server : &pair.client;
            sc_tls_ops.rest(end->tls);
            sc_tls_ops.rest(end->tls); /* once more is harmless */
            assert_int_equal(sc_tls_alpn(end->tls).size, 4);
            uint8_t out[16];
            assert_int_equal(sc_tls_export(end->tls, (struct sb_bytes){(const uint8_t *)"x", 1},
                                           (struct sb_bytes){0}, out, sizeof(out)),
                             0);
            for (size_t piece = 1; piece < sizeof(ticket) && !is_server; piece++) {
                for (size_t at = 0; at < sizeof(ticket) - 1; at += piece)
                    qt_tls_inject(end, SP_LEVEL_APP, ticket + at,
                                  SB_MIN(piece, sizeof(ticket) - 1 - at));
                assert_int_equal(end->alert, -1);
            }
            uint8_t other[] = {types[i], 0, 0, 1, 0};
            for (size_t at = 0; at < sizeof(other) && end->alert < 0; at++)
                qt_tls_inject(end, SP_LEVEL_APP, other + at, 1);
            assert_int_equal(end->alert, UNEXPECTED_MESSAGE);
            assert_non_null(sc_tls_error(end->tls));
            qt_tls_close(&pair);
        }
    }
}

/* OpenSSL has the beginning of a message: it gets the end. */
static void a_client_does_not_rest_within_a_message(void **state)
{
    (void)state;
    for (size_t size = 1; size < 6; size++) {
        struct qt_tls_args args = qt_tls_args();
        struct qt_tls_pair pair;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_inject(&pair.client, SP_LEVEL_APP, "\x04\0\0\x02\0\0", size);
        sc_tls_ops.rest(pair.client.tls);
        qt_tls_inject(&pair.client, SP_LEVEL_APP, &"\x04\0\0\x02\0\0"[size], 6 - size);
        assert_int_equal(pair.client.alert, 50); /* decode_error */
        qt_tls_close(&pair);
    }
}

/* A NewSessionTicket without secrets of its own.  [RFC8446 4.6.1]  Returns its size. */
static size_t write_ticket(uint8_t *ret, bool allows_early, uint32_t early_size_max)
{
    static const uint8_t nonce[2] = {0}, ticket[16] = {1};
    enum { ID_EARLY_DATA = 42, EARLY_SIZE = 2 + 2 + 4 };
    size_t extensions_size = allows_early ? EARLY_SIZE : 0;
    size_t body_size = 4 + 4 + 1 + sizeof(nonce) + 2 + sizeof(ticket) + 2 + extensions_size;
    struct sb_writer w = sb_writer_of(ret, 4 + body_size);
    sb_writer_u32(&w, (uint32_t)NEW_SESSION_TICKET << 24 | (uint32_t)body_size);
    sb_writer_u32(&w, 3600); /* lifetime, in seconds */
    sb_writer_u32(&w, 0);    /* what its age is masked by */
    sb_writer_u8(&w, sizeof(nonce));
    sb_writer_bytes(&w, nonce, sizeof(nonce));
    sb_writer_u16(&w, sizeof(ticket));
    sb_writer_bytes(&w, ticket, sizeof(ticket));
    sb_writer_u16(&w, (uint16_t)extensions_size);
    if (allows_early) {
        sb_writer_u16(&w, ID_EARLY_DATA);
        sb_writer_u16(&w, 4);
        sb_writer_u32(&w, early_size_max);
    }
    assert_false(w.failed);
    return 4 + body_size;
}

/* [RFC9001 4.6.1] A ticket allows all of 0-RTT or none: a PROTOCOL_VIOLATION, not an alert. */
static void a_ticket_for_a_part_of_0_rtt_is_a_violation(void **state)
{
    (void)state;
    static const struct {
        bool allows_early;
        uint32_t early_size_max;
        bool is_good;
    } tickets[] = {
        {false, 0, true}, {true, UINT32_MAX, true},      {true, 0, false},
        {true, 1, false}, {true, UINT32_MAX - 1, false}, {true, 16384, false},
    };
    for (size_t i = 0; i < 2 * QT_COUNT(tickets); i++) {
        static const uint8_t params[] = {0x04, 1, 5}; /* initial_max_data */
        bool is_in_pieces = i >= QT_COUNT(tickets);
        size_t t = i % QT_COUNT(tickets);
        struct qt_tls_args args = qt_tls_args();
        args.params = (struct sb_bytes){params, sizeof(params)};
        struct qt_tls_pair pair;
        uint8_t ticket[64];
        size_t size = write_ticket(ticket, tickets[t].allows_early, tickets[t].early_size_max);
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        for (size_t at = 0; is_in_pieces && at < size - 1; at++)
            qt_tls_inject(&pair.client, SP_LEVEL_APP, ticket + at, 1);
        size_t at = is_in_pieces ? size - 1 : 0;
        qt_tls_inject(&pair.client, SP_LEVEL_APP, ticket + at, size - at);
        assert_int_equal(pair.client.is_excess, !tickets[t].is_good);
        assert_int_equal(pair.client.ticket_count, tickets[t].is_good);
        if (tickets[t].is_good)
            assert_int_equal(pair.client.alert, -1);
        else
            assert_non_null(sc_tls_error(pair.client.tls));
        qt_tls_close(&pair);
    }
}

/* Under AddressSanitizer: nothing leaks, and no callback touches what is gone. */
static void a_handshake_can_be_given_up_at_every_step(void **state)
{
    (void)state;
    static const size_t step_sizes[] = {0, 40};
    for (size_t s = 0; s < QT_COUNT(step_sizes); s++) {
        bool is_done = false;
        for (size_t steps = 0; !is_done; steps++) {
            struct qt_tls_args args = qt_tls_args();
            args.server.client_auth = SC_CLIENT_AUTH_REQUIRED;
            args.server.ca_pem = args.client.cert_pem = qt_cert();
            args.client.key_pem = qt_key();
            args.server.ticket_count = 1;
            struct qt_tls_pair pair;
            qt_tls_open(&pair, &args);
            pair.step_max = step_sizes[s];
            for (size_t i = 0; i < steps && !is_done; i++)
                is_done = !qt_tls_step(&pair);
            qt_tls_close(&pair);
        }
    }
}

static void a_handshake_can_be_given_up_before_its_facts_are_pulled(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    size_t size = (size_t)pair.client.said[SP_LEVEL_INITIAL];
    const uint8_t *hello = ops->bytes(pair.client.tls, SP_LEVEL_INITIAL, 0, size);
    ops->receive(pair.server.tls, SP_LEVEL_INITIAL, hello, size);
    struct sp_tls_event fact;
    ops->next(pair.server.tls, &fact);
    ops->next(pair.server.tls, &fact);
    qt_tls_close(&pair);

    struct sp_tls *tls;
    qt_tls_open(&pair, &args);
    assert_int_equal(sc_tls_create(pair.client_config, "localhost", &tls, NULL), 0);
    ops->destroy(tls); /* never started */
    ops->destroy(NULL);
}

/* The configuration goes when its last handshake does. */
static void a_handshake_keeps_its_configuration(void **state)
{
    (void)state;
    struct qt_tls_args args = qt_tls_args();
    struct qt_tls_pair pair;
    qt_tls_open(&pair, &args);
    owned_end(pair.client_config);
    owned_end(pair.server_config);
    pair.client_config = pair.server_config = NULL;
    qt_tls_run(&pair);
    qt_tls_assert_complete(&pair);
    assert_int_equal(sc_tls_alpn(pair.server.tls).size, 4);
    assert_string_equal(sc_tls_group(pair.server.tls), "x25519");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_message_is_said_at_its_level),
        QT_TEST(owned, the_secret_to_read_1rtt_comes_with_complete_and_not_before),
        QT_TEST(owned, the_secret_to_write_comes_first),
        QT_TEST(owned, a_secret_is_wiped_by_the_next_call),
        QT_TEST(owned, bytes_after_the_end_of_a_level_are_excess),
        QT_TEST(owned, bytes_after_finished_are_excess),
        QT_TEST(owned, tickets_are_taken_and_what_follows_is_still_checked),
        QT_TEST(owned, what_quic_forbids_after_the_handshake_is_an_alert),
        QT_TEST(owned, a_resting_client_ignores_tickets_and_refuses_the_rest),
        QT_TEST(owned, a_client_does_not_rest_within_a_message),
        QT_TEST(owned, a_ticket_for_a_part_of_0_rtt_is_a_violation),
        QT_TEST(owned, a_handshake_can_be_given_up_at_every_step),
        QT_TEST(owned, a_handshake_can_be_given_up_before_its_facts_are_pulled),
        QT_TEST(owned, a_handshake_keeps_its_configuration),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
