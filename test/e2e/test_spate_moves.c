/* SPDX-License-Identifier: MIT */
/* What a change of the path costs a transfer over real sockets: prints the longest stall around it,
 * and the time until the receiver has its rate again.  Every byte is compared: none is lost.
 *
 *     build-test/test/test_spate_moves */

#include "test/support/spate_world.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MS    UINT64_C(1000000)
#define BYTES UINT64_C(6000000000) /* more than any machine moves meanwhile */

enum {
    CHUNK = 1 << 20,
    WINDOW_MS = 20,  /* the rate is that of so long */
    BEFORE_MS = 200, /* before the change */
    PATIENCE_MS = 10000,
};

enum change { CHANGE_REBINDING, CHANGE_MIGRATION, CHANGE_PREFERRED };

static uint8_t *payload; /* CHUNK bytes, sent again and again */
static uint64_t got_bytes;
static uint64_t got_at_ns;
static uint64_t stall_ns; /* the longest so far */
static bool is_wrong;
static uint32_t path_count;

static void on_event(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_PATH)
        path_count += event->u.path != SPATE_PATH_FAILED;
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        uint64_t now_ns = pw_now_ns();
        is_wrong |= event->u.data.offset != got_bytes;
        for (size_t at = 0; at < slice->size;) {
            size_t from = (size_t)((got_bytes + at) % CHUNK);
            size_t size = slice->size - at < CHUNK - from ? slice->size - at : CHUNK - from;
            is_wrong |= memcmp(slice->data + at, payload + from, size) != 0;
            at += size;
        }
        if (got_at_ns != 0 && now_ns - got_at_ns > stall_ns)
            stall_ns = now_ns - got_at_ns;
        got_at_ns = now_ns;
        got_bytes += slice->size;
    }
    pw_default(end, event);
}

static void turn(struct pw *w, struct pw_relay *relay)
{
    pw_turn(w);
    if (relay != NULL)
        pw_relay_pass(relay);
}

/* Bytes received in the next WINDOW_MS. */
static uint64_t window(struct pw *w, struct pw_relay *relay)
{
    uint64_t before = got_bytes, end_ns = pw_now_ns() + WINDOW_MS * MS;
    while (pw_now_ns() < end_ns)
        turn(w, relay);
    return got_bytes - before;
}

static void send_all(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    for (uint64_t i = 0; i < BYTES / CHUNK; i++)
        assert_int_equal(spate_stream_send(conn, id, payload, CHUNK, false, 1), 0);
}

static void prefer(struct pw *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 2); /* 127.0.0.3 */
    assert_int_equal(
        spate_listener_prefer(w->listener, (struct sockaddr *)&address, sizeof(address), NULL), 0);
}

static void change_path(struct pw *w, struct pw_relay *relay, enum change change)
{
    struct sockaddr_in local = {.sin_family = AF_INET};
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1); /* 127.0.0.2 */
    if (change == CHANGE_MIGRATION)
        assert_int_equal(
            spate_conn_migrate(w->client.conn, (struct sockaddr *)&local, sizeof(local), NULL), 0);
    if (change == CHANGE_REBINDING) {
        relay->to_server = pw_udp_socket();
        assert_int_equal(
            connect(relay->to_server, (const struct sockaddr *)&w->address, w->address_size), 0);
    }
}

/* One transfer.  `is_up`: from the client. */
static void measure(const char *what, enum change change, bool is_up)
{
    struct pw *w = pw_create(NULL);
    struct pw_relay *relay = change == CHANGE_REBINDING ? pw_relay_create(w) : NULL;
    got_bytes = got_at_ns = path_count = 0;
    w->server.on_event = w->client.on_event = on_event;
    if (change == CHANGE_PREFERRED)
        prefer(w);
    (void)(relay != NULL ? pw_connect_through(w, relay) : pw_connect(w));
    while (w->client.connected_count == 0 || w->server.connected_count == 0)
        turn(w, relay);
    /* A preferred address is moved to at the beginning: what is measured is the transfer that
     * begins with it. */
    if (change != CHANGE_PREFERRED)
        (void)window(w, relay);
    send_all(is_up ? w->client.conn : w->server.conn);
    uint64_t most = 0;
    for (int i = 0; change != CHANGE_PREFERRED && i < BEFORE_MS / WINDOW_MS; i++)
        most = window(w, relay);
    uint64_t at_ns = pw_now_ns(), full_ns = 0;
    stall_ns = 0;
    change_path(w, relay, change);
    uint64_t last = 0;
    while (full_ns == 0 || path_count == 0) {
        uint64_t now = window(w, relay);
        bool is_full =
            change == CHANGE_PREFERRED ? now <= last * 11 / 10 && now > 0 : now * 10 >= most * 9;
        if (is_full && full_ns == 0)
            full_ns = pw_now_ns() - at_ns;
        last = now;
        assert_true(pw_now_ns() < at_ns + PATIENCE_MS * MS);
    }
    print_message("    %-12s %-4s stall %6" PRIu64 " us, %3" PRIu64
                  " ms to full speed, %u MB received, 0 bytes lost\n",
                  what, is_up ? "up" : "down", stall_ns / 1000, full_ns / MS,
                  (unsigned)(got_bytes / 1000000));
    assert_false(is_wrong);
    assert_true(path_count > 0 && got_bytes < BYTES - CHUNK);
    assert_true(stall_ns < 1000 * MS);
    owned_end(w);
}

static void a_change_of_the_path_costs_little(void **state)
{
    (void)state;
    payload = owned_alloc(CHUNK);
    for (uint64_t i = 0; i < CHUNK; i++)
        payload[i] = pw_byte(1, i);
    for (int is_up = 0; is_up < 2; is_up++) {
        measure("rebinding", CHANGE_REBINDING, is_up);
        measure("migration", CHANGE_MIGRATION, is_up);
        measure("preferred", CHANGE_PREFERRED, is_up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_change_of_the_path_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
