/* SPDX-License-Identifier: MIT */
#include "crypto/ossl_error.h"

/* From OpenSSL's error queue, and from our own checks, to one line of text. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

int sc_error_set(struct sc_error *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    for (char *c = error->text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    return code;
}

const char *sc_ossl_reason(void)
{
    static _Thread_local char text[128];
    const char *data = NULL;
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    else if (ERR_GET_LIB(code) == ERR_LIB_USER && (flags & ERR_TXT_STRING) != 0)
        reason = data; /* we raised it */
    (void)snprintf(text, sizeof(text), "%s", reason == NULL ? "no reason given" : reason);
    ERR_clear_error();
    return text;
}

const char *sc_ossl_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}
