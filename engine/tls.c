/* SPDX-License-Identifier: MIT */
#include "engine/tls.h"

/* The public face of crypto/: options are translated, nothing else happens here. */

#include <errno.h>
#include <stdlib.h>

#include "crypto/self_signed.h"
#include "crypto/tls_config.h"
#include "engine/config.h"
#include "engine/sized.h"
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

    const struct sc_tls_options inner = {
        .role = role,
        .cert_file = options->cert_file,
        .cert_pem = options->cert_pem,
        .key_file = options->key_file,
        .key_pem = options->key_pem,
        .ca_file = options->ca_file,
        .ca_pem = options->ca_pem,
        .insecure = options->insecure,
        .client_auth = (enum sc_client_auth)options->client_auth,
        .alpn = options->alpn,
        .alpn_count = options->alpn_count,
        .suites = chosen,
        .suite_count = chosen_count,
        .keylog_file = options->keylog_file,
    };
    struct spate_tls *tls = malloc(sizeof(*tls));
    if (tls == NULL)
        return -ENOMEM;
    struct sc_error reason = {.text = ""};
    result = sc_tls_config_create(&inner, &tls->config, &reason);
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
