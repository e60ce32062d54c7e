/* SPDX-License-Identifier: MIT */
#include "test/support/path_pair.h"

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/paths.h"

static const uint8_t ping[] = {0x01};

struct sp_path path_of(const struct conn_pair *pair, enum sp_role role)
{
    return pair->ends[role].conn->path->path;
}

bool take(struct conn_pair *pair, enum sp_role from, struct sent *ret)
{
    struct sp_train train = {.data = ret->data, .capacity = sizeof(ret->data), .count_max = 1};
    if (sp_conn_send(pair_conn(pair, from), &train, pair->now_ns) == 0)
        return false;
    ret->size = train.size;
    ret->path = train.path;
    return true;
}

void give(struct conn_pair *pair, enum sp_role to, const uint8_t *data, size_t size,
          const struct sp_path *path)
{
    static uint8_t copies[64][PAIR_DATAGRAM_SIZE_MAX]; /* no buffer: they outlive the call */
    static uint32_t next;
    uint8_t *copy = copies[next++ % 64];
    memcpy(copy, data, size);
    const struct sp_datagram datagram = {.data = copy, .size = size, .path = *path};
    sp_conn_receive(pair_conn(pair, to), &datagram, 1, pair->now_ns);
    sp_conn_check(pair_conn(pair, to));
}

void give_ping(struct conn_pair *pair, const struct sp_path *path)
{
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, ping, sizeof(ping), PAIR_FAULT_NONE, &packet);
    give(pair, SP_SERVER, packet.data, packet.size, path);
}

bool server_is_at(const struct conn_pair *pair, const struct sp_path *path)
{
    return sp_path_equal(&pair->ends[SP_SERVER].conn->path->path, path);
}

uint32_t take_path_events(struct conn_pair *pair, enum sp_role role, enum sp_path_change want)
{
    struct sp_event event;
    uint32_t count = 0;
    while (sp_conn_next_event(pair_conn(pair, role), &event))
        count += event.kind == SP_EVENT_PATH && event.path == want;
    return count;
}

struct sp_path server_view_of(const struct sp_path *path)
{
    return (struct sp_path){.local = path->remote, .remote = path->local};
}

/* Returns the path by which the client gets what the server sends by `path`. */
static struct sp_path client_view_of(const struct conn_pair *pair, const struct sp_path *path)
{
    const struct sp_conn *client = pair->ends[SP_CLIENT].conn;
    struct sp_path view = server_view_of(path);
    view.socket = 9;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (client->paths[i] != NULL && sp_addr_equal(&client->paths[i]->path.local, &view.local) &&
            sp_addr_equal(&client->paths[i]->path.remote, &view.remote))
            view.socket = client->paths[i]->path.socket;
    return view;
}

uint32_t shuttle_all(struct conn_pair *pair, bool loses_new)
{
    const struct sp_path first = path_of(pair, SP_CLIENT);
    struct {
        uint8_t cid[8];
        bool is_first;
    } seen[100];
    uint32_t seen_count = 0, shared_count = 0;
    struct sent sent;
    for (bool any = true; any;) {
        any = false;
        while (take(pair, SP_CLIENT, &sent)) {
            any = true;
            bool is_first = sp_path_equal(&sent.path, &first);
            for (uint32_t i = 0; i < seen_count; i++)
                shared_count +=
                    memcmp(seen[i].cid, sent.data + 1, 8) == 0 && seen[i].is_first != is_first;
            assert_true(seen_count < QT_COUNT(seen));
            memcpy(seen[seen_count].cid, sent.data + 1, 8);
            seen[seen_count++].is_first = is_first;
            const struct sp_path path = server_view_of(&sent.path);
            if (is_first || !loses_new)
                give(pair, SP_SERVER, sent.data, sent.size, &path);
        }
        while (take(pair, SP_SERVER, &sent)) {
            any = true;
            const struct sp_path path = client_view_of(pair, &sent.path);
            give(pair, SP_CLIENT, sent.data, sent.size, &path);
        }
    }
    return shared_count;
}

void assert_move_fails(struct conn_pair *pair, const struct sp_path *before)
{
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t end_ns = pair->now_ns + 4 * SB_S;
    while (pair->now_ns < end_ns) {
        (void)shuttle_all(pair, true);
        pair->now_ns = SB_MIN(sp_conn_deadline_ns(client), end_ns);
        sp_conn_on_deadline(client, pair->now_ns);
    }
    assert_true(sp_path_equal(sp_conn_path(client), before));
    assert_int_equal(take_path_events(pair, SP_CLIENT, SP_PATH_FAILED), 1);
    assert_int_equal(client->path_count, 1);
}

const struct sp_preferred preferred_addrs = {
    .v4 = {.ip = {10, 0, 0, 3}, .port = 444, .family = 4},
    .v6 = {.ip = {0x20, 1, 0xd, 0xb8, [15] = 3}, .port = 446, .family = 6},
};

void connect_preferred(struct conn_pair *pair)
{
    pair_init(pair);
    pair->preferred = preferred_addrs;
    pair_connect(pair);
    pair_settle(pair);
}

struct sp_path to_preferred(const struct conn_pair *pair)
{
    struct sp_path path = path_of(pair, SP_CLIENT);
    path.remote = preferred_addrs.v4;
    path.local.port++;
    path.socket = 9;
    return path;
}

void move_to_preferred(struct conn_pair *pair)
{
    const struct sp_path path = to_preferred(pair);
    assert_int_equal(sp_conn_move_to_preferred(pair_conn(pair, SP_CLIENT), &path, pair->now_ns),
                     SP_DONE);
}

void pass_to(struct conn_pair *pair, enum sp_role from, const struct sp_addr *remote)
{
    struct sent sent;
    assert_true(take(pair, from, &sent));
    assert_true(sp_addr_equal(&sent.path.remote, remote));
    struct sp_path path = server_view_of(&sent.path);
    if (from == SP_SERVER)
        path.socket = sp_addr_equal(&path.remote, &preferred_addrs.v4) ? 9 : 0;
    give(pair, from == SP_CLIENT ? SP_SERVER : SP_CLIENT, sent.data, sent.size, &path);
}

void write_some(struct conn_pair *pair, enum sp_role role)
{
    static const uint8_t bytes[WRITE_SOME_BYTES];
    const struct sp_write write = {.data = bytes, .size = sizeof(bytes), .fin = true};
    uint64_t id;
    assert_int_equal(sp_conn_open(pair_conn(pair, role), true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(pair_conn(pair, role), id, &write), SP_DONE);
}
