/* SPDX-License-Identifier: MIT */
/* The digests of items: what they are, and what is taken in with the right one only. */

#include "test/support/files_world.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BYTES = 5000, GMAC = 16 };

static const uint8_t key[FILES_KEY_SIZE] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};

/* By OpenSSL's interface for MACs, which the code does not use. */
static void gmac(const uint8_t *data, size_t size, uint8_t index, uint8_t ret[FILES_DIGEST_SIZE])
{
    uint8_t nonce[12] = {0, 0, 0, index};
    char cipher[] = "AES-128-GCM";
    size_t got;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "GMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce, sizeof(nonce)),
        OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_init(context, key, sizeof(key), params), 1);
    assert_int_equal(EVP_MAC_update(context, data, size), 1);
    assert_int_equal(EVP_MAC_final(context, ret, &got, FILES_DIGEST_SIZE), 1);
    assert_int_equal(got, GMAC);
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
}

static const uint8_t *make_data(void)
{
    static uint8_t data[BYTES];
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 7 / 3);
    return data;
}

static void a_digest_does_not_depend_on_how_its_bytes_come(void **state)
{
    (void)state;
    const uint8_t *data = make_data();
    struct files_hashes hashes = {.gcm = NULL};
    uint8_t wanted[FILES_DIGEST_SIZE];
    uint8_t got[FILES_DIGEST_SIZE];
    for (int kind = FILES_SHA256; kind <= FILES_GMAC; kind++) {
        struct files_hash hash;
        files_hash_init(&hash, (enum files_hash_kind)kind);
        assert_true(kind == FILES_SHA256 || files_hash_set_key(&hash, &hashes, key));
        for (uint8_t index = 0; index < 3; index++) {
            static const size_t steps[] = {1, 15, 16, 4095, BYTES};
            for (size_t i = 0; i < QT_COUNT(steps); i++) {
                assert_true(files_hash_begin(&hash, &hashes, index));
                for (size_t at = 0; at < BYTES; at += steps[i]) {
                    size_t size = BYTES - at < steps[i] ? BYTES - at : steps[i];
                    assert_true(files_hash_add(&hash, data + at, size));
                }
                assert_true(files_hash_end(&hash, got));
                if (kind == FILES_GMAC)
                    gmac(data, BYTES, index, wanted);
                else
                    (void)SHA256(data, BYTES, wanted);
                assert_memory_equal(got, wanted, files_hash_size(&hash));
            }
        }
        files_hash_deinit(&hash);
    }
    files_hashes_deinit(&hashes);
}

static void a_digest_without_a_key_is_none(void **state)
{
    (void)state;
    struct files_hashes hashes = {.gcm = NULL};
    struct files_hash hash;
    files_hash_init(&hash, FILES_GMAC);
    assert_false(files_hash_begin(&hash, &hashes, 0));
    assert_true(files_hash_set_key(&hash, &hashes, key));
    assert_false(files_hash_set_key(&hash, &hashes, key)); /* nonces would be used again */
    assert_true(files_hash_begin(&hash, &hashes, 0));
    files_hash_deinit(&hash);
    files_hashes_deinit(&hashes);
}

/* ---- Of items ---- */

static size_t put_key(uint8_t *ret)
{
    files_head_write(FILES_KEY, FILES_KEY_SIZE, ret);
    memcpy(ret + FILES_HEAD_SIZE, key, sizeof(key));
    return FILES_HEAD_SIZE + sizeof(key);
}

/* A small file, with the digest that it has at an index. */
static size_t put_file(const char *path, uint8_t index, uint8_t *ret)
{
    struct files_item item = {.kind = FILES_FILE, .mode = 0644, .size = BYTES};
    item.piece_size = item.data_size = item.extents[0].size = BYTES;
    item.extent_count = 1;
    (void)snprintf(item.path, sizeof(item.path), "%s", path);
    size_t size = files_item_write(&item, ret);
    memcpy(ret + size, make_data(), BYTES);
    gmac(make_data(), BYTES, index, ret + size + BYTES);
    return size + BYTES + GMAC;
}

static bool is_there(const char *path)
{
    struct stat status;
    return fstatat(w->root, path, &status, 0) == 0 && status.st_size == BYTES;
}

/* Sends bytes as the only ones of a stream.  Returns its answer. */
static struct files_message push(const uint8_t *data, size_t size, struct files_result *ret)
{
    struct files_message message;
    struct world_stream *stream = files_world_open_stream(0);
    files_world_tell(stream, data, size, true);
    assert_true(stream->fin);
    assert_int_equal(files_message_find(stream->bytes, stream->size, &message), 1);
    assert_true(files_result_read(&message, ret));
    return message;
}

static void items_are_taken_with_the_right_digest_only(void **state)
{
    (void)state;
    static uint8_t bytes[4 * (BYTES + FILES_ITEM_SIZE_MAX)];
    struct files_result result;
    w->conns[0].alpn = FILES_ALPN;
    size_t size = put_key(bytes);
    size += put_file("one", 0, bytes + size);
    size += put_file("two", 1, bytes + size);
    assert_int_equal(push(bytes, size, &result).type, FILES_END);
    assert_int_equal(result.index, 2);
    assert_true(is_there("one") && is_there("two"));
    /* That of another place, and each of its bits. */
    size = put_key(bytes);
    size += put_file("three", 1, bytes + size);
    assert_int_equal(push(bytes, size, &result).type, FILES_RESULT);
    assert_int_equal(result.status, FILES_CORRUPT);
    for (size_t bit = 0; bit < (size_t)8 * GMAC; bit++) {
        size = put_key(bytes);
        size += put_file("three", 0, bytes + size);
        bytes[size - 1 - bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(push(bytes, size, &result).type, FILES_RESULT);
        assert_int_equal(result.status, FILES_CORRUPT);
    }
    assert_false(is_there("three"));
}

static void a_key_comes_once_and_before_the_data(void **state)
{
    (void)state;
    static uint8_t bytes[4 * (BYTES + FILES_ITEM_SIZE_MAX)];
    struct files_result result;
    w->conns[0].alpn = FILES_ALPN;
    size_t size = put_file("one", 0, bytes); /* none */
    (void)push(bytes, size, &result);
    assert_int_equal(result.index, 0);
    size = put_key(bytes); /* a second one */
    size += put_file("two", 0, bytes + size);
    size += put_key(bytes + size);
    size += put_file("three", 1, bytes + size);
    (void)push(bytes, size, &result);
    assert_int_equal(result.index, 1);
    size = put_key(bytes); /* too short */
    files_head_write(FILES_KEY, FILES_KEY_SIZE - 1, bytes);
    size += put_file("four", 0, bytes + size - 1) - 1;
    (void)push(bytes, size, &result);
    assert_int_equal(result.index, 0);
    w->conns[0].alpn = FILES_ALPN_SHA256; /* of the other version */
    size = put_key(bytes);
    size += put_file("five", 0, bytes + size);
    (void)push(bytes, size, &result);
    assert_int_equal(result.index, 0);
    assert_true(is_there("two"));
    assert_false(is_there("one") || is_there("three") || is_there("four") || is_there("five"));
}

static void what_is_sent_has_the_digest_of_its_version(void **state)
{
    (void)state;
    files_world_make_file("file", BYTES);
    for (int kind = FILES_SHA256; kind <= FILES_GMAC; kind++) {
        struct files_message message;
        struct files_item item;
        struct files_hashes hashes = {.gcm = NULL};
        struct files_hash hash;
        uint8_t digest[FILES_DIGEST_SIZE];
        w->conns[0].alpn = kind == FILES_GMAC ? FILES_ALPN : FILES_ALPN_SHA256;
        struct world_stream *stream = files_world_open_stream(0);
        files_world_ask(stream, FILES_WANT, "file", BYTES);
        files_hash_init(&hash, (enum files_hash_kind)kind);
        const uint8_t *at = stream->bytes;
        assert_int_equal(files_message_find(at, stream->size, &message), 1);
        if (kind == FILES_GMAC) {
            assert_int_equal(message.type, FILES_KEY);
            assert_true(files_hash_set_key(&hash, &hashes, message.body));
            at = message.body + message.size;
            assert_int_equal(files_message_find(at, stream->size, &message), 1);
        }
        assert_true(files_item_read(&message, &item));
        at = message.body + message.size;
        assert_true(files_hash_begin(&hash, &hashes, 0) && files_hash_add(&hash, at, BYTES) &&
                    files_hash_end(&hash, digest));
        assert_memory_equal(at + BYTES, digest, files_hash_size(&hash));
        assert_ptr_equal(at + BYTES + files_hash_size(&hash), stream->bytes + stream->size);
        files_hash_deinit(&hash);
        files_hashes_deinit(&hashes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_does_not_depend_on_how_its_bytes_come),
        cmocka_unit_test(a_digest_without_a_key_is_none),
        cmocka_unit_test_setup_teardown(items_are_taken_with_the_right_digest_only,
                                        files_world_set_up, files_world_tear_down),
        cmocka_unit_test_setup_teardown(a_key_comes_once_and_before_the_data, files_world_set_up,
                                        files_world_tear_down),
        cmocka_unit_test_setup_teardown(what_is_sent_has_the_digest_of_its_version,
                                        files_world_set_up, files_world_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
