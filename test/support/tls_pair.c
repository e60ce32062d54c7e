/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include "test/support/tls_pair.h"

#include "test/support/owned.h"

#include <stdlib.h>

#include "crypto/protect.h"

static const struct sp_tls_ops *const ops = &sc_tls_ops;

struct identity {
    char *cert, *key;
};

static struct identity *identity(size_t number)
{
    static struct identity all[2];
    struct identity *id = &all[number];
    if (id->cert == NULL) {
        const struct sc_self_signed_options options = {.key_type = SC_KEY_P256};
        assert_int_equal(sc_self_signed(&options, &id->cert, &id->key, NULL), 0);
    }
    return id;
}

const char *qt_cert(void)
{
    return identity(0)->cert;
}

const char *qt_key(void)
{
    return identity(0)->key;
}

const char *qt_other_cert(void)
{
    return identity(1)->cert;
}

const char *qt_other_key(void)
{
    return identity(1)->key;
}

struct qt_tls_args qt_tls_args(void)
{
    static const char *const alpn[] = {"test"};
    return (struct qt_tls_args){
        .client = {.role = SP_CLIENT, .ca_pem = qt_cert(), .alpn = alpn, .alpn_count = 1},
        .server = {.role = SP_SERVER,
                   .cert_pem = qt_cert(),
                   .key_pem = qt_key(),
                   .alpn = alpn,
                   .alpn_count = 1},
    };
}

struct qt_tls_args qt_tls_args_without_cert(void)
{
    struct qt_tls_args args = qt_tls_args();
    args.server.cert_pem = NULL;
    args.server.key_pem = NULL;
    return args;
}

static void text_end(void *text)
{
    sc_self_signed_free(text);
}

static void cert_end(void *cert)
{
    sc_cert_unref(cert);
}

struct qt_identity qt_identity(enum sc_key_type type, const char *name)
{
    struct qt_identity id;
    const struct sc_self_signed_options options = {
        .key_type = type, .names = &name, .name_count = name != NULL};
    assert_int_equal(sc_self_signed(&options, &id.cert, &id.key, NULL), 0);
    (void)owned_add(id.cert, text_end);
    (void)owned_add(id.key, text_end);
    return id;
}

struct sc_cert *qt_identity_cert(const struct qt_identity *id, bool is_remote)
{
    const struct sc_cert_options options = {
        .cert_pem = id->cert,
        .key_pem = is_remote ? NULL : id->key,
        .is_remote = is_remote,
    };
    struct sc_cert *cert;
    struct sc_error error = {""};
    if (sc_cert_create(&options, &cert, &error) != 0)
        fail_msg("%s", error.text);
    return owned_add(cert, cert_end);
}

static void config_end(void *config)
{
    sc_tls_config_unref(config);
}

static void tls_end(void *tls)
{
    ops->destroy(tls);
}

static void config_create(const struct sc_tls_options *options, struct sc_tls_config **ret)
{
    struct sc_error error = {""};
    int code = sc_tls_config_create(options, ret, &error);
    if (code != 0)
        fail_msg("%d: %s", code, error.text);
    (void)owned_add(*ret, config_end);
}

void qt_tls_open(struct qt_tls_pair *pair, const struct qt_tls_args *args)
{
    static const uint8_t client_params[] = {1, 2, 3, 4, 5};
    static const uint8_t server_params[] = {9, 8, 7};
    const struct sb_bytes default_params = {server_params, sizeof(server_params)};
    const struct sb_bytes *params = args->params.data != NULL ? &args->params : &default_params;
    *pair =
        (struct qt_tls_pair){.client = {.alert = -1, .is_client = true}, .server = {.alert = -1}};
    pair->client_config = args->client_config;
    pair->server_config = args->server_config;
    if (pair->client_config == NULL)
        config_create(&args->client, &pair->client_config);
    if (pair->server_config == NULL)
        config_create(&args->server, &pair->server_config);

    const char *name = args->no_name ? NULL : args->name != NULL ? args->name : "localhost";
    assert_int_equal(
        sc_tls_create_in(args->memory, pair->client_config, name, &pair->client.tls, NULL), 0);
    (void)owned_add(pair->client.tls, tls_end);
    assert_int_equal(
        sc_tls_create_in(args->memory, pair->server_config, NULL, &pair->server.tls, NULL), 0);
    (void)owned_add(pair->server.tls, tls_end);
    if (args->ticket.data != NULL)
        assert_int_equal(sc_tls_resume(pair->client.tls, args->ticket, args->wants_early),
                         args->resume_result);
    assert_true(ops->start(pair->client.tls, client_params, sizeof(client_params)));
    assert_true(ops->start(pair->server.tls, params->data, params->size));
    qt_tls_pull(&pair->client);
    qt_tls_pull(&pair->server);
}

static void note_secret(struct qt_tls_end *end, const struct sp_tls_event *fact)
{
    assert_false(end->has_secret[fact->level][fact->is_write]);
    end->has_secret[fact->level][fact->is_write] = true;
    assert_true(fact->secret.size <= SP_SECRET_SIZE_MAX);
    memcpy(end->secrets[fact->level][fact->is_write], fact->secret.data, fact->secret.size);
    end->secret_size = fact->secret.size;
    end->suite = fact->suite;
}

void qt_tls_pull(struct qt_tls_end *end)
{
    for (;;) {
        struct sp_tls_event fact;
        ops->next(end->tls, &fact);
        if (fact.kind == SP_TLS_NONE)
            return;
        assert_true(end->fact_count < QT_FACTS_MAX);
        end->facts[end->fact_count++] = fact;
        assert_int_equal(end->alert, -1); /* nothing follows an alert */
        switch (fact.kind) {
        case SP_TLS_NONE:
            break;
        case SP_TLS_CRYPTO:
            assert_true(fact.size > 0);
            end->said[fact.level] += fact.size;
            break;
        case SP_TLS_SECRET:
            note_secret(end, &fact);
            break;
        case SP_TLS_PEER_PARAMS:
            assert_false(end->has_params);
            assert_true(fact.params.size <= sizeof(end->params));
            memcpy(end->params, fact.params.data, fact.params.size);
            end->params_size = fact.params.size;
            end->has_params = true;
            break;
        case SP_TLS_EARLY_ACCEPTED:
        case SP_TLS_EARLY_REJECTED:
            assert_false(end->has_params && end->is_client);
            end->early = fact.kind;
            break;
        case SP_TLS_TICKET:
            end->ticket_count++;
            break;
        case SP_TLS_COMPLETE:
            assert_false(end->is_complete);
            end->is_complete = true;
            break;
        case SP_TLS_EXCESS:
            end->is_excess = true;
            end->alert = fact.alert;
            break;
        case SP_TLS_ALERT:
            end->alert = fact.alert;
            break;
        case SP_TLS_WAIT:
            end->wait_count++;
            break;
        }
    }
}

void qt_tls_inject(struct qt_tls_end *end, enum sp_level level, const void *data, size_t size)
{
    /* A copy of exactly that size that is freed afterwards: AddressSanitizer reports later uses. */
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, data, size);
    ops->receive(end->tls, level, copy, size);
    free(copy);
    qt_tls_pull(end);
}

static bool deliver(struct qt_tls_end *from, struct qt_tls_end *to, size_t step_max)
{
    for (unsigned l = 0; l < SP_LEVELS; l++) {
        enum sp_level level = (enum sp_level)l;
        size_t size = (size_t)(from->said[l] - from->delivered[l]);
        bool can_read = level == SP_LEVEL_INITIAL || to->has_secret[l][false];
        if (size == 0 || !can_read || to->alert >= 0)
            continue;
        if (step_max > 0 && size > step_max)
            size = step_max;
        const uint8_t *data = ops->bytes(from->tls, level, from->delivered[l], size);
        qt_tls_inject(to, level, data, size);
        from->delivered[l] += size;
        return true;
    }
    return false;
}

bool qt_tls_step(struct qt_tls_pair *pair)
{
    return deliver(&pair->client, &pair->server, pair->step_max) ||
           deliver(&pair->server, &pair->client, pair->step_max);
}

void qt_tls_run(struct qt_tls_pair *pair)
{
    while (qt_tls_step(pair)) {
    }
}

void qt_tls_close(struct qt_tls_pair *pair)
{
    owned_end(pair->client.tls);
    owned_end(pair->server.tls);
    if (pair->client_config != NULL)
        owned_end(pair->client_config);
    if (pair->server_config != NULL)
        owned_end(pair->server_config);
}

/* What `from` seals, `to` opens. */
static void assert_same_keys(const struct qt_tls_end *from, const struct qt_tls_end *to,
                             enum sp_level level)
{
    const struct sp_protect_ops *protect = &sc_protect_ops;
    assert_true(from->has_secret[level][true] && to->has_secret[level][false]);
    struct sp_key *write = protect->key(NULL, SP_VERSION_1, from->suite, from->secrets[level][true],
                                        from->secret_size);
    struct sp_key *read =
        protect->key(NULL, SP_VERSION_1, to->suite, to->secrets[level][false], to->secret_size);
    static const uint8_t header[] = {0x40, 0};
    uint8_t packet[30 + SP_TAG_SIZE] = {5, 4, 3};
    const struct sb_bytes part = {.data = packet, .size = 30};
    protect->seal(write, &(struct sp_seal){.pn = 1,
                                           .header = header,
                                           .header_size = sizeof(header),
                                           .parts = &part,
                                           .part_count = 1,
                                           .out = packet});
    assert_true(sp_open_in_place(protect, read, 1, (struct sb_bytes){header, sizeof(header)},
                                 packet, sizeof(packet)));
    assert_int_equal(packet[2], 3);
    protect->destroy(write);
    protect->destroy(read);
}

void qt_tls_assert_complete(struct qt_tls_pair *pair)
{
    struct qt_tls_end *client = &pair->client;
    struct qt_tls_end *server = &pair->server;
    if (client->alert >= 0)
        fail_msg("client: alert %d: %s", client->alert, sc_tls_error(client->tls));
    if (server->alert >= 0)
        fail_msg("server: alert %d: %s", server->alert, sc_tls_error(server->tls));
    assert_true(client->is_complete && server->is_complete);
    assert_int_equal(client->suite, server->suite);
    static const enum sp_level levels[] = {SP_LEVEL_HANDSHAKE, SP_LEVEL_APP};
    for (size_t i = 0; i < QT_COUNT(levels); i++) {
        assert_same_keys(client, server, levels[i]);
        assert_same_keys(server, client, levels[i]);
    }
}
