/* SPDX-License-Identifier: MIT */
/* The fused AES-GCM and published vectors, which are in aes_gcm.txt. */

#include "test/support/qt.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "test/support/fused_variants.h"
#include "test/support/hex.h"

enum { VECTORS_MAX = 200, NAME_SIZE = 32, FIELD_SIZE = 1200 };

struct vector {
    char name[NAME_SIZE];
    bool is_valid;
    struct qt_hex key, nonce, header, plain, cipher, tag;
};

static struct vector vectors[VECTORS_MAX];
static size_t vector_count;
static const struct sc_fused *variants[QT_FUSED_VARIANTS_MAX];
static size_t variant_count;

static void read_vectors(const char *path)
{
    static char line[8 * FIELD_SIZE];
    static char f[6][FIELD_SIZE];
    char result[8];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#')
            continue;
        assert_true(vector_count < VECTORS_MAX);
        struct vector *v = &vectors[vector_count++];
        assert_int_equal(sscanf(line, "%31s %7s %1199s %1199s %1199s %1199s %1199s %1199s", v->name,
                                result, f[0], f[1], f[2], f[3], f[4], f[5]),
                         8);
        v->is_valid = strcmp(result, "valid") == 0;
        struct qt_hex *fields[] = {&v->key, &v->nonce, &v->header, &v->plain, &v->cipher, &v->tag};
        for (size_t i = 0; i < QT_COUNT(fields); i++)
            *fields[i] = qt_hex(strcmp(f[i], "-") == 0 ? "" : f[i]);
        assert_int_equal(v->nonce.size, SC_IV_SIZE);
        assert_int_equal(v->tag.size, SP_TAG_SIZE);
        assert_int_equal(v->plain.size, v->cipher.size);
    }
    assert_int_equal(fclose(file), 0);
}

static void seal_one(const struct sc_fused *fused, const struct vector *v)
{
    struct sc_fused_key key;
    uint8_t out[FIELD_SIZE];
    /* The vectors' text comes in one piece; ours does not. */
    size_t half = v->plain.size / 2;
    const struct sb_bytes parts[] = {
        {.data = v->plain.bytes, .size = half},
        {.data = v->plain.bytes + half, .size = v->plain.size - half},
    };
    fused->init_key(&key, v->key.bytes, v->key.size, v->nonce.bytes);
    fused->seal(&key, &(struct sp_seal){
                          .header = v->header.bytes,
                          .header_size = v->header.size,
                          .parts = parts,
                          .part_count = QT_COUNT(parts),
                          .out = out,
                      });
    assert_memory_equal(out, v->cipher.bytes, v->cipher.size);
    assert_int_equal(memcmp(out + v->cipher.size, v->tag.bytes, SP_TAG_SIZE) == 0, v->is_valid);
}

static void open_one(const struct sc_fused *fused, const struct vector *v)
{
    static const uint8_t zeros[FIELD_SIZE];
    struct sc_fused_key key;
    uint8_t data[FIELD_SIZE];
    memcpy(data, v->cipher.bytes, v->cipher.size);
    memcpy(data + v->cipher.size, v->tag.bytes, SP_TAG_SIZE);
    struct sp_open packet = {
        .header = v->header.bytes,
        .header_size = v->header.size,
        .data = data,
        .size = v->cipher.size + SP_TAG_SIZE,
    };
    fused->init_key(&key, v->key.bytes, v->key.size, v->nonce.bytes);
    fused->open(&key, &packet, 1);
    assert_int_equal(packet.is_authentic, v->is_valid);
    assert_memory_equal(data, v->is_valid ? v->plain.bytes : zeros, v->plain.size);
}

static void run_all(void (*one)(const struct sc_fused *fused, const struct vector *v))
{
    for (size_t i = 0; i < variant_count; i++) {
        for (size_t j = 0; j < vector_count; j++)
            one(variants[i], &vectors[j]);
    }
}

static void the_vectors_are_all_there(void **state)
{
    (void)state;
    size_t counts[2][2] = {{0}};
    for (size_t i = 0; i < vector_count; i++)
        counts[vectors[i].key.size == 32][vectors[i].is_valid]++;
    /* Eight of GCM's specification and 133 of Wycheproof. */
    assert_int_equal(counts[0][true] + counts[1][true], 8 + 79);
    assert_int_equal(counts[0][false] + counts[1][false], 54);
    assert_true(counts[0][true] > 20 && counts[1][true] > 20);
    assert_true(counts[0][false] > 20 && counts[1][false] > 20);
}

static void plaintexts_are_sealed_as_published(void **state)
{
    (void)state;
    run_all(seal_one);
}

static void what_is_valid_opens_and_what_is_not_does_not(void **state)
{
    (void)state;
    run_all(open_one);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_are_all_there),
        cmocka_unit_test(plaintexts_are_sealed_as_published),
        cmocka_unit_test(what_is_valid_opens_and_what_is_not_does_not),
    };

    if (argc != 2)
        return 2;
    sb_assert_handler = qt_on_assert;
    read_vectors(argv[1]);
    variant_count = qt_fused_variants(variants);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
