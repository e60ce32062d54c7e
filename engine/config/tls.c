/* SPDX-License-Identifier: MIT */
#include "engine/config/tls.h"

/* The public face of crypto/: options are translated, nothing else happens here. */

#include <errno.h>
#include <stdlib.h>

#include "crypto/cert_table.h"
#include "crypto/self_signed.h"
#include "crypto/tls_config.h"
#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "proto/base/assert.h"

struct spate_tls {
    struct sc_tls_config *config;
};

/* Bit i of spate_tls_options.ciphers. */
static const enum sp_suite suites[] = {
    SP_SUITE_AES_128_GCM,
    SP_SUITE_AES_256_GCM,
    SP_SUITE_CHACHA20_POLY1305,
};
_Static_assert(SPATE_CIPHER_AES_128_GCM == 1 << 0 && SPATE_CIPHER_AES_256_GCM == 1 << 1 &&
                   SPATE_CIPHER_CHACHA20_POLY1305 == 1 << 2,
               "the bits are indices of the table");
_Static_assert((int)SPATE_CLIENT_AUTH_OPTIONAL == (int)SC_CLIENT_AUTH_OPTIONAL &&
                   (int)SPATE_CLIENT_AUTH_REQUIRED == (int)SC_CLIENT_AUTH_REQUIRED,
               "one is cast to the other");

struct sc_tls_config *se_tls_config(const struct spate_tls *tls)
{
    return tls->config;
}

struct se_ask_callback se_tls_on_cert(const struct sc_tls_config *config)
{
    void *const *app = sc_tls_config_app(config);
    return (struct se_ask_callback){(spate_ask_function)(uintptr_t)app[0], app[2]};
}

struct se_ask_callback se_tls_on_verify(const struct sc_tls_config *config)
{
    void *const *app = sc_tls_config_app(config);
    return (struct se_ask_callback){(spate_ask_function)(uintptr_t)app[1], app[2]};
}

/* The options about certificates and the application's functions. */
static int translate_certs(const struct spate_tls_options *options, struct sc_tls_options *ret,
                           struct spate_error *error)
{
    bool asks = options->on_verify != NULL;
    if ((unsigned)options->unknown_name > SPATE_UNKNOWN_NAME_REFUSE ||
        (unsigned)options->verify > SPATE_VERIFY_INSTEAD) {
        se_error_set(error, "unknown_name or verify has a value that does not exist");
        return -EINVAL;
    }
    if (options->verify != SPATE_VERIFY_AFTER_CHAIN && !asks) {
        se_error_set(error, "the peer is to be verified by on_verify, which is not set");
        return -EINVAL;
    }
    struct sc_cert_entry *entries;
    int result = se_cert_entries(options->certs, options->cert_count, &entries);
    if (result != 0)
        return result;
    ret->cert = options->cert != NULL ? se_cert_inner(options->cert) : NULL;
    ret->certs = entries;
    ret->cert_count = options->cert_count;
    ret->refuses_unknown = options->unknown_name == SPATE_UNKNOWN_NAME_REFUSE;
    ret->asks_cert = options->on_cert != NULL;
    ret->verify = !asks                                     ? SC_VERIFY_CHAIN
                  : options->verify == SPATE_VERIFY_INSTEAD ? SC_VERIFY_ASK_INSTEAD
                                                            : SC_VERIFY_ASK_AFTER;
    ret->keeps_peer_chain = options->keep_peer_chain;
    ret->app[0] = (void *)(uintptr_t)options->on_cert;
    ret->app[1] = (void *)(uintptr_t)options->on_verify;
    ret->app[2] = options->ask_user;
    return 0;
}

static int create(const struct spate_tls_options *given, enum sp_role role, struct spate_tls **ret,
                  struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_tls_options",
        SE_SIZE_THROUGH(struct spate_tls_options, keylog_file),
        sizeof(struct spate_tls_options),
    };
    struct spate_tls_options own = {0};
    const struct spate_tls_options *options = &own;
    int result = se_sized_take(&shape, given, &own, error);
    if (result != 0)
        return result;
    if ((options->ciphers >> SB_COUNT(suites)) != 0) {
        se_error_set(error, "ciphers has an unknown bit: 0x%x", options->ciphers);
        return -EINVAL;
    }
    enum sp_suite chosen[SB_COUNT(suites)];
    size_t chosen_count = 0;
    for (size_t i = 0; i < SB_COUNT(suites); i++)
        if ((options->ciphers >> i & 1) != 0)
            chosen[chosen_count++] = suites[i];

    struct sc_tls_options inner = {
        .role = role,
        .cert_file = options->cert_file,
        .cert_pem = options->cert_pem,
        .key_file = options->key_file,
        .key_pem = options->key_pem,
        .ca_file = options->ca_file,
        .ca_pem = options->ca_pem,
        .insecure = options->insecure,
        .verified_life_s = options->verified_life_s,
        .client_auth = (enum sc_client_auth)options->client_auth,
        .alpn = options->alpn,
        .alpn_count = options->alpn_count,
        .suites = chosen,
        .suite_count = chosen_count,
        .keylog_file = options->keylog_file,
        .ticket_count = options->ticket_count,
        .ticket_lifetime_s = options->ticket_lifetime_s,
        .ticket_keys = options->ticket_keys,
        .ticket_key_count = options->ticket_keys != NULL ? options->ticket_key_count : 0,
        .accepts_early = options->early_data,
        .strike_count = options->early_hellos_max,
        .on_early = options->on_early,
        .allow_early_context = options->early_user,
    };
    struct spate_tls *tls = malloc(sizeof(*tls));
    if (tls == NULL)
        return -ENOMEM;
    result = translate_certs(options, &inner, error);
    if (result != 0) {
        free(tls);
        return result;
    }
    struct sc_error reason = {.text = ""};
    result = sc_tls_config_create(&inner, &tls->config, &reason);
    free((void *)(uintptr_t)inner.certs);
    if (result != 0) {
        se_error_set(error, "%s", reason.text);
        free(tls);
        return result;
    }
    *ret = tls;
    return 0;
}

int spate_tls_server_create(const struct spate_tls_options *options, struct spate_tls **ret,
                            struct spate_error *error)
{
    return create(options, SP_SERVER, ret, error);
}

int spate_tls_client_create(const struct spate_tls_options *options, struct spate_tls **ret,
                            struct spate_error *error)
{
    return create(options, SP_CLIENT, ret, error);
}

void spate_tls_destroy(struct spate_tls *tls)
{
    if (tls == NULL)
        return;
    sc_tls_config_unref(tls->config);
    free(tls);
}

_Static_assert((int)SPATE_KEY_ED25519 == (int)SC_KEY_ED25519 &&
                   (int)SPATE_KEY_RSA2048 == (int)SC_KEY_RSA2048,
               "one is cast to the other");

int spate_self_signed(const struct spate_self_signed_options *given, char **ret_cert_pem,
                      char **ret_key_pem, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_self_signed_options",
        SE_SIZE_THROUGH(struct spate_self_signed_options, reserved),
        sizeof(struct spate_self_signed_options),
    };
    struct spate_self_signed_options options = {0};
    int result = se_sized_take(&shape, given, &options, error);
    if (result != 0)
        return result;
    const struct sc_self_signed_options inner = {
        .key_type = (enum sc_key_type)options.key_type,
        .names = options.names,
        .name_count = options.name_count,
        .days = options.days,
    };
    struct sc_error reason = {.text = ""};
    result = sc_self_signed(&inner, ret_cert_pem, ret_key_pem, &reason);
    if (result != 0)
        se_error_set(error, "%s", reason.text);
    return result;
}

void spate_free(char *text)
{
    sc_self_signed_free(text);
}
