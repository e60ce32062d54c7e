/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "uring/qdisc.h"

/* A dump as the kernel writes it, made by hand. */
struct dump {
    _Alignas(struct nlmsghdr) uint8_t bytes[1024];
    uint32_t size;
};

static void add(struct dump *dump, int interface, uint32_t parent, uint32_t handle,
                const char *kind)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg tc;
        struct rtattr attribute;
        char kind[12];
    } message = {
        .head = {.nlmsg_len = sizeof(message),
                 .nlmsg_type = RTM_NEWQDISC,
                 .nlmsg_flags = NLM_F_MULTI},
        .tc = {.tcm_ifindex = interface, .tcm_parent = parent, .tcm_handle = handle},
        .attribute = {.rta_len = (unsigned short)RTA_LENGTH(strlen(kind) + 1),
                      .rta_type = TCA_KIND},
    };
    memcpy(message.kind, kind, strlen(kind) + 1);
    memcpy(dump->bytes + dump->size, &message, sizeof(message));
    dump->size += sizeof(message);
}

static void end(struct dump *dump)
{
    const struct nlmsghdr done = {.nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE};
    memcpy(dump->bytes + dump->size, &done, sizeof(done));
    dump->size += sizeof(done);
}

#define ROW_MAX 5

struct row {
    int interface;
    uint32_t parent, handle;
    const char *kind;
};

static bool look(const struct row *rows, int index)
{
    struct dump dump = {.size = 0};
    struct su_qdisc_look seen = {.index = index};
    for (uint32_t i = 0; i < ROW_MAX && rows[i].kind != NULL; i++)
        add(&dump, rows[i].interface, rows[i].parent, rows[i].handle, rows[i].kind);
    end(&dump);
    assert_int_equal(su_qdisc_take(dump.bytes, dump.size, &seen), 0);
    return seen.found;
}

/* An interface keeps to times if fq is its root, or that of each of its queues. */
static void fq_at_the_root_or_in_each_queue_counts(void **state)
{
    (void)state;
    enum { ROOT_MQ = 0x80010000 };
    static const struct {
        struct row rows[ROW_MAX];
        bool any, third;
    } samples[] = {
        {{{1, TC_H_ROOT, 0, "noqueue"}}, false, false},
        {{{3, TC_H_ROOT, ROOT_MQ, "fq"}}, true, true},
        {{{2, TC_H_ROOT, ROOT_MQ, "fq"}}, true, false},
        {{{3, TC_H_ROOT, ROOT_MQ, "fq_codel"}}, false, false},
        {{{3, TC_H_ROOT, 0, "mq"}, {3, 1, 0, "fq"}, {3, 2, 0, "fq"}}, true, true},
        {{{3, TC_H_ROOT, ROOT_MQ, "mq"}, {3, ROOT_MQ | 1, 0, "fq"}}, true, true},
        {{{3, TC_H_ROOT, 0, "mq"}, {3, 1, 0, "fq"}, {3, 2, 0, "pfifo_fast"}}, false, false},
        {{{3, TC_H_ROOT, 0, "mq"}}, false, false},
        {{{3, TC_H_ROOT, ROOT_MQ, "htb"}, {3, ROOT_MQ | 1, 0, "fq"}}, false, false},
        {{{2, TC_H_ROOT, 0, "mq"}, {3, 1, 0, "fq"}}, false, false}, /* another interface's */
        {{{2, TC_H_ROOT, 0, "mq"}, {2, 1, 0, "fq"}, {3, TC_H_ROOT, 0, "noqueue"}}, true, false},
        {{{3, TC_H_INGRESS, 0xffff0000, "ingress"}}, false, false},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        assert_int_equal(look(samples[i].rows, 0), samples[i].any);
        assert_int_equal(look(samples[i].rows, 3), samples[i].third);
    }
}

/* In memory of its own size, so that a tool sees what reads beyond it. */
static int take_cut(const struct dump *dump, uint32_t size, struct su_qdisc_look *seen)
{
    void *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, dump->bytes, size);
    int result = su_qdisc_take(copy, size, seen);
    free(copy);
    return result;
}

static void every_cut_is_seen(void **state)
{
    (void)state;
    struct dump dump = {.size = 0};
    add(&dump, 3, TC_H_ROOT, 0, "mq");
    add(&dump, 3, 1, 0, "fq");
    end(&dump);
    for (uint32_t size = 0; size <= dump.size; size++) {
        struct su_qdisc_look seen = {.index = 3};
        assert_int_equal(take_cut(&dump, size, &seen), size < dump.size);
        assert_int_equal(seen.found, size == dump.size);
    }
}

/* Lengths of messages and attributes that lie end the walk, or the message. */
static void lengths_that_lie_are_harmless(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 1, 15, 16, 17, 35, 36, 37, 40, 1000, UINT32_MAX};
    for (size_t i = 0; i < QT_COUNT(lengths); i++) {
        struct dump dump = {.size = 0};
        add(&dump, 3, TC_H_ROOT, 0, "fq");
        memcpy(dump.bytes, &lengths[i], sizeof(lengths[i]));
        struct su_qdisc_look seen = {.index = 3};
        (void)take_cut(&dump, dump.size, &seen);
        if (lengths[i] != 1000)
            assert_false(seen.found && lengths[i] < 48);

        dump.size = 0;
        add(&dump, 3, TC_H_ROOT, 0, "fq");
        const uint16_t length = (uint16_t)lengths[i];
        memcpy(dump.bytes + NLMSG_LENGTH(sizeof(struct tcmsg)), &length, sizeof(length));
        (void)take_cut(&dump, dump.size, &seen);
    }
}

static void an_error_is_returned(void **state)
{
    (void)state;
    const struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
    } answer = {{.nlmsg_len = sizeof(answer), .nlmsg_type = NLMSG_ERROR}, {.error = -EPERM}};
    struct su_qdisc_look seen = {0};
    assert_int_equal(su_qdisc_take(&answer, sizeof(answer), &seen), -EPERM);
    const struct nlmsghdr cut = {.nlmsg_len = sizeof(cut), .nlmsg_type = NLMSG_ERROR};
    assert_int_equal(su_qdisc_take(&cut, sizeof(cut), &seen), -EBADMSG);
}

/* Of this machine: loopback never keeps to times, unless somebody has given it an fq. */
static void the_kernel_is_asked(void **state)
{
    (void)state;
    struct su_qdisc qdisc;
    struct su_address loopback, source = {0};
    assert_int_equal(su_address_parse("127.0.0.1:1", &loopback), 0);
    int any = su_qdisc_any_is_timed();
    print_message("    any: %d\n", any);
    assert_true(any <= 0);
    int error = su_qdisc_init(&qdisc);
    if (any == -ENOENT) {
        assert_int_equal(error, 0);
        assert_false(su_qdisc_route_is_timed(&qdisc, &source, &loopback, 0));
        assert_true(qdisc.known[0].index > 0);
        /* What is known is not asked again, for a while. */
        qdisc.known[0].is_timed = true;
        assert_true(su_qdisc_route_is_timed(&qdisc, &loopback, &loopback, SU_QDISC_KEEP_NS - 1));
        assert_false(su_qdisc_route_is_timed(&qdisc, &loopback, &loopback, SU_QDISC_KEEP_NS));
    }
    su_qdisc_deinit(&qdisc);
    assert_false(su_qdisc_route_is_timed(&qdisc, &source, &loopback, 0)); /* nobody to ask */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fq_at_the_root_or_in_each_queue_counts),
        cmocka_unit_test(every_cut_is_seen),
        cmocka_unit_test(lengths_that_lie_are_harmless),
        cmocka_unit_test(an_error_is_returned),
        cmocka_unit_test(the_kernel_is_asked),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
