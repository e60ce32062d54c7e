/* SPDX-License-Identifier: MIT */
/* How ip-relay cuts trains of TCP and UDP. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "test/support/ip_packets.h"

enum { SEGMENT = 1000, ECT_0 = 2, CE = 3 };

static const struct {
    int version;
    uint8_t protocol;
} kinds[] = {{4, IPPROTO_TCP}, {6, IPPROTO_TCP}, {4, IPPROTO_UDP}, {6, IPPROTO_UDP}};

/* Reads the header of a cut as a receiver would, with the payload behind it. */
static void check_lengths(const struct packet_cut *cut, int version, uint32_t id)
{
    size_t size = cut->head_size + cut->payload_size;
    if (version == 4) {
        assert_int_equal(ip_get(cut->head + 2), size);
        assert_int_equal(ip_get(cut->head + 4), id);
        assert_int_equal(ip_sum(cut->head, 20, 0), 0xffff);
    } else {
        assert_int_equal(ip_get(cut->head + 4), size - 40);
    }
}

static void check_transport(const struct packet_cut *cut, int version, uint8_t protocol,
                            uint32_t first, bool is_last)
{
    size_t ip_size = version == 4 ? 20 : 40;
    const uint8_t *transport = cut->head + ip_size;
    size_t bytes = cut->head_size - ip_size + cut->payload_size;
    bool is_tcp = protocol == IPPROTO_TCP;
    assert_int_equal(cut->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(cut->vnet.csum_start, ip_size);
    assert_int_equal(cut->vnet.csum_offset, is_tcp ? 16 : 6);
    assert_int_equal(ip_get(transport + cut->vnet.csum_offset),
                     ip_pseudo_sum(cut->head, version, protocol, bytes));
    if (is_tcp) {
        uint32_t sequence = ip_get(transport + 4) << 16 | ip_get(transport + 6);
        assert_int_equal(sequence, 0x1fff0 + first * SEGMENT);
        assert_int_equal(transport[13], 0x10 | (is_last ? 0x09 : 0) | (first == 0 ? 0x80 : 0));
    } else {
        assert_int_equal(ip_get(transport + 4), bytes);
    }
}

static void each_segment_is_as_if_it_had_been_sent_alone(void **state)
{
    (void)state;
    static struct ip_sample sample;
    for (size_t k = 0; k < QT_COUNT(kinds); k++) {
        ip_make(&sample, kinds[k].version, kinds[k].protocol, 4 * SEGMENT + 300, SEGMENT);
        struct packet packet = packet_parse(&sample.vnet, sample.data, sample.size);
        assert_int_equal(packet.count, 5);
        assert_int_equal(packet.head_size, sample.head_size);
        for (uint32_t i = 0; i < packet.count; i++) {
            struct packet_cut cut;
            packet_cut(&packet, i, 1, ECT_0, &cut);
            assert_int_equal(cut.payload_size, i == 4 ? 300 : SEGMENT);
            assert_int_equal(packet_segment_bytes(&packet, i), cut.head_size + cut.payload_size);
            assert_ptr_equal(cut.payload, sample.data + sample.head_size + i * SEGMENT);
            assert_int_equal(cut.vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
            assert_int_equal(cut.vnet.gso_size, 0);
            check_lengths(&cut, kinds[k].version, 0x12ff + i);
            check_transport(&cut, kinds[k].version, kinds[k].protocol, i, i == 4);
        }
    }
}

static void some_segments_are_a_train_of_their_own(void **state)
{
    (void)state;
    static struct ip_sample sample;
    static const struct {
        uint32_t first;
        uint32_t count;
        size_t bytes;
    } table[] = {{0, 2, 2000}, {1, 3, 3000}, {3, 2, 1300}, {1, 4, 3300}};
    for (size_t k = 0; k < QT_COUNT(kinds); k++) {
        ip_make(&sample, kinds[k].version, kinds[k].protocol, 4 * SEGMENT + 300, SEGMENT);
        struct packet packet = packet_parse(&sample.vnet, sample.data, sample.size);
        for (size_t i = 0; i < QT_COUNT(table); i++) {
            struct packet_cut cut;
            packet_cut(&packet, table[i].first, table[i].count, ECT_0, &cut);
            assert_int_equal(cut.payload_size, table[i].bytes);
            assert_int_equal(cut.vnet.gso_size, SEGMENT);
            uint8_t lost = table[i].first > 0 ? VIRTIO_NET_HDR_GSO_ECN : 0;
            assert_int_equal(cut.vnet.gso_type, sample.vnet.gso_type & (uint8_t)~lost);
            check_lengths(&cut, kinds[k].version, 0x12ff + table[i].first);
            check_transport(&cut, kinds[k].version, kinds[k].protocol, table[i].first,
                            table[i].first + table[i].count == 5);
        }
    }
}

static void what_passes_whole_is_not_changed(void **state)
{
    (void)state;
    static struct ip_sample sample;
    for (size_t k = 0; k < QT_COUNT(kinds); k++) {
        for (size_t payload = 0; payload <= 2500; payload += 500) {
            ip_make(&sample, kinds[k].version, kinds[k].protocol, payload, SEGMENT);
            struct packet packet = packet_parse(&sample.vnet, sample.data, sample.size);
            struct packet_cut cut;
            packet_cut(&packet, 0, packet.count, packet_ecn(&packet), &cut);
            assert_memory_equal(&cut.vnet, &sample.vnet, sizeof(cut.vnet));
            assert_memory_equal(cut.head, sample.data, cut.head_size);
            assert_ptr_equal(cut.payload, sample.data + cut.head_size);
            assert_int_equal(cut.head_size + cut.payload_size, sample.size);
        }
    }
}

static void a_mark_changes_the_field_and_its_checksum_alone(void **state)
{
    (void)state;
    static struct ip_sample sample;
    for (size_t k = 0; k < QT_COUNT(kinds); k++) {
        ip_make(&sample, kinds[k].version, kinds[k].protocol, 500, SEGMENT);
        struct packet packet = packet_parse(&sample.vnet, sample.data, sample.size);
        struct packet_cut cut;
        assert_int_equal(packet_ecn(&packet), ECT_0);
        packet_cut(&packet, 0, 1, CE, &cut);
        struct packet marked = packet_parse(&cut.vnet, cut.head, cut.head_size);
        assert_int_equal(packet_ecn(&marked), CE);
        check_lengths(&cut, kinds[k].version, 0x12ff);
        for (size_t i = 0; i < cut.head_size; i++) {
            bool may_change = i == 1 || (kinds[k].version == 4 && (i == 10 || i == 11));
            assert_true(may_change || cut.head[i] == sample.data[i]);
        }
        if (kinds[k].version == 4)
            assert_int_equal(ip_sum(cut.head, 20, 0), 0xffff);
    }
}

/* Packets that end anywhere, as each kind of train, and random ones: nothing beyond is read. */
static void what_is_cut_short_is_passed_as_it_is(void **state)
{
    (void)state;
    static struct ip_sample sample;
    uint64_t random = 1;
    for (uint32_t round = 0; round < 20; round++) {
        ip_make(&sample, kinds[round % 4].version, kinds[round % 4].protocol, 60, 20);
        for (size_t i = 0; round >= 4 && i < 60; i++) {
            random = random * UINT64_C(6364136223846793005) + 1;
            if (random >> 60 == 0)
                sample.data[i] = (uint8_t)(random >> 40);
        }
        for (size_t size = 1; size <= sample.size; size++) {
            uint8_t *data = malloc(size);
            assert_non_null(data);
            memcpy(data, sample.data, size);
            struct packet packet = packet_parse(&sample.vnet, data, size);
            assert_true(packet.head_size <= size && packet.head_size <= PACKET_HEAD_MAX);
            size_t sum = 0;
            for (uint32_t i = 0; i < packet.count; i++) {
                struct packet_cut cut;
                packet_cut(&packet, i, 1, packet_ecn(&packet), &cut);
                assert_int_equal(cut.head_size + cut.payload_size,
                                 packet_segment_bytes(&packet, i));
                assert_true(cut.payload + cut.payload_size <= data + size);
                sum += cut.payload_size;
            }
            assert_int_equal(packet.head_size + sum, size);
            free(data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_segment_is_as_if_it_had_been_sent_alone),
        cmocka_unit_test(some_segments_are_a_train_of_their_own),
        cmocka_unit_test(what_passes_whole_is_not_changed),
        cmocka_unit_test(a_mark_changes_the_field_and_its_checksum_alone),
        cmocka_unit_test(what_is_cut_short_is_passed_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
