/* SPDX-License-Identifier: MIT */
/* Input: a byte that chooses the sender's role, then its transport parameters.
 *
 * What is read obeys the RFC's limits, and is the same after it was written and read again. */

#include "proto/wire/tparam.h"
#include "test/support/fuzz.h"

static void check_limits(const struct sp_tparams *p, enum sp_role sender)
{
    SB_ASSERT(p->original_dcid.size <= SP_CID_SIZE_MAX);
    SB_ASSERT(p->initial_scid.size <= SP_CID_SIZE_MAX && p->retry_scid.size <= SP_CID_SIZE_MAX);
    SB_ASSERT(p->max_udp_payload_size >= SP_DATAGRAM_SIZE_MIN);
    SB_ASSERT(p->initial_max_streams_bidi <= SP_STREAM_COUNT_MAX);
    SB_ASSERT(p->initial_max_streams_uni <= SP_STREAM_COUNT_MAX);
    SB_ASSERT(p->ack_delay_exponent <= 20 && p->max_ack_delay_ms < 1 << 14);
    SB_ASSERT(p->active_cid_limit >= 2);
    if (sender == SP_CLIENT)
        SB_ASSERT(!p->has_original_dcid && !p->has_retry_scid && !p->has_reset_token);
}

static size_t write_params(const struct sp_tparams *p, uint8_t out[SP_TPARAMS_SIZE_MAX])
{
    struct sb_writer w = sb_writer_of(out, SP_TPARAMS_SIZE_MAX);
    sp_tparams_write(&w, p, p->initial_max_data); /* any grease */
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum sp_role sender = (data[0] & 1) != 0 ? SP_SERVER : SP_CLIENT;
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    struct sp_tparams params;
    enum sp_err err =
        sp_tparams_read((struct sb_bytes){.data = copy, .size = size - 1}, sender, &params);
    free(copy); /* nothing is borrowed */
    if (err != SP_OK) {
        SB_ASSERT(err == SP_ERR_TRANSPORT_PARAMETER);
        return 0;
    }
    check_limits(&params, sender);

    uint8_t first[SP_TPARAMS_SIZE_MAX];
    size_t first_size = write_params(&params, first);
    struct sp_tparams again;
    err = sp_tparams_read((struct sb_bytes){.data = first, .size = first_size}, sender, &again);
    SB_ASSERT(err == SP_OK);
    uint8_t second[SP_TPARAMS_SIZE_MAX];
    size_t second_size = write_params(&again, second);
    SB_ASSERT(second_size == first_size && memcmp(second, first, first_size) == 0);
    return 0;
}
