/* SPDX-License-Identifier: MIT */
#include "test/sim/oracle_path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/wire/frame.h"

struct qs_oracle_addr {
    struct sp_addr remote;
    uint64_t bytes_in;
    uint64_t bytes_out;
    bool is_proven;
};

struct qs_oracle_cid {
    struct sp_cid cid;
    struct sp_addr local;
};

void qs_oracle_path_init(struct qs_oracle_path *oracle, struct qs_trace *trace, const char *who)
{
    *oracle = (struct qs_oracle_path){.trace = trace, .who = who};
}

void qs_oracle_path_deinit(struct qs_oracle_path *oracle)
{
    free(oracle->addrs);
    free(oracle->cids);
    *oracle = (struct qs_oracle_path){0};
}

static uint32_t index_of(struct qs_oracle_path *oracle, const struct sp_addr *remote)
{
    for (uint32_t i = 0; i < oracle->count; i++)
        if (sp_addr_equal(&oracle->addrs[i].remote, remote))
            return i;
    oracle->addrs = realloc(oracle->addrs, (oracle->count + 1) * sizeof(*oracle->addrs));
    SB_ASSERT(oracle->addrs != NULL);
    oracle->addrs[oracle->count] = (struct qs_oracle_addr){.remote = *remote};
    return oracle->count++;
}

void qs_oracle_path_in(struct qs_oracle_path *oracle, const struct sp_addr *remote, uint64_t size)
{
    uint32_t index = index_of(oracle, remote); /* which may move the array */
    oracle->addrs[index].bytes_in += size;
}

void qs_oracle_path_out(struct qs_oracle_path *oracle, const struct sp_addr *remote, uint64_t size)
{
    uint32_t index = index_of(oracle, remote);
    struct qs_oracle_addr *addr = &oracle->addrs[index];
    for (uint32_t i = 0; i < SB_MIN(oracle->challenge_count, (uint64_t)QS_CHALLENGES_MAX); i++)
        if (oracle->challenges[i].addr == UINT32_MAX)
            oracle->challenges[i].addr = index;
    addr->bytes_out += size;
    if (!addr->is_proven && addr->bytes_out > SP_AMPLIFICATION_FACTOR * addr->bytes_in)
        qs_fail(oracle->trace,
                "%s has sent %" PRIu64 " bytes to %u.%u.%u.%u:%u, which is not proven and sent "
                "%" PRIu64,
                oracle->who, addr->bytes_out, remote->ip[0], remote->ip[1], remote->ip[2],
                remote->ip[3], remote->port, addr->bytes_in);
}

/* The peer may have retired all but one, with the next ones still under way. */
static bool has_other_cid(const struct sp_cid_remote *ids, const struct sp_cid *cid)
{
    bool has_other = false;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        has_other |= ids->entries[i].is_used && !sp_cid_equal(&ids->entries[i].cid, cid);
    return has_other;
}

void qs_oracle_path_cid(struct qs_oracle_path *oracle, const struct sp_cid_remote *ids,
                        const uint8_t *datagram, size_t cid_size, const struct sp_addr *local)
{
    if ((datagram[0] & 0x80) != 0 || cid_size == 0)
        return;
    const struct sp_cid cid = sp_cid_of(datagram + 1, cid_size);
    for (uint32_t i = oracle->cid_count; i-- > 0;) {
        const struct qs_oracle_cid *seen = &oracle->cids[i];
        if (!sp_cid_equal(&seen->cid, &cid))
            continue;
        if (!sp_addr_equal(&seen->local, local) && has_other_cid(ids, &cid))
            qs_fail(oracle->trace, "%s sends to one CID from %u.%u.%u.%u:%u and %u.%u.%u.%u:%u",
                    oracle->who, seen->local.ip[0], seen->local.ip[1], seen->local.ip[2],
                    seen->local.ip[3], seen->local.port, local->ip[0], local->ip[1], local->ip[2],
                    local->ip[3], local->port);
        return;
    }
    oracle->cids = realloc(oracle->cids, (oracle->cid_count + 1) * sizeof(*oracle->cids));
    SB_ASSERT(oracle->cids != NULL);
    oracle->cids[oracle->cid_count++] = (struct qs_oracle_cid){.cid = cid, .local = *local};
}

static void on_challenge(struct qs_oracle_path *oracle, const uint8_t data[SP_PATH_DATA_SIZE])
{
    uint64_t at = oracle->challenge_count++ % QS_CHALLENGES_MAX;
    memcpy(oracle->challenges[at].data, data, SP_PATH_DATA_SIZE);
    oracle->challenges[at].addr = UINT32_MAX;
}

static void on_response(struct qs_oracle_path *oracle, const uint8_t data[SP_PATH_DATA_SIZE])
{
    for (uint32_t i = 0; i < SB_MIN(oracle->challenge_count, (uint64_t)QS_CHALLENGES_MAX); i++)
        if (oracle->challenges[i].addr < oracle->count &&
            memcmp(oracle->challenges[i].data, data, SP_PATH_DATA_SIZE) == 0)
            oracle->addrs[oracle->challenges[i].addr].is_proven = true;
}

void qs_oracle_path_packet(struct qs_oracle_path *oracle, const struct qs_packet *packet)
{
    if (packet->type != SP_PACKET_ONE_RTT)
        return;
    struct sb_reader r = sb_reader_of(packet->payload.data, packet->payload.size);
    struct sp_frame frame;
    while (sb_reader_left(&r) > 0 && sp_frame_read(&r, (uint32_t)packet->type, &frame) == SP_OK) {
        if (packet->sealed_at != NULL && frame.type == SP_FRAME_PATH_CHALLENGE)
            on_challenge(oracle, frame.path_data);
        else if (packet->sealed_at == NULL && frame.type == SP_FRAME_PATH_RESPONSE)
            on_response(oracle, frame.path_data);
    }
}

void qs_oracle_path_is_valid(struct qs_oracle_path *oracle, const struct sp_addr *remote)
{
    uint32_t index = index_of(oracle, remote);
    oracle->addrs[index].is_proven = true;
}

void qs_oracle_path_first_is_valid(struct qs_oracle_path *oracle)
{
    if (oracle->count > 0)
        oracle->addrs[0].is_proven = true;
}
