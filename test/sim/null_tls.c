/* SPDX-License-Identifier: MIT */
/* Each side is a fixed sequence of messages: `next_in` is the one that must come next.  A message
 * is processed when it is complete; the resulting events are queued in the order in which OpenSSL
 * raises them. */

#include "test/sim/null_tls.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/wire/tparam.h"
#include "test/sim/null_tls_impl.h"
#include "test/sim/null_ticket.h"
#include "test/sim/random.h"

void qs_tls_plan_init(struct qs_tls_plan *plan)
{
    *plan = (struct qs_tls_plan){
        .hello_size = 280,
        .certificate_size = 900,
        .ticket_size = 200,
        .ticket_count = 1,
    };
}

struct sp_tls *qs_null_tls_create(enum sp_role role, const struct qs_tls_plan *plan, uint64_t seed)
{
    struct sp_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return NULL;
    tls->role = role;
    tls->plan = plan;
    qs_random_init(&tls->random, seed);
    qs_random_bytes(&tls->random, tls->randoms[role], RANDOM_SIZE);
    tls->next_in = role == SP_CLIENT ? QS_SERVER_HELLO : QS_CLIENT_HELLO;
    tls->level_in = SP_LEVEL_INITIAL;
    return tls;
}

static void free_bytes(struct sb_bytes *bytes)
{
    union {
        const uint8_t *from;
        void *to;
    } memory = {.from = bytes->data};
    free(memory.to);
    *bytes = (struct sb_bytes){0};
}

/* ---- Tickets ---- */

bool qs_null_tls_resume(struct sp_tls *tls, struct sb_bytes ticket, bool wants_early)
{
    struct qs_ticket parts;
    SB_ASSERT(tls->role == SP_CLIENT && !tls->is_started && tls->ticket.data == NULL);
    if (!qs_ticket_read(ticket, &parts))
        return false;
    tls->ticket = (struct sb_bytes){copy_of(ticket.data, ticket.size), ticket.size};
    (void)qs_ticket_read(tls->ticket, &tls->parts);
    tls->offers_early = wants_early && parts.allows_early;
    return true;
}

struct sb_bytes qs_null_tls_early_params(const struct sp_tls *tls)
{
    return tls->offers_early ? tls->parts.params : (struct sb_bytes){0};
}

static bool null_ticket(struct sp_tls *tls, struct sb_bytes *ret)
{
    free_bytes(&tls->taken);
    if (tls->ticket_count == 0)
        return false;
    tls->taken = tls->tickets[0];
    memmove(tls->tickets, tls->tickets + 1, --tls->ticket_count * sizeof(tls->tickets[0]));
    *ret = tls->taken;
    return true;
}

static void null_destroy(struct sp_tls *tls)
{
    if (tls == NULL)
        return;
    settle(tls);
    free(tls->in.data);
    for (int level = 0; level < SP_LEVELS; level++)
        free(tls->out[level].data);
    free(tls->params);
    free_bytes(&tls->own);
    free_bytes(&tls->ticket);
    free_bytes(&tls->taken);
    while (tls->ticket_count > 0)
        free_bytes(&tls->tickets[--tls->ticket_count]);
    memset(tls, 0xdd, sizeof(*tls));
    free(tls);
}

static void raise_fact(struct sp_tls *tls, struct sp_tls_event fact)
{
    SB_ASSERT(tls->fact_count < FACTS_MAX);
    tls->facts[(tls->fact_first + tls->fact_count++) % FACTS_MAX] = fact;
}

static void fail_by(struct sp_tls *tls, enum sp_tls_event_kind kind, uint8_t alert)
{
    tls->has_failed = true;
    raise_fact(tls, (struct sp_tls_event){.kind = kind, .alert = alert});
}

static void fail(struct sp_tls *tls, uint8_t alert)
{
    fail_by(tls, SP_TLS_ALERT, alert);
}

static void raise_secret(struct sp_tls *tls, enum sp_level level, bool is_write)
{
    raise_fact(tls, (struct sp_tls_event){.kind = SP_TLS_SECRET,
                                          .level = level,
                                          .is_write = is_write,
                                          .suite = SP_SUITE_AES_128_GCM});
}

static void raise_secrets(struct sp_tls *tls, enum sp_level level)
{
    raise_secret(tls, level, tls->plan->write_secret_first);
    raise_secret(tls, level, !tls->plan->write_secret_first);
}

/* Says a message: the head, then `parts`. */
static void say(struct sp_tls *tls, enum sp_level level, enum qs_message type,
                const struct sb_bytes *parts, size_t part_count)
{
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++)
        size += parts[i].size;
    SB_ASSERT(size < MESSAGE_SIZE_MAX);
    const uint8_t head[HEAD_SIZE] = {(uint8_t)type, (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                                     (uint8_t)size};

    struct flight *out = &tls->out[level];
    size_t before = out->size;
    flight_add(out, head, sizeof(head));
    for (size_t i = 0; i < part_count; i++)
        flight_add(out, parts[i].data, parts[i].size);
    tls->transcript = qs_hash(tls->transcript, out->data + before, out->size - before);
    raise_fact(tls, (struct sp_tls_event){
                        .kind = SP_TLS_CRYPTO, .level = level, .size = out->size - before});
}

/* Random bytes as a body: what is in them does not matter, the transcript covers them. */
static void say_filler(struct sp_tls *tls, enum sp_level level, enum qs_message type, size_t size)
{
    uint8_t *filler = malloc(size + 1);
    SB_ASSERT(filler != NULL);
    qs_random_bytes(&tls->random, filler, size);
    say(tls, level, type, &(struct sb_bytes){filler, size}, 1);
    free(filler);
}

static void say_finished(struct sp_tls *tls)
{
    uint64_t verify[4];
    for (uint64_t i = 0; i < 4; i++)
        verify[i] = qs_mix(tls->transcript + i);
    say(tls, SP_LEVEL_HANDSHAKE, QS_FINISHED,
        &(struct sb_bytes){(const uint8_t *)verify, sizeof(verify)}, 1);
}

static bool null_start(struct sp_tls *tls, const uint8_t *params, size_t params_size)
{
    settle(tls);
    SB_ASSERT(!tls->is_started);
    SB_ASSERT(params_size < UINT16_MAX);
    tls->is_started = true;
    if (tls->role == SP_SERVER) {
        tls->params = copy_of(params, params_size);
        tls->params_size = params_size;
        tls->own = (struct sb_bytes){copy_of(params, params_size), params_size};
        return true;
    }

    const uint8_t size_bytes[2] = {(uint8_t)(params_size >> 8), (uint8_t)params_size};
    size_t ticket_size = tls->ticket.size;
    const uint8_t ticket_bytes[2] = {(uint8_t)(ticket_size >> 8), (uint8_t)ticket_size};
    const uint8_t early = tls->offers_early;
    size_t fixed = HEAD_SIZE + RANDOM_SIZE + sizeof(size_bytes) + params_size +
                   sizeof(ticket_bytes) + ticket_size + sizeof(early);
    size_t padding_size = tls->plan->hello_size > fixed ? tls->plan->hello_size - fixed : 0;
    uint8_t *padding = malloc(padding_size + 1);
    SB_ASSERT(padding != NULL);
    qs_random_bytes(&tls->random, padding, padding_size);
    const struct sb_bytes parts[] = {
        {tls->randoms[SP_CLIENT], RANDOM_SIZE},
        {size_bytes, sizeof(size_bytes)},
        {params, params_size},
        {ticket_bytes, sizeof(ticket_bytes)},
        tls->ticket,
        {&early, sizeof(early)},
        {padding, padding_size},
    };
    say(tls, SP_LEVEL_INITIAL, QS_CLIENT_HELLO, parts, SB_COUNT(parts));
    free(padding);
    if (tls->offers_early)
        raise_secret(tls, SP_LEVEL_EARLY, true);
    return true;
}

/* The peer's parameters replace ours, which are written by now. */
static void keep_params(struct sp_tls *tls, const uint8_t *params, size_t size)
{
    free(tls->params);
    tls->params = copy_of(params, size);
    tls->params_size = size;
    raise_fact(tls, (struct sp_tls_event){.kind = SP_TLS_PEER_PARAMS});
}

/* Reads what follows the parameters in a ClientHello: a hand-made one may have nothing there. */
static void read_resumption(struct sp_tls *tls, struct sb_reader *body)
{
    uint16_t size = sb_reader_u16(body);
    const uint8_t *ticket = sb_reader_take(body, size);
    tls->offers_early = sb_reader_u8(body) == 1 && !body->failed;
    if (body->failed || size == 0)
        return;
    tls->ticket = (struct sb_bytes){copy_of(ticket, size), size};
    tls->is_resumed = qs_ticket_read(tls->ticket, &tls->parts) && !tls->plan->forgets_tickets;
}

static bool accepts_early(const struct sp_tls *tls)
{
    struct sp_tparams now, then;
    if (!tls->is_resumed || !tls->offers_early || !tls->parts.allows_early ||
        tls->plan->early < QS_EARLY_ACCEPT || tls->plan->early == QS_EARLY_REJECT)
        return false;
    bool can_read = sp_tparams_read(tls->own, SP_SERVER, &now) == SP_OK &&
                    sp_tparams_read(tls->parts.params, SP_SERVER, &then) == SP_OK;
    return can_read && (tls->plan->early == QS_EARLY_FORCE || sp_tparams_cover(&now, &then));
}

static void on_client_hello(struct sp_tls *tls, struct sb_reader *body)
{
    const uint8_t *random = sb_reader_take(body, RANDOM_SIZE);
    uint16_t params_size = sb_reader_u16(body);
    const uint8_t *params = sb_reader_take(body, params_size);
    if (body->failed) {
        fail(tls, ALERT_DECODE_ERROR);
        return;
    }
    memcpy(tls->randoms[SP_CLIENT], random, RANDOM_SIZE);
    read_resumption(tls, body);

    uint8_t *own_params = tls->params;
    size_t own_params_size = tls->params_size;
    tls->params = NULL;
    keep_params(tls, params, params_size);
    uint8_t answer[1024];
    size_t answer_size = 0;
    if (tls->answer != NULL)
        answer_size = tls->answer(tls->answer_context, (struct sb_bytes){params, params_size},
                                  answer, sizeof(answer));
    if (answer_size > 0) {
        free(own_params);
        own_params = copy_of(answer, answer_size);
        own_params_size = answer_size;
        free_bytes(&tls->own);
        tls->own = (struct sb_bytes){copy_of(answer, answer_size), answer_size};
    }

    const uint8_t is_resumed = tls->is_resumed;
    const uint8_t is_early = accepts_early(tls);
    if (is_early)
        raise_secret(tls, SP_LEVEL_EARLY, false);
    else if (tls->offers_early)
        raise_fact(tls, (struct sp_tls_event){.kind = SP_TLS_EARLY_REJECTED});
    const struct sb_bytes hello[] = {{tls->randoms[SP_SERVER], RANDOM_SIZE}, {&is_resumed, 1}};
    say(tls, SP_LEVEL_INITIAL, QS_SERVER_HELLO, hello, SB_COUNT(hello));
    raise_secrets(tls, SP_LEVEL_HANDSHAKE);
    const struct sb_bytes extensions[] = {{&is_early, 1}, {own_params, own_params_size}};
    say(tls, SP_LEVEL_HANDSHAKE, QS_ENCRYPTED_EXTENSIONS, extensions, SB_COUNT(extensions));
    free(own_params);
    if (!is_resumed) {
        say_filler(tls, SP_LEVEL_HANDSHAKE, QS_CERTIFICATE, tls->plan->certificate_size);
        say_filler(tls, SP_LEVEL_HANDSHAKE, QS_CERTIFICATE_VERIFY, VERIFY_SIZE);
    }
    say_finished(tls);
    raise_secret(tls, SP_LEVEL_APP, true);
    tls->next_in = QS_FINISHED;
    tls->level_in = SP_LEVEL_HANDSHAKE;
}

static void on_server_hello(struct sp_tls *tls, struct sb_reader *body)
{
    const uint8_t *random = sb_reader_take(body, RANDOM_SIZE);
    tls->is_resumed = sb_reader_u8(body) == 1;
    if (body->failed || (tls->is_resumed && tls->ticket.data == NULL)) {
        fail(tls, ALERT_DECODE_ERROR);
        return;
    }
    memcpy(tls->randoms[SP_SERVER], random, RANDOM_SIZE);
    raise_secrets(tls, SP_LEVEL_HANDSHAKE);
    tls->next_in = QS_ENCRYPTED_EXTENSIONS;
    tls->level_in = SP_LEVEL_HANDSHAKE;
}

static bool finished_is_right(const struct sp_tls *tls, struct sb_reader *body)
{
    uint64_t verify[4];
    const uint8_t *got = sb_reader_take(body, sizeof(verify));
    for (uint64_t i = 0; i < 4; i++)
        verify[i] = qs_mix(tls->transcript + i);
    return got != NULL && memcmp(got, verify, sizeof(verify)) == 0;
}

static void say_ticket(struct sp_tls *tls)
{
    struct qs_ticket parts = {
        .allows_early = tls->plan->early != QS_EARLY_OFF,
        .params = tls->own,
    };
    size_t size = SB_MAX(qs_ticket_size(&parts), tls->plan->ticket_size);
    uint8_t *ticket = malloc(size);
    SB_ASSERT(ticket != NULL);
    qs_random_bytes(&tls->random, ticket, size);
    qs_ticket_write(&parts, ticket, size);
    say(tls, SP_LEVEL_APP, QS_SESSION_TICKET, &(struct sb_bytes){ticket, size}, 1);
    free(ticket);
}

static void on_ticket(struct sp_tls *tls, struct sb_reader *body)
{
    size_t size = sb_reader_left(body);
    if (tls->ticket_count == TICKETS_MAX)
        return;
    tls->tickets[tls->ticket_count++] = (struct sb_bytes){copy_of(body->at, size), size};
    raise_fact(tls, (struct sp_tls_event){.kind = SP_TLS_TICKET});
}

/* The server's answer comes before its parameters: see packet/tls.h. */
static void on_extensions(struct sp_tls *tls, struct sb_reader *body)
{
    uint8_t is_early = sb_reader_u8(body);
    if (body->failed || is_early > tls->offers_early) {
        fail(tls, ALERT_DECODE_ERROR);
        return;
    }
    if (tls->offers_early)
        raise_fact(tls, (struct sp_tls_event){.kind = is_early ? SP_TLS_EARLY_ACCEPTED
                                                               : SP_TLS_EARLY_REJECTED});
    keep_params(tls, body->at, sb_reader_left(body));
    tls->next_in = tls->is_resumed ? QS_FINISHED : QS_CERTIFICATE;
}

static void complete(struct sp_tls *tls)
{
    tls->is_complete = true;
    tls->level_in = SP_LEVEL_APP;
    tls->next_in = tls->role == SP_CLIENT ? QS_SESSION_TICKET : QS_MESSAGE_NONE;
    raise_fact(tls, (struct sp_tls_event){.kind = SP_TLS_COMPLETE});
    if (tls->role == SP_CLIENT)
        return;
    for (uint32_t i = 0; i < tls->plan->ticket_count; i++)
        say_ticket(tls);
}

/* `tls->transcript` has everything before the peer's Finished, as it had when the peer
 * made it; the message itself is added here. */
static void on_finished(struct sp_tls *tls, struct sb_reader *body, struct sb_bytes message)
{
    if (!finished_is_right(tls, body)) {
        fail(tls, ALERT_DECRYPT_ERROR);
        return;
    }
    tls->transcript = qs_hash(tls->transcript, message.data, message.size);
    if (tls->role == SP_CLIENT) {
        say_finished(tls);
        raise_secrets(tls, SP_LEVEL_APP);
    } else {
        raise_secret(tls, SP_LEVEL_APP, false);
    }
    complete(tls);
}

static void on_message(struct sp_tls *tls, enum qs_message type, struct sb_bytes message)
{
    struct sb_reader body = sb_reader_of(message.data, message.size);
    (void)sb_reader_take(&body, HEAD_SIZE);
    if (type == tls->plan->fail_at) {
        fail(tls, tls->plan->alert);
        return;
    }
    if (type == QS_FINISHED) {
        on_finished(tls, &body, message);
        return;
    }

    tls->transcript = qs_hash(tls->transcript, message.data, message.size);
    switch (type) {
    case QS_CLIENT_HELLO:
        on_client_hello(tls, &body);
        break;
    case QS_SERVER_HELLO:
        on_server_hello(tls, &body);
        break;
    case QS_ENCRYPTED_EXTENSIONS:
        on_extensions(tls, &body);
        break;
    case QS_CERTIFICATE:
        tls->next_in = QS_CERTIFICATE_VERIFY;
        break;
    case QS_CERTIFICATE_VERIFY:
        tls->next_in = QS_FINISHED;
        break;
    default:
        SB_ASSERT(type == QS_SESSION_TICKET); /* any number of them may come */
        on_ticket(tls, &body);
        break;
    }
}

/* Acts on the first message of what has come in, if it is complete. */
static bool take_message(struct sp_tls *tls, size_t *offset)
{
    struct sb_reader r = sb_reader_of(tls->in.data + *offset, tls->in.size - *offset);
    uint32_t head = sb_reader_u32(&r);
    if (r.failed)
        return false;
    enum qs_message type = (enum qs_message)(head >> 24);
    uint32_t size = head & 0xffffff;
    if (type != tls->next_in || size >= MESSAGE_SIZE_MAX) {
        fail(tls, SP_ALERT_UNEXPECTED_MESSAGE);
        return false;
    }
    if (sb_reader_left(&r) < size)
        return false;
    if ((tls->plan->waits & ~tls->waited) >> type & 1) {
        tls->is_waiting = true;
        tls->waited |= UINT32_C(1) << type;
        raise_fact(tls, (struct sp_tls_event){.kind = SP_TLS_WAIT});
        return false;
    }
    struct sb_bytes message = {tls->in.data + *offset, HEAD_SIZE + size};
    *offset += message.size;
    on_message(tls, type, message);
    return true;
}

/* Works off the messages of one level that are there. */
static void work_off(struct sp_tls *tls)
{
    enum sp_level level = tls->level_in;
    size_t offset = 0;
    while (!tls->has_failed && tls->level_in == level && take_message(tls, &offset))
        continue;
    if (!tls->has_failed && tls->level_in != level && offset < tls->in.size)
        fail_by(tls, SP_TLS_EXCESS, 0); /* a level ends with a message.  [RFC9001 4.1.3] */
    memmove(tls->in.data, tls->in.data + offset, tls->in.size - offset);
    tls->in.size -= offset;
}

void qs_null_tls_answer(struct sp_tls *tls)
{
    settle(tls);
    SB_ASSERT(tls->is_waiting);
    tls->is_waiting = false;
    if (!tls->has_failed)
        work_off(tls);
}

static void null_receive(struct sp_tls *tls, enum sp_level level, const uint8_t *data, size_t size)
{
    settle(tls);
    SB_ASSERT(tls->is_started);
    if (tls->has_failed || size == 0)
        return;
    if (level != tls->level_in) {
        fail_by(tls, SP_TLS_EXCESS, 0); /* [RFC9001 4.1.3] */
        return;
    }

    flight_add(&tls->in, data, size);
    if (!tls->is_waiting)
        work_off(tls);
}

static void make_secret(struct sp_tls *tls, const struct sp_tls_event *fact)
{
    bool from_client = fact->is_write == (tls->role == SP_CLIENT);
    uint64_t seed =
        qs_hash(fact->level * 2 + (uint64_t)from_client, tls->randoms, sizeof(tls->randoms));
    if (fact->level == SP_LEVEL_EARLY) { /* of the ticket and the ClientHello */
        seed = qs_hash(0, tls->parts.secret, SECRET_SIZE);
        seed = qs_hash(seed, tls->randoms[SP_CLIENT], RANDOM_SIZE);
    }
    struct qs_random random;
    qs_random_init(&random, seed);
    qs_random_bytes(&random, tls->secret, sizeof(tls->secret));
}

static void null_next(struct sp_tls *tls, struct sp_tls_event *ret)
{
    settle(tls);
    if (tls->fact_count == 0) {
        *ret = (struct sp_tls_event){.kind = SP_TLS_NONE};
        return;
    }
    struct sp_tls_event fact = tls->facts[tls->fact_first];
    tls->fact_first = (tls->fact_first + 1) % FACTS_MAX;
    tls->fact_count--;
    if (fact.kind == SP_TLS_SECRET) {
        make_secret(tls, &fact);
        fact.secret = (struct sb_bytes){tls->secret, sizeof(tls->secret)};
    } else if (fact.kind == SP_TLS_PEER_PARAMS) {
        fact.params.data = lend(tls, tls->params, tls->params_size);
        fact.params.size = tls->params_size;
        tls->params = NULL;
    }
    *ret = fact;
}

/* A copy a call, so that a pointer that is kept for too long is a use after free. */
static const uint8_t *null_bytes(struct sp_tls *tls, enum sp_level level, uint64_t offset,
                                 size_t size)
{
    const struct flight *out = &tls->out[level];
    SB_ASSERT(!out->is_dropped);
    SB_ASSERT(offset <= out->size && size <= out->size - offset);
    return lend(tls, copy_of(out->data + offset, size), size);
}

static void null_drop(struct sp_tls *tls, enum sp_level level)
{
    settle(tls);
    free(tls->out[level].data);
    tls->out[level] = (struct flight){.is_dropped = true};
}

static void null_set_answer(struct sp_tls *tls, sp_tls_answer answer, void *context)
{
    SB_ASSERT(!tls->is_started && tls->role == SP_SERVER);
    tls->answer = answer;
    tls->answer_context = context;
}

static bool null_restart(struct sp_tls *tls)
{
    settle(tls);
    SB_ASSERT(tls->role == SP_CLIENT && tls->next_in == QS_SERVER_HELLO && tls->in.size == 0);
    if (tls->has_failed)
        return false;
    free(tls->out[SP_LEVEL_INITIAL].data);
    tls->out[SP_LEVEL_INITIAL] = (struct flight){0};
    free_bytes(&tls->ticket); /* it is of the other version */
    tls->offers_early = false;
    qs_random_bytes(&tls->random, tls->randoms[SP_CLIENT], RANDOM_SIZE);
    tls->transcript = 0;
    tls->fact_count = 0;
    tls->is_started = false;
    return true;
}

/* What was acknowledged is not read again. */
static void null_rest(struct sp_tls *tls)
{
    for (int level = 0; level < SP_LEVELS; level++)
        if (tls->out[level].data != NULL)
            memset(tls->out[level].data, 0xdd, tls->out[level].size);
}

const struct sp_tls_ops qs_null_tls_ops = {
    .set_answer = null_set_answer,
    .restart = null_restart,
    .start = null_start,
    .receive = null_receive,
    .next = null_next,
    .bytes = null_bytes,
    .ticket = null_ticket,
    .drop = null_drop,
    .rest = null_rest,
    .destroy = null_destroy,
};

bool qs_null_tls_is_resumed(const struct sp_tls *tls)
{
    return tls->is_resumed;
}
