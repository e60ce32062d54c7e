/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "crypto/protect.h"
#include "crypto/retry_tag.h"
#include "crypto/self_signed.h"
#include "crypto/tls.h"
#include "proto/base/assert.h"
#include "test/sim/crypto.h"

/* One certificate for all runs of a process: making one takes longer than a run. */
static struct sc_tls_config *configs[QS_SIDES];

static const char server_name[] = "server.test";

static void make_configs(void)
{
    static const char *const alpn[] = {"sim"};
    const char *const names[] = {server_name};
    struct sc_error error;
    char *cert_pem;
    char *key_pem;
    int res = sc_self_signed(&(struct sc_self_signed_options){.names = names, .name_count = 1},
                             &cert_pem, &key_pem, &error);
    SB_ASSERT(res == 0);

    struct sc_tls_options server = {
        .role = SP_SERVER,
        .cert_pem = cert_pem,
        .key_pem = key_pem,
        .alpn = alpn,
        .alpn_count = 1,
        .ticket_count = 2,
    };
    struct sc_tls_options client = {
        .role = SP_CLIENT,
        .ca_pem = cert_pem,
        .alpn = alpn,
        .alpn_count = 1,
    };
    res = sc_tls_config_create(&server, &configs[SP_SERVER], &error);
    SB_ASSERT(res == 0);
    res = sc_tls_config_create(&client, &configs[SP_CLIENT], &error);
    SB_ASSERT(res == 0);
    sc_self_signed_free(cert_pem);
    sc_self_signed_free(key_pem);
}

void qs_crypto_real_deinit(void)
{
    for (int role = 0; role < QS_SIDES; role++) {
        sc_tls_config_unref(configs[role]);
        configs[role] = NULL;
    }
}

static struct sp_tls *make_real_tls(const struct qs_crypto *crypto, enum sp_role role,
                                    uint64_t seed)
{
    (void)crypto;
    (void)seed;
    struct sp_tls *tls;
    struct sc_error error;
    int res = sc_tls_create(configs[role], role == SP_CLIENT ? server_name : NULL, &tls, &error);
    return res == 0 ? tls : NULL;
}

struct qs_crypto qs_crypto_real(const struct qs_plan *plan)
{
    if (configs[SP_CLIENT] == NULL)
        make_configs();
    return (struct qs_crypto){
        .protect = sc_protect(sc_fused_best()),
        .tls_ops = &sc_tls_ops,
        .make_tls = make_real_tls,
        .retry_tag = sc_retry_tag_make,
        .plan = plan,
    };
}
