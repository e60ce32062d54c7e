/* SPDX-License-Identifier: MIT */
/* Input: a byte that chooses the victim and how far the handshake goes, then a script.
 *
 *     byte 0      bit 0: the victim is the server; bits 1 to 3: trains of the handshake that
 *                 pass before the other side turns bad, 7 means all of them
 *     script      an operation (enum op) in the low 3 bits, flags in the others, then what it
 *                 takes
 *
 * The other side's keys are the attacker's: frames of the input are sealed with them and reach
 * the handlers.  After each operation the victim tells, sends, and must hold all its
 * invariants; at the end nothing may be left of it. */

#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "proto/conn/tombstone.h"
#include "test/support/null_pair.h"
#include "test/support/fuzz.h"

enum op {
    OP_FRAMES,     /* flags: space (2 bits), hold back to coalesce, CE mark, wait for the next
                      datagram to come in one batch; size, bytes */
    OP_DATAGRAM,   /* size, bytes: as they are */
    OP_TIME,       /* flags: 0 to the deadline, else 8 us doubled so many times */
    OP_VERB,       /* flags: which (enum verb); a stream, a number */
    OP_ACK,        /* everything that the victim has sent */
    OP_KEY_UPDATE, /* flags: 0 update; else the next first byte is XORed with a byte */
    OP_SKIP,       /* packet numbers: so many */
    OP_REPLAY,     /* the last datagram; flags: one bit of it changed, wait as above */
};

enum verb {
    VERB_OPEN_BIDI,
    VERB_OPEN_UNI,
    VERB_WRITE,
    VERB_WRITE_FIN,
    VERB_RESET,
    VERB_STOP,
    VERB_CONSUME,
    VERB_CLOSE,
    VERB_LEND,
    VERBS,
};

enum {
    STEPS_MAX = 200,
    TRAINS_MAX = 2000, /* one after another: more would be without an end */
    HELD_MAX = 64,
    LENT_MAX = 16,
    DATAGRAM_SIZE = 1500,
    FLAG_WAIT = 1 << 4,
};

static const uint8_t lent[4096];

/* Memory to receive into; what was told of it must stay as it was then. */
struct lent {
    uint8_t *data; /* NULL: not lent */
    uint8_t *told;
    uint64_t told_size;
    uint64_t offset;
    uint64_t size;
    uint64_t id;
};

struct attack {
    struct null_pair pair;
    struct sb_reader input;
    enum sp_role victim;
    const struct sp_conn *peer; /* whose keys we have */
    struct sp_key *key;         /* of 1-RTT, ours after the first update */
    bool key_is_own;
    bool key_phase;
    uint8_t first_xor;
    uint64_t next_pn[SP_SPACES];
    uint8_t datagram[DATAGRAM_SIZE]; /* being built, or the last one */
    size_t datagram_size;
    bool is_held_back;
    uint8_t waiting[NULL_PAIR_BATCH_MAX][DATAGRAM_SIZE];
    struct sb_bytes batch[NULL_PAIR_BATCH_MAX];
    uint32_t batch_count;
    struct lent lent[LENT_MAX]; /* by tag */
    uint64_t written;           /* writes that have not come back */
    struct sb_slice held[HELD_MAX];
    uint64_t held_ids[HELD_MAX];
    uint32_t held_count;
};

static struct sp_conn *victim_of(const struct attack *a)
{
    return a->pair.ends[a->victim].conn;
}

/* ---- What the victim does by itself ---- */

static void check_told(const struct attack *a)
{
    for (uint32_t i = 0; i < LENT_MAX; i++)
        if (a->lent[i].data != NULL)
            SB_ASSERT(memcmp(a->lent[i].data, a->lent[i].told, a->lent[i].told_size) == 0);
}

static void give_back(struct lent *memory)
{
    free(memory->data);
    free(memory->told);
    *memory = (struct lent){0};
}

static void take_placed(struct attack *a, const struct sp_event *event)
{
    if (event->placed.data == NULL) {
        SB_ASSERT(event->placed.size == 0 && event->placed.fin && !event->placed.is_returned);
        return;
    }
    SB_ASSERT(event->placed.tag < LENT_MAX);
    struct lent *memory = &a->lent[event->placed.tag];
    SB_ASSERT(memory->data != NULL && memory->id == event->stream_id);
    SB_ASSERT(event->placed.data == memory->data + memory->told_size);
    SB_ASSERT(event->placed.offset == memory->offset + memory->told_size);
    SB_ASSERT(event->placed.size <= memory->size - memory->told_size);
    SB_ASSERT(event->placed.size > 0 || event->placed.fin || event->placed.is_returned);
    memcpy(memory->told + memory->told_size, event->placed.data, event->placed.size);
    memory->told_size += event->placed.size;
    check_told(a);
    if (event->placed.is_returned)
        give_back(memory);
    else
        SB_ASSERT(memory->told_size < memory->size && !event->placed.fin);
}

static void take_event(struct attack *a, const struct sp_event *event)
{
    if (event->kind == SP_EVENT_STREAM_DATA) {
        SB_ASSERT(event->data.slice.size > 0 || event->data.fin);
        if (event->data.slice.buffer != NULL)
            SB_ASSERT(event->data.slice.buffer->ref_count > 0);
        if (a->held_count < HELD_MAX && event->data.slice.size > 0) {
            a->held[a->held_count] = event->data.slice;
            a->held_ids[a->held_count++] = event->stream_id;
        } else {
            sb_buffer_unref(event->data.slice.buffer);
        }
    } else if (event->kind == SP_EVENT_NEW_TOKEN) {
        sb_buffer_unref(event->new_token.buffer);
    } else if (event->kind == SP_EVENT_STREAM_SENT) {
        SB_ASSERT(a->written > 0);
        a->written--;
    } else if (event->kind == SP_EVENT_STREAM_PLACED) {
        take_placed(a, event);
    }
}

static void settle(struct attack *a)
{
    struct sp_conn *conn = victim_of(a);
    struct sp_event event;
    while (sp_conn_next_event(conn, &event))
        take_event(a, &event);

    uint8_t bytes[8 * DATAGRAM_SIZE];
    uint32_t trains = 0;
    for (;;) {
        struct sp_train train = {.data = bytes, .capacity = sizeof(bytes), .count_max = 8};
        if (sp_conn_send(conn, &train, a->pair.now_ns) == 0)
            break;
        SB_ASSERT(train.size <= train.capacity && train.count <= 8);
        SB_ASSERT(++trains < TRAINS_MAX);
    }
    while (sp_conn_next_event(conn, &event))
        take_event(a, &event);
    check_told(a);
    sp_conn_check(conn);
}

/* ---- What the attacker sends ---- */

/* Puts a packet with this payload behind what is in the datagram. */
static void forge(struct attack *a, enum sp_space space, const uint8_t *payload, size_t size)
{
    const struct sp_conn *peer = a->peer;
    struct sp_key *key = space == SP_SPACE_APP ? a->key : sp_conn_write_key(peer, space);
    if (key == NULL)
        return;
    struct sb_writer w =
        sb_writer_of(a->datagram + a->datagram_size, sizeof(a->datagram) - a->datagram_size);
    uint8_t *length_at = NULL, *pn_at;
    uint64_t pn = a->next_pn[space];
    if (sb_writer_left(&w) < 100 + size)
        return;
    if (space == SP_SPACE_APP) {
        struct sp_short_header header = {
            .dcid = sp_cid_remote_active(&peer->remote_ids),
            .pn = pn,
            .pn_size = SP_PN_SIZE_MAX,
            .key_phase = a->key_phase,
        };
        sp_header_write_short(&w, &header, &pn_at);
    } else {
        struct sp_long_header header = {
            .version = SP_VERSION_1,
            .type = space == SP_SPACE_INITIAL ? SP_PACKET_INITIAL : SP_PACKET_HANDSHAKE,
            .dcid = *sp_cid_remote_active(&peer->remote_ids),
            .scid = peer->local_ids.entries[0].cid,
            .pn = pn,
            .pn_size = SP_PN_SIZE_MAX,
        };
        sp_header_write_long(&w, &header, &length_at, &pn_at);
    }
    SB_ASSERT(!w.failed);
    a->next_pn[space]++;
    w.start[0] ^= a->first_xor & SP_HEADER_SHORT_RESERVED;
    a->first_xor = 0;
    if (length_at != NULL)
        sp_header_set_length(length_at, SP_PN_SIZE_MAX + size + SP_TAG_SIZE);

    struct sb_bytes part = {.data = payload, .size = size};
    struct sp_seal seal = {
        .pn = pn,
        .header = w.start,
        .header_size = sb_writer_used(&w),
        .parts = &part,
        .part_count = 1,
        .out = w.at,
    };
    qs_null_protect_ops.seal(key, &seal);
    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    qs_null_protect_ops.masks(key, &sample, 1, mask);
    sp_header_mask(w.start, pn_at, SP_PN_SIZE_MAX, mask[0]);
    a->datagram_size += sb_writer_used(&w) + size + SP_TAG_SIZE;
}

static void deliver(struct attack *a, enum sp_ecn ecn, bool waits)
{
    uint32_t at = a->batch_count++;
    memcpy(a->waiting[at], a->datagram, a->datagram_size);
    a->batch[at] = (struct sb_bytes){.data = a->waiting[at], .size = a->datagram_size};
    if (waits && a->batch_count < NULL_PAIR_BATCH_MAX)
        return;
    null_pair_give_batch(&a->pair, a->victim, a->batch, a->batch_count, ecn);
    a->batch_count = 0;
}

/* The next bytes of the input, as many as their first byte says; it may ask for too many. */
static struct sb_bytes take_bytes(struct attack *a)
{
    uint64_t size = sb_reader_u8(&a->input);
    size = SB_MIN(size * (size < 128 ? 1 : 8), sb_reader_left(&a->input));
    return (struct sb_bytes){.data = sb_reader_take(&a->input, size), .size = size};
}

static void send_frames(struct attack *a, uint8_t flags)
{
    static const enum sp_space spaces[] = {SP_SPACE_APP, SP_SPACE_HANDSHAKE, SP_SPACE_INITIAL,
                                           SP_SPACE_APP};
    struct sb_bytes payload = take_bytes(a);
    uint8_t empty = 0;
    if (!a->is_held_back)
        a->datagram_size = 0;
    forge(a, spaces[flags & 3], payload.size > 0 ? payload.data : &empty, payload.size);
    a->is_held_back = (flags & 4) != 0;
    if (!a->is_held_back)
        deliver(a, (flags & 8) != 0 ? SP_ECN_CE : SP_ECN_NOT, (flags & FLAG_WAIT) != 0);
}

static void send_raw(struct attack *a)
{
    struct sb_bytes bytes = take_bytes(a);
    a->is_held_back = false;
    a->datagram_size = SB_MIN(bytes.size, sizeof(a->datagram));
    if (a->datagram_size > 0)
        memcpy(a->datagram, bytes.data, a->datagram_size);
    deliver(a, SP_ECN_NOT, false);
}

static void send_ack(struct attack *a)
{
    a->is_held_back = false;
    a->datagram_size = 0;
    for (uint32_t i = SP_SPACE_INITIAL; i < SP_SPACES; i++) {
        const struct sp_loss_space *s = victim_of(a)->loss.spaces[i];
        uint64_t next_pn = s == NULL ? 0 : s->sent.next_pn;
        if (next_pn == 0)
            continue;
        struct sp_ack_range all = {.smallest = 0, .largest = next_pn - 1};
        uint8_t frame[32];
        struct sb_writer w = sb_writer_of(frame, sizeof(frame));
        SB_ASSERT(sp_frame_write_ack(&w, &all, 1, 0, NULL) == 1);
        forge(a, (enum sp_space)i, frame, sb_writer_used(&w));
    }
    deliver(a, SP_ECN_NOT, false);
}

static void update_key(struct attack *a, uint8_t flags)
{
    if (flags != 0) {
        a->first_xor = sb_reader_u8(&a->input);
        return;
    }
    if (a->key == NULL)
        return;
    struct sp_key *next = qs_null_protect_ops.next(a->key);
    SB_ASSERT(next != NULL);
    if (a->key_is_own)
        qs_null_protect_ops.destroy(a->key);
    a->key = next;
    a->key_is_own = true;
    a->key_phase = !a->key_phase;
}

static void replay(struct attack *a, uint8_t flags)
{
    a->is_held_back = false;
    if ((flags & ~FLAG_WAIT) != 0 && a->datagram_size > 0) {
        uint32_t bit = sb_reader_u8(&a->input);
        a->datagram[bit * 7 % a->datagram_size] ^= (uint8_t)(1u << bit % 8);
    }
    deliver(a, SP_ECN_NOT, (flags & FLAG_WAIT) != 0);
}

/* ---- What the victim's application and clock do ---- */

static void pass_time(struct attack *a, uint8_t flags)
{
    struct sp_conn *conn = victim_of(a);
    uint64_t deadline_ns = sp_conn_deadline_ns(conn);
    if (flags == 0 && deadline_ns != SB_NEVER)
        a->pair.now_ns = SB_MAX(a->pair.now_ns, deadline_ns);
    else
        a->pair.now_ns += 8 * SB_US << (flags & 15);
    if (sp_conn_deadline_ns(conn) <= a->pair.now_ns)
        sp_conn_on_deadline(conn, a->pair.now_ns);
}

static void consume(struct attack *a)
{
    for (uint32_t i = 0; i < a->held_count; i++) {
        sb_buffer_unref(a->held[i].buffer);
        sp_conn_consume(victim_of(a), a->held_ids[i], a->held[i].size);
    }
    a->held_count = 0;
}

static void lend(struct attack *a, uint64_t id, uint64_t size)
{
    uint32_t tag = 0;
    while (tag < LENT_MAX && a->lent[tag].data != NULL)
        tag++;
    if (tag == LENT_MAX)
        return;
    struct lent *memory = &a->lent[tag];
    *memory = (struct lent){.size = size, .id = id};
    memory->data = malloc(size); /* of exactly this size: sanitizers see each byte beyond */
    memory->told = malloc(size);
    SB_ASSERT(memory->data != NULL && memory->told != NULL);
    struct sp_lend args = {.data = memory->data, .size = size, .tag = tag};
    if (sp_conn_receive_into(victim_of(a), id, &args, &memory->offset) != SP_DONE)
        give_back(memory);
}

static void use_verb(struct attack *a, uint8_t flags)
{
    struct sp_conn *conn = victim_of(a);
    uint64_t id = sb_reader_u8(&a->input) & 0x1f;
    uint64_t number = sb_reader_u8(&a->input);
    enum verb verb = flags % VERBS;
    uint64_t opened;
    switch (verb) {
    case VERB_OPEN_BIDI:
    case VERB_OPEN_UNI:
        (void)!sp_conn_open(conn, verb == VERB_OPEN_UNI, &opened);
        break;
    case VERB_WRITE:
    case VERB_WRITE_FIN: {
        struct sp_write write = {.data = lent, .size = number * 16, .fin = verb == VERB_WRITE_FIN};
        if (sp_conn_write(conn, id, &write) == SP_DONE)
            a->written++;
        break;
    }
    case VERB_RESET:
        if (number < 128)
            (void)!sp_conn_reset(conn, id, number);
        else
            (void)!sp_conn_reset_at(conn, id, number, (number - 128) * 8);
        break;
    case VERB_STOP:
        (void)!sp_conn_stop(conn, id, number);
        break;
    case VERB_CONSUME:
        consume(a);
        break;
    case VERB_LEND:
        lend(a, id, 1 + number * 17);
        break;
    default:
        sp_conn_close(conn, number, (const char *)lent, number, a->pair.now_ns);
        break;
    }
}

static void step(struct attack *a)
{
    uint8_t byte = sb_reader_u8(&a->input);
    uint8_t flags = byte >> 3;
    switch ((enum op)(byte & 7)) {
    case OP_FRAMES:
        send_frames(a, flags);
        break;
    case OP_DATAGRAM:
        send_raw(a);
        break;
    case OP_TIME:
        pass_time(a, flags);
        break;
    case OP_VERB:
        use_verb(a, flags);
        break;
    case OP_ACK:
        send_ack(a);
        break;
    case OP_KEY_UPDATE:
        update_key(a, flags);
        break;
    case OP_SKIP:
        a->next_pn[SP_SPACE_APP] += flags == 0 ? sb_reader_u8(&a->input) : flags;
        break;
    case OP_REPLAY:
        replay(a, flags);
        break;
    }
}

/* Lets `count` trains pass, or all that there are.  False if there is no victim then. */
static bool shake_hands(struct attack *a, uint32_t count)
{
    enum sp_role from = SP_CLIENT;
    uint32_t silent = 0;
    for (uint32_t i = 0; i < count && silent < 2; i++) {
        silent = null_pair_step(&a->pair, from) ? 0 : silent + 1;
        from = from == SP_CLIENT ? SP_SERVER : SP_CLIENT;
        a->pair.now_ns += SB_MS;
    }
    enum sp_role peer = a->victim == SP_CLIENT ? SP_SERVER : SP_CLIENT;
    a->peer = a->pair.ends[peer].conn;
    if (a->peer == NULL || victim_of(a) == NULL)
        return false;
    a->key = a->peer->keys.write;
    for (uint32_t i = 0; i < SP_SPACES; i++)
        if (a->peer->loss.spaces[i] != NULL)
            a->next_pn[i] = a->peer->loss.spaces[i]->sent.next_pn;
    return true;
}

/* Whatever has happened, the victim can be closed and buried, unless it is drained or a client that
 * had no answer. */
static void bury(struct attack *a)
{
    struct sp_conn *victim = victim_of(a);
    struct sp_tombstone tombstone;
    if (victim == NULL)
        return;
    sp_conn_close_transport(victim, SP_ERR_INTERNAL, "the end", a->pair.now_ns);
    settle(a);
    if (!sp_conn_bury(victim, &tombstone))
        return;
    SB_ASSERT(tombstone.packet_size <= sizeof(tombstone.packet));
    SB_ASSERT(sp_conn_is_drained(victim));
    uint64_t budget = tombstone.budget_bytes;
    for (uint32_t i = 0; i < 16; i++) {
        bool is_sent = sp_tombstone_receive(&tombstone, &tombstone.path.remote, 0);
        SB_ASSERT(!is_sent || (tombstone.packet_size > 0 && tombstone.packet_size <= budget));
        budget = tombstone.budget_bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct attack *a = calloc(1, sizeof(*a));
    SB_ASSERT(a != NULL);
    a->input = sb_reader_of(data + 1, size - 1);
    a->victim = (data[0] & 1) != 0 ? SP_SERVER : SP_CLIENT;
    null_pair_init(&a->pair, 1);
    uint32_t trains = data[0] >> 1 & 7;
    if (shake_hands(a, trains == 7 ? 100 : trains)) {
        settle(a);
        for (uint32_t i = 0; i < STEPS_MAX && sb_reader_left(&a->input) > 0; i++) {
            step(a);
            settle(a);
        }
    }
    bury(a);
    for (uint32_t i = 0; i < a->held_count; i++)
        sb_buffer_unref(a->held[i].buffer);
    if (a->key_is_own)
        qs_null_protect_ops.destroy(a->key);
    null_pair_deinit(&a->pair);
    for (uint32_t i = 0; i < LENT_MAX; i++)
        give_back(&a->lent[i]);
    free(a);
    return 0;
}
