/* SPDX-License-Identifier: MIT */
#include "engine/config/cert.h"

/* The public face of crypto/cert.h. */

#include <errno.h>
#include <stdlib.h>

#include "crypto/cert_table.h"
#include "crypto/tls_config.h"
#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "engine/config/tls.h"
#include "proto/base/assert.h"

struct spate_cert {
    struct sc_cert *inner;
};

_Static_assert(sizeof(spate_ask_function) == sizeof(void *), "POSIX: one is kept as the other");

struct sc_cert *se_cert_inner(const struct spate_cert *cert)
{
    return cert->inner;
}

struct se_ask_callback se_cert_on_sign(const struct sc_cert *cert)
{
    void *const *app = sc_cert_app(cert);
    return (struct se_ask_callback){
        .function = (spate_ask_function)(uintptr_t)app[0],
        .user = app[1],
    };
}

int spate_cert_create(const struct spate_cert_options *given, struct spate_cert **ret,
                      struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_cert_options",
        SE_SIZE_THROUGH(struct spate_cert_options, on_sign_user),
        sizeof(struct spate_cert_options),
    };
    struct spate_cert_options options = {0};
    int result = se_sized_take(&shape, given, &options, error);
    if (result != 0)
        return result;
    const struct sc_cert_options inner = {
        .cert_file = options.cert_file,
        .cert_pem = options.cert_pem,
        .key_file = options.key_file,
        .key_pem = options.key_pem,
        .key_password = options.key_password,
        .is_remote = options.on_sign != NULL,
        .app = {(void *)(uintptr_t)options.on_sign, options.on_sign_user},
    };
    struct spate_cert *cert = malloc(sizeof(*cert));
    if (cert == NULL)
        return -ENOMEM;
    struct sc_error reason = {.text = ""};
    result = sc_cert_create(&inner, &cert->inner, &reason);
    if (result != 0) {
        se_error_set(error, "%s", reason.text);
        free(cert);
        return result;
    }
    *ret = cert;
    return 0;
}

void spate_cert_destroy(struct spate_cert *cert)
{
    if (cert == NULL)
        return;
    sc_cert_unref(cert->inner);
    free(cert);
}

int se_cert_entries(const struct spate_cert_entry *entries, size_t count,
                    struct sc_cert_entry **ret)
{
    struct sc_cert_entry *inner =
        count < SIZE_MAX / sizeof(*inner) - 1 ? calloc(count + 1, sizeof(*inner)) : NULL;
    if (inner == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        inner[i].name = entries[i].name;
        inner[i].cert = entries[i].cert != NULL ? entries[i].cert->inner : NULL;
    }
    *ret = inner;
    return 0;
}

int spate_tls_set_certs(struct spate_tls *tls, const struct spate_cert_entry *entries, size_t count,
                        struct spate_error *error)
{
    struct sc_cert_entry *inner;
    int result = se_cert_entries(entries, count, &inner);
    if (result != 0) {
        se_error_set(error, "no memory for %zu certificates", count);
        return result;
    }
    struct sc_error reason = {.text = ""};
    result = sc_tls_config_set_certs(se_tls_config(tls), inner, count, &reason);
    if (result != 0)
        se_error_set(error, "%s", reason.text);
    free(inner);
    return result;
}
