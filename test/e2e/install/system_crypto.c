/* SPDX-License-Identifier: MIT */
/* What a program does that uses the system's libcrypto beside libspate: before main() and after
 * it, so that an echo lies between.  It fails if the calls end in the copy inside libspate, whose
 * version may be another one: argument of the compiler SYSTEM_VERSION, "OpenSSL 3.0.17". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Declared here, as the system may have the library without its headers. */
typedef struct evp_md_st EVP_MD;
const char *OpenSSL_version(int type);
const EVP_MD *EVP_sha256(void);
int EVP_Digest(const void *data, size_t size, unsigned char *digest, unsigned int *digest_size,
               const EVP_MD *type, void *engine);

static void check(const char *when)
{
    static const unsigned char sha256_of_abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    unsigned char digest[64];
    unsigned int size = 0;
    const char *version = OpenSSL_version(0);
    if (EVP_Digest("abc", 3, digest, &size, EVP_sha256(), NULL) != 1 || size != 32 ||
        memcmp(digest, sha256_of_abc, sizeof(sha256_of_abc)) != 0 ||
        strncmp(version, SYSTEM_VERSION " ", sizeof(SYSTEM_VERSION)) != 0) {
        fprintf(stderr, "%s main(): the system's libcrypto is %s: %s\n", when, SYSTEM_VERSION,
                version);
        _Exit(7);
    }
    printf("%s main(): %s\n", when, version);
}

static void after(void)
{
    check("after");
}

__attribute__((constructor)) static void before(void)
{
    check("before");
    if (atexit(after) != 0) /* registered after libcrypto's own handler, so it runs before it */
        _Exit(7);
}
