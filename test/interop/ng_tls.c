/* SPDX-License-Identifier: MIT */
/* TLS 1.3 of the ngtcp2 peer.  The server sends a session ticket, so that the other side sees
 * CRYPTO frames after the handshake too. */

#include "test/interop/ng_tls.h"

#include <ctype.h>
#include <errno.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <string.h>

#include "test/interop/ng_resume.h"

#define RANDOM_SIZE 32

static int fail(const char *what, int error)
{
    peer_error("%s: %s", what, gnutls_strerror(error));
    return -1;
}

/* TLS 1.3 only.  The names of the command line are those of GnuTLS in small letters. */
static void write_priority(struct ng_tls *tls)
{
    const char *cipher = tls->options->cipher;
    char suite[64] = "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305";
    if (cipher != NULL) {
        snprintf(suite, sizeof(suite), "+%s", cipher);
        for (char *c = suite; *c != '\0'; c++)
            *c = (char)toupper((unsigned char)*c);
    }
    snprintf(tls->priority, sizeof(tls->priority),
             "%%DISABLE_TLS13_COMPAT_MODE:NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:%s:"
             "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1",
             suite);
}

static int load_server(struct ng_tls *tls)
{
    const struct peer_options *o = tls->options;
    int e = gnutls_certificate_set_x509_key_file(tls->credentials, o->cert_path, o->key_path,
                                                 GNUTLS_X509_FMT_PEM);
    if (e < 0)
        return fail("certificate and key", e);
    e = gnutls_session_ticket_key_generate(&tls->ticket_key);
    return e < 0 ? fail("ticket key", e) : ng_resume_init_server(tls);
}

static int load_client(struct ng_tls *tls)
{
    const struct peer_options *o = tls->options;
    if (o->ca_path == NULL)
        return 0;
    int count =
        gnutls_certificate_set_x509_trust_file(tls->credentials, o->ca_path, GNUTLS_X509_FMT_PEM);
    if (count == 0)
        count = GNUTLS_E_NO_CERTIFICATE_FOUND;
    return count < 0 ? fail(o->ca_path, count) : 0;
}

int ng_tls_init(struct ng_tls *tls, const struct peer_options *options)
{
    *tls = (struct ng_tls){.options = options};
    write_priority(tls);
    int e = gnutls_certificate_allocate_credentials(&tls->credentials);
    if (e < 0)
        return fail("credentials", e);
    if ((options->is_server ? load_server(tls) : load_client(tls)) < 0)
        return -1;
    if (options->keylog_path != NULL) {
        tls->keylog = fopen(options->keylog_path, "ae");
        if (tls->keylog == NULL) {
            peer_error("%s: %s", options->keylog_path, strerror(errno));
            return -1;
        }
    }
    return 0;
}

void ng_tls_deinit(struct ng_tls *tls)
{
    if (tls->credentials != NULL)
        gnutls_certificate_free_credentials(tls->credentials);
    gnutls_free(tls->ticket_key.data);
    ng_resume_deinit(tls);
    if (tls->keylog != NULL)
        fclose(tls->keylog);
    *tls = (struct ng_tls){0};
}

static void print_hex(FILE *file, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(file, "%02x", data[i]);
}

static int on_secret(gnutls_session_t gnutls, const char *label, const gnutls_datum_t *secret)
{
    const struct ng_tls_session *session = gnutls_session_get_ptr(gnutls);
    FILE *file = session->tls->keylog;
    gnutls_datum_t client_random;
    gnutls_datum_t server_random;
    gnutls_session_get_random(gnutls, &client_random, &server_random);
    fprintf(file, "%s ", label);
    print_hex(file, client_random.data, RANDOM_SIZE);
    fputc(' ', file);
    print_hex(file, secret->data, secret->size);
    fputc('\n', file);
    fflush(file);
    return 0;
}

static int configure_client(struct ng_tls_session *session)
{
    const struct peer_options *o = session->tls->options;
    if (ngtcp2_crypto_gnutls_configure_client_session(session->gnutls) != 0)
        return GNUTLS_E_INTERNAL_ERROR;
    ng_resume_watch(session);
    if (!o->is_insecure)
        gnutls_session_set_verify_cert(session->gnutls, o->sni, 0);
    if (o->sni == NULL)
        return 0;
    return gnutls_server_name_set(session->gnutls, GNUTLS_NAME_DNS, o->sni, strlen(o->sni));
}

static int configure_server(struct ng_tls_session *session)
{
    if (ngtcp2_crypto_gnutls_configure_server_session(session->gnutls) != 0)
        return GNUTLS_E_INTERNAL_ERROR;
    int e = ng_resume_configure_server(session);
    return e < 0 ? e
                 : gnutls_session_ticket_enable_server(session->gnutls, &session->tls->ticket_key);
}

static int configure(struct ng_tls_session *session)
{
    struct ng_tls *tls = session->tls;
    const char *alpn = tls->options->alpn;
    gnutls_datum_t protocol = {.size = (unsigned)strlen(alpn)};
    memcpy(&protocol.data, &alpn, sizeof(alpn)); /* GnuTLS only reads it, but does not say so */

    int e = gnutls_priority_set_direct(session->gnutls, tls->priority, NULL);
    if (e == 0)
        e = tls->options->is_server ? configure_server(session) : configure_client(session);
    if (e == 0)
        e = gnutls_credentials_set(session->gnutls, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    if (e == 0)
        e = gnutls_alpn_set_protocols(session->gnutls, &protocol, 1, GNUTLS_ALPN_MANDATORY);
    gnutls_session_set_ptr(session->gnutls, &session->ref);
    if (tls->keylog != NULL)
        gnutls_session_set_keylog_function(session->gnutls, on_secret);
    return e;
}

int ng_tls_session_init(struct ng_tls_session *session, struct ng_tls *tls)
{
    session->tls = tls;
    unsigned role =
        tls->options->is_server ? GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_CLIENT;
    role |= tls->options->is_early ? GNUTLS_ENABLE_EARLY_DATA : 0;
    int e = gnutls_init(&session->gnutls, role | GNUTLS_NO_END_OF_EARLY_DATA);
    if (e == 0)
        e = configure(session);
    return e < 0 ? fail("TLS session", e) : 0;
}

void ng_tls_session_deinit(struct ng_tls_session *session)
{
    if (session->gnutls != NULL)
        gnutls_deinit(session->gnutls);
    session->gnutls = NULL;
}

void ng_tls_print_cipher(const struct ng_tls_session *session)
{
    const char *name = gnutls_cipher_get_name(gnutls_cipher_get(session->gnutls));
    printf("cipher ");
    for (const char *c = name; *c != '\0'; c++)
        putchar(tolower((unsigned char)*c));
    putchar('\n');
}
