/* SPDX-License-Identifier: MIT */
#include "crypto/pem.h"

/* Reading of PEM.
 *
 * Files are read as a whole by stdio, because OpenSSL's own file BIO does not report why a file
 * could not be read.  The text is wiped afterwards: it may hold a private key. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "proto/base/assert.h"

enum { FILE_SIZE_MAX = 1 << 20 }; /* a system's whole store has a quarter of that */

struct source {
    char *data;       /* ours, of a file; or NULL */
    const char *text; /* `data`, or the caller's text */
    size_t size;
    BIO *bio;
};

const char *sc_pem_name(const struct sc_pem *pem)
{
    return pem->file != NULL ? pem->file : "given as text";
}

static int read_file(const char *file, const char *what, struct source *ret, struct sc_error *error)
{
    FILE *f = fopen(file, "re");
    if (f == NULL) {
        int code = errno;
        return sc_error_set(error, -code, "cannot read %s %s: %s", what, file, strerror(code));
    }
    int code = 0;
    char *data = OPENSSL_malloc(FILE_SIZE_MAX + 1);
    size_t size = data == NULL ? 0 : fread(data, 1, FILE_SIZE_MAX + 1, f);
    if (data == NULL) {
        code = sc_error_set(error, -ENOMEM, "no memory to read %s %s", what, file);
    } else if (ferror(f)) {
        code = errno == 0 ? EIO : errno;
        code = sc_error_set(error, -code, "cannot read %s %s: %s", what, file, strerror(code));
    } else if (size > FILE_SIZE_MAX) {
        code = sc_error_set(error, -EFBIG, "%s %s is larger than 1 MB", what, file);
    }
    (void)fclose(f);
    if (code != 0) {
        OPENSSL_clear_free(data, FILE_SIZE_MAX + 1);
        return code;
    }
    ret->data = data;
    ret->size = size;
    return 0;
}

static void source_close(struct source *source)
{
    BIO_free(source->bio);
    OPENSSL_clear_free(source->data, FILE_SIZE_MAX + 1);
}

static int source_open(const struct sc_pem *pem, const char *what, struct source *ret,
                       struct sc_error *error)
{
    SB_ASSERT((pem->file == NULL) != (pem->text == NULL));
    struct source source = {0};
    if (pem->file != NULL) {
        int code = read_file(pem->file, what, &source, error);
        if (code != 0)
            return code;
    } else {
        source.size = strlen(pem->text);
        if (source.size > FILE_SIZE_MAX)
            return sc_error_set(error, -EFBIG, "%s given as text is larger than 1 MB", what);
    }
    source.text = source.data != NULL ? source.data : pem->text;
    source.bio = BIO_new_mem_buf(source.text, (int)source.size);
    if (source.bio == NULL) {
        source_close(&source);
        return sc_error_set(error, -ENOMEM, "no memory to read %s", what);
    }
    *ret = source;
    return 0;
}

struct asked {
    const char *password; /* or NULL */
    bool was_asked;
};

/* Never asks on the terminal, which is what OpenSSL does by itself. */
static int give_password(char *buffer, int size, int is_writing, void *opaque)
{
    struct asked *asked = opaque;
    (void)is_writing;
    asked->was_asked = true;
    size_t password_size = asked->password == NULL ? 0 : strlen(asked->password);
    if (asked->password == NULL || size < 0 || password_size > (size_t)size)
        return -1;
    memcpy(buffer, asked->password, password_size);
    return (int)password_size;
}

int sc_pem_read_certs(const struct sc_pem *pem, const char *what, STACK_OF(X509) * *ret,
                      struct sc_error *error)
{
    struct source source;
    int code = source_open(pem, what, &source, error);
    if (code != 0)
        return code;

    struct asked asked = {.password = NULL};
    X509 *cert;
    STACK_OF(X509) *certs = sk_X509_new_null();
    if (certs == NULL)
        code = sc_error_set(error, -ENOMEM, "no memory to read %s", what);
    ERR_clear_error();
    while (code == 0 &&
           (cert = PEM_read_bio_X509(source.bio, NULL, give_password, &asked)) != NULL) {
        if (sk_X509_push(certs, cert) <= 0) {
            X509_free(cert);
            code = sc_error_set(error, -ENOMEM, "no memory to read %s", what);
        }
    }
    if (code == 0) {
        /* The end of the file looks like an error too. */
        unsigned long last = ERR_peek_last_error();
        bool is_end =
            ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
        int count = sk_X509_num(certs);
        if (is_end && count == 0)
            code = sc_error_set(error, -EINVAL, "%s %s: there is no certificate in PEM form in it",
                                what, sc_pem_name(pem));
        else if (!is_end)
            code = sc_error_set(error, -EINVAL, "%s %s: number %d in it cannot be decoded: %s",
                                what, sc_pem_name(pem), count + 1, sc_ossl_reason());
    }
    ERR_clear_error();
    source_close(&source);
    if (code != 0) {
        sk_X509_pop_free(certs, X509_free);
        return code;
    }
    *ret = certs;
    return 0;
}

int sc_pem_read_key(const struct sc_pem *pem, EVP_PKEY **ret, struct sc_error *error)
{
    struct source source;
    int code = source_open(pem, "private key", &source, error);
    if (code != 0)
        return code;

    struct asked asked = {.password = pem->password};
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(source.bio, NULL, give_password, &asked);
    /* OpenSSL's reason for both would be "unsupported". */
    static const char mark[] = "PRIVATE KEY-----";
    bool has_key = memmem(source.text, source.size, mark, sizeof(mark) - 1) != NULL;
    if (key != NULL) {
        *ret = key;
    } else if (asked.was_asked) {
        code = sc_error_set(error, -EINVAL, "private key %s: it is encrypted; %s", sc_pem_name(pem),
                            pem->password != NULL ? "the password is wrong"
                                                  : "it must be without a passphrase");
    } else if (!has_key) {
        code = sc_error_set(error, -EINVAL,
                            "private key %s: there is no private key in PEM form in it",
                            sc_pem_name(pem));
    } else {
        code = sc_error_set(error, -EINVAL, "private key %s: it cannot be decoded: %s",
                            sc_pem_name(pem), sc_ossl_reason());
    }
    ERR_clear_error();
    source_close(&source);
    return code;
}
