/* SPDX-License-Identifier: MIT */
/* Certificates by name, replaced and chosen late; keys elsewhere; verdicts; all of it through the
 * public API over real sockets.  RFC 8446, 4.4 and 7.5. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

static const char *const alpn[] = {"test"};

static void tls_end(void *tls)
{
    spate_tls_destroy(tls);
}

static void cert_end(void *cert)
{
    spate_cert_destroy(cert);
}

static void text_end(void *text)
{
    spate_free(text);
}

struct identity {
    char *cert, *key;
};

static struct identity make(const char *name)
{
    struct identity id;
    struct spate_self_signed_options options;
    spate_self_signed_options_init(&options);
    options.names = &name;
    options.name_count = 1;
    assert_int_equal(spate_self_signed(&options, &id.cert, &id.key, NULL), 0);
    (void)owned_add(id.cert, text_end);
    (void)owned_add(id.key, text_end);
    return id;
}

static struct spate_cert *cert_of(const struct identity *id, spate_ask_function on_sign, void *user)
{
    struct spate_cert_options options;
    struct spate_cert *cert;
    struct spate_error error = {""};
    spate_cert_options_init(&options);
    options.cert_pem = id->cert;
    options.key_pem = on_sign == NULL ? id->key : NULL;
    options.on_sign = on_sign;
    options.on_sign_user = user;
    if (spate_cert_create(&options, &cert, &error) != 0)
        fail_msg("%s", error.text);
    return owned_add(cert, cert_end);
}

static struct spate_tls_options options_of(void)
{
    struct spate_tls_options options;
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    return options;
}

struct party {
    struct pw *w;
    struct spate_tls *server, *client;
    struct sockaddr_storage address;
    socklen_t address_size;
};

static struct spate_tls *make_tls(const struct spate_tls_options *options, bool is_server)
{
    struct spate_tls *tls;
    struct spate_error error = {""};
    int result = is_server ? spate_tls_server_create(options, &tls, &error)
                           : spate_tls_client_create(options, &tls, &error);
    if (result != 0)
        fail_msg("%s", error.text);
    return owned_add(tls, tls_end);
}

static struct party *party(const struct pw_config *config, const struct spate_tls_options *server,
                           const struct spate_tls_options *client)
{
    struct party *p = owned_alloc(sizeof(*p));
    p->w = pw_create(config);
    p->server = make_tls(server, true);
    p->client = make_tls(client, false);
    struct spate_listener *listener;
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    assert_int_equal(spate_shard_listen(p->w->server.shard, (struct sockaddr *)&any, size,
                                        p->server, p, &listener, NULL),
                     0);
    assert_int_equal(spate_listener_address(listener, &p->address, &p->address_size), 0);
    return p;
}

static struct spate_conn *connect_as(struct party *p, const char *name)
{
    struct spate_conn *conn;
    struct spate_error error = {""};
    if (spate_shard_connect(p->w->client.shard, (struct sockaddr *)&p->address, p->address_size,
                            name, p->client, p, &conn, &error) != 0)
        fail_msg("%s", error.text);
    return conn;
}

static bool both_are_connected(struct pw *w)
{
    return w->client.connected_count > 0 && w->server.connected_count > 0;
}

static bool client_is_closed(struct pw *w)
{
    return w->client.closed_count > 0;
}

static bool client_is_over(struct pw *w)
{
    return w->client.closed_count > 0 || both_are_connected(w);
}

/* Asserts that the connection carries bytes and that both ends export the same. */
static void assert_works(struct party *p)
{
    pw_until(p->w, client_is_over);
    if (p->w->client.closed_count > 0)
        fail_msg("closed: %s", p->w->client.close_reason);
    uint8_t ours[40], theirs[40];
    assert_int_equal(spate_conn_export(p->w->client.conn, "EXPORTER-test", "ab", 2, ours, 40), 0);
    assert_int_equal(spate_conn_export(p->w->server.conn, "EXPORTER-test", "ab", 2, theirs, 40), 0);
    assert_memory_equal(ours, theirs, sizeof(ours));
    assert_int_equal(spate_conn_export(p->w->server.conn, "EXPORTER-test", "ac", 2, theirs, 40), 0);
    assert_true(memcmp(ours, theirs, sizeof(ours)) != 0);
    assert_int_equal(spate_conn_export(p->w->client.conn, "", NULL, 0, ours, 40), -EINVAL);
    assert_int_equal(spate_conn_export(p->w->client.conn, "x", NULL, 0, ours, 0), -EINVAL);
}

static void part(struct party *p)
{
    spate_conn_close(p->w->client.conn, 0, NULL);
    pw_until(p->w, client_is_closed);
    pw_for(p->w, 2000000);
    p->w->client.connected_count = p->w->client.closed_count = 0;
    p->w->server.connected_count = p->w->server.closed_count = 0;
}

/* ---- names ---- */

static void each_name_gets_its_certificate_and_a_change_is_for_new_handshakes(void **state)
{
    (void)state;
    struct identity a = make("a.example"), b = make("*.b.example"), c = make("*.b.example");
    const struct spate_cert_entry entries[] = {{"a.example", cert_of(&a, NULL, NULL)},
                                               {"*.b.example", cert_of(&b, NULL, NULL)}};
    char trust[16384];
    (void)snprintf(trust, sizeof(trust), "%s%s", a.cert, b.cert);
    struct spate_tls_options server = options_of(), client = options_of();
    server.certs = entries;
    server.cert_count = 2;
    server.unknown_name = SPATE_UNKNOWN_NAME_REFUSE;
    client.ca_pem = trust;
    struct party *p = party(NULL, &server, &client);
    static const char *const good[] = {"a.example", "x.b.example"};
    for (size_t i = 0; i < QT_COUNT(good); i++) {
        (void)connect_as(p, good[i]);
        assert_works(p);
        assert_string_equal(spate_conn_server_name(p->w->server.conn), good[i]);
        size_t size = 0;
        assert_non_null(spate_conn_peer_certificate(p->w->client.conn, 0, &size));
        assert_true(size > 100);
        assert_null(spate_conn_peer_certificate(p->w->client.conn, 1, &size));
        assert_null(spate_conn_peer_certificate(p->w->server.conn, 0, &size));
        part(p);
    }
    (void)connect_as(p, "c.example");
    pw_until(p->w, client_is_closed);
    assert_int_equal(p->w->client.close.error, 0x100 + 112); /* unrecognized_name */
    p->w->client.closed_count = 0;

    struct spate_error error = {""};
    const struct spate_cert_entry bad = {"no name", entries[0].cert};
    (void)connect_as(p, "x.b.example");
    assert_works(p);
    struct spate_conn *old = p->w->client.conn;
    assert_int_equal(spate_tls_set_certs(p->server, &bad, 1, &error), -EINVAL);
    assert_string_equal(error.text, "'no name' is not a server's name");
    const struct spate_cert_entry next = {"*.b.example", cert_of(&c, NULL, NULL)};
    assert_int_equal(spate_tls_set_certs(p->server, &next, 1, &error), 0);
    (void)connect_as(p, "x.b.example"); /* does not trust the new one */
    pw_until(p->w, client_is_closed);
    assert_string_equal(p->w->client.close_reason,
                        "the peer's certificate: self-signed certificate");
    uint64_t stream;
    assert_int_equal(spate_stream_open(old, true, &stream), 0); /* the old one lives on */
}

struct replacing {
    struct spate_tls *tls;
    struct spate_cert *certs[2];
    atomic_bool is_over;
    atomic_uint count;
};

static void *replace_all_the_time(void *opaque)
{
    struct replacing *r = opaque;
    while (!atomic_load(&r->is_over)) {
        unsigned i = atomic_fetch_add(&r->count, 1);
        const struct spate_cert_entry entry = {NULL, r->certs[i % 2]};
        if (spate_tls_set_certs(r->tls, &entry, 1, NULL) != 0)
            return r;
    }
    return NULL;
}

static void another_thread_may_replace_certificates_under_handshakes(void **state)
{
    (void)state;
    struct identity ids[] = {make(PW_SERVER_NAME), make(PW_SERVER_NAME)};
    struct replacing r = {.certs = {cert_of(&ids[0], NULL, NULL), cert_of(&ids[1], NULL, NULL)}};
    char trust[16384];
    (void)snprintf(trust, sizeof(trust), "%s%s", ids[0].cert, ids[1].cert);
    struct spate_tls_options server = options_of(), client = options_of();
    server.cert = r.certs[0];
    client.ca_pem = trust;
    struct party *p = party(NULL, &server, &client);
    r.tls = p->server;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, replace_all_the_time, &r), 0);
    for (int i = 0; i < 30; i++) {
        (void)connect_as(p, PW_SERVER_NAME);
        pw_until(p->w, client_is_over);
        if (p->w->client.connected_count == 0)
            break;
        part(p);
    }
    bool is_broken = p->w->client.closed_count > 0;
    atomic_store(&r.is_over, true);
    void *failed;
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_false(is_broken);
    assert_true(atomic_load(&r.count) > 1);
}

/* What a function of the application has got, and how it behaves. */
enum manner { AT_ONCE, LATER, NEVER, CLOSES };

struct asked {
    enum manner manner;
    uint32_t count;
    uint64_t conn_id;
    struct spate_shard *shard;
    char server_name[64];
    char chain_error[64];
    size_t chain_count;
    uint8_t data[200];
    size_t data_size;
    uint8_t alert;
    struct spate_cert *cert;
    const struct identity *id;
    int results[2];
    bool is_answered;
};

static void sign_and_answer(struct asked *asked)
{
    uint8_t signature[200];
    size_t size = sizeof(signature);
    BIO *bio = BIO_new_mem_buf(asked->id->key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(context, signature, &size, asked->data, asked->data_size), 1);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    asked->results[0] = spate_shard_answer_sign(asked->shard, asked->conn_id, signature, size);
    asked->results[1] = spate_shard_answer_sign(asked->shard, asked->conn_id, signature, size);
}

static void answer(struct asked *asked)
{
    struct spate_shard *shard = asked->shard;
    asked->is_answered = true;
    if (asked->data_size > 0) {
        sign_and_answer(asked);
    } else if (asked->chain_count > 0) {
        for (int i = 0; i < 2; i++)
            asked->results[i] =
                spate_shard_answer_verify(shard, asked->conn_id, asked->alert, "not today");
    } else {
        for (int i = 0; i < 2; i++)
            asked->results[i] = spate_shard_answer_cert(shard, asked->conn_id, asked->cert);
    }
}

static void on_ask(const struct spate_ask *ask, void *user)
{
    struct asked *asked = user;
    assert_true(ask->size >= sizeof(*ask));
    asked->count++;
    asked->conn_id = ask->conn_id;
    asked->shard = ask->shard;
    (void)snprintf(asked->server_name, sizeof(asked->server_name), "%s", ask->server_name);
    (void)snprintf(asked->chain_error, sizeof(asked->chain_error), "%s",
                   ask->chain_error == NULL ? "" : ask->chain_error);
    asked->chain_count = ask->chain_count;
    assert_true(ask->data_size <= sizeof(asked->data));
    asked->data_size = ask->data_size;
    if (ask->data_size > 0)
        memcpy(asked->data, ask->data, ask->data_size);
    if (asked->manner == AT_ONCE)
        answer(asked);
    if (asked->manner == CLOSES)
        spate_conn_close(spate_shard_conn(ask->shard, ask->conn_id), 7, "enough");
}

static struct asked *asks(enum manner manner)
{
    struct asked *asked = owned_alloc(sizeof(*asked));
    asked->manner = manner;
    return asked;
}

static struct asked *waited_for;

static bool is_asked(struct pw *w)
{
    (void)w;
    return waited_for->count > 0;
}

static void until_asked(struct party *p, struct asked *asked)
{
    waited_for = asked;
    pw_until(p->w, is_asked);
}

static void a_certificate_and_a_signature_may_come_later(void **state)
{
    (void)state;
    struct identity id = make(PW_SERVER_NAME);
    for (int is_late = 0; is_late < 2; is_late++) {
        struct asked *cert = asks(is_late != 0 ? LATER : AT_ONCE);
        struct asked *sign = asks(is_late != 0 ? LATER : AT_ONCE);
        cert->id = sign->id = &id;
        cert->cert = cert_of(&id, on_ask, sign);
        struct spate_tls_options server = options_of(), client = options_of();
        server.on_cert = on_ask;
        server.ask_user = cert;
        client.ca_pem = id.cert;
        struct party *p = party(NULL, &server, &client);
        (void)connect_as(p, PW_SERVER_NAME);
        until_asked(p, cert);
        assert_string_equal(cert->server_name, PW_SERVER_NAME);
        if (is_late != 0) {
            pw_for(p->w, 30000000);
            assert_int_equal(p->w->client.connected_count, 0);
            assert_int_equal(spate_shard_answer_sign(cert->shard, cert->conn_id, "x", 1), -ENOENT);
            answer(cert);
        }
        assert_int_equal(cert->results[0], 0);
        assert_int_equal(cert->results[1], -ENOENT);
        until_asked(p, sign);
        if (is_late != 0) {
            pw_for(p->w, 30000000);
            assert_int_equal(p->w->client.connected_count, 0);
            answer(sign);
        }
        assert_int_equal(sign->results[0], 0);
        assert_int_equal(sign->results[1], -ENOENT);
        assert_works(p);
        assert_int_equal(cert->count, 1);
        assert_int_equal(sign->count, 1);
    }
}

static void run_answer(struct spate_shard *shard, void *opaque)
{
    (void)shard;
    answer(opaque);
}

static void *work(void *asked)
{
    return spate_shard_post(((struct asked *)asked)->shard, run_answer, asked) == 0 ? NULL : asked;
}

static void another_thread_answers_by_a_post(void **state)
{
    (void)state;
    struct identity id = make(PW_SERVER_NAME);
    struct asked *sign = asks(LATER);
    sign->id = &id;
    struct spate_tls_options server = options_of(), client = options_of();
    server.cert = cert_of(&id, on_ask, sign);
    client.ca_pem = id.cert;
    struct party *p = party(NULL, &server, &client);
    (void)connect_as(p, PW_SERVER_NAME);
    until_asked(p, sign);
    pthread_t thread;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, work, sign), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_works(p);
    assert_int_equal(sign->results[0], 0);
}

static void short_handshake(struct spate_config *config)
{
    config->handshake_timeout_ns = UINT64_C(200000000);
}

static void an_answer_that_never_comes_ends_the_handshake_in_time(void **state)
{
    (void)state;
    struct identity id = make(PW_SERVER_NAME);
    struct asked *cert = asks(NEVER);
    struct spate_tls_options server = options_of(), client = options_of();
    server.on_cert = on_ask;
    server.ask_user = cert;
    client.ca_pem = id.cert;
    struct party *p =
        party(&(struct pw_config){.server = short_handshake, .client = short_handshake}, &server,
              &client);
    (void)connect_as(p, PW_SERVER_NAME);
    pw_until(p->w, client_is_closed);
    assert_int_equal(p->w->client.close.kind, SPATE_CLOSE_HANDSHAKE_TIMEOUT);
    pw_for(p->w, 300000000);
    assert_int_equal(cert->count, 1);
    cert->cert = cert_of(&id, NULL, NULL);
    answer(cert); /* after the connection died */
    assert_int_equal(cert->results[0], -ENOENT);
    assert_int_equal(cert->results[1], -ENOENT);
    assert_int_equal(pw_stats(&p->w->server).conns_now, 0);
}

static void a_client_decides_about_the_server(void **state)
{
    (void)state;
    struct identity id = make("other.example");
    for (int i = 0; i < 3; i++) {
        struct asked *verify = asks(i == 2 ? CLOSES : AT_ONCE);
        verify->alert = i == 1 ? 46 : 0;
        struct spate_tls_options server = options_of(), client = options_of();
        server.cert_pem = id.cert;
        server.key_pem = id.key;
        client.on_verify = on_ask;
        client.ask_user = verify;
        client.verify = SPATE_VERIFY_INSTEAD;
        client.keep_peer_chain = true;
        struct party *p = party(NULL, &server, &client);
        (void)connect_as(p, PW_SERVER_NAME);
        until_asked(p, verify);
        assert_int_equal(verify->chain_count, 1);
        assert_string_equal(verify->chain_error, "no CA certificate is given");
        if (i == 0) {
            assert_works(p);
            continue;
        }
        pw_until(p->w, client_is_closed);
        assert_int_equal(p->w->client.connected_count, 0);
        assert_string_equal(p->w->client.close_reason,
                            i == 1 ? "the application refused the peer's certificate: not today"
                                   : "enough");
        assert_int_equal(p->w->client.close.error, i == 1 ? 0x100 + 46 : 7);
        pw_for(p->w, 5000000);
        assert_int_equal(spate_shard_answer_verify(verify->shard, verify->conn_id, 0, NULL),
                         -ENOENT);
        assert_int_equal(p->w->server.connected_count, 0);
    }
}

static void a_server_decides_about_clients(void **state)
{
    (void)state;
    struct identity id = make(PW_SERVER_NAME), client_id = make("client.example");
    for (int i = 0; i < 4; i++) {
        struct asked *verify = asks(i / 2 == 0 ? AT_ONCE : LATER);
        verify->alert = i % 2 == 0 ? 0 : 42;
        struct spate_tls_options server = options_of(), client = options_of();
        server.cert_pem = id.cert;
        server.key_pem = id.key;
        server.client_auth = SPATE_CLIENT_AUTH_REQUIRED;
        server.ca_pem = client_id.cert;
        server.on_verify = on_ask;
        server.ask_user = verify;
        client.ca_pem = id.cert;
        client.cert = cert_of(&client_id, NULL, NULL);
        struct party *p = party(NULL, &server, &client);
        (void)connect_as(p, PW_SERVER_NAME);
        until_asked(p, verify);
        assert_int_equal(verify->chain_count, 1);
        assert_string_equal(verify->chain_error, "");
        if (i / 2 != 0) {
            pw_for(p->w, 30000000);
            assert_int_equal(p->w->server.connected_count, 0);
            answer(verify);
        }
        if (verify->alert == 0) {
            assert_works(p);
            size_t size = 0;
            assert_non_null(spate_conn_peer_certificate(p->w->server.conn, 0, &size));
            assert_true(size > 100);
        } else {
            pw_until(p->w, client_is_closed);
            assert_int_equal(p->w->client.close.error, 0x100 + 42);
            assert_int_equal(p->w->server.connected_count, 0);
        }
    }
}

static void a_client_chooses_its_certificate_when_it_is_asked(void **state)
{
    (void)state;
    struct identity id = make(PW_SERVER_NAME), client_id = make("client.example");
    struct asked *cert = asks(LATER);
    cert->cert = cert_of(&client_id, NULL, NULL);
    struct spate_tls_options server = options_of(), client = options_of();
    server.cert_pem = id.cert;
    server.key_pem = id.key;
    server.client_auth = SPATE_CLIENT_AUTH_REQUIRED;
    server.ca_pem = client_id.cert;
    client.ca_pem = id.cert;
    client.on_cert = on_ask;
    client.ask_user = cert;
    struct party *p = party(NULL, &server, &client);
    (void)connect_as(p, PW_SERVER_NAME);
    until_asked(p, cert);
    pw_for(p->w, 30000000);
    answer(cert);
    assert_works(p);
}

/* ---- mistakes ---- */

static void options_that_make_no_sense_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct identity id = make(PW_SERVER_NAME);
    struct spate_tls_options base = options_of(), cases[6];
    base.cert_pem = id.cert;
    base.key_pem = id.key;
    for (size_t i = 0; i < QT_COUNT(cases); i++)
        cases[i] = base;
    static const char *const errors[] = {
        "a server that asks for client certificates needs the CA certificates to trust: give a CA "
        "file",
        "the peer is to be verified by on_verify, which is not set",
        "unknown_name or verify has a value that does not exist",
        "a function is to verify the peer, which needs no certificate",
        "the certificate is given twice",
        "only a client that verifies chains can remember them, for 86400 s at most",
    };
    cases[0].client_auth = SPATE_CLIENT_AUTH_REQUIRED;
    cases[1].verify = SPATE_VERIFY_INSTEAD;
    cases[2].unknown_name = (enum spate_unknown_name)2;
    cases[3].on_verify = on_ask;
    cases[4].cert = cert_of(&id, NULL, NULL);
    cases[5].verified_life_s = 1;
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct spate_tls *tls = NULL;
        struct spate_error error = {""};
        assert_int_equal(spate_tls_server_create(&cases[i], &tls, &error), -EINVAL);
        assert_string_equal(error.text, errors[i]);
        assert_null(tls);
    }
    struct spate_cert *cert = NULL;
    assert_int_equal(spate_cert_create(NULL, &cert, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_name_gets_its_certificate_and_a_change_is_for_new_handshakes),
        QT_TEST(owned, another_thread_may_replace_certificates_under_handshakes),
        QT_TEST(owned, a_certificate_and_a_signature_may_come_later),
        QT_TEST(owned, another_thread_answers_by_a_post),
        QT_TEST(owned, an_answer_that_never_comes_ends_the_handshake_in_time),
        QT_TEST(owned, a_client_decides_about_the_server),
        QT_TEST(owned, a_server_decides_about_clients),
        QT_TEST(owned, a_client_chooses_its_certificate_when_it_is_asked),
        QT_TEST(owned, options_that_make_no_sense_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
