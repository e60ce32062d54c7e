/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "crypto/protect.h"
#include "crypto/retry_tag.h"
#include "crypto/self_signed.h"
#include "crypto/tls.h"
#include "crypto/tls_ask.h"
#include "proto/base/assert.h"
#include "test/sim/crypto.h"

/* One certificate for all runs of a process: making one takes longer than a run. */
static struct sc_tls_config *configs[2][QS_SIDES]; /* [waits for answers] */
static struct sc_cert *remote_cert;
static EVP_PKEY *remote_key;

static const char server_name[] = "server.test";

/* Signs by ECDSA with SHA-256, as a service that has the key would. */
static void sign(struct sp_tls *tls, const struct sc_ask *ask)
{
    uint8_t signature[128];
    size_t size = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_signed = EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, remote_key) == 1 &&
                     EVP_DigestSign(context, signature, &size, ask->data.data, ask->data.size) == 1;
    SB_ASSERT(is_signed);
    EVP_MD_CTX_free(context);
    int res = sc_tls_answer_sign(tls, (struct sb_bytes){signature, size});
    SB_ASSERT(res == 0);
}

static void answer_real(struct sp_tls *tls)
{
    struct sc_ask ask;
    int res = sc_tls_ask(tls, &ask);
    SB_ASSERT(res == 0);
    switch (ask.kind) {
    case SC_ASK_NONE:
        break;
    case SC_ASK_CERT:
        res = sc_tls_answer_cert(tls, remote_cert);
        break;
    case SC_ASK_SIGN:
        sign(tls, &ask);
        break;
    case SC_ASK_VERIFY:
        res = sc_tls_answer_verify(tls, 0, NULL);
        break;
    }
    SB_ASSERT(res == 0);
}

/* Makes the pair that waits for answers: the server for its certificate and each signature, the
 * client for a verdict. */
static void make_waiting(struct sc_tls_options server, struct sc_tls_options client)
{
    struct sc_error error;
    const struct sc_cert_options options = {.cert_pem = server.cert_pem, .is_remote = true};
    int res = sc_cert_create(&options, &remote_cert, &error);
    SB_ASSERT(res == 0);
    BIO *bio = BIO_new_mem_buf(server.key_pem, -1);
    remote_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    SB_ASSERT(remote_key != NULL);
    BIO_free(bio);

    server.cert_pem = NULL;
    server.key_pem = NULL;
    server.asks_cert = true;
    client.verify = SC_VERIFY_ASK_AFTER;
    res = sc_tls_config_create(&server, &configs[1][SP_SERVER], &error);
    SB_ASSERT(res == 0);
    res = sc_tls_config_create(&client, &configs[1][SP_CLIENT], &error);
    SB_ASSERT(res == 0);
}

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
        .accepts_early = true,
    };
    struct sc_tls_options client = {
        .role = SP_CLIENT,
        .ca_pem = cert_pem,
        .alpn = alpn,
        .alpn_count = 1,
    };
    res = sc_tls_config_create(&server, &configs[0][SP_SERVER], &error);
    SB_ASSERT(res == 0);
    res = sc_tls_config_create(&client, &configs[0][SP_CLIENT], &error);
    SB_ASSERT(res == 0);
    make_waiting(server, client);
    sc_self_signed_free(cert_pem);
    sc_self_signed_free(key_pem);
}

void qs_crypto_real_deinit(void)
{
    for (int i = 0; i < 2 * QS_SIDES; i++) {
        sc_tls_config_unref(configs[i / QS_SIDES][i % QS_SIDES]);
        configs[i / QS_SIDES][i % QS_SIDES] = NULL;
    }
    sc_cert_unref(remote_cert);
    EVP_PKEY_free(remote_key);
    remote_cert = NULL;
    remote_key = NULL;
}

static struct sp_tls *make_real_tls(const struct qs_crypto *crypto, enum sp_role role,
                                    uint64_t seed)
{
    (void)seed;
    bool waits = crypto->plan->tls.waits != 0;
    struct sp_tls *tls;
    struct sc_error error;
    int res =
        sc_tls_create(configs[waits][role], role == SP_CLIENT ? server_name : NULL, &tls, &error);
    return res == 0 ? tls : NULL;
}

static bool resume_real(struct sp_tls *tls, struct sb_bytes ticket, bool wants_early)
{
    return sc_tls_resume(tls, ticket, wants_early) == 0;
}

struct qs_crypto qs_crypto_real(const struct qs_plan *plan)
{
    if (configs[0][SP_CLIENT] == NULL)
        make_configs();
    return (struct qs_crypto){
        .protect = sc_protect(sc_fused_best()),
        .tls_ops = &sc_tls_ops,
        .make_tls = make_real_tls,
        .answer = answer_real,
        .resume = resume_real,
        .early_params = sc_tls_early_params,
        .is_resumed = sc_tls_is_resumed,
        .retry_tag = sc_retry_tag_make,
        .plan = plan,
    };
}
