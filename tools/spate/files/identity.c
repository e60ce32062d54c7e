/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/identity.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/secret_file.h"

enum { IDENTITY_MAX = 64 << 10 };

static int make(const char *path, const struct spate_self_signed_options *options,
                struct spate_error *error)
{
    char *cert = NULL;
    char *key = NULL;
    int e = spate_self_signed(options, &cert, &key, error);
    if (e != 0)
        return e;
    size_t size = strlen(cert) + strlen(key);
    char *text = malloc(size + 1);
    if (text != NULL) {
        (void)snprintf(text, size + 1, "%s%s", cert, key);
        e = secret_file_write(path, text, size, false);
    } else {
        e = -ENOMEM;
    }
    secret_free(text, size);
    spate_free(cert);
    spate_free(key);
    return e == -EEXIST ? 0 : e; /* another process was faster */
}

static int read_or_make(const char *path, const struct spate_self_signed_options *options,
                        struct identity *ret, struct spate_error *error)
{
    int e = secret_file_read(path, IDENTITY_MAX, &ret->cert_pem, &ret->file_size);
    if (e == -ENOENT) {
        e = make(path, options, error);
        if (e == 0)
            e = secret_file_read(path, IDENTITY_MAX, &ret->cert_pem, &ret->file_size);
    }
    if (e != 0 && error->text[0] == 0)
        (void)snprintf(error->text, sizeof(error->text), "%s: %s", path, strerror(-e));
    return e;
}

int identity_open(struct identity *ret, const char *path,
                  const struct spate_self_signed_options *options, struct spate_error *error)
{
    *ret = (struct identity){.cert_pem = NULL};
    if (path == NULL)
        return spate_self_signed(options, &ret->cert_pem, &ret->key_pem, error);
    int e = read_or_make(path, options, ret, error);
    ret->key_pem = ret->cert_pem;
    return e;
}

void identity_close(struct identity *identity)
{
    if (identity->key_pem == identity->cert_pem) {
        secret_free(identity->cert_pem, identity->file_size);
    } else {
        spate_free(identity->cert_pem);
        spate_free(identity->key_pem);
    }
    *identity = (struct identity){.cert_pem = NULL};
}

void identity_print(const struct identity *identity)
{
    const char *pem = identity->cert_pem;
    char fingerprint[FINGERPRINT_SIZE];
    BIO *bio = pem != NULL ? BIO_new_mem_buf(pem, -1) : NULL;
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int size = certificate != NULL ? i2d_X509(certificate, &der) : -1;
    if (size > 0) {
        known_fingerprint(der, (size_t)size, fingerprint);
        printf("fingerprint %s\n", fingerprint);
    }
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(bio);
}
