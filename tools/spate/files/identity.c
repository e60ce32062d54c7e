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

int identity_read(const char *path, const struct spate_self_signed_options *options, char **ret_pem,
                  size_t *ret_size, struct spate_error *error)
{
    int e = secret_file_read(path, IDENTITY_MAX, ret_pem, ret_size);
    if (e == -ENOENT) {
        e = make(path, options, error);
        if (e == 0)
            e = secret_file_read(path, IDENTITY_MAX, ret_pem, ret_size);
    }
    if (e != 0 && error->text[0] == 0)
        (void)snprintf(error->text, sizeof(error->text), "%s: %s", path, strerror(-e));
    return e;
}

bool identity_fingerprint(const char *pem, char ret[FINGERPRINT_SIZE])
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int size = certificate != NULL ? i2d_X509(certificate, &der) : -1;
    if (size > 0)
        known_fingerprint(der, (size_t)size, ret);
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(bio);
    return size > 0;
}
