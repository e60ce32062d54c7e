/* SPDX-License-Identifier: MIT */
#include <spate/stats.h>

/* Which OpenSSL and liburing run, and whether updates of the system reach them.
 *
 * The versions are read at run time, because a shared library may be newer than its headers were.
 * The build decides whether a library is inside: engine/meson.build. */

#include <pthread.h>

#include "crypto/ossl_error.h"
#include "engine/config/sized.h"
#include "proto/base/compiler.h"
#include "uring/caps.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char liburing_version[24]; /* written once, under `once` */

static void ask(void)
{
    su_caps_liburing(liburing_version, sizeof(liburing_version));
}

size_t spate_libraries_sized(struct spate_library *ret, size_t count_max, size_t size)
{
    (void)pthread_once(&once, ask);
    const struct spate_library libraries[] = {
        {.name = "OpenSSL", .version = sc_ossl_version(), .is_inside = SE_OPENSSL_INSIDE},
        {.name = "liburing", .version = liburing_version, .is_inside = SE_LIBURING_INSIDE},
    };
    for (size_t i = 0; i < SB_COUNT(libraries) && i < count_max; i++)
        se_sized_give(&libraries[i], sizeof(libraries[i]), (char *)ret + i * size, size);
    return SB_COUNT(libraries);
}
