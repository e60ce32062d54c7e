/* SPDX-License-Identifier: MIT */
/* The messages of a hand-over: what is written is read, and nothing else is. */

#include "test/support/qt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/net/handover_wire.h"

enum {
    KIND_AT = 5,
    BODY_AT = 6,
    FORM_AT = BODY_AT + 2 * SPATE_KEY_SIZE,
    COUNT_AT_OF_KEYS = FORM_AT + 3
};
/* Of a GROUP. */
enum { FAMILY_AT = BODY_AT, PORT_AT = BODY_AT + 1, SOCKETS_AT = BODY_AT + 23 };

struct sample {
    struct se_handover_message message;
    uint32_t fd_count;
};

static struct se_handover_group group_of(const char *address, uint32_t count)
{
    struct se_handover_group group = {.count = count};
    assert_int_equal(su_address_parse(address, &group.address), 0);
    for (uint32_t i = 0; i < count; i++)
        group.sockets[i] = (struct se_handover_socket){
            .use = i % 3 == 2 ? SE_SOCKET_IDLE : SE_SOCKET_OTHER,
            .shard = (uint8_t)(i % SE_SHARDS_MAX),
            .tag = (uint8_t)(i * 7),
            .is_resting = i % 6 == 2,
        };
    return group;
}

enum { SAMPLES = 10 };

static void make_samples(struct sample *ret)
{
    memset(ret, 0, SAMPLES * sizeof(*ret));
    static const enum se_handover_kind kinds[SAMPLES] = {
        SE_HANDOVER_HELLO, SE_HANDOVER_TAKE,   SE_HANDOVER_GO,    SE_HANDOVER_TAKEN,
        SE_HANDOVER_KEYS,  SE_HANDOVER_GROUP,  SE_HANDOVER_GROUP, SE_HANDOVER_GROUP,
        SE_HANDOVER_KEYS,  SE_HANDOVER_REFUSED};
    for (uint32_t i = 0; i < SAMPLES; i++)
        ret[i].message.kind = kinds[i];
    ret[3].message.tag = 0xfe;
    ret[4].message.keys = (struct se_handover_keys){.token = {1, 2},
                                                    .reset = {3, 4},
                                                    .cid_size = 8,
                                                    .word_at = 1,
                                                    .group_count = 2,
                                                    .process_count = 1,
                                                    .tags = {9}};
    ret[5].message.group = group_of("127.0.0.1:4433", 1);
    ret[5].fd_count = 1;
    ret[6].message.group = group_of("[fe80::1%7]:65535", 5);
    ret[6].fd_count = 5;
    ret[7].message.group = group_of("[::]:1", SU_STEER_SOCKETS_MAX);
    ret[7].fd_count = SU_STEER_SOCKETS_MAX;
    ret[8].message.keys = (struct se_handover_keys){.cid_size = 20,
                                                    .word_at = 18,
                                                    .is_masked = true,
                                                    .group_count = SE_HANDOVER_GROUPS_MAX,
                                                    .process_count = SE_HANDOVER_PROCESSES_MAX,
                                                    .tags = {8, 7, 6, 5, 4, 3, 2, 1}};
    ret[8].fd_count = SE_HANDOVER_PROCESSES_MAX - 1;
    strcpy(ret[9].message.text, "no more processes");
}

static void assert_same(const struct se_handover_message *a, const struct se_handover_message *b)
{
    assert_int_equal(a->kind, b->kind);
    if (a->kind == SE_HANDOVER_KEYS) {
        assert_memory_equal(&a->keys, &b->keys, offsetof(struct se_handover_keys, tags));
        assert_memory_equal(a->keys.tags, b->keys.tags, a->keys.process_count);
    } else if (a->kind == SE_HANDOVER_GROUP) {
        assert_true(su_address_is_equal(&a->group.address, &b->group.address));
        assert_int_equal(a->group.count, b->group.count);
        for (uint32_t i = 0; i < a->group.count; i++) {
            assert_int_equal(a->group.sockets[i].use, b->group.sockets[i].use);
            assert_int_equal(a->group.sockets[i].is_resting, b->group.sockets[i].is_resting);
            assert_int_equal(a->group.sockets[i].shard, b->group.sockets[i].shard);
            assert_int_equal(a->group.sockets[i].tag, b->group.sockets[i].tag);
        }
    } else if (a->kind == SE_HANDOVER_TAKEN) {
        assert_int_equal(a->tag, b->tag);
    } else if (a->kind == SE_HANDOVER_REFUSED) {
        assert_string_equal(a->text, b->text);
    }
}

static int read_exactly(const uint8_t *data, size_t size, uint32_t fd_count,
                        struct se_handover_message *ret)
{
    uint8_t *copy = malloc(size > 0 ? size : 1); /* so that a sanitizer sees a byte too many */
    assert_non_null(copy);
    memcpy(copy, data, size);
    int result = se_handover_read(copy, size, fd_count, ret);
    free(copy);
    return result;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static struct sample samples[SAMPLES];
    make_samples(samples);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint8_t data[SE_HANDOVER_SIZE_MAX];
        struct se_handover_message got;
        size_t size = se_handover_write(&samples[i].message, data);
        assert_int_equal(read_exactly(data, size, samples[i].fd_count, &got), 0);
        assert_same(&samples[i].message, &got);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    static struct sample samples[SAMPLES];
    make_samples(samples);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint8_t data[SE_HANDOVER_SIZE_MAX];
        struct se_handover_message got;
        size_t full = se_handover_write(&samples[i].message, data);
        /* A refusal is as long as its text. */
        size_t limit = samples[i].message.kind == SE_HANDOVER_REFUSED ? BODY_AT : full;
        for (size_t size = 0; size < limit; size++)
            assert_int_equal(read_exactly(data, size, samples[i].fd_count, &got), -EPROTO);
        if (samples[i].message.kind == SE_HANDOVER_REFUSED)
            continue;
        data[full] = 0;
        assert_int_equal(read_exactly(data, full + 1, samples[i].fd_count, &got), -EPROTO);
    }
}

static void wrong_counts_of_descriptors_are_refused(void **state)
{
    (void)state;
    static struct sample samples[SAMPLES];
    make_samples(samples);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint8_t data[SE_HANDOVER_SIZE_MAX];
        struct se_handover_message got;
        size_t size = se_handover_write(&samples[i].message, data);
        for (uint32_t count = 0; count < SU_STEER_SOCKETS_MAX + 3; count++)
            assert_int_equal(read_exactly(data, size, count, &got),
                             count == samples[i].fd_count ? 0 : -EPROTO);
    }
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t sample;
        size_t at;
        uint8_t value;
        int result;
    } cases[] = {
        {0, 0, 's', -EPROTO},
        {0, 3, 0, -EPROTO},
        {0, SE_HANDOVER_VERSION_AT, 0, -EPROTONOSUPPORT},
        {0, SE_HANDOVER_VERSION_AT, SE_HANDOVER_VERSION + 1, -EPROTONOSUPPORT},
        {9, SE_HANDOVER_VERSION_AT, SE_HANDOVER_VERSION + 1, 0}, /* a refusal of any version */
        {0, KIND_AT, 0, -EPROTO},
        {0, KIND_AT, SE_HANDOVER_REFUSED + 1, -EPROTO},
        {0, KIND_AT, 0xff, -EPROTO},
        {8, FORM_AT, 21, -EPROTO},
        {8, FORM_AT, 19, -EPROTO},
        {4, FORM_AT, 3, 0},
        {8, FORM_AT + 1, 19, -EPROTO},
        {4, FORM_AT + 1, 255, -EPROTO},
        {8, FORM_AT + 2, 2, -EPROTO},
        {8, COUNT_AT_OF_KEYS, SE_HANDOVER_GROUPS_MAX + 1, -EPROTO},
        {4, COUNT_AT_OF_KEYS + 1, 0, -EPROTO},
        {8, COUNT_AT_OF_KEYS + 1, SE_HANDOVER_PROCESSES_MAX + 1, -EPROTO},
        {8, COUNT_AT_OF_KEYS + 4, 8, -EPROTO}, /* two with one tag */
        {5, FAMILY_AT, 5, -EPROTO},
        {5, SOCKETS_AT, 0, -EPROTO},
        {7, SOCKETS_AT, SU_STEER_SOCKETS_MAX + 1, -EPROTO},
        {5, SOCKETS_AT + 1, 0, -EPROTO},
        {5, SOCKETS_AT + 1, 3, 0},
        {5, SOCKETS_AT + 1, 4, -EPROTO},
        {5, SOCKETS_AT + 2, SE_SHARDS_MAX, -EPROTO},
        {5, SOCKETS_AT + 2, SE_SHARDS_MAX - 1, 0},
    };
    static struct sample samples[SAMPLES];
    make_samples(samples);
    for (uint32_t i = 0; i < SB_COUNT(cases); i++) {
        uint8_t data[SE_HANDOVER_SIZE_MAX];
        struct se_handover_message got;
        const struct sample *sample = &samples[cases[i].sample];
        size_t size = se_handover_write(&sample->message, data);
        assert_true(cases[i].at < size);
        data[cases[i].at] = cases[i].value;
        int result = read_exactly(data, size, sample->fd_count, &got);
        if (result != cases[i].result)
            fail_msg("case %u: %d, not %d", i, result, cases[i].result);
    }
}

static void a_port_of_zero_is_refused(void **state)
{
    (void)state;
    uint8_t data[SE_HANDOVER_SIZE_MAX];
    struct se_handover_message got;
    struct se_handover_message message = {.kind = SE_HANDOVER_GROUP,
                                          .group = group_of("127.0.0.1:256", 1)};
    size_t size = se_handover_write(&message, data);
    assert_int_equal(data[PORT_AT], 1);
    data[PORT_AT] = 0;
    assert_int_equal(read_exactly(data, size, 1, &got), -EPROTO);
}

static void the_text_of_a_refusal_is_short_and_printable(void **state)
{
    (void)state;
    uint8_t data[SE_HANDOVER_SIZE_MAX] = {
        'S', 'P', 'H', 'O', SE_HANDOVER_VERSION, SE_HANDOVER_REFUSED};
    struct se_handover_message got;
    memset(data + BODY_AT, '\n', SE_HANDOVER_TEXT_MAX + 1);
    assert_int_equal(read_exactly(data, BODY_AT + SE_HANDOVER_TEXT_MAX + 1, 0, &got), -EPROTO);
    assert_int_equal(read_exactly(data, BODY_AT + SE_HANDOVER_TEXT_MAX, 0, &got), 0);
    assert_int_equal(strlen(got.text), SE_HANDOVER_TEXT_MAX);
    assert_int_equal(strspn(got.text, "?"), SE_HANDOVER_TEXT_MAX);
    assert_int_equal(read_exactly(data, BODY_AT, 0, &got), 0);
    assert_string_equal(got.text, "");
}

/* Any bytes: the reader never looks beyond them, and never yields what has no meaning. */
static void garbage_is_read_within_its_bounds(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    for (uint32_t i = 0; i < 200000; i++) {
        uint8_t data[96] = {'S', 'P', 'H', 'O', SE_HANDOVER_VERSION};
        struct se_handover_message got;
        for (size_t at = KIND_AT; at < sizeof(data); at++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            data[at] = (uint8_t)(random >> 40) & (at == KIND_AT ? 7 : 0xff);
        }
        size_t size = random % (sizeof(data) + 1);
        if (read_exactly(data, size, (uint32_t)(random >> 60), &got) != 0)
            continue;
        assert_in_range(got.kind, SE_HANDOVER_HELLO, SE_HANDOVER_REFUSED);
        if (got.kind == SE_HANDOVER_GROUP)
            assert_in_range(got.group.count, 1, SU_STEER_SOCKETS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(wrong_counts_of_descriptors_are_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(a_port_of_zero_is_refused),
        cmocka_unit_test(the_text_of_a_refusal_is_short_and_printable),
        cmocka_unit_test(garbage_is_read_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
