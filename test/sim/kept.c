/* SPDX-License-Identifier: MIT */
#include "test/sim/kept.h"

#include "proto/wire/header.h"

static bool read_early(const struct qs_wire *wire, struct sp_header *ret)
{
    return sp_header_read(wire->data, wire->size, 0, ret) && ret->type == SP_PACKET_ZERO_RTT;
}

bool qs_kept_add(struct qs_kept *kept, struct qs_wire *wire)
{
    struct sp_header header;
    if (kept->count == QS_KEPT_MAX || !read_early(wire, &header))
        return false;
    kept->wires[kept->count++] = wire;
    return true;
}

struct qs_wire *qs_kept_take(struct qs_kept *kept, const struct sp_cid *dcid)
{
    for (uint32_t i = 0; i < kept->count; i++) {
        struct qs_wire *wire = kept->wires[i];
        struct sp_header header;
        if (!read_early(wire, &header) || !sp_cid_equal(&header.dcid, dcid))
            continue;
        kept->count--;
        for (uint32_t at = i; at < kept->count; at++)
            kept->wires[at] = kept->wires[at + 1];
        kept->given_count++;
        return wire;
    }
    return NULL;
}

void qs_kept_deinit(struct qs_kept *kept)
{
    while (kept->count > 0)
        qs_wire_destroy(kept->wires[--kept->count]);
}
