/* SPDX-License-Identifier: MIT */
#ifndef QT_CIPHERS_H
#define QT_CIPHERS_H

#include "test/support/qt.h"

#include "crypto/aead_fused.h"

/* The context for sc_protect_ops: what the tests that run just now seal and open with. */
static void *qt_cipher;

/* Runs the tests with OpenSSL, and with each fused AES-GCM that this CPU can run. */
static inline int qt_run_with_each_cipher(const struct CMUnitTest *tests, size_t count)
{
    int failed = _cmocka_run_group_tests("openssl", tests, count, NULL, NULL);
    const struct sc_fused *fused;
    const char *reason = NULL;
    for (size_t i = 0; (fused = sc_fused_at(i, &reason)) != NULL; i++) {
        if (reason != NULL)
            continue;
        qt_cipher = (void *)(uintptr_t)fused;
        failed += _cmocka_run_group_tests(fused->name, tests, count, NULL, NULL);
    }
    return failed;
}

#endif
