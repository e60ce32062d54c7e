/* SPDX-License-Identifier: MIT */
/* What others ask of us.  An answer is a range of the mapped files, which the cipher reads where it
 * lies; nothing is copied or allocated for it.
 *
 * At most --uploads peers are served at a time.  While others wait, the one that takes least is
 * choked every few seconds in favour of the one that has waited longest. */

#include <string.h>

#include "tools/spate/swarm/swarm.h"

enum { VECTORS_MAX = 64 };

#define TURN_NS  UINT64_C(5000000000) /* that a peer is served at least */
#define DATA_TAG 4

static void refuse(struct swarm_request *request, enum swarm_code code)
{
    struct swarm_peer *peer = request->stream.peer;
    request->is_answered = true;
    (void)spate_stream_reset(peer->conn, request->stream.id, code);
    (void)spate_stream_stop(peer->conn, request->stream.id, code);
}

/* Whether the numbers name a range of one piece. */
static bool is_range(const struct swarm *swarm, const uint32_t numbers[3])
{
    if (numbers[0] >= swarm->meta.piece_count)
        return false;
    uint32_t size = meta_piece_bytes(&swarm->meta, numbers[0]);
    return numbers[2] > 0 && numbers[1] < size && numbers[2] <= size - numbers[1];
}

static void answer(struct swarm_request *request, const uint32_t numbers[3])
{
    struct swarm_peer *peer = request->stream.peer;
    struct swarm *swarm = peer->swarm;
    struct iovec vectors[VECTORS_MAX];
    uint64_t at = (uint64_t)numbers[0] * swarm->meta.piece_size + numbers[1];
    uint64_t end = at + numbers[2];
    request->is_answered = true;
    (void)spate_stream_set_priority(peer->conn, request->stream.id, SPATE_URGENCY_DEFAULT, false);
    while (at < end) {
        size_t count = store_vectors(&swarm->store, &at, end, vectors, VECTORS_MAX);
        if (count == 0 || spate_stream_sendv(peer->conn, request->stream.id, vectors, count,
                                             at == end, DATA_TAG) != 0) {
            (void)spate_stream_reset(peer->conn, request->stream.id, SWARM_BUSY);
            return;
        }
    }
}

static void on_request(struct swarm_request *request, const struct swarm_message *message)
{
    struct swarm_peer *peer = request->stream.peer;
    const struct swarm *swarm = peer->swarm;
    if (message->type != SWARM_REQUEST || peer->stage != SWARM_PEER_READY || request->is_answered ||
        !is_range(swarm, message->numbers))
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
    else if (peer->is_choked)
        refuse(request, SWARM_CHOKED);
    else if (!picker_bit(swarm->store.have, message->numbers[0]))
        refuse(request, SWARM_NOT_HERE);
    else
        answer(request, message->numbers);
}

void swarm_request_data(struct swarm_request *request, const uint8_t *data, size_t size, bool fin)
{
    struct swarm_peer *peer = request->stream.peer;
    enum swarm_stage before = swarm_profile_begin(peer->swarm, SWARM_STAGE_HEADER);
    struct swarm_message message;
    int found = 0;
    while (peer->stage != SWARM_PEER_CLOSING &&
           (found = swarm_reader_next(&request->reader, &data, &size, &message)) > 0)
        on_request(request, &message);
    if (found < 0 || (fin && !request->is_answered))
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
    swarm_profile_end(peer->swarm, before);
}

/* ---- Whom to serve ---- */

static bool is_interested(const struct swarm_peer *peer)
{
    return peer->stage == SWARM_PEER_READY && peer->have_count < peer->swarm->meta.piece_count;
}

static void set_choked(struct swarm_peer *peer, bool is_choked, uint64_t now_ns)
{
    peer->is_choked = is_choked;
    peer->unchoked_ns = now_ns; /* or choked: since when it waits */
    peer->looked_out = peer->bytes_out;
    swarm_peer_tell(peer);
}

/* Finds the peer that waits longest, and the one that has taken least since it was looked at.
 * Returns the number of those that are served. */
static uint32_t find_ends(struct swarm *swarm, uint64_t now_ns, struct swarm_peer **ret_waiting,
                          struct swarm_peer **ret_least)
{
    uint32_t served = 0;
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        struct swarm_peer *peer = swarm->peers[i];
        if (peer == NULL || !is_interested(peer))
            continue;
        if (peer->is_choked &&
            (*ret_waiting == NULL || peer->unchoked_ns < (*ret_waiting)->unchoked_ns))
            *ret_waiting = peer;
        served += !peer->is_choked;
        uint64_t taken = peer->bytes_out - peer->looked_out;
        if (!peer->is_choked && now_ns - peer->unchoked_ns >= TURN_NS &&
            (*ret_least == NULL || taken < (*ret_least)->bytes_out - (*ret_least)->looked_out))
            *ret_least = peer;
    }
    return served;
}

void swarm_serve_look(struct swarm *swarm, uint64_t now_ns)
{
    for (;;) {
        struct swarm_peer *waiting = NULL;
        struct swarm_peer *least = NULL;
        uint32_t served = find_ends(swarm, now_ns, &waiting, &least);
        if (waiting == NULL)
            return;
        if (served >= swarm->options->uploads) {
            if (least == NULL)
                return;
            set_choked(least, true, now_ns);
        }
        set_choked(waiting, false, now_ns);
    }
}
