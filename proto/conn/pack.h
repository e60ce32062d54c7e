/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PACK_H
#define SP_CONN_PACK_H

#include "proto/conn/place.h"

/* A packet with a short header, which reaches to the end of its datagram. */
struct sp_short {
    const struct sp_datagram *datagram;
    uint8_t *data;
    size_t size;
    uint32_t lcid;   /* index of its CID */
    bool is_foreign; /* came by another path than the one in use */
    uint8_t first;   /* byte of the header, without its protection: other bytes may replace the
                        header */
};

/* Opens packets with one key: in place, into lent memory or, if they are a train, with the bytes of
 * one directly behind those of the one before.  Returns the bits of packets that are known to be
 * one STREAM frame: they have a frame in `ret_packed` at the same index, and its head_size. */
uint64_t sp_conn_open_run(struct sp_conn *conn, struct sp_key *key, const struct sp_short *packets,
                          struct sp_open *opens, uint32_t count, struct sp_packed *ret_packed);

#endif
