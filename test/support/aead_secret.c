/* SPDX-License-Identifier: MIT */
/* Does a branch or an address of the fused AES-GCM depend on a secret?
 *
 * For valgrind's memcheck, which reports each branch on and each address from undefined memory:
 * key, IV and plaintext are marked undefined, so everything computed from them is too.  Only the
 * result of open(), which is public, is marked defined again, where it is computed.
 *
 * Valgrind does not know VAES on wide registers, so this runs the same source with plain AES-NI.
 * With an argument it branches on a byte of the key, to show that such a branch is detected. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "test/support/aead_fused_lanes.h"

enum { SIZE_MAX_TRIED = 1500, HEADER_SIZE = 40, MASKS = 20 };

static const size_t sizes[] = {0,   1,   15,  16,  17,  64,  191,  192, 193,
                               255, 256, 257, 511, 512, 700, 1024, 1350};

static void hide(void *at, size_t size)
{
    VALGRIND_MAKE_MEM_UNDEFINED(at, size);
}

static void show(void *at, size_t size)
{
    VALGRIND_MAKE_MEM_DEFINED(at, size);
}

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not ok - %s\n", what);
    exit(1);
}

static void run_masks(const struct sc_fused *fused, const uint8_t *aes_key, size_t key_size)
{
    static uint8_t sample[SP_SAMPLE_SIZE];
    const uint8_t *samples[MASKS];
    uint8_t masks[MASKS][SP_MASK_SIZE];
    struct sc_fused_schedule schedule;
    for (size_t i = 0; i < MASKS; i++)
        samples[i] = sample;
    fused->init_schedule(&schedule, aes_key, key_size);
    fused->masks(&schedule, samples, MASKS, masks);
}

/* Seals in three parts, peeks, opens to two places, and opens a forgery. */
static void run_packet(const struct sc_fused *fused, const struct sc_fused_key *key, size_t size)
{
    static uint8_t plain[SIZE_MAX_TRIED], packet[SIZE_MAX_TRIED + SP_TAG_SIZE];
    static uint8_t body[SIZE_MAX_TRIED], header[HEADER_SIZE], peeked[SP_PEEK_SIZE_MAX];
    size_t first = size / 7;
    size_t second = size / 3;
    const struct sb_bytes parts[] = {
        {.data = plain, .size = first},
        {.data = plain + first, .size = second},
        {.data = plain + first + second, .size = size - first - second},
    };
    memset(plain, 3, sizeof(plain));
    hide(plain, sizeof(plain));
    fused->seal(key, &(struct sp_seal){
                         .pn = size,
                         .header = header,
                         .header_size = 1 + size % HEADER_SIZE,
                         .parts = parts,
                         .part_count = SB_COUNT(parts),
                         .out = packet,
                     });
    struct sp_open open = {
        .pn = size,
        .header = header,
        .header_size = 1 + size % HEADER_SIZE,
        .data = packet,
        .size = size + SP_TAG_SIZE,
        .body = body,
        .head_size = first,
    };
    fused->peek(key, &open, SB_MIN(size, (size_t)SP_PEEK_SIZE_MAX), peeked);
    fused->open(key, &open, 1);
    require(open.is_authentic, "a packet opens");
    open.pn++;
    fused->open(key, &open, 1);
    require(!open.is_authentic, "a forgery does not open");
}

int main(int argc, char **argv)
{
    (void)argv;
    static const struct sc_fused *const variants[] = {&fused_lanes_2, &fused_lanes_4};
    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "this is for valgrind\n");
        return 77;
    }
    for (size_t v = 0; v < SB_COUNT(variants); v++) {
        for (size_t key_size = 16; key_size <= 32; key_size += 16) {
            static uint8_t aes_key[SC_KEY_SIZE_MAX], iv[SC_IV_SIZE];
            struct sc_fused_key key;
            hide(aes_key, sizeof(aes_key));
            hide(iv, sizeof(iv));
            if (argc > 1 && aes_key[3] == 1)
                puts("a branch on a secret");
            variants[v]->init_key(&key, aes_key, key_size, iv);
            for (size_t i = 0; i < SB_COUNT(sizes); i++)
                run_packet(variants[v], &key, sizes[i]);
            run_masks(variants[v], aes_key, key_size);
            show(&key, sizeof(key));
        }
    }
    size_t errors = VALGRIND_COUNT_ERRORS;
    require(errors == 0, "memcheck has nothing to say");
    puts("ok - no branch and no address depends on a key, an IV or a plaintext");
    return 0;
}
