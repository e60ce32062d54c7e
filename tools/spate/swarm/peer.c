/* SPDX-License-Identifier: MIT */
/* Connections: what each side says about itself and about its pieces.
 *
 * What can be attacked: a peer that does not know the metainfo's ID, and the token if there is one,
 * gets nothing; neither may it ask for anything.  What it may send is bounded: one stream of
 * messages and SWARM_REQUESTS_MAX requests; a bitfield once.  What we have to say is in one buffer,
 * and is sent when the last of it has arrived. */

#include <stdlib.h>
#include <string.h>

#include "tools/spate/swarm/swarm.h"

#define MESSAGES_TAG 3
#define HELLO_NS     UINT64_C(5000000000) /* for a peer to introduce itself */
#define CHOKES_NS    UINT64_C(1000000000)

enum {
    SPARE_PLACES = 4, /* fewer, and who has not introduced itself makes room */
    CHOKES_MAX = 100, /* changes in CHOKES_NS, of CHOKE and UNCHOKE; ours are a few */
};

static size_t bitfield_size(const struct swarm *swarm)
{
    return ((size_t)swarm->meta.piece_count + 7) / 8;
}

/* Places that are free for those who connect to us: the peers that the command line names keep
 * theirs. */
static uint32_t places_left(const struct swarm *swarm)
{
    uint32_t taken = swarm->peer_count;
    for (uint32_t i = 0; i < swarm->options->peer_count; i++)
        taken += swarm->targets[i].peer == NULL && !swarm->targets[i].is_given_up;
    return taken < PICKER_PEERS_MAX ? PICKER_PEERS_MAX - taken : 0;
}

/* The place of a closed one is free in one of the next turns. */
static void make_room(struct swarm *swarm)
{
    struct swarm_peer *oldest = NULL;
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        struct swarm_peer *peer = swarm->peers[i];
        if (peer != NULL && peer->target == NULL && peer->stage < SWARM_PEER_READY &&
            (oldest == NULL || peer->connected_ns < oldest->connected_ns))
            oldest = peer;
    }
    if (oldest != NULL)
        swarm_peer_close(oldest, SWARM_BUSY);
}

void swarm_peers_look(struct swarm *swarm, uint64_t now_ns)
{
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        struct swarm_peer *peer = swarm->peers[i];
        if (peer != NULL && peer->stage == SWARM_PEER_CONNECTED &&
            now_ns >= peer->connected_ns + HELLO_NS)
            swarm_peer_close(peer, SWARM_BUSY); /* which a client tries again after */
    }
}

struct swarm_peer *swarm_peer_create(struct swarm *swarm, struct spate_conn *conn,
                                     struct swarm_target *target)
{
    uint8_t index = 0;
    if (target == NULL) {
        uint32_t left = places_left(swarm);
        if (left <= SPARE_PLACES)
            make_room(swarm);
        if (left == 0)
            return NULL;
    }
    while (index < PICKER_PEERS_MAX && swarm->peers[index] != NULL)
        index++;
    struct swarm_peer *peer = index < PICKER_PEERS_MAX ? calloc(1, sizeof(*peer)) : NULL;
    if (peer == NULL)
        return NULL;
    peer->have = calloc(bitfield_size(swarm) + 1, 1);
    peer->out = malloc(SWARM_OUT_SIZE + bitfield_size(swarm));
    if (peer->have == NULL || peer->out == NULL) {
        free(peer->have);
        free(peer->out);
        free(peer);
        return NULL;
    }
    peer->swarm = swarm;
    peer->conn = conn;
    peer->target = target;
    peer->index = index;
    peer->is_choking = peer->is_choked = peer->is_told_choked = true;
    swarm->peers[index] = peer;
    swarm->peer_count++;
    if (swarm->peer_count > swarm->peers_max)
        swarm->peers_max = swarm->peer_count;
    return peer;
}

/* Counts the pieces that a peer has or had. */
static void count_pieces(struct swarm_peer *peer, bool is_there)
{
    struct swarm *swarm = peer->swarm;
    for (uint32_t i = 0; peer->have_count > 0 && i < swarm->meta.piece_count; i++) {
        if (picker_bit(peer->have, i))
            picker_count(&swarm->picker, i, is_there);
    }
}

void swarm_peer_destroy(struct swarm_peer *peer)
{
    struct swarm *swarm = peer->swarm;
    swarm_fetch_forget(peer);
    count_pieces(peer, false);
    if (peer->target != NULL)
        peer->target->peer = NULL;
    swarm->peers[peer->index] = NULL;
    swarm->peer_count--;
    free(peer->have);
    free(peer->out);
    free(peer);
}

void swarm_peer_close(struct swarm_peer *peer, enum swarm_code code)
{
    if (peer->stage == SWARM_PEER_CLOSING)
        return;
    peer->stage = SWARM_PEER_CLOSING;
    spate_conn_close(peer->conn, code, code != SWARM_OK ? swarm_code_text(code) : NULL);
}

/* ---- What we say ---- */

static size_t write_hello(struct swarm_peer *peer, uint8_t *ret)
{
    struct swarm *swarm = peer->swarm;
    uint8_t *proof = ret + SWARM_HELLO_SIZE - SWARM_PROOF_SIZE;
    size_t size = swarm_message_write(SWARM_HELLO, &swarm->meta.piece_count, ret);
    memcpy(ret + size, swarm->meta.id, SWARM_ID_SIZE);
    memset(proof, 0, SWARM_PROOF_SIZE);
    if (swarm->token.size > 0)
        (void)files_token_prove(&swarm->token, peer->conn, peer->target == NULL, proof);
    return SWARM_HELLO_SIZE;
}

static size_t write_bitfield(struct swarm_peer *peer, uint8_t *ret)
{
    struct swarm *swarm = peer->swarm;
    uint32_t bytes = (uint32_t)bitfield_size(swarm);
    peer->announced = swarm->log_count;
    if (bytes == 0)
        return 0;
    size_t size = swarm_message_write(SWARM_BITFIELD, &bytes, ret);
    memcpy(ret + size, swarm->store.have, bytes);
    return size + bytes;
}

void swarm_peer_tell(struct swarm_peer *peer)
{
    struct swarm *swarm = peer->swarm;
    size_t size = 0;
    bool is_first = peer->stage == SWARM_PEER_CONNECTED && peer->target != NULL;
    if (peer->is_out || (peer->stage != SWARM_PEER_READY && !is_first))
        return; /* a client introduces itself first */
    if (!peer->is_greeted) {
        if (spate_stream_open(peer->conn, true, &peer->control_id) != 0)
            return; /* the event that brings credit for it comes back here */
        peer->is_greeted = true;
        size = write_hello(peer, peer->out);
        size += write_bitfield(peer, peer->out + size);
        (void)spate_stream_set_priority(peer->conn, peer->control_id, 0, true);
    }
    if (peer->stage == SWARM_PEER_READY && peer->is_told_choked != peer->is_choked) {
        peer->is_told_choked = peer->is_choked;
        size += swarm_message_write(peer->is_choked ? SWARM_CHOKE : SWARM_UNCHOKE, NULL,
                                    peer->out + size);
    }
    size_t room = SWARM_OUT_SIZE + bitfield_size(swarm);
    while (peer->announced < swarm->log_count && size + SWARM_MESSAGE_SIZE_MAX <= room) {
        size += swarm_message_write(SWARM_HAVE, &swarm->log[peer->announced], peer->out + size);
        peer->announced++;
    }
    if (size == 0)
        return;
    peer->is_out =
        spate_stream_send(peer->conn, peer->control_id, peer->out, size, false, MESSAGES_TAG) == 0;
    if (!peer->is_out)
        swarm_peer_close(peer, SWARM_BUSY);
}

/* ---- What we hear ---- */

static void on_hello(struct swarm_peer *peer, const struct swarm_message *message)
{
    const struct swarm *swarm = peer->swarm;
    if (peer->stage == SWARM_PEER_READY || message->numbers[0] != swarm->meta.piece_count)
        peer->is_other = true;
    for (uint32_t i = 0; i < message->size; i++) { /* where it lies, in as many parts as it has */
        uint32_t at = message->offset + i;
        if (at >= SWARM_ID_SIZE)
            peer->proof[at - SWARM_ID_SIZE] = message->data[i];
        else if (message->data[i] != swarm->meta.id[at])
            peer->is_other = true;
    }
    if (!message->is_last)
        return;
    const struct files_message proof = {
        .type = FILES_AUTH, .body = peer->proof, .size = SWARM_PROOF_SIZE};
    if (peer->is_other)
        swarm_peer_close(peer, SWARM_OTHER_CONTENT);
    else if (swarm->token.size > 0 &&
             !files_token_check(&swarm->token, peer->conn, peer->target != NULL, &proof))
        swarm_peer_close(peer, SWARM_NO_TOKEN);
    else
        peer->stage = SWARM_PEER_READY;
    peer->swarm->look_ns = 0; /* it may be unchoked at once */
}

static void on_bitfield(struct swarm_peer *peer, const struct swarm_message *message)
{
    struct swarm *swarm = peer->swarm;
    if (peer->has_bitfield || message->numbers[0] != bitfield_size(swarm)) {
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
        return;
    }
    memcpy(peer->have + message->offset, message->data, message->size);
    if (!message->is_last)
        return;
    peer->has_bitfield = true;
    peer->have_count = 0;
    for (uint32_t i = 0; i < swarm->meta.piece_count; i++)
        peer->have_count += picker_bit(peer->have, i);
    count_pieces(peer, true);
}

static void on_have(struct swarm_peer *peer, uint32_t piece)
{
    if (piece >= peer->swarm->meta.piece_count || !peer->has_bitfield) {
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
        return;
    }
    if (picker_bit(peer->have, piece))
        return;
    peer->have[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
    peer->have_count++;
    picker_count(&peer->swarm->picker, piece, true);
}

/* A change of it costs a walk over what the peer was asked for: no peer needs many. */
static void on_choking(struct swarm_peer *peer, bool is_choking)
{
    uint64_t now_ns = spate_shard_now_ns(peer->swarm->shard);
    if (is_choking == peer->is_choking)
        return;
    if (now_ns - peer->chokes_ns >= CHOKES_NS) {
        peer->chokes_ns = now_ns;
        peer->chokes = 0;
    }
    if (++peer->chokes > CHOKES_MAX) {
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
        return;
    }
    peer->is_choking = is_choking;
    if (is_choking)
        swarm_fetch_cancel(peer);
}

static void on_message(struct swarm_peer *peer, const struct swarm_message *message)
{
    if (message->type == SWARM_HELLO)
        on_hello(peer, message);
    else if (peer->stage != SWARM_PEER_READY || message->type == SWARM_REQUEST)
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
    else if (message->type == SWARM_BITFIELD)
        on_bitfield(peer, message);
    else if (message->type == SWARM_HAVE)
        on_have(peer, message->numbers[0]);
    else
        on_choking(peer, message->type == SWARM_CHOKE);
}

static void on_control(struct swarm_peer *peer, const uint8_t *data, size_t size, bool fin)
{
    enum swarm_stage before = swarm_profile_begin(peer->swarm, SWARM_STAGE_HEADER);
    struct swarm_message message;
    int found = 0;
    while (peer->stage != SWARM_PEER_CLOSING &&
           (found = swarm_reader_next(&peer->reader, &data, &size, &message)) > 0)
        on_message(peer, &message);
    if (found < 0 || fin)
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
    swarm_profile_end(peer->swarm, before);
}

/* ---- Events ---- */

static void on_opened(struct swarm_peer *peer, uint64_t id)
{
    if ((id & 2) != 0) {
        peer->control = (struct swarm_stream){SWARM_CONTROL_STREAM, peer, id};
        if (peer->has_control)
            swarm_peer_close(peer, SWARM_BAD_MESSAGE);
        else
            (void)spate_stream_set_user(peer->conn, id, &peer->control);
        peer->has_control = true;
        return;
    }
    for (uint32_t i = 0; i < SWARM_REQUESTS_MAX; i++) {
        struct swarm_request *request = &peer->requests[i];
        if (request->is_used)
            continue;
        *request = (struct swarm_request){.is_used = true};
        request->stream = (struct swarm_stream){SWARM_REQUEST_STREAM, peer, id};
        (void)spate_stream_set_user(peer->conn, id, &request->stream);
        return;
    }
    (void)spate_stream_reset(peer->conn, id, SWARM_BUSY); /* the limit of streams is ours */
    (void)spate_stream_stop(peer->conn, id, SWARM_BUSY);
}

static void on_data(struct swarm_peer *peer, struct spate_event *event)
{
    struct swarm_stream *stream = event->stream_user;
    const struct spate_slice *slice = &event->u.data.slice;
    bool is_heard = stream != NULL && peer->stage != SWARM_PEER_CLOSING;
    if (is_heard && stream->kind == SWARM_CONTROL_STREAM)
        on_control(peer, slice->data, slice->size, event->u.data.fin);
    else if (is_heard)
        swarm_request_data((struct swarm_request *)stream, slice->data, slice->size,
                           event->u.data.fin);
    spate_slice_release(peer->swarm->shard, &event->u.data.slice);
}

static void on_sent(struct swarm_peer *peer, const struct spate_event *event)
{
    if (event->u.sent.tag == MESSAGES_TAG) {
        peer->is_out = false;
    } else if (event->u.sent.is_acked && event->stream_user != NULL &&
               ((struct swarm_stream *)event->stream_user)->kind == SWARM_REQUEST_STREAM) {
        peer->bytes_out += event->u.sent.size;
        peer->swarm->bytes_out += event->u.sent.size;
    }
}

void swarm_peer_event(struct swarm_peer *peer, struct spate_event *event)
{
    struct swarm_stream *stream = event->stream_user;
    bool is_run = stream != NULL && stream->kind == SWARM_RUN_STREAM;
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        if (peer->stage == SWARM_PEER_CONNECTING)
            peer->stage = SWARM_PEER_CONNECTED;
        peer->connected_ns = spate_shard_now_ns(peer->swarm->shard);
        break;
    case SPATE_EVENT_STREAM_OPENED:
        on_opened(peer, event->stream_id);
        break;
    case SPATE_EVENT_SENT:
        on_sent(peer, event);
        break;
    case SPATE_EVENT_STREAM_DATA:
        if (is_run)
            swarm_run_event((struct swarm_run *)stream, event);
        else
            on_data(peer, event);
        break;
    case SPATE_EVENT_STREAM_RESET:
    case SPATE_EVENT_STREAM_STOPPED:
        if (stream != NULL && stream->kind == SWARM_CONTROL_STREAM)
            swarm_peer_close(peer, SWARM_BAD_MESSAGE);
        else if (is_run)
            swarm_run_event((struct swarm_run *)stream, event);
        else if (stream != NULL && !((struct swarm_request *)stream)->is_answered)
            (void)spate_stream_reset(peer->conn, event->stream_id, SWARM_CANCELLED);
        break;
    case SPATE_EVENT_STREAM_PLACED:
    case SPATE_EVENT_STREAM_CLOSED:
        if (is_run)
            swarm_run_event((struct swarm_run *)stream, event);
        else if (stream != NULL && stream->kind == SWARM_REQUEST_STREAM)
            ((struct swarm_request *)stream)->is_used = false;
        break;
    default:
        break;
    }
    swarm_peer_tell(peer);
}

void swarm_event(struct swarm *swarm, struct spate_event *event)
{
    struct swarm_peer *peer = event->conn_user;
    if (event->kind == SPATE_EVENT_SHUTDOWN || event->conn == NULL)
        return;
    if (peer == NULL && event->kind == SPATE_EVENT_CONNECTED) { /* it has connected to us */
        peer = swarm->is_ending ? NULL : swarm_peer_create(swarm, event->conn, NULL);
        if (peer == NULL)
            spate_conn_close(event->conn, SWARM_BUSY, swarm_code_text(SWARM_BUSY));
        else
            spate_conn_set_user(event->conn, peer);
    }
    if (peer == NULL) {
        if (event->kind == SPATE_EVENT_STREAM_DATA)
            spate_slice_release(swarm->shard, &event->u.data.slice);
        return;
    }
    if (event->kind != SPATE_EVENT_CLOSED) {
        swarm_peer_event(peer, event);
        return;
    }
    struct swarm_target *target = peer->target;
    swarm_peer_destroy(peer);
    if (target != NULL)
        swarm_target_closed(target, &event->u.close);
}
