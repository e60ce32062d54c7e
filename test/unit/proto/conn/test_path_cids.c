/* SPDX-License-Identifier: MIT */
/* Which CID of the peer the packets on each path go to: RFC 9000, Section 9.5. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/paths.h"
#include "test/support/path_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

/* ---- No CID from two addresses of ours.  [RFC9000 9.5] ---- */

/* The CIDs to which the server has sent, and from where. */
static struct {
    struct {
        uint8_t cid[8];
        struct sp_addr local;
    } rows[16];
    uint32_t count;
} seen;

static void begin(struct conn_pair *pair)
{
    seen.count = 0;
    connect_preferred(pair);
}

/* Takes all that the server sends.  Asserts that no CID is used from two of its addresses.  Returns
 * how many datagrams left from `local`. */
static uint32_t take_by_cid(struct conn_pair *pair, const struct sp_addr *local)
{
    struct sent sent;
    uint32_t count = 0;
    while (take(pair, SP_SERVER, &sent)) {
        uint32_t i = 0;
        while (i < seen.count && memcmp(seen.rows[i].cid, sent.data + 1, 8) != 0)
            i++;
        if (i == seen.count) {
            assert_true(seen.count++ < QT_COUNT(seen.rows));
            memcpy(seen.rows[i].cid, sent.data + 1, 8);
            seen.rows[i].local = sent.path.local;
        }
        assert_true(sp_addr_equal(&seen.rows[i].local, &sent.path.local));
        count += sp_addr_equal(&sent.path.local, local);
    }
    return count;
}

static const uint8_t challenge[] = {0x1a, 1, 2, 3, 4, 5, 6, 7, 8};

/* Gives the server a packet to its CID `lcid`. */
static void give_to(struct conn_pair *pair, uint32_t lcid, const uint8_t *frames, size_t size,
                    const struct sp_path *view)
{
    struct pair_packet packet;
    struct sp_cid_remote *ids = &pair_conn(pair, SP_CLIENT)->remote_ids;
    struct sp_cid *cid = &ids->entries[ids->active].cid;
    const struct sp_cid before = *cid;
    *cid = pair_conn(pair, SP_SERVER)->local_ids.entries[lcid].cid;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, frames, size, PAIR_FAULT_NONE, &packet);
    *cid = before;
    give(pair, SP_SERVER, packet.data, packet.size, view);
}

static void give_challenge(struct conn_pair *pair, const struct sp_path *view)
{
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, challenge, sizeof(challenge), PAIR_FAULT_NONE,
              &packet);
    give(pair, SP_SERVER, packet.data, packet.size, view);
}

/* Somebody makes packets of the client come to another address of ours: with the CID that the path
 * in use has, so that ours would be the same one too. */
static void copies_to_another_address_get_another_cid(void **state)
{
    struct conn_pair *pair = *state;
    for (int is_far = 0; is_far < 2; is_far++) {
        begin(pair);
        struct sp_path copy = path_of(pair, SP_SERVER);
        const struct sp_addr first = copy.local;
        copy.local = preferred_addrs.v4;
        copy.remote.ip[3] += (uint8_t)(is_far * 60);
        for (int i = 0; i < 20; i++) {
            write_some(pair, SP_SERVER);
            give_challenge(pair, &copy);
            copy.remote.port += (uint16_t)is_far;
            (void)take_by_cid(pair, &first);
        }
        assert_true(pair_conn(pair, SP_SERVER)->path_count > 1);
    }
}

/* A path at the preferred address is pushed out, and packets with its CID come to the first one. */
static void a_kept_cid_serves_the_address_that_it_was_used_from(void **state)
{
    struct conn_pair *pair = *state;
    struct sent sent;
    begin(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path before = path_of(pair, SP_SERVER), path = to_preferred(pair);
    const struct sp_path view = server_view_of(&path);
    move_to_preferred(pair);
    assert_true(take(pair, SP_CLIENT, &sent)); /* PATH_CHALLENGE */
    give(pair, SP_SERVER, sent.data, sent.size, &view);
    const struct sp_conn_path *candidate = sp_conn_path_find(server, &view);
    assert_non_null(candidate);
    uint32_t dcid = candidate->dcid, lcid = candidate->lcid;
    uint64_t sequence = server->remote_ids.entries[dcid].sequence;
    assert_true(take_by_cid(pair, &preferred_addrs.v4) > 0);
    uint64_t end_ns = pair->now_ns + 4 * SB_S; /* there is no answer */
    while (pair->now_ns < end_ns) {
        (void)take_by_cid(pair, &preferred_addrs.v4);
        pair->now_ns = SB_MIN(SB_MAX(pair->now_ns, sp_conn_deadline_ns(server)), end_ns);
        sp_conn_on_deadline(server, pair->now_ns);
    }
    const struct sp_cid_remote_entry *entry = &server->remote_ids.entries[dcid];
    assert_true(entry->is_kept);
    struct sp_path copy = before;
    copy.remote.ip[3] = 66;
    give_to(pair, lcid, challenge, sizeof(challenge), &copy);
    candidate = sp_conn_path_find(server, &copy);
    assert_non_null(candidate);
    assert_true(candidate->dcid != SP_CID_NONE && candidate->dcid != dcid);
    assert_true(take_by_cid(pair, &before.local) > 0);
    assert_true(entry->is_kept && entry->sequence == sequence);
    give_to(pair, lcid, challenge, sizeof(challenge), &view); /* to where it should go */
    candidate = sp_conn_path_find(server, &view);
    assert_non_null(candidate);
    assert_int_equal(candidate->dcid, dcid);
    assert_true(take_by_cid(pair, &preferred_addrs.v4) > 0);
}

/* Gives the server a NEW_CONNECTION_ID frame that retires all CIDs before it. */
static void give_only_cid(struct conn_pair *pair, uint8_t sequence, uint8_t prior_to)
{
    uint8_t frame[] = "\x18\x09\x09\x08"
                      "DDDDDDDD"
                      "UUUUUUUUUUUUUUUU";
    struct pair_packet packet;
    const struct sp_path path = path_of(pair, SP_SERVER);
    frame[1] = sequence;
    frame[2] = prior_to;
    memset(frame + 4, sequence, 8);
    memset(frame + 12, sequence, 16);
    pair_make(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame) - 1, PAIR_FAULT_NONE, &packet);
    give(pair, SP_SERVER, packet.data, packet.size, &path);
    assert_int_equal(pair_conn(pair, SP_SERVER)->state, SP_CONN_OPEN);
}

/* The peer retires the CID of the path in use, and has issued no other than that of a path at
 * another address of ours: this one has to stop. */
static void the_path_in_use_takes_the_cid_of_one_elsewhere(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    struct sp_path copy = path_of(pair, SP_SERVER);
    const struct sp_addr first = copy.local;
    copy.local = preferred_addrs.v4;
    give_only_cid(pair, 9, 9);
    give_only_cid(pair, 10, 9);
    give_challenge(pair, &copy);
    const struct sp_conn_path *candidate = sp_conn_path_find(server, &copy);
    assert_non_null(candidate);
    assert_int_equal(server->remote_ids.entries[candidate->dcid].sequence, 10);
    give_only_cid(pair, 10, 10);
    candidate = sp_conn_path_find(server, &copy);
    assert_true(candidate == NULL || candidate->state == SP_PATH_LEFT);
    assert_int_equal(server->remote_ids.entries[server->path->dcid].sequence, 10);
    write_some(pair, SP_SERVER);
    uint32_t from_first = 0;
    struct sent sent;
    while (take(pair, SP_SERVER, &sent)) {
        assert_true(sp_addr_equal(&sent.path.local, &first));
        from_first++;
    }
    assert_true(from_first > 0);
}

/* A CID of ours is retired, and another one takes its place in the table: packets to that do not
 * come from where those to the first one came from. */
static void a_new_cid_of_ours_shares_nothing_of_the_one_before(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path before = path_of(pair, SP_SERVER);
    struct sp_path other = before;
    other.remote.ip[3] = 77;
    uint32_t lcid = server->path->lcid;
    struct sp_cid_local_entry *entry = &server->local_ids.entries[lcid];
    uint8_t retire[] = {0x19, (uint8_t)entry->sequence};
    /* The first path hears nothing of it: the frame comes by another one. */
    give_to(pair, (lcid + 1) % SP_CIDS_MAX, retire, sizeof(retire), &other);
    assert_int_equal(server->state, SP_CONN_OPEN);
    assert_true(entry->is_used && entry->sequence != retire[1]);
    other.remote.ip[3] = 78;
    give_to(pair, lcid, challenge, sizeof(challenge), &other);
    const struct sp_conn_path *path = sp_conn_path_find(server, &other);
    const struct sp_conn_path *first = sp_conn_path_find(server, &before);
    assert_non_null(path);
    assert_non_null(first);
    assert_true(path->dcid != SP_CID_NONE && path->dcid != first->dcid);
}

/* A copy comes from an address of its own, number `i`, to that where the original went. */
static struct sp_path copy_of(struct sp_path path, uint32_t i)
{
    path.remote.ip[2] = 66;
    path.remote.port = (uint16_t)(1000 + i);
    return path;
}

static uint32_t cids_left(struct conn_pair *pair)
{
    const struct sp_cid_remote *ids = &pair_conn(pair, SP_SERVER)->remote_ids;
    uint32_t count = 0;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        count += ids->entries[i].is_used && !ids->entries[i].is_taken;
    return count;
}

/* [RFC9000 9.5] Somebody is faster with copies than the client that moves, each from another
 * address.  If each took a CID, none would be left for the client. */
static void copies_from_many_addresses_share_one_cid(void **state)
{
    struct conn_pair *pair = *state;
    struct sent sent;
    begin(pair);
    const struct sp_path path = to_preferred(pair), view = server_view_of(&path);
    move_to_preferred(pair);
    pass_to(pair, SP_CLIENT, &preferred_addrs.v4); /* PATH_CHALLENGE */
    pass_to(pair, SP_SERVER, &path.local);         /* PATH_RESPONSE and PATH_CHALLENGE */
    assert_true(sp_path_equal(sp_conn_path(pair_conn(pair, SP_CLIENT)), &path));
    uint32_t left = cids_left(pair);
    write_some(pair, SP_CLIENT);
    uint32_t count = 0;
    for (; take(pair, SP_CLIENT, &sent); count++) {
        const struct sp_path copy = copy_of(view, count);
        assert_true(sp_addr_equal(&sent.path.remote, &preferred_addrs.v4));
        give(pair, SP_SERVER, sent.data, sent.size, &copy);
        assert_int_equal(cids_left(pair), left);
    }
    assert_true(count > 2 * SP_CIDS_MAX);
    give_ping(pair, &view);                                 /* nobody is faster any more */
    pair_conn(pair, SP_CLIENT)->loss.app.sent.next_pn += 1; /* the one that was made by hand */
    (void)shuttle_all(pair, false);
    assert_true(server_is_at(pair, &view));
}

/* Whoever copies what the client sends from its first address makes paths without a CID of their
 * own: those give way, and not the path to which the client moves. */
static void copies_do_not_push_out_the_path_of_a_move(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    const struct sp_path before = path_of(pair, SP_SERVER), path = to_preferred(pair);
    const struct sp_path view = server_view_of(&path);
    move_to_preferred(pair);
    pass_to(pair, SP_CLIENT, &preferred_addrs.v4); /* PATH_CHALLENGE */
    for (uint32_t i = 0; i < 20; i++) {
        const struct sp_path copy = copy_of(before, i);
        give_ping(pair, &copy);
        give_ping(pair, &before);
        assert_non_null(sp_conn_path_find(pair_conn(pair, SP_SERVER), &view));
    }
}

/* A path of the client that is pushed out, or whose validation fails, finds its CID again, until
 * the client retires the CID of ours that it uses there. */
static void the_cid_of_an_unproven_path_is_kept_until_ours_is_retired(void **state)
{
    struct conn_pair *pair = *state;
    struct sent sent;
    begin(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const struct sp_path path = to_preferred(pair), view = server_view_of(&path);
    move_to_preferred(pair);
    assert_true(take(pair, SP_CLIENT, &sent)); /* PATH_CHALLENGE */
    give(pair, SP_SERVER, sent.data, sent.size, &view);
    const struct sp_conn_path *candidate = sp_conn_path_find(server, &view);
    assert_non_null(candidate);
    uint32_t dcid = candidate->dcid, lcid = candidate->lcid, left = cids_left(pair);
    uint64_t end_ns = pair->now_ns + 4 * SB_S;
    while (pair->now_ns < end_ns) {
        while (take(pair, SP_SERVER, &sent))
            continue;
        pair->now_ns = SB_MIN(SB_MAX(pair->now_ns, sp_conn_deadline_ns(server)), end_ns);
        sp_conn_on_deadline(server, pair->now_ns);
    }
    assert_null(sp_conn_path_find(server, &view));
    const struct sp_cid_remote_entry *entry = &server->remote_ids.entries[dcid];
    assert_true(entry->is_used && entry->is_kept && entry->lcid == lcid);
    assert_int_equal(cids_left(pair), left);

    uint8_t retire[] = {0x19, (uint8_t)server->local_ids.entries[lcid].sequence};
    const struct sp_path before = path_of(pair, SP_SERVER);
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, retire, sizeof(retire), PAIR_FAULT_NONE, &packet);
    give(pair, SP_SERVER, packet.data, packet.size, &before);
    assert_int_equal(server->state, SP_CONN_OPEN);
    assert_false(entry->is_used);
    assert_non_null(sp_cid_remote_next_retired(&server->remote_ids));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, copies_to_another_address_get_another_cid),
        QT_TEST(conn_pair, a_kept_cid_serves_the_address_that_it_was_used_from),
        QT_TEST(conn_pair, the_path_in_use_takes_the_cid_of_one_elsewhere),
        QT_TEST(conn_pair, a_new_cid_of_ours_shares_nothing_of_the_one_before),
        QT_TEST(conn_pair, copies_from_many_addresses_share_one_cid),
        QT_TEST(conn_pair, copies_do_not_push_out_the_path_of_a_move),
        QT_TEST(conn_pair, the_cid_of_an_unproven_path_is_kept_until_ours_is_retired),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
