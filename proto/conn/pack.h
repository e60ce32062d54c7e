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

/* Returns a bit for each packet that stands directly behind the one before it, in one buffer in
 * which it may stay. */
uint64_t sp_conn_packets_behind(const struct sp_short *packets, uint32_t count);

/* Opens packets with one key: in place, into lent memory or, if packets continue a train, with
 * their bytes directly behind those of the packet before.  Bit i of `behind`: see above; that of
 * the first is not looked at.  Returns the bits of packets that are known to be one STREAM frame:
 * they have a frame in `ret_packed` at the same index, and its head_size. */
uint64_t sp_conn_open_run(struct sp_conn *conn, struct sp_key *key, struct sp_open *opens,
                          uint32_t count, uint64_t behind, struct sp_packed *ret_packed);

#endif
