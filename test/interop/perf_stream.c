/* SPDX-License-Identifier: MIT */
/* What arrives is compared with the pattern, and hashed as well, so that the driver of the tests
 * can compare the hash with one that it computed by itself. */

#include "test/interop/perf_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/assert.h"

#define SHA256_SIZE 32

static int init(struct perf_stream *s, const struct pattern *pattern, uint64_t id, bool is_server)
{
    *s = (struct perf_stream){.pattern = pattern, .id = id, .is_server = is_server};
    return gnutls_hash_init(&s->hash, GNUTLS_DIG_SHA256) < 0 ? -1 : 0;
}

int perf_stream_init_client(struct perf_stream *s, const struct pattern *pattern, uint64_t id,
                            uint64_t upload_bytes, uint64_t download_bytes)
{
    if (init(s, pattern, id, false) < 0)
        return -1;
    for (uint32_t i = 0; i < PERF_HEAD_SIZE; i++)
        s->head[i] = (uint8_t)(download_bytes >> (56 - 8 * i));
    s->send_total = PERF_HEAD_SIZE + upload_bytes;
    s->send_known = true;
    s->payload_wanted = download_bytes;
    return 0;
}

int perf_stream_init_server(struct perf_stream *s, const struct pattern *pattern, uint64_t id)
{
    return init(s, pattern, id, true);
}

void perf_stream_deinit(struct perf_stream *s)
{
    if (s->hash != NULL)
        gnutls_hash_deinit(s->hash, NULL);
    s->hash = NULL;
}

/* Server: takes what `data` holds of the head.  Returns the bytes taken. */
static size_t receive_head(struct perf_stream *s, const uint8_t *data, size_t size)
{
    size_t missing = PERF_HEAD_SIZE - s->head_received;
    size_t taken = size < missing ? size : missing;
    if (taken == 0)
        return 0;
    memcpy(&s->head[s->head_received], data, taken);
    s->head_received += (uint32_t)taken;
    if (s->head_received == PERF_HEAD_SIZE) {
        for (uint32_t i = 0; i < PERF_HEAD_SIZE; i++)
            s->send_total = s->send_total << 8 | s->head[i];
        s->send_known = true;
    }
    return taken;
}

static void receive_payload(struct perf_stream *s, const uint8_t *data, size_t size)
{
    gnutls_hash(s->hash, data, size);
    while (size > 0) {
        size_t run = size < PATTERN_RUN_MAX ? size : PATTERN_RUN_MAX;
        const uint8_t *expected = pattern_at(s->pattern, !s->is_server, s->id, s->payload_received);
        if (memcmp(data, expected, run) != 0)
            s->mismatch_count++;
        s->payload_received += run;
        data += run;
        size -= run;
    }
}

void perf_stream_receive(struct perf_stream *s, const uint8_t *data, size_t size, bool fin)
{
    SB_ASSERT(!s->fin_received);
    size_t head = s->is_server ? receive_head(s, data, size) : 0;
    if (size > head)
        receive_payload(s, data + head, size - head);
    s->fin_received = fin;
}

bool perf_stream_has_more(const struct perf_stream *s)
{
    return s->send_known && !s->fin_sent;
}

void perf_stream_next(const struct perf_stream *s, struct perf_piece *ret_piece, bool *ret_fin)
{
    SB_ASSERT(perf_stream_has_more(s));
    uint32_t head = s->is_server ? 0 : PERF_HEAD_SIZE;
    uint64_t left = s->send_total - s->sent;
    if (s->sent < head) {
        ret_piece->data = &s->head[s->sent];
        ret_piece->size = head - (uint32_t)s->sent;
    } else {
        ret_piece->data = pattern_at(s->pattern, s->is_server, s->id, s->sent - head);
        ret_piece->size = left < PATTERN_RUN_MAX ? (uint32_t)left : PATTERN_RUN_MAX;
    }
    *ret_fin = ret_piece->size == left;
}

void perf_stream_advance(struct perf_stream *s, uint64_t size, bool fin)
{
    s->sent += size;
    s->fin_sent = fin;
    SB_ASSERT(s->sent <= s->send_total);
    SB_ASSERT(!fin || s->sent == s->send_total);
}

bool perf_stream_report(struct perf_stream *s)
{
    uint8_t digest[SHA256_SIZE];
    gnutls_hash_output(s->hash, digest);
    bool is_complete = s->is_server ? s->head_received == PERF_HEAD_SIZE
                                    : s->payload_received == s->payload_wanted;
    bool is_good = s->fin_received && is_complete && s->mismatch_count == 0;
    printf("stream %" PRIu64 " bytes %" PRIu64 " sha256 ", s->id, s->payload_received);
    for (uint32_t i = 0; i < SHA256_SIZE; i++)
        printf("%02x", digest[i]);
    printf(" %s\n", is_good ? "ok" : "mismatch");
    return is_good;
}
