/* SPDX-License-Identifier: MIT */
/* Writes the seed corpus of the codec's fuzzers from the samples of the unit tests.
 *
 *     make_corpus FOLDER
 *
 * FOLDER/<target>/<number>-<name>, one input each.  What a fuzzer has found is added by hand,
 * under a name that says what it was. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/wire/header.h"
#include "proto/wire/tparam.h"
#include "test/support/frame_samples.h"
#include "test/support/packet_samples.h"

static const char *folder;

/* `head` chooses what the target does with `bytes`: see there. */
static void put(const char *target, size_t number, const char *name, struct sb_bytes head,
                struct sb_bytes bytes)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, target);
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        perror(path);
        exit(1);
    }
    int size = snprintf(path, sizeof(path), "%s/%s/%02zu-%s", folder, target, number, name);
    for (char *c = path + size - strlen(name); *c != '\0'; c++)
        *c = isalnum((unsigned char)*c) ? *c : '-';

    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(head.data, 1, head.size, file) != head.size ||
        fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

#define TEXT(text) ((struct sb_bytes){.data = (const uint8_t *)(text), .size = sizeof(text) - 1})

/* Files 90 and 91 of this target, many frames in a row, are kept by hand: written from all samples
 * they would change with each new one. */
static void put_frames(void)
{
    for (size_t i = 0; i < frame_sample_count; i++) {
        const struct frame_sample *s = &frame_samples[i];
        put("frame", i, s->name, TEXT("\3"), (struct sb_bytes){.data = s->bytes, .size = s->size});
    }
    put("frame", 92, "type too long", TEXT("\3"), TEXT("\x40\x01"));
}

static void put_packets(void)
{
    static const uint8_t cid_size = PACKET_SAMPLE_CID_SIZE;
    /* As it is, and filled up to the least size of a first datagram. */
    static const uint8_t heads[2][6] = {{PACKET_SAMPLE_CID_SIZE, 0x01, 0x12, 0x34, 0x56, 0x78},
                                        {PACKET_SAMPLE_CID_SIZE, 0x80, 0xff, 0xff, 0xff, 0xff}};
    for (size_t i = 0; i < packet_sample_count; i++) {
        const struct packet_sample *s = &packet_samples[i];
        struct sb_bytes bytes = {.data = s->bytes, .size = s->size};
        put("header", i, s->name, (struct sb_bytes){.data = &cid_size, .size = 1}, bytes);
        for (size_t n = 0; n < 2; n++)
            put("stateless", 2 * i + n, s->name, (struct sb_bytes){.data = heads[n], .size = 6},
                bytes);
    }
    put("header", 90, "three packets", TEXT("\0"),
        TEXT("\xc0\0\0\0\1\0\0\0\x14"
             "01234567890123456789"
             "\xe0\0\0\0\1\0\0\x14"
             "01234567890123456789"
             "\x40"
             "01234567890123456789"));
    put("stateless", 90, "initial", (struct sb_bytes){.data = heads[1], .size = 6},
        TEXT("\xc0\0\0\0\1\x08"
             "12345678\0\0\x44\x9e"));
}

static void put_params(void)
{
    struct sp_tparams p;
    sp_tparams_init(&p);
    uint8_t out[SP_TPARAMS_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_tparams_write(&w, &p, 12345);
    put("tparam", 0, "defaults", TEXT("\0"),
        (struct sb_bytes){.data = out, .size = sb_writer_used(&w)});

    p.has_initial_scid = true;
    p.initial_scid = sp_cid_of((const uint8_t *)"initial", 7);
    p.max_idle_timeout_ms = 30000;
    p.max_udp_payload_size = 1472;
    p.initial_max_data = 1 << 24;
    p.initial_max_stream_data_bidi_local = 1 << 20;
    p.initial_max_stream_data_bidi_remote = 1 << 20;
    p.initial_max_stream_data_uni = 1 << 20;
    p.initial_max_streams_bidi = 100;
    p.initial_max_streams_uni = 3;
    p.ack_delay_exponent = 8;
    p.max_ack_delay_ms = 10;
    p.active_cid_limit = 4;
    p.disable_active_migration = true;
    w = sb_writer_of(out, sizeof(out));
    sp_tparams_write(&w, &p, 1);
    put("tparam", 1, "client", TEXT("\0"),
        (struct sb_bytes){.data = out, .size = sb_writer_used(&w)});

    p.has_original_dcid = p.has_retry_scid = p.has_reset_token = true;
    p.original_dcid = sp_cid_of((const uint8_t *)"original-original-20", 20);
    w = sb_writer_of(out, sizeof(out));
    sp_tparams_write(&w, &p, UINT64_MAX);
    put("tparam", 2, "server", TEXT("\1"),
        (struct sb_bytes){.data = out, .size = sb_writer_used(&w)});
    put("tparam", 3, "server only from a client", TEXT("\0"),
        (struct sb_bytes){.data = out, .size = sb_writer_used(&w)});
    put("tparam", 4, "preferred address", TEXT("\1"),
        TEXT("\x0d\x2e"
             "4444pp"
             "6666666666666666pp"
             "\x05"
             "cid-5"
             "tokentokentoken!"));
    put("tparam", 5, "twice", TEXT("\0"), TEXT("\x04\x01\x01\x04\x01\x01"));
    put("tparam", 6, "long forms", TEXT("\0"), TEXT("\x40\x0e\x40\x04\x80\0\0\x02"));
    put("tparam", 7, "unknown", TEXT("\0"), TEXT("\x20\x02\x45\xdc\x1b\0\x7f\xff\x01x"));
    put("tparam", 8, "empty", TEXT("\0"), TEXT(""));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    put_frames();
    put_packets();
    put_params();
    return 0;
}
