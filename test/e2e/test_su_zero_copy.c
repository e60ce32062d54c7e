/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

/* Sends without a copy: whose the slot is, and when it is left.  Loopback always copies and
 * notifies at once; what a network card does is injected. */

#define SEGMENT_SIZE 1000
#define TRAIN_COUNT  20
#define TRAIN_SIZE   ((TRAIN_COUNT - 1) * SEGMENT_SIZE + 300)

/* What the kernel says, as a test wants it. */
struct notices {
    bool is_held;     /* notifications do not reach their owner: the test hands them out */
    bool is_uncopied; /* they say that nothing was copied */
    int32_t error;    /* the next result, if it is not 0 */
    struct su_completion held[64];
    uint32_t held_count;
    uint32_t result_count;
};

struct pair {
    struct sw *w;
    uint32_t server;
    uint32_t client;
    struct su_train train;
};

static void inject(void *context, struct su_completion *completion)
{
    struct notices *n = context;
    if (completion->op.kind != SU_OP_SEND)
        return;
    if ((completion->flags & IORING_CQE_F_NOTIF) == 0) {
        n->result_count++;
        if (n->error != 0)
            completion->result = n->error;
        n->error = 0;
        return;
    }
    if (n->is_uncopied)
        completion->result = 0;
    if (n->is_held) {
        assert_true(n->held_count < QT_COUNT(n->held));
        n->held[n->held_count++] = *completion;
        completion->op.kind = SU_OP_NONE;
    }
}

/* Sends `count` trains, one after the other. */
static void send_trains(struct pair *p, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = p->w->log_count;
        sw_commit(p->w, &p->train, i);
        sw_until(p->w, before + TRAIN_COUNT, p->w->sent_count + 1);
        sw_check_train(p->w, before, &p->train, i);
        assert_int_equal(p->w->last_sent.error, 0);
    }
}

/* Lets the kernel refuse the ways that it does not know; skips the test if it knows none. */
static void find_the_way(struct pair *p)
{
    struct su_zero_copy *zero_copy = &p->w->send.zero_copy;
    assert_int_equal(zero_copy->mode, SU_ZERO_COPY_FIXED);
    while (!zero_copy->is_proven && zero_copy->mode != SU_ZERO_COPY_OFF)
        send_trains(p, 1);
    if (zero_copy->mode == SU_ZERO_COPY_OFF)
        skip();
    su_send_on_attach(&p->w->send, p->train.socket);
    p->w->send.counts = (struct su_send_counts){0};
    p->w->log_count = 0;
    p->w->sent_count = 0;
}

static struct pair pair_create(struct notices *notices)
{
    static const struct sw_config config = {.slot_count = 64, .can_zero_copy = true};
    struct pair p = {.w = sw_create(config)};
    p.server = sw_open_at(p.w, "127.0.0.1:0");
    p.client = sw_open_at(p.w, "127.0.0.1:0");
    p.train = (struct su_train){
        .socket = &p.w->sockets[p.client],
        .destination = p.w->sockets[p.server].local,
        .size = TRAIN_SIZE,
        .segment_size = SEGMENT_SIZE,
    };
    (void)sw_turn(p.w, 0);
    find_the_way(&p);
    p.w->ring.inject = inject;
    p.w->ring.inject_context = notices;
    return p;
}

static void where_the_kernel_copies_anyway_it_ends(void **state)
{
    (void)state;
    struct notices notices = {0};
    struct pair p = pair_create(&notices);
    struct sw *w = p.w;
    send_trains(&p, SU_ZERO_COPY_PATIENCE + 5);
    assert_int_equal(w->send.counts.zero_copies, SU_ZERO_COPY_PATIENCE);
    assert_int_equal(w->send.counts.zero_copies_copied, SU_ZERO_COPY_PATIENCE);
    assert_int_equal(w->send.counts.zero_copies_refused, 0);
    assert_int_equal(w->send.counts.sends, SU_ZERO_COPY_PATIENCE + 5);
    assert_int_equal(su_send_free_count(&w->send), w->send.slot_count);

    /* That was this socket; another one, or the next one in its place, has its own chance. */
    struct su_train other = p.train;
    other.socket = &w->sockets[p.server];
    other.destination = w->sockets[p.client].local;
    sw_commit(w, &other, 0);
    sw_until(w, w->log_count + TRAIN_COUNT, w->sent_count + 1);
    assert_int_equal(w->send.counts.zero_copies, SU_ZERO_COPY_PATIENCE + 1);
    su_send_on_attach(&w->send, p.train.socket);
    send_trains(&p, 1);
    assert_int_equal(w->send.counts.zero_copies, SU_ZERO_COPY_PATIENCE + 2);
}

static void small_trains_are_copied(void **state)
{
    (void)state;
    struct notices notices = {0};
    struct pair p = pair_create(&notices);
    p.train.size = SU_ZERO_COPY_SIZE_MIN - 1;
    sw_commit(p.w, &p.train, 0);
    sw_until(p.w, (p.train.size + SEGMENT_SIZE - 1) / SEGMENT_SIZE, 1);
    assert_int_equal(p.w->send.counts.zero_copies, 0);
    p.train.size++;
    sw_commit(p.w, &p.train, 0);
    sw_until(p.w, 0, 2);
    assert_int_equal(p.w->send.counts.zero_copies, 1);
}

/* The result is there, the bytes have arrived, and the slot is not ours. */
static void a_slot_is_busy_until_its_notification_however_late(void **state)
{
    (void)state;
    struct notices notices = {.is_held = true, .is_uncopied = true};
    struct pair p = pair_create(&notices);
    struct sw *w = p.w;
    uint32_t slot_count = w->send.slot_count;
    assert_true(slot_count > SU_ZERO_COPY_PATIENCE);
    for (uint32_t i = 0; i < slot_count; i++)
        sw_commit(w, &p.train, i);
    sw_until(w, slot_count * TRAIN_COUNT, 0);
    for (uint32_t i = 0; notices.held_count < slot_count && i < SW_TURN_COUNT_MAX; i++)
        (void)sw_turn(w, SW_TURN_TIMEOUT_NS);
    assert_int_equal(notices.result_count, slot_count);
    assert_int_equal(notices.held_count, slot_count);
    assert_int_equal(w->sent_count, 0);
    assert_null(su_send_take(&w->send));

    /* They come in any order, each for its own slot; a second time they are stale. */
    struct su_sent sent;
    for (uint32_t i = 0; i < slot_count; i++) {
        const struct su_completion *notice = &notices.held[(i * 7 + 3) % slot_count];
        assert_true(su_send_done(&w->send, notice, &sent));
        assert_int_equal(sent.error, 0);
        assert_int_equal(sent.datagram_count, TRAIN_COUNT);
        assert_int_equal(su_send_free_count(&w->send), i + 1);
        assert_false(su_send_done(&w->send, notice, &sent));
    }
    assert_int_equal(w->send.counts.stale, slot_count);
    assert_int_equal(w->send.counts.zero_copies, slot_count);
    assert_int_equal(w->send.counts.zero_copies_copied, 0);
    notices.is_held = false;
    send_trains(&p, 1); /* and as nothing was copied, it goes on */
    assert_int_equal(w->send.counts.zero_copies, slot_count + 1);
}

static void a_notification_may_come_before_the_result(void **state)
{
    (void)state;
    struct notices notices = {.is_held = true};
    struct pair p = pair_create(&notices);
    struct su_send *send = &p.w->send;
    struct su_send_slot *slot = sw_prepare(p.w, &p.train, 0);
    assert_int_equal(su_send_commit(send, slot, &p.train), 0);
    struct su_completion notice = {
        .op = {.index = slot->index, .generation = slot->generation, .kind = SU_OP_SEND},
        .flags = IORING_CQE_F_NOTIF,
    };
    struct su_completion result = notice;
    result.flags = IORING_CQE_F_MORE;
    result.result = TRAIN_SIZE;
    struct su_sent sent;
    assert_false(su_send_done(send, &notice, &sent));
    assert_int_equal(su_send_free_count(send), send->slot_count - 1);
    assert_true(su_send_done(send, &result, &sent));
    assert_int_equal(sent.error, 0);
    assert_int_equal(su_send_free_count(send), send->slot_count);
    /* What the kernel itself says about it now belongs to nobody. */
    sw_until(p.w, TRAIN_COUNT, 0);
    assert_int_equal(send->counts.stale, 1);
}

static void a_notification_that_never_comes_keeps_nobody_from_leaving(void **state)
{
    (void)state;
    struct notices notices = {.is_held = true, .is_uncopied = true};
    struct pair p = pair_create(&notices);
    sw_commit(p.w, &p.train, 0);
    sw_until(p.w, TRAIN_COUNT, 0);
    assert_int_equal(su_send_free_count(&p.w->send), p.w->send.slot_count - 1);
}

/* As kernels do that know less: each way is tried once, and its train goes all the same. */
static void ways_that_are_refused_are_left_one_by_one(void **state)
{
    (void)state;
    static const int32_t errors[] = {-EINVAL, -EOPNOTSUPP};
    for (size_t i = 0; i < QT_COUNT(errors); i++) {
        struct notices notices = {0};
        struct pair p = pair_create(&notices);
        struct sw *w = p.w;
        w->send.zero_copy.mode = SU_ZERO_COPY_FIXED;
        w->send.zero_copy.is_proven = false;
        for (uint32_t way = 0; way < 2; way++) {
            notices.error = errors[i];
            uint32_t before = w->log_count;
            sw_commit(w, &p.train, 10 * way);
            /* The injected refusal lies: they arrive twice. */
            sw_until(w, before + 2 * TRAIN_COUNT, w->sent_count + 1);
            sw_check_train(w, before + TRAIN_COUNT, &p.train, 10 * way);
            assert_int_equal(w->last_sent.error, 0);
            assert_false(w->last_sent.is_gso_refused);
            assert_int_equal(w->send.counts.zero_copies_refused, way + 1);
            assert_int_equal(su_send_free_count(&w->send), w->send.slot_count);
        }
        assert_int_equal(w->send.zero_copy.mode, SU_ZERO_COPY_OFF);
        uint64_t notified = w->send.counts.zero_copies;
        send_trains(&p, 1);
        assert_int_equal(w->send.counts.zero_copies, notified);
        owned_end_all();
    }
}

static void a_way_that_has_worked_leaves_einval_to_segmentation(void **state)
{
    (void)state;
    struct notices notices = {.is_uncopied = true};
    struct pair p = pair_create(&notices);
    send_trains(&p, 1);
    notices.error = -EINVAL;
    sw_commit(p.w, &p.train, 50);
    sw_until(p.w, 3 * TRAIN_COUNT, 2);
    sw_check_train(p.w, 2 * TRAIN_COUNT, &p.train, 50);
    assert_true(p.w->last_sent.is_gso_refused);
    assert_true(p.w->send.zero_copy.mode != SU_ZERO_COPY_OFF);
    assert_int_equal(su_send_free_count(&p.w->send), p.w->send.slot_count);
}

static void memory_that_cannot_be_pinned_counts_as_a_copy(void **state)
{
    (void)state;
    static const int32_t errors[] = {-ENOBUFS, -ENOMEM};
    for (size_t i = 0; i < QT_COUNT(errors); i++) {
        struct notices notices = {.error = errors[i], .is_held = true};
        struct pair p = pair_create(&notices);
        sw_commit(p.w, &p.train, 0);
        sw_until(p.w, 2 * TRAIN_COUNT, 0);
        assert_int_equal(p.w->send.zero_copy.copied_run[p.train.socket->file], 1);
        struct su_sent sent;
        assert_int_equal(notices.held_count, 1);
        assert_true(su_send_done(&p.w->send, &notices.held[0], &sent));
        assert_int_equal(sent.error, 0);
        assert_int_equal(p.w->send.counts.queue_full, 0);
        assert_int_equal(p.w->send.counts.zero_copies_refused, 1);
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, where_the_kernel_copies_anyway_it_ends),
        QT_TEST(owned, small_trains_are_copied),
        QT_TEST(owned, a_slot_is_busy_until_its_notification_however_late),
        QT_TEST(owned, a_notification_may_come_before_the_result),
        QT_TEST(owned, a_notification_that_never_comes_keeps_nobody_from_leaving),
        QT_TEST(owned, ways_that_are_refused_are_left_one_by_one),
        QT_TEST(owned, a_way_that_has_worked_leaves_einval_to_segmentation),
        QT_TEST(owned, memory_that_cannot_be_pinned_counts_as_a_copy),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
