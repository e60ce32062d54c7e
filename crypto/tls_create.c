/* SPDX-License-Identifier: MIT */
#include "crypto/tls_impl.h"

/* The beginning of a handshake, and what can be asked about it later. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "proto/base/assert.h"

static bool name_is_plausible(const char *name)
{
    enum { NAME_SIZE_MAX = 253 }; /* [RFC1035 3.1], without the dot at the end */
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        if (name[i] <= ' ' || name[i] == 0x7f || (unsigned char)name[i] > 0x7f)
            return false;
    }
    return size > 0 && size <= NAME_SIZE_MAX;
}

/* Sets the server name of a client's handshake.  `server_name` may have a dot at its end. */
static int set_server_name(const struct sc_tls *tls, const char *server_name,
                           struct sc_error *error)
{
    if (server_name == NULL) {
        if (sc_tls_config_is_insecure(tls->config))
            return 0;
        return sc_error_set(error, -EINVAL, "a server's name is needed to verify it");
    }
    char name[256];
    size_t size = strlen(server_name);
    if (size > 0 && server_name[size - 1] == '.')
        size--;
    (void)snprintf(name, sizeof(name), "%.*s", (int)SB_MIN(size, sizeof(name)), server_name);
    if (!name_is_plausible(name))
        return sc_error_set(error, -EINVAL, "'%.64s' is not a server's name", server_name);

    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool is_ip = ip != NULL;
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    /* [RFC6066 3] An address is not sent in SNI. */
    if (!is_ip && SSL_set_tlsext_host_name(tls->ssl, name) != 1)
        return sc_error_set(error, -ENOMEM, "no memory");
    if (sc_tls_config_is_insecure(tls->config))
        return 0;
    /* [RFC6125 6.4] Only what stands in subjectAltName counts, no wildcard inside a label. */
    SSL_set_hostflags(tls->ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (SSL_set1_host(tls->ssl, name) != 1) /* takes addresses too */
        return sc_error_set(error, -ENOMEM, "no memory");
    return 0;
}

int sc_tls_open(struct sc_tls *tls, struct sc_error *error)
{
    bool is_client = sc_tls_config_role(tls->config) == SP_CLIENT;
    tls->ssl = SSL_new(sc_tls_config_context(tls->config));
    bool done = tls->ssl != NULL && SSL_set_app_data(tls->ssl, &tls->alert) == 1;
    if (done && is_client)
        SSL_set_connect_state(tls->ssl);
    else if (done)
        SSL_set_accept_state(tls->ssl);
    tls->certs = sc_tls_config_certs(tls->config);
    if (!done || SSL_set_quic_tls_cbs(tls->ssl, sc_tls_callbacks, tls) != 1 ||
        !sc_tls_asking_init(tls) ||
        /* Its tickets allow all of 0-RTT then: 0xffffffff.  [RFC9001 4.6.1] */
        (sc_tls_config_accepts_early(tls->config) &&
         SSL_set_quic_tls_early_data_enabled(tls->ssl, 1) != 1))
        return sc_error_set(error, -ENOMEM, "no TLS: %s", sc_ossl_reason());
    return is_client ? set_server_name(tls, tls->peer_name, error) : 0;
}

int sc_tls_create(struct sc_tls_config *config, const char *server_name, struct sp_tls **ret,
                  struct sc_error *error)
{
    return sc_tls_create_in(NULL, config, server_name, ret, error);
}

int sc_tls_create_in(struct sc_memory *memory, struct sc_tls_config *config,
                     const char *server_name, struct sp_tls **ret, struct sc_error *error)
{
    SB_ASSERT(sc_tls_config_role(config) == SP_CLIENT || server_name == NULL);
    struct sc_tls *tls = sc_memory_take(memory, sizeof(*tls));
    if (tls == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    *tls = (struct sc_tls){.memory = memory};
    tls->config = sc_tls_config_ref(config);
    tls->alert = SC_TLS_NO_ALERT;
    int code = 0;
    if (server_name != NULL) {
        tls->peer_name = sc_memory_take_text(memory, server_name);
        if (tls->peer_name == NULL)
            code = sc_error_set(error, -ENOMEM, "no memory");
    }
    if (code == 0 && !sc_tls_events_init(&tls->events))
        code = sc_error_set(error, -ENOMEM, "no memory");
    if (code == 0)
        code = sc_tls_open(tls, error);

    struct sp_tls *opaque = (struct sp_tls *)(void *)tls;
    if (code != 0) {
        sc_tls_ops.destroy(opaque);
        return code;
    }
    *ret = opaque;
    return 0;
}

struct sb_bytes sc_tls_alpn(const struct sp_tls *tls)
{
    return sc_tls_of_const(tls)->alpn;
}

enum sp_suite sc_tls_suite(const struct sp_tls *tls)
{
    return sc_tls_of_const(tls)->events.suite;
}

const char *sc_tls_group(const struct sp_tls *tls)
{
    const char *group = sc_tls_of_const(tls)->group;
    return group == NULL ? "" : group;
}

const char *sc_tls_server_name(const struct sp_tls *tls)
{
    return sc_tls_of_const(tls)->server_name;
}

const char *sc_tls_error(const struct sp_tls *tls)
{
    return sc_tls_of_const(tls)->error;
}
