/* SPDX-License-Identifier: MIT */
#include "bench/load/bare.h"

/* Each side's steps are timed by the thread's own CPU clock, so that what else runs on the CPU is
 * not in it.  A look at it costs 0.2 us, and there are six a handshake. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <spate/tls.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"

enum { FLIGHT_SIZE_MAX = 65536, WARMUP_COUNT = 50, NAME_SIZE = 5 };

static const unsigned char alpn[NAME_SIZE] = {4, 'p', 'e', 'r', 'f'};

struct bench {
    SSL_CTX *contexts[2]; /* the server's, the client's */
    uint64_t spent_ns[2];
    unsigned char flight[FLIGHT_SIZE_MAX]; /* what one says to the other */
};

enum { SERVER, CLIENT };

static uint64_t cpu_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool fail(struct failure *failure, const char *step)
{
    char text[128];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return failure_set(failure, "bare TLS: %s: %s", step, text);
}

static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                       const unsigned char *offered, unsigned int offered_size, void *arg)
{
    (void)ssl, (void)arg;
    if (offered_size != NAME_SIZE || memcmp(offered, alpn, NAME_SIZE) != 0)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = offered + 1;
    *ret_size = NAME_SIZE - 1;
    return SSL_TLSEXT_ERR_OK;
}

static bool use_pem(SSL_CTX *server, SSL_CTX *client, const char *cert_pem, const char *key_pem)
{
    BIO *cert_bio = BIO_new_mem_buf(cert_pem, -1);
    BIO *key_bio = BIO_new_mem_buf(key_pem, -1);
    X509 *cert = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    bool done = cert != NULL && key != NULL && SSL_CTX_use_certificate(server, cert) == 1 &&
                SSL_CTX_use_PrivateKey(server, key) == 1 &&
                X509_STORE_add_cert(SSL_CTX_get_cert_store(client), cert) == 1;
    EVP_PKEY_free(key);
    X509_free(cert);
    BIO_free(key_bio);
    BIO_free(cert_bio);
    return done;
}

/* The load generator's certificate, or one like the one that it makes. */
static bool use_identity(struct bench *b, const struct options *o, struct failure *failure)
{
    SSL_CTX *server = b->contexts[SERVER];
    SSL_CTX *client = b->contexts[CLIENT];
    if (o->cert != NULL) {
        const char *trusted = o->ca != NULL ? o->ca : o->cert;
        X509_STORE_set_flags(SSL_CTX_get_cert_store(client), X509_V_FLAG_PARTIAL_CHAIN);
        return (SSL_CTX_use_certificate_chain_file(server, o->cert) == 1 &&
                SSL_CTX_use_PrivateKey_file(server, o->key, SSL_FILETYPE_PEM) == 1 &&
                SSL_CTX_load_verify_file(client, trusted) == 1) ||
               fail(failure, "certificate");
    }
    const struct spate_self_signed_options self = {.size = sizeof(self),
                                                   .key_type = SPATE_KEY_P256};
    struct spate_error error = {.text = ""};
    char *cert_pem = NULL;
    char *key_pem = NULL;
    if (spate_self_signed(&self, &cert_pem, &key_pem, &error) != 0)
        return failure_set(failure, "%s", error.text);
    bool done = use_pem(server, client, cert_pem, key_pem);
    spate_free(cert_pem);
    spate_free(key_pem);
    return done || fail(failure, "certificate");
}

static bool set_up(struct bench *b, const struct bare_setup *setup, struct failure *failure)
{
    char groups[] = "X25519"; /* OpenSSL's macro wants it writable */
    b->contexts[SERVER] = SSL_CTX_new(TLS_server_method());
    b->contexts[CLIENT] = SSL_CTX_new(TLS_client_method());
    for (int i = 0; i < 2; i++) {
        SSL_CTX *context = b->contexts[i];
        if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
            SSL_CTX_set1_groups_list(context, groups) != 1 ||
            SSL_CTX_set_ciphersuites(context, setup->cipher) != 1)
            return fail(failure, "set-up");
        (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        (void)SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
        (void)SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    SSL_CTX_set_alpn_select_cb(b->contexts[SERVER], select_alpn, NULL);
    SSL_CTX_set_verify(b->contexts[CLIENT],
                       setup->options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_num_tickets(b->contexts[SERVER], 0) != 1 ||
        SSL_CTX_set_alpn_protos(b->contexts[CLIENT], alpn, NAME_SIZE) != 0)
        return fail(failure, "set-up");
    return use_identity(b, setup->options, failure);
}

static SSL *open_side(struct bench *b, int side, const char *name)
{
    SSL *ssl = SSL_new(b->contexts[side]);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    SSL_set_bio(ssl, in, out); /* which owns them now */
    if (side == SERVER) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    char sni[256]; /* the macro takes the constant away, of which clang warns */
    (void)snprintf(sni, sizeof(sni), "%s", name);
    (void)SSL_set_tlsext_host_name(ssl, sni);
    (void)SSL_set1_host(ssl, name);
    return ssl;
}

/* Hands over what the other said, lets OpenSSL work, and takes what it says. */
static int step(struct bench *b, SSL *ssl, int size, bool *ret_is_done)
{
    if (size > 0 && BIO_write(SSL_get_rbio(ssl), b->flight, size) != size)
        return -1;
    int result = SSL_do_handshake(ssl);
    if (result != 1 && SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ)
        return -1;
    *ret_is_done = result == 1;
    int said = BIO_read(SSL_get_wbio(ssl), b->flight, sizeof(b->flight));
    return said > 0 ? said : 0;
}

static bool handshake(struct bench *b, const char *name, struct failure *failure)
{
    SSL *sides[2] = {NULL, NULL};
    bool are_done[2] = {false, false};
    int size = 0;
    int side = CLIENT;
    uint64_t before_ns = cpu_now_ns();
    while (size >= 0 && !(are_done[SERVER] && are_done[CLIENT])) {
        if (sides[side] == NULL)
            sides[side] = open_side(b, side, name);
        size = sides[side] == NULL ? -1 : step(b, sides[side], size, &are_done[side]);
        if (side == SERVER && are_done[SERVER]) {
            SSL_free(sides[SERVER]);
            sides[SERVER] = NULL;
        }
        uint64_t now_ns = cpu_now_ns();
        b->spent_ns[side] += now_ns - before_ns;
        before_ns = now_ns;
        side = side == SERVER ? CLIENT : SERVER;
    }
    SSL_free(sides[SERVER]);
    SSL_free(sides[CLIENT]);
    b->spent_ns[CLIENT] += cpu_now_ns() - before_ns;
    return size >= 0 || fail(failure, "handshake");
}

static bool measure(struct bench *b, const struct bare_setup *setup, struct bare *ret,
                    struct failure *failure)
{
    const char *name = setup->options->name != NULL ? setup->options->name : "localhost";
    uint64_t count = 0;
    if (!set_up(b, setup, failure))
        return false;
    for (int i = 0; i < WARMUP_COUNT; i++)
        if (!handshake(b, name, failure))
            return false;
    b->spent_ns[SERVER] = 0;
    b->spent_ns[CLIENT] = 0;
    uint64_t end_ns = clock_now_ns() + setup->duration_ns;
    do {
        if (!handshake(b, name, failure))
            return false;
        count++;
    } while (clock_now_ns() < end_ns);
    ret->server_us = (double)b->spent_ns[SERVER] / 1e3 / (double)count;
    ret->client_us = (double)b->spent_ns[CLIENT] / 1e3 / (double)count;
    return true;
}

bool bare_measure(const struct bare_setup *setup, struct bare *ret, struct failure *failure)
{
    struct bench *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return failure_set(failure, "out of memory");
    bool is_good = measure(b, setup, ret, failure);
    SSL_CTX_free(b->contexts[SERVER]);
    SSL_CTX_free(b->contexts[CLIENT]);
    free(b);
    return is_good;
}
