/* SPDX-License-Identifier: MIT */
/* Does a branch or an address of crypto/x25519.c depend on the private key?
 *
 * For valgrind's memcheck, which reports each branch on and each address from undefined memory: the
 * private key is marked undefined, so everything computed from it is too.
 *
 * With an argument it branches on a byte of the key, to show that such a branch is detected. */

#include <stdio.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "crypto/x25519.h"

int main(int argc, char **argv)
{
    (void)argv;
    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "this is for valgrind\n");
        return 77;
    }
    sc_x25519_init();
    for (int byte = 0; byte < 256; byte += 17) {
        uint8_t secret[SC_X25519_SIZE], public[SC_X25519_SIZE], undefined[SC_X25519_SIZE] = {0};
        memset(secret, byte, sizeof(secret));
        VALGRIND_MAKE_MEM_UNDEFINED(secret, sizeof(secret));
        if (argc > 1 && secret[3] == 1)
            puts("a branch on a secret");
        sc_x25519_public(secret, public);
        (void)VALGRIND_GET_VBITS(public, undefined, sizeof(public));
        if (undefined[0] == 0) {
            fprintf(stderr, "not ok - memcheck follows the key\n");
            return 1;
        }
    }
    if (VALGRIND_COUNT_ERRORS != 0) {
        fprintf(stderr, "not ok - memcheck has nothing to say\n");
        return 1;
    }
    puts("ok - no branch and no address depends on a private key");
    return 0;
}
