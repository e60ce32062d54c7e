/* SPDX-License-Identifier: MIT */
/* Hostile clients: what they send, and when.
 *
 * One in eight is a stranger, whose Initials bring no ClientHello.  The others are authenticated.
 *
 * A monkey has a seed.  From it come its favourite kinds of packet, the share of others, its
 * pace, the size of its batches, how much it sends, and how it ends.  It acknowledges what comes
 * back only if it feels like it: some acknowledge small packets and not large ones, such as probes
 * of the path MTU, and then the other way round.  It answers PATH_CHALLENGEs at random. */

#include "test/sim/monkey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/frame.h"
#include "test/sim/victim.h"

enum {
    BATCH_MAX = 16,
    ROUNDS_MAX = 100, /* of a handshake that is carried at one moment */
    INBOX_MAX = 64,   /* datagrams to the monkey; it never misses those beyond */
    FRAMES_SIZE_MAX = 1350,
    ANSWER_SIZE = 1 + SP_PATH_DATA_SIZE, /* a PATH_RESPONSE before them */
    PATIENCE_NS = 100 * SB_MS,           /* for a handshake that gets no further */
};

enum ending {
    ENDING_CLOSE,   /* a CONNECTION_CLOSE */
    ENDING_SILENCE, /* nothing: the victim's idle timeout */
    ENDINGS,
};

struct monkey {
    struct qs_monkeys *owner;
    struct qs_random random;
    bool has_ended;
    struct hostile *hostile; /* NULL: it has ended, or is a stranger */
    struct qs_victim victim;
    enum hostile_kind favourites[2]; /* in the first half of its life, in the second */
    uint32_t other_ppm;              /* packets of any other kind */
    uint32_t damage_ppm;             /* datagrams that are garbage */
    uint32_t replay_ppm;             /* datagrams that were sent before */
    uint32_t ack_ppm;                /* packets that acknowledge what came */
    uint32_t batch_max;              /* datagrams that arrive together */
    uint64_t pause_ns_max;           /* between batches */
    uint32_t left;                   /* datagrams to send */
    uint32_t half;                   /* of all of them */
    uint32_t rounds_left;            /* of the handshake, before it is abandoned */
    enum ending ending;
    uint32_t places; /* addresses that it sends from: 1, some that it returns to, or very many */
    bool hears_all;  /* what is sent to them; otherwise they are spoofed */
    struct qs_random places_random;
    struct qs_random whims;  /* about answers */
    uint32_t answer_ppm;     /* PATH_CHALLENGEs that are answered */
    size_t small_max;        /* the largest packet that is small; 0: all are acknowledged alike */
    bool begins_large;       /* acknowledges the large ones in the first half of its life */
    uint64_t answered_count; /* of the challenges that came: answered, or not to be answered */
    uint32_t challenge_places[HOSTILE_CHALLENGES_MAX];
    bool is_stranger; /* sends Initials and never completes a handshake */
    struct sp_cid dcid;
    struct sp_cid scid;
    uint64_t next_pn;
    uint64_t crypto_offset;
    struct qs_victim_datagram kept; /* for a replay */
    struct qs_victim_datagram inbox[INBOX_MAX];
    uint32_t inbox_count;
};

struct qs_monkeys {
    const struct qs_plan *plan;
    struct qs_host *server;
    struct hostile_host host;
    struct qs_monkey_report report;
    uint32_t count;
    struct monkey *all;
};

static void take_answer(void *context, uint32_t place, const uint8_t *data, size_t size)
{
    struct monkey *m = context;
    if (m->inbox_count == INBOX_MAX || (place != 0 && !m->hears_all))
        return;
    struct qs_victim_datagram *slot = &m->inbox[m->inbox_count++];
    SB_ASSERT(size <= sizeof(slot->data));
    memcpy(slot->data, data, size);
    slot->size = size;
    slot->place = place;
}

static uint64_t now_of(const struct monkey *m)
{
    return m->owner->server->clock->now_ns;
}

static void read_inbox(struct monkey *m)
{
    for (uint32_t i = 0; i < m->inbox_count; i++) {
        const struct qs_victim_datagram *in = &m->inbox[i];
        uint64_t before = m->hostile->challenge_count;
        hostile_receive(m->hostile, in->data, in->size, now_of(m));
        for (; before < m->hostile->challenge_count; before++)
            m->challenge_places[before % HOSTILE_CHALLENGES_MAX] = in->place;
    }
    m->inbox_count = 0;
}

static void leave(struct monkey *m)
{
    hostile_destroy(m->hostile);
    m->hostile = NULL;
    m->has_ended = true;
    m->inbox_count = 0;
}

/* ---- The handshake ---- */

/* One round: what the monkey has to send, and the answers.  False if nothing moved. */
static bool carry(struct monkey *m)
{
    struct qs_victim_datagram out = {.place = 0};
    bool any = false;
    while ((out.size = hostile_send(m->hostile, out.data, sizeof(out.data), now_of(m))) > 0) {
        any = true;
        if (m->victim.conn == NULL && !m->victim.is_closed &&
            !qs_victim_start(&m->victim, out.data, out.size))
            return false;
        qs_victim_receive(&m->victim, HOSTILE_ORDINARY, &out, 1);
    }
    any = any || m->inbox_count > 0;
    read_inbox(m);
    return any;
}

static void tick(void *context, void *argument);

static void tick_later(struct monkey *m, uint64_t wait_ns)
{
    qs_clock_at(m->owner->server->clock, now_of(m) + wait_ns, tick, m, NULL);
}

static void shake_hands(struct monkey *m)
{
    hostile_on_time(m->hostile, now_of(m));
    for (uint32_t i = 0; i < ROUNDS_MAX && m->hostile->state == HOSTILE_HANDSHAKE; i++) {
        if (m->rounds_left-- == 0) {
            leave(m);
            return;
        }
        if (!carry(m))
            break;
    }
    if (m->hostile->state == HOSTILE_READY)
        m->owner->report.ready_count++;
    if (m->hostile->state == HOSTILE_CLOSED || m->victim.conn == NULL)
        leave(m);
    else
        tick_later(m, m->hostile->state == HOSTILE_HANDSHAKE ? PATIENCE_NS : 0);
}

/* ---- Strangers ---- */

/* Frames of an Initial that bring no ClientHello. */
static size_t fill_initial(struct monkey *m, enum hostile_kind kind, uint8_t *out, size_t room)
{
    struct sb_writer w = sb_writer_of(out, room);
    if (kind == HOSTILE_PINGS)
        sp_frame_write_ping(&w);
    if (kind == HOSTILE_GARBAGE) {
        uint8_t bytes[32];
        qs_random_bytes(&m->random, bytes, sizeof(bytes));
        sb_writer_bytes(&w, bytes, sizeof(bytes));
    }
    while (kind == HOSTILE_CRYPTO && sb_writer_left(&w) > 16) {
        sp_frame_write_crypto_head(&w, m->crypto_offset, 1);
        sb_writer_bytes(&w, (const uint8_t *)"x", 1);
        m->crypto_offset += 2;
    }
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}

static void send_initial(struct monkey *m)
{
    static const enum hostile_kind kinds[] = {HOSTILE_PINGS, HOSTILE_CRYPTO, HOSTILE_CRYPTO,
                                              HOSTILE_CRYPTO, HOSTILE_GARBAGE};
    uint64_t choices = qs_random_below(&m->random, 16) == 0 ? SB_COUNT(kinds) : 4;
    enum hostile_kind kind = kinds[qs_random_below(&m->random, choices)];
    uint8_t frames[1000];
    size_t size = fill_initial(m, kind, frames, sizeof(frames));
    struct qs_victim_datagram out = {.place = 0};
    out.size = hostile_initial(&m->owner->host.protect, &m->dcid, &m->scid, m->next_pn++, frames,
                               size, out.data);
    SB_ASSERT(out.size > 0);
    if (m->next_pn == 1 && !qs_victim_start(&m->victim, out.data, out.size))
        return;
    qs_victim_receive(&m->victim, kind, &out, 1);
    m->inbox_count = 0;
}

static void be_strange(struct monkey *m)
{
    m->left--;
    send_initial(m);
    if (m->left == 0 || m->victim.conn == NULL)
        leave(m);
    else
        tick_later(m, qs_random_below(&m->random, m->pause_ns_max + 1));
}

/* ---- Attacks ---- */

static enum hostile_kind choose_kind(struct monkey *m)
{
    if (qs_random_chance(&m->random, m->ack_ppm))
        return HOSTILE_ACK_RANGES;
    if (!qs_random_chance(&m->random, m->other_ppm))
        return m->favourites[m->left < m->half];
    return (enum hostile_kind)qs_random_below(&m->random, HOSTILE_KINDS_LEGAL);
}

/* Writes the answer to one PATH_CHALLENGE, or to none.  Returns its size. */
static size_t write_answer(struct monkey *m, uint8_t out[ANSWER_SIZE],
                           struct qs_victim_datagram *ret)
{
    const struct hostile *h = m->hostile;
    if (h->challenge_count - m->answered_count > HOSTILE_CHALLENGES_MAX)
        m->answered_count = h->challenge_count - HOSTILE_CHALLENGES_MAX;
    while (m->answered_count < h->challenge_count) {
        uint64_t at = m->answered_count++ % HOSTILE_CHALLENGES_MAX;
        if (!qs_random_chance(&m->whims, m->answer_ppm))
            continue;
        struct sb_writer w = sb_writer_of(out, ANSWER_SIZE);
        sp_frame_write_path(&w, SP_FRAME_PATH_RESPONSE, h->challenges[at]);
        ret->proves = true;
        ret->proven = m->challenge_places[at];
        return sb_writer_used(&w);
    }
    return 0;
}

static void make_datagram(struct monkey *m, enum hostile_kind kind, struct qs_victim_datagram *ret)
{
    if (m->kept.size > 0 && qs_random_chance(&m->random, m->replay_ppm)) {
        *ret = m->kept;
        return;
    }
    uint8_t frames[ANSWER_SIZE + FRAMES_SIZE_MAX];
    size_t room = 1000 + (size_t)qs_random_below(&m->random, FRAMES_SIZE_MAX - 999);
    ret->proves = false;
    size_t size = write_answer(m, frames, ret);
    size += hostile_fill(m->hostile, kind, frames + size, room);
    ret->size = hostile_seal(m->hostile, frames, size, ret->data, sizeof(ret->data));
    if (qs_random_chance(&m->random, m->damage_ppm)) {
        size_t at = (size_t)qs_random_below(&m->random, ret->size);
        qs_random_bytes(&m->random, ret->data + at, ret->size - at);
    }
    if (m->kept.size == 0 || qs_random_chance(&m->random, 100000))
        m->kept = *ret;
}

static void end(struct monkey *m)
{
    if (m->ending == ENDING_CLOSE && m->hostile->state == HOSTILE_READY) {
        uint8_t frames[64];
        struct sb_writer w = sb_writer_of(frames, sizeof(frames));
        sp_frame_write_close(&w, &(struct sp_frame_close){.is_app = true, .error = 1});
        struct qs_victim_datagram out = {.place = 0};
        out.size = hostile_seal(m->hostile, frames, sb_writer_used(&w), out.data, sizeof(out.data));
        qs_victim_receive(&m->victim, HOSTILE_ANY, &out, 1);
    }
    leave(m);
}

static void attack(struct monkey *m)
{
    struct qs_victim_datagram batch[BATCH_MAX];
    uint32_t count = 1 + (uint32_t)qs_random_below(&m->random, m->batch_max);
    count = SB_MIN(count, m->left);
    enum hostile_kind kind = choose_kind(m);
    for (uint32_t i = 0; i < count; i++) {
        make_datagram(m, kind, &batch[i]);
        batch[i].place = (uint32_t)qs_random_below(&m->places_random, m->places);
    }
    m->left -= count;
    if (m->small_max > 0) {
        bool wants_large = m->begins_large == (m->left >= m->half);
        m->hostile->seen_size_min = wants_large ? m->small_max + 1 : 0;
        m->hostile->seen_size_max = wants_large ? SIZE_MAX : m->small_max;
    }
    if (count > 0)
        qs_victim_receive(&m->victim, kind, batch, count);
    read_inbox(m);
    if (m->left == 0 || m->victim.conn == NULL || m->hostile->state == HOSTILE_CLOSED)
        end(m);
    else
        tick_later(m, qs_random_below(&m->random, m->pause_ns_max + 1));
}

static void tick(void *context, void *argument)
{
    (void)argument;
    struct monkey *m = context;
    if (m->has_ended || m->owner->server->trace->has_failed)
        return;
    if (m->is_stranger)
        be_strange(m);
    else if (m->hostile->state == HOSTILE_HANDSHAKE)
        shake_hands(m);
    else
        attack(m);
}

/* ---- All of them ---- */

static struct sp_tls *make_tls(void *context, uint64_t seed)
{
    const struct qs_monkeys *monkeys = context;
    const struct qs_crypto *crypto = &monkeys->server->crypto;
    return crypto->make_tls(crypto, SP_CLIENT, seed);
}

static uint32_t sometimes(struct qs_random *random, uint64_t ppm_max)
{
    return qs_random_below(random, 3) == 0 ? (uint32_t)qs_random_below(random, ppm_max) : 0;
}

static struct sp_cid random_cid(struct qs_random *random)
{
    uint8_t bytes[8];
    qs_random_bytes(random, bytes, sizeof(bytes));
    return sp_cid_of(bytes, sizeof(bytes));
}

static void client_init(struct monkey *m)
{
    struct qs_monkeys *owner = m->owner;
    struct sp_path path = {.local = qs_addr_of(SP_CLIENT), .remote = qs_addr_of(SP_SERVER)};
    uint64_t now_ns = owner->server->clock->now_ns;
    m->hostile = hostile_create(&owner->host, &path, qs_random_next(&m->random), now_ns);
    SB_ASSERT(m->hostile != NULL);
    if (qs_random_below(&m->random, 2) == 0)
        m->hostile->repeat_depth = 1 + qs_random_below(&m->random, 500);
}

static void monkey_init(struct monkey *m, struct qs_monkeys *owner, uint32_t index)
{
    m->owner = owner;
    struct qs_random *random = &m->random;
    qs_random_init(random, qs_hash(owner->plan->seed, "monkey", 6) + index);
    for (uint32_t i = 0; i < SB_COUNT(m->favourites); i++)
        m->favourites[i] = (enum hostile_kind)qs_random_below(random, HOSTILE_KINDS_LEGAL);
    /* Kinds that break the protocol end their connection soon: less often. */
    if (qs_random_below(random, 16) == 0)
        m->favourites[1] =
            (enum hostile_kind)qs_random_between(random, HOSTILE_KINDS_LEGAL, HOSTILE_KINDS - 1);
    m->other_ppm = sometimes(random, 500000);
    m->damage_ppm = sometimes(random, 200000);
    m->replay_ppm = sometimes(random, 200000);
    m->ack_ppm = sometimes(random, 300000);
    m->batch_max = 1 + (uint32_t)qs_random_below(random, BATCH_MAX);
    m->pause_ns_max = qs_random_below(random, 4 * SB_MS);
    m->left = 1 + (uint32_t)qs_random_below(random, owner->plan->monkeys.datagrams_max);
    m->half = m->left / 2;
    m->rounds_left =
        qs_random_below(random, 8) == 0 ? (uint32_t)qs_random_below(random, 4) : UINT32_MAX;
    m->ending = (enum ending)qs_random_below(random, ENDINGS);

    struct qs_victim *v = &m->victim;
    v->host = owner->server;
    v->report = &owner->report;
    v->mode = (enum qs_victim_mode)qs_random_below(random, QS_VICTIM_MODES);
    v->acts_ppm = sometimes(random, 50000);
    v->answer = take_answer;
    v->context = m;
    qs_random_init(&v->random, qs_random_next(random));
    snprintf(v->who, sizeof(v->who), "M%u", index);

    /* By chance of its own, so that seeds mean what they meant before there were places. */
    static const uint32_t places[] = {1, 1, 2, 5, 65000};
    qs_random_init(&m->places_random, qs_hash(owner->plan->seed, "place", 5) + index);
    m->places = places[qs_random_below(&m->places_random, SB_COUNT(places))];
    m->hears_all = qs_random_below(&m->places_random, 2) == 0;

    qs_random_init(&m->whims, qs_hash(owner->plan->seed, "whims", 5) + index);
    m->answer_ppm = (uint32_t)qs_random_below(&m->whims, 3) * 500000;
    if (qs_random_below(&m->whims, 2) == 0)
        m->small_max = (size_t)qs_random_between(&m->whims, 1200, 2000);
    m->begins_large = qs_random_below(&m->whims, 2) == 0;

    m->dcid = random_cid(random);
    m->scid = random_cid(random);
    m->crypto_offset = 1;
    m->is_stranger = qs_random_below(random, 8) == 0;
    if (!m->is_stranger)
        client_init(m);
    qs_note(owner->server->trace, "%s likes %s, then %s; mode %d, %u datagrams", v->who,
            hostile_kind_name(m->favourites[0]), hostile_kind_name(m->favourites[1]), (int)v->mode,
            m->left);
    tick_later(m, qs_random_below(random, owner->plan->monkeys.start_ns_max + 1));
}

struct qs_monkeys *qs_monkeys_create(const struct qs_plan *plan, struct qs_host *server)
{
    struct qs_monkeys *monkeys = calloc(1, sizeof(*monkeys));
    SB_ASSERT(monkeys != NULL);
    monkeys->plan = plan;
    monkeys->server = server;
    monkeys->count = plan->monkeys.count;
    monkeys->all = calloc(SB_MAX(monkeys->count, 1), sizeof(*monkeys->all));
    SB_ASSERT(monkeys->all != NULL);
    hostile_host_init(&monkeys->host, &server->crypto.protect, server->crypto.tls_ops, make_tls,
                      monkeys);
    for (uint32_t i = 0; i < monkeys->count; i++)
        monkey_init(&monkeys->all[i], monkeys, i);
    return monkeys;
}

bool qs_monkeys_are_gone(const struct qs_monkeys *monkeys)
{
    for (uint32_t i = 0; i < monkeys->count; i++)
        if (!monkeys->all[i].has_ended || monkeys->all[i].victim.conn != NULL)
            return false;
    return true;
}

void qs_monkeys_destroy(struct qs_monkeys *monkeys, struct qs_monkey_report *ret)
{
    if (monkeys == NULL)
        return;
    for (uint32_t i = 0; i < monkeys->count; i++) {
        leave(&monkeys->all[i]);
        qs_victim_end(&monkeys->all[i].victim);
    }
    hostile_host_deinit(&monkeys->host);
    *ret = monkeys->report;
    free(monkeys->all);
    free(monkeys);
}
