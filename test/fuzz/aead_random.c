/* SPDX-License-Identifier: MIT */
/* The fused AES-GCM against OpenSSL's, over random packets:
 *
 *     aead_random [CASES [FIRST-SEED]]
 *
 * Each case is one packet: every length from 0 to 2,000 in turn, and now and then a long one; a
 * header, a key and a packet number at random; the plaintext in one to eight parts at any
 * alignment or in place; opened in place, into two places or downwards; then with one bit turned
 * over.  All variants that this CPU can run go through all cases, the tests' own through a quarter
 * of them.  Every buffer lies between pages that nobody may touch. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "crypto/aead_fused.h"
#include "test/sim/random.h"
#include "test/support/fused_variants.h"
#include "test/support/gcm_reference.h"
#include "test/support/guarded.h"

enum {
    CASES = 200000,
    LENGTHS = 2001,   /* each in turn .. */
    LONG_ONE_IN = 97, /* .. but for some */
    LENGTH_MAX = 66000,
    HEADER_MAX = 1500,
    PARTS_MAX = 8,
    SAME_KEY_CASES = 16,
    SLOW_ONE_IN = 4, /* of the cases, those that the variants without instructions see */
    MASKS_MAX = 70,
    DOWN_MAX = 3000, /* bytes before a packet */
};

static const struct sc_fused *variants[QT_FUSED_VARIANTS_MAX];
static size_t variant_count;

static struct qt_guarded header_room, out_room, body_room, mask_room, down_room,
    part_rooms[PARTS_MAX];
static uint8_t plain[LENGTH_MAX];
static uint8_t sealed[LENGTH_MAX + SP_TAG_SIZE];

/* One packet, and how it is handed over. */
struct packet {
    uint64_t seed;
    struct qs_random random;
    const struct sc_fused *fused;
    const struct sc_fused_key *key;
    uint64_t pn;
    size_t size; /* of the plaintext */
    uint8_t *header;
    size_t header_size;
    uint8_t *data; /* where it is sealed to and opened from */
};

static void check(const struct packet *p, bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not ok - %s: %s, %zu bytes: aead_random 1 %llu\n", p->fused->name, what,
            p->size, (unsigned long long)p->seed);
    exit(1);
}

static uint32_t below(struct packet *p, uint64_t bound)
{
    return (uint32_t)qs_random_below(&p->random, bound);
}

static void seal(struct packet *p)
{
    struct sb_bytes parts[PARTS_MAX];
    size_t count = 1 + below(p, PARTS_MAX);
    bool in_place = below(p, 4) == 0; /* the first part, which may be all */
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        size_t left = p->size - from;
        /* Short ones, as frame heads are, and any. */
        size_t most = below(p, 2) == 0 ? SB_MIN(left, (size_t)40) : left;
        size_t size = i + 1 == count ? left : below(p, most + 1);
        uint8_t *at =
            i == 0 && in_place ? p->data : qt_guarded_place(&part_rooms[i], size, below(p, 90));
        memcpy(at, plain + from, size);
        parts[i] = (struct sb_bytes){.data = at, .size = size};
        from += size;
    }
    p->fused->seal(p->key, &(struct sp_seal){
                               .pn = p->pn,
                               .header = p->header,
                               .header_size = p->header_size,
                               .parts = parts,
                               .part_count = count,
                               .out = p->data,
                           });
    check(p, memcmp(p->data, sealed, p->size + SP_TAG_SIZE) == 0, "sealed bytes");
    check(p, qt_guarded_is_whole(&out_room, p->data, p->size + SP_TAG_SIZE), "seal stays inside");
}

static struct sp_open open_of(struct packet *p, uint8_t **ret_body)
{
    bool is_split = below(p, 2) == 0;
    size_t head_size = below(p, 2) == 0 ? below(p, p->size + 1) : below(p, SB_MIN(p->size, 64) + 1);
    *ret_body = qt_guarded_place(&body_room, p->size - head_size, below(p, 90));
    return (struct sp_open){
        .pn = p->pn,
        .header = p->header,
        .header_size = p->header_size,
        .data = p->data,
        .size = p->size + SP_TAG_SIZE,
        .body = is_split ? *ret_body : NULL,
        .head_size = head_size,
    };
}

static void open_it(struct packet *p)
{
    uint8_t *body;
    struct sp_open packet = open_of(p, &body);
    p->fused->open(p->key, &packet, 1);
    check(p, packet.is_authentic, "opens");
    size_t head_size = packet.body == NULL ? p->size : packet.head_size;
    check(p, memcmp(p->data, plain, head_size) == 0, "opened bytes");
    check(p, memcmp(body, plain + head_size, p->size - head_size) == 0, "bytes of the body");
    check(p, memcmp(p->data + p->size, sealed + p->size, SP_TAG_SIZE) == 0, "open leaves the tag");
    check(p, qt_guarded_is_whole(&out_room, p->data, p->size + SP_TAG_SIZE), "open stays inside");
    check(p, qt_guarded_is_whole(&body_room, body, p->size - packet.head_size),
          "open stays inside the body");
}

/* Turns one bit over in packet, header or nonce. */
static void open_forged(struct packet *p)
{
    uint8_t *body;
    struct sp_open packet = open_of(p, &body);
    struct sc_fused_key other;
    const struct sc_fused_key *key = p->key;
    memcpy(p->data, sealed, p->size + SP_TAG_SIZE);
    uint8_t bit = (uint8_t)(1u << below(p, 8));
    uint32_t where = below(p, 8);
    size_t header_at = below(p, p->header_size);
    if (where == 0) {
        p->header[header_at] ^= bit;
    } else if (where == 1) {
        packet.pn ^= UINT64_C(1) << below(p, 62);
    } else if (where == 2) {
        other = *key;
        other.iv[below(p, SC_IV_SIZE)] ^= bit;
        key = &other;
    } else {
        size_t at = where < 5 ? p->size + below(p, SP_TAG_SIZE) : below(p, p->size + SP_TAG_SIZE);
        p->data[at] ^= bit;
    }
    uint8_t tag[SP_TAG_SIZE];
    memcpy(tag, p->data + p->size, SP_TAG_SIZE);
    p->fused->open(key, &packet, 1);
    check(p, !packet.is_authentic, "a forgery does not open");
    check(p, memcmp(tag, p->data + p->size, SP_TAG_SIZE) == 0, "its tag stays");
    size_t head_size = packet.body == NULL ? p->size : packet.head_size;
    for (size_t i = 0; i < p->size; i++)
        check(p, (i < head_size ? p->data[i] : body[i - head_size]) == 0, "it shows nothing");
    if (where == 0)
        p->header[header_at] ^= bit;
}

/* The body overlaps the packet from below. */
static void open_down(struct packet *p)
{
    uint8_t head[40];
    size_t before = below(p, below(p, 2) == 0 ? 64 : DOWN_MAX) + p->header_size;
    size_t size = before + p->size + SP_TAG_SIZE;
    size_t head_size = below(p, SB_MIN(p->size, sizeof(head)) + 1);
    uint8_t *room = qt_guarded_place(&down_room, size, below(p, 90));
    uint8_t *data = room + before;
    uint8_t *body = room + below(p, before + head_size + 1);
    memset(room, 0x5a, before);
    memcpy(data - p->header_size, p->header, p->header_size);
    memcpy(data, sealed, p->size + SP_TAG_SIZE);
    bool is_forged = below(p, 4) == 0;
    data[below(p, p->size + 1)] ^= is_forged;
    struct sp_open packet = {
        .pn = p->pn,
        .header = data - p->header_size,
        .header_size = p->header_size,
        .data = data,
        .size = p->size + SP_TAG_SIZE,
        .body = body,
        .head = head,
        .head_size = head_size,
    };
    uint8_t tag[SP_TAG_SIZE];
    memcpy(tag, data + p->size, SP_TAG_SIZE);
    p->fused->open(p->key, &packet, 1);
    check(p, packet.is_authentic == !is_forged, "opens downwards");
    check(p, memcmp(data + p->size, tag, SP_TAG_SIZE) == 0, "open leaves the tag");
    check(p, qt_guarded_is_whole(&down_room, room, size), "open stays inside");
    for (size_t i = 0; room + i < SB_MIN(body, data - p->header_size); i++)
        check(p, room[i] == 0x5a, "open stays behind the place of the body");
    if (is_forged)
        return;
    check(p, memcmp(head, plain, head_size) == 0, "the head");
    check(p, memcmp(body, plain + head_size, p->size - head_size) == 0, "the body further down");
}

static void peek(struct packet *p)
{
    uint8_t *body;
    struct sp_open packet = open_of(p, &body);
    memcpy(p->data, sealed, p->size + SP_TAG_SIZE);
    size_t size = below(p, SB_MIN(p->size, (size_t)SP_PEEK_SIZE_MAX) + 1);
    uint8_t *ret = qt_guarded_place(&body_room, size, below(p, 90));
    p->fused->peek(p->key, &packet, size, ret);
    check(p, memcmp(ret, plain, size) == 0, "peeked bytes");
    check(p, memcmp(p->data, sealed, p->size + SP_TAG_SIZE) == 0, "peek changes nothing");
    check(p, qt_guarded_is_whole(&body_room, ret, size), "peek stays inside");
}

static void masks(struct packet *p, const uint8_t *key, size_t key_size)
{
    static const uint8_t *samples[MASKS_MAX];
    struct sc_fused_schedule schedule;
    size_t count = below(p, MASKS_MAX + 1);
    for (size_t i = 0; i < count; i++)
        samples[i] = plain + below(p, LENGTH_MAX - SP_SAMPLE_SIZE);
    uint8_t(*ret)[SP_MASK_SIZE] =
        (void *)qt_guarded_place(&mask_room, count * SP_MASK_SIZE, below(p, 90));
    p->fused->init_schedule(&schedule, key, key_size);
    p->fused->masks(&schedule, samples, count, ret);
    check(p, qt_guarded_is_whole(&mask_room, ret[0], count * SP_MASK_SIZE), "masks stay inside");

    static EVP_CIPHER_CTX *context;
    if (context == NULL)
        context = EVP_CIPHER_CTX_new();
    int size = 0;
    check(p,
          EVP_EncryptInit_ex2(context, key_size == 32 ? EVP_aes_256_ecb() : EVP_aes_128_ecb(), key,
                              NULL, NULL) == 1,
          "the reference");
    for (size_t i = 0; i < count; i++) {
        uint8_t block[2 * SP_SAMPLE_SIZE];
        check(p, EVP_EncryptUpdate(context, block, &size, samples[i], SP_SAMPLE_SIZE) == 1,
              "the reference");
        check(p, memcmp(block, ret[i], SP_MASK_SIZE) == 0, "masks");
    }
}

static void run_case(uint64_t seed)
{
    static struct sc_fused_key keys[QT_FUSED_VARIANTS_MAX];
    static uint8_t aes_key[SC_KEY_SIZE_MAX], iv[SC_IV_SIZE];
    static size_t key_size;
    static uint64_t key_seed = UINT64_MAX;
    bool is_new = seed / SAME_KEY_CASES != key_seed;
    if (is_new) {
        struct qs_random random;
        key_seed = seed / SAME_KEY_CASES;
        qs_random_init(&random, ~key_seed);
        qs_random_bytes(&random, aes_key, sizeof(aes_key));
        qs_random_bytes(&random, iv, sizeof(iv));
        qs_random_bytes(&random, plain, sizeof(plain));
        key_size = key_seed % 2 == 0 ? 16 : 32;
        for (size_t i = 0; i < variant_count; i++)
            variants[i]->init_key(&keys[i], aes_key, key_size, iv);
    }
    struct packet p = {.seed = seed, .size = (size_t)(seed % LENGTHS), .fused = variants[0]};
    qs_random_init(&p.random, seed);
    if (below(&p, LONG_ONE_IN) == 0)
        p.size = below(&p, LENGTH_MAX + 1);
    p.header_size = 1 + below(&p, below(&p, 20) == 0 ? HEADER_MAX : 40);
    p.header = qt_guarded_place(&header_room, p.header_size, below(&p, 90));
    qs_random_bytes(&p.random, p.header, p.header_size);
    p.pn = qs_random_next(&p.random) >> (2 + below(&p, 62));
    qt_gcm_seal(aes_key, key_size, iv, p.pn, p.header, p.header_size, plain, p.size, sealed);
    const struct qs_random random = p.random;
    size_t count = seed % SLOW_ONE_IN == 0 ? variant_count : variant_count - QT_FUSED_LANES;
    for (size_t i = 0; i < count; i++) {
        p.random = random; /* the same for all */
        p.fused = variants[i];
        p.key = &keys[i];
        p.data = qt_guarded_place(&out_room, p.size + SP_TAG_SIZE, below(&p, 90));
        seal(&p);
        open_it(&p);
        open_forged(&p);
        open_down(&p);
        peek(&p);
        if (is_new)
            masks(&p, aes_key, key_size);
    }
}

int main(int argc, char **argv)
{
    uint64_t cases = argc > 1 ? strtoull(argv[1], NULL, 10) : CASES;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    variant_count = qt_fused_variants(variants);
    header_room = qt_guarded_of(HEADER_MAX + 1000);
    out_room = qt_guarded_of(LENGTH_MAX + SP_TAG_SIZE + 1000);
    body_room = qt_guarded_of(LENGTH_MAX + 1000);
    down_room = qt_guarded_of(LENGTH_MAX + SP_TAG_SIZE + HEADER_MAX + DOWN_MAX + 1000);
    mask_room = qt_guarded_of(MASKS_MAX * SP_MASK_SIZE);
    for (size_t i = 0; i < PARTS_MAX; i++)
        part_rooms[i] = qt_guarded_of(LENGTH_MAX + 1000);
    for (uint64_t seed = first; seed - first < cases; seed++)
        run_case(seed);
    for (size_t i = 0; i < variant_count; i++) {
        bool is_slow = i >= variant_count - QT_FUSED_LANES;
        printf("ok - %s: %llu packets as OpenSSL has them\n", variants[i]->name,
               (unsigned long long)(is_slow ? cases / SLOW_ONE_IN : cases));
    }
    return 0;
}
