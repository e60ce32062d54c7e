/* SPDX-License-Identifier: MIT */
#include "proto/conn/paths.h"

/* Paths: made, validated, used, left.  [RFC9000 8.2, 9]
 *
 *     server   a packet comes from another address -> CANDIDATE; PATH_CHALLENGE there
 *              .. and it is the newest and no probe -> it is used at once, within the amplification
 *                 limit, and the path before it gets a PATH_CHALLENGE too
 *              PATH_RESPONSE -> PROVEN; the path before it is left
 *              no PATH_RESPONSE -> back to the path before it
 *              .. but where the server itself has another address (one that it prefers), it is
 *                 used once it is PROVEN only
 *     client   sp_conn_migrate() -> CANDIDATE; PATH_CHALLENGE there; the other path is used
 *              PATH_RESPONSE -> PROVEN, used; the path before it is left
 *              no PATH_RESPONSE -> left
 *              sp_conn_move_to_preferred(): likewise
 *
 * Where only the port of the peer changed, what is known about the way stays: the two paths
 * exchange their addresses instead of their places.  [RFC9000 9.4]
 *
 * What can be attacked: whoever sees packets can send copies from another address, faster than the
 * originals.  A server then follows, and sends three times those bytes there.  The true peer
 * answers the PATH_CHALLENGE on the path before, with the newest packet, and so brings the
 * connection back; an unproven path that was left so is not followed again.  [RFC9000 9.3.3]  All
 * tables are bounded; addresses beyond SP_PATHS_MAX are not followed. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/mtu.h"
#include "proto/conn/path_cids.h"
#include "proto/packet/build.h"

/* PTOs for which packets are taken that come late by a path that was left, as long as a closed
 * connection waits for them [RFC9000 10.2]; and by one that nothing has come of. */
#define LATE_PTOS 3

/* ---- The table ---- */

static bool wants_probe(const struct sp_conn *conn, const struct sp_conn_path *path)
{
    if (path->state == SP_PATH_LEFT || !sp_path_has_cid(conn, path))
        return false;
    bool is_due = path->validation != NULL && path->validation->state == SP_VALIDATION_DUE;
    return is_due || (path != conn->path && path->response_count > 0);
}

/* Keeps what follows from the paths. */
static void update(struct sp_conn *conn)
{
    conn->path_count = 0;
    conn->paths_at_ns = SB_NEVER;
    conn->wants_path_probe = false;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        const struct sp_conn_path *path = conn->paths[i];
        if (path == NULL)
            continue;
        conn->path_count++;
        conn->wants_path_probe |= wants_probe(conn, path);
        if (path->validation != NULL)
            conn->paths_at_ns =
                sb_time_min(conn->paths_at_ns, sp_validation_deadline_ns(path->validation));
        if (path->left_until_ns != 0)
            conn->paths_at_ns = sb_time_min(conn->paths_at_ns, path->left_until_ns);
    }
}

static void end_validation(struct sp_conn *conn, struct sp_conn_path *path)
{
    sb_pool_give(&conn->pools->validations, path->validation);
    path->validation = NULL;
}

static void leave(struct sp_conn *conn, struct sp_conn_path *path)
{
    SB_ASSERT(path != conn->path);
    end_validation(conn, path);
    path->response_count = 0;
    bool was_proven = path->state == SP_PATH_PROVEN;
    path->state = SP_PATH_LEFT;
    path->left_until_ns = 1;                   /* until the next deadline */
    path->is_valid = !sp_conn_is_server(conn); /* the peer may come back, and proves it again */
    path->bytes_in = path->bytes_out = 0;
    sp_path_give_cid(conn, path, was_proven);
}

static uint64_t late_ns(const struct sp_conn_path *path, uint64_t now_ns)
{
    return sb_time_add(now_ns, LATE_PTOS * sp_rtt_pto_ns(&path->loss.rtt));
}

static struct sp_bbr *model_of(const struct sp_conn_path *path)
{
    const struct sp_cc *cc = &path->loss.cc;
    return cc->ops == &sp_cc_bbr_ops ? cc->bbr.model : NULL;
}

/* Frees what the controller of a path has borrowed. */
static void free_cc(struct sp_conn *conn, const struct sp_conn_path *path)
{
    sb_pool_give(&conn->pools->models, model_of(path));
    sb_pool_give(&conn->pools->careful, path->loss.cc.careful);
}

static void remove_path(struct sp_conn *conn, struct sp_conn_path *path)
{
    SB_ASSERT(path != conn->path);
    leave(conn, path);
    conn->paths[path->index] = NULL;
    sp_loss_remove(&conn->loss, &path->loss);
    free_cc(conn, path);
    conn->ids_changed = true; /* the host may close the socket */
    if (path != &conn->first_path)
        sb_pool_give(&conn->pools->paths, path);
}

void sp_conn_paths_sweep(struct sp_conn *conn)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path->state == SP_PATH_LEFT && path->left_until_ns == 0 &&
            path->loss.cc.in_flight_bytes == 0)
            remove_path(conn, path);
    }
    update(conn);
}

/* Without memory for BBR's model the path has CUBIC, and without marks for Prague as well. */
static struct sp_cc_args cc_args_of(const struct sp_conn *conn)
{
    enum sp_cc_kind kind = conn->config->cc_kind;
    struct sp_bbr *model = kind == SP_CC_BBR ? sb_pool_take(&conn->pools->models) : NULL;
    bool is_deaf = kind == SP_CC_PRAGUE && !conn->config->ecn;
    if ((kind == SP_CC_BBR && model == NULL) || is_deaf)
        kind = SP_CC_CUBIC;
    return (struct sp_cc_args){
        .ops = sp_cc_ops_of(kind),
        .datagram_bytes = SP_DATAGRAM_SIZE_MIN,
        .rate_bytes_per_s = conn->config->fixed_rate_bytes_per_s,
        .model = model,
        .initial_datagrams = conn->config->initial_window_packets,
    };
}

void sp_conn_paths_init(struct sp_conn *conn, const struct sp_path *path, bool is_valid)
{
    const struct sp_cc_args cc = cc_args_of(conn);
    const struct sp_conn_path_args args = {
        .path = path,
        .cc = &cc,
        .state = SP_PATH_PROVEN, /* by the handshake, and not used for more before */
        .is_valid = is_valid,
    };
    sp_path_init(&conn->first_path, &args);
    sp_rtt_assume(&conn->first_path.loss.rtt, conn->config->initial_rtt_ns);
    conn->path = conn->paths[0] = &conn->first_path;
    update(conn);
}

void sp_conn_paths_deinit(struct sp_conn *conn)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path == NULL)
            continue;
        end_validation(conn, path);
        free_cc(conn, path);
        if (path != &conn->first_path)
            sb_pool_give(&conn->pools->paths, path);
        conn->paths[i] = NULL;
    }
}

/* Returns whether a path can make room for another: it has carried nothing that is in flight, and
 * the connection does not need it to fall back to. */
static bool can_go(const struct sp_conn *conn, const struct sp_conn_path *path)
{
    bool is_spare = path->state != SP_PATH_PROVEN || conn->path->state == SP_PATH_PROVEN;
    return path != conn->path && !path->is_ours && is_spare && path->loss.cc.in_flight_bytes == 0;
}

/* How much would be lost with a path.  Whoever copies packets makes any number of those that have
 * no CID of their own. */
static uint32_t worth_of(const struct sp_conn *conn, const struct sp_conn_path *path)
{
    if (path->state == SP_PATH_PROVEN)
        return 2;
    return sp_path_owns_cid(conn, path) ? 1 : 0;
}

/* Returns the index of a free place, SP_PATHS_MAX if there is none.  The path that is worth least
 * gives way, and of those the one that was made first. */
static uint32_t make_place(struct sp_conn *conn)
{
    struct sp_conn_path *first = NULL;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path == NULL)
            return i;
        uint64_t worth = (uint64_t)worth_of(conn, path) << 32 | path->made_number;
        if (worth < least && can_go(conn, path)) {
            first = path;
            least = worth;
        }
    }
    if (first == NULL)
        return SP_PATHS_MAX;
    uint32_t index = first->index;
    remove_path(conn, first);
    return index;
}

/* Makes a candidate whose packets go to CID `dcid`, or to none yet.  Returns NULL without memory or
 * a place. */
static struct sp_conn_path *add(struct sp_conn *conn, const struct sp_path *where, uint32_t dcid)
{
    uint32_t index = make_place(conn);
    if (index == SP_PATHS_MAX)
        return NULL;
    bool is_first_used = false;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        is_first_used |= conn->paths[i] == &conn->first_path;
    struct sp_conn_path *path =
        is_first_used ? sb_pool_take(&conn->pools->paths) : &conn->first_path;
    if (path == NULL)
        return NULL;
    const struct sp_cc_args cc = cc_args_of(conn);
    const struct sp_conn_path_args args = {
        .path = where,
        .cc = &cc,
        .index = index,
        .state = SP_PATH_CANDIDATE,
        .is_valid = !sp_conn_is_server(conn), /* a client sends probes only */
    };
    sp_path_init(path, &args);
    sp_rtt_assume(&path->loss.rtt, conn->config->initial_rtt_ns);
    path->made_number = path->loss.number = ++conn->paths_made;
    path->dcid = SP_CID_NONE;
    if (dcid != SP_CID_NONE)
        sp_path_use_cid(conn, path, dcid);
    conn->paths[index] = path;
    conn->loss.paths[index] = &path->loss;
    return path;
}

/* Begins a validation, unless one goes on.  Without memory there is none. */
static bool validate(struct sp_conn *conn, struct sp_conn_path *path, uint64_t now_ns)
{
    if (path->validation == NULL) {
        path->validation = sb_pool_take(&conn->pools->validations);
        if (path->validation == NULL)
            return false;
        sp_validation_begin(path->validation, sp_rtt_pto_ns(&conn->path->loss.rtt), now_ns);
    }
    return true;
}

/* ---- Received ---- */

void sp_conn_path_credit(struct sp_conn *conn, const struct sp_path *where, size_t size)
{
    struct sp_conn_path *path = conn->path;
    if (SB_LIKELY(path->is_valid && conn->path_count == 1))
        return;
    if (SB_UNLIKELY(!sp_path_equal(where, &path->path)) &&
        conn->handshake_state >= SP_HANDSHAKE_CONFIRMED)
        path = sp_conn_path_find(conn, where);
    if (path == NULL || path->is_valid)
        return;
    path->bytes_in += size;
    if (path == conn->path)
        conn->loss.is_amplification_blocked = false;
}

struct sp_conn_path *sp_conn_path_of_packet(struct sp_conn *conn,
                                            const struct sp_datagram *datagram, uint32_t lcid,
                                            uint64_t now_ns)
{
    struct sp_conn_path *path = sp_conn_path_find(conn, &datagram->path);
    if (path != NULL || !sp_conn_is_server(conn) ||
        conn->handshake_state < SP_HANDSHAKE_CONFIRMED) {
        if (path != NULL)
            path->lcid = lcid;
        return path;
    }
    path = add(conn, &datagram->path, SP_CID_NONE);
    if (path == NULL)
        return NULL;
    path->lcid = lcid;
    path->bytes_in = datagram->size;
    path->left_until_ns = late_ns(conn->path, now_ns);
    conn->ids_changed = true; /* the host learns the socket */
    update(conn);
    return path;
}

void sp_conn_on_path_challenge(struct sp_conn *conn, struct sp_conn_path *path,
                               const uint8_t data[SP_PATH_DATA_SIZE], uint64_t now_ns)
{
    bool is_server = sp_conn_is_server(conn);
    if (path == NULL || (is_server ? !sp_path_ensure_cid(conn, path) : path->state == SP_PATH_LEFT))
        return;
    if (is_server) /* it may say that it will come back */
        sp_path_take_back(path);
    sp_path_on_challenge(path, data);
    /* The peer will move here: its address is validated meanwhile. */
    if (is_server && path->state == SP_PATH_CANDIDATE)
        (void)validate(conn, path, now_ns);
    update(conn);
}

/* ---- Used ---- */

static void use(struct sp_conn *conn, struct sp_conn_path *path)
{
    struct sp_conn_path *before = conn->path;
    if (sp_path_is_same_way(&before->path, &path->path) && path->loss.cc.in_flight_bytes == 0) {
        sp_path_exchange(before, path);
        sp_loss_on_moved(&conn->loss);
    } else {
        conn->path = path;
        sp_loss_use(&conn->loss, &path->loss);
        conn->datagram_size = path->pmtu.size;
    }
    conn->remote_ids.active = conn->path->dcid;
    conn->is_pacer_blocked = false;
}

/* Leaves all paths but the one in use, which is proven, and those that are validated for a move of
 * ours. */
static void settle(struct sp_conn *conn, uint64_t now_ns)
{
    uint32_t size_max = SP_DATAGRAM_SIZE_MIN;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path == NULL || path == conn->path)
            continue;
        size_max = SB_MAX(size_max, path->pmtu.size_max);
        if (path->state == SP_PATH_PROVEN) {
            leave(conn, path);
            path->left_until_ns = late_ns(path, now_ns);
        }
    }
    if (conn->path->pmtu.size_max < size_max)
        sp_conn_mtu_start_path(conn->path, size_max, now_ns);
    sp_conn_paths_sweep(conn);
}

/* The peer has moved: `path` is used from now on. */
static void move_to(struct sp_conn *conn, struct sp_conn_path *path, uint64_t now_ns)
{
    conn->path->was_left = true;
    if (conn->path->state == SP_PATH_PROVEN) /* [RFC9000 9.3.3] */
        (void)validate(conn, conn->path, now_ns);
    use(conn, path);
    if (conn->path->state == SP_PATH_PROVEN) {
        conn->path_events |= SP_PATH_EVENT_PEER_MOVED;
        end_validation(conn, conn->path);
        settle(conn, now_ns);
    }
    update(conn);
}

/* Returns whether the newest packet that is no probe came to `local`, and may have asked for that
 * address of ours: the peer uses it, maybe not by the path of that packet, which can be a copy.
 * [RFC9000 9.6.2, 9.6.3] */
static bool is_wanted_at(const struct sp_conn *conn, const struct sp_addr *local)
{
    bool is_wanted = false;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        const struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path->validation != NULL && path->validation->wanted_pn != 0 &&
            sp_addr_equal(&path->path.local, local))
            is_wanted |= path->validation->wanted_pn == conn->nonprobing_pn;
    }
    return is_wanted;
}

/* Returns the newest proven path with a CID [RFC9000 9.5], but `but`; to `local` if not NULL. */
static struct sp_conn_path *newest_proven(const struct sp_conn *conn,
                                          const struct sp_conn_path *but,
                                          const struct sp_addr *local)
{
    struct sp_conn_path *found = NULL;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path != but && path->state == SP_PATH_PROVEN &&
            sp_path_has_cid(conn, path) &&
            (local == NULL || sp_addr_equal(&path->path.local, local)) &&
            (found == NULL || path->made_number > found->made_number))
            found = path;
    }
    return found;
}

/* [RFC9000 9.3] */
void sp_conn_path_follow(struct sp_conn *conn, struct sp_conn_path *path, uint64_t now_ns)
{
    bool was_tried = path->was_left && path->state == SP_PATH_CANDIDATE;
    if (path == conn->path || was_tried || !sp_conn_is_server(conn))
        return;
    if (!sp_path_ensure_cid(conn, path))
        return;
    sp_path_take_back(path);
    if (path->state == SP_PATH_CANDIDATE && !validate(conn, path, now_ns))
        return; /* without memory: the next packet brings us here again */
    if (path->state == SP_PATH_CANDIDATE &&
        !sp_addr_equal(&path->path.local, &conn->path->path.local)) {
        path->validation->wanted_pn = conn->nonprobing_pn; /* [RFC9000 9.6.2] for is_wanted_at() */
        path = newest_proven(conn, conn->path, &path->path.local);
    }
    if (path != NULL)
        move_to(conn, path, now_ns);
    update(conn);
}

/* ---- Validated, or not ---- */

static void prove(struct sp_conn *conn, struct sp_conn_path *path, uint64_t delay_ns,
                  bool is_wanted, uint64_t now_ns)
{
    struct sp_rtt *rtt = &path->loss.rtt;
    bool was_proven = path->state == SP_PATH_PROVEN;
    path->state = SP_PATH_PROVEN;
    path->is_valid = true;
    if (!sp_rtt_has_sample(rtt)) { /* [RFC9002 6.2.2] no sample, but better than none */
        rtt->smoothed_ns = delay_ns;
        rtt->variance_ns = delay_ns / 2;
    }
    if (was_proven)
        return;
    if (path->is_ours) {
        path->is_ours = false;
        conn->peer_stays &= !path->is_preferred; /* [RFC9000 9, 18.2] */
        conn->path_events |= path->is_preferred ? SP_PATH_EVENT_PREFERRED : SP_PATH_EVENT_MIGRATED;
        use(conn, path);
        settle(conn, now_ns);
    } else if (path == conn->path) {
        conn->loss.is_amplification_blocked = false;
        conn->path_events |= SP_PATH_EVENT_PEER_MOVED;
        settle(conn, now_ns);
    } else if (is_wanted) {
        move_to(conn, path, now_ns);
    }
}

void sp_conn_on_path_response(struct sp_conn *conn, const uint8_t data[SP_PATH_DATA_SIZE],
                              uint64_t now_ns)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        uint64_t delay_ns;
        if (path == NULL || path->validation == NULL)
            continue;
        enum sp_validation_result result =
            sp_validation_on_response(path->validation, data, now_ns, &delay_ns);
        if (result == SP_VALIDATED_NONE)
            continue;
        bool is_wanted = is_wanted_at(conn, &path->path.local);
        if (result == SP_VALIDATED_PATH)
            end_validation(conn, path);
        prove(conn, path, delay_ns, is_wanted, now_ns);
        break;
    }
    update(conn);
}

/* The validation of `path` has failed.  Returns false if no path is left.
 * [RFC9000 8.2.4, 9.3.2, 9.6.1] */
static bool fail(struct sp_conn *conn, struct sp_conn_path *path)
{
    end_validation(conn, path);
    if (path != conn->path) {
        if (path->state != SP_PATH_CANDIDATE)
            return true; /* the one before: something to fall back to is better than nothing */
        if (path->is_ours)
            conn->path_events |= SP_PATH_EVENT_FAILED;
        leave(conn, path);
        return true;
    }
    struct sp_conn_path *other = newest_proven(conn, path, NULL);
    if (other == NULL)
        return path->state == SP_PATH_PROVEN;
    const struct sp_path where = path->path;
    use(conn, other);
    leave(conn, sp_conn_path_find(conn, &where)); /* its place may be another one now */
    return true;
}

bool sp_conn_paths_on_time(struct sp_conn *conn, uint64_t now_ns)
{
    bool is_left = true;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path->validation != NULL &&
            !sp_validation_on_time(path->validation, now_ns))
            is_left &= fail(conn, path);
        if (path == NULL || path->left_until_ns > now_ns)
            continue;
        bool is_candidate = path->state == SP_PATH_CANDIDATE && path->left_until_ns != 0;
        if (is_candidate && path->validation == NULL && path != conn->path)
            leave(conn, path);
        path->left_until_ns = 0;
    }
    sp_conn_paths_sweep(conn);
    return is_left;
}

/* ---- CIDs ---- */

void sp_conn_on_remote_cids(struct sp_conn *conn)
{
    uint32_t without = sp_path_replace_cids(conn);
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if ((without >> i & 1) != 0)
            (void)fail(conn, conn->paths[i]);
    update(conn);
}

/* ---- Probes ---- */

struct sp_conn_path *sp_conn_path_to_probe(const struct sp_conn *conn)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX && conn->wants_path_probe; i++) {
        struct sp_conn_path *path = conn->paths[i];
        if (path == NULL || !wants_probe(conn, path))
            continue;
        bool needs_full = path->validation != NULL && path->validation->wants_full;
        size_t size_min = needs_full ? SP_DATAGRAM_SIZE_MIN : (size_t)SP_BUILD_PACKET_SIZE_MIN;
        if (sp_path_budget(path) >= size_min)
            return path;
    }
    return NULL;
}

void sp_conn_path_on_probed(struct sp_conn *conn, struct sp_conn_path *path, size_t size,
                            const uint8_t *challenge, uint64_t now_ns)
{
    path->bytes_out += size;
    if (challenge != NULL)
        sp_validation_on_sent(path->validation, challenge, size, now_ns);
    update(conn);
}

/* ---- The application's move ---- */

static enum sp_result begin_move(struct sp_conn *conn, const struct sp_path *to, bool is_preferred,
                                 uint64_t now_ns)
{
    if (conn->state != SP_CONN_OPEN)
        return SP_CLOSED;
    if (sp_conn_is_server(conn) || (conn->peer_stays && !is_preferred))
        return SP_INVALID;
    if (conn->handshake_state < SP_HANDSHAKE_CONFIRMED) /* [RFC9000 9] */
        return SP_AGAIN;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        struct sp_conn_path *path = conn->paths[i];
        bool is_equal = path != NULL && sp_path_equal(&path->path, to);
        if (is_equal && path->state == SP_PATH_LEFT && path->loss.cc.in_flight_bytes == 0)
            remove_path(conn, path); /* once more, from the beginning */
        else if (path != NULL && (path->is_ours || is_equal))
            return SP_AGAIN;
    }
    uint32_t dcid = sp_cid_remote_take(&conn->remote_ids); /* [RFC9000 9.5] */
    if (dcid == SP_CID_NONE)
        return SP_AGAIN;
    struct sp_conn_path *path = add(conn, to, dcid);
    if (path == NULL) {
        sp_cid_remote_retire(&conn->remote_ids, dcid);
        return conn->path_count == SP_PATHS_MAX ? SP_AGAIN : SP_NO_MEMORY;
    }
    if (!validate(conn, path, now_ns)) {
        remove_path(conn, path);
        update(conn);
        return SP_NO_MEMORY;
    }
    path->is_ours = true;
    path->is_preferred = is_preferred;
    update(conn);
    return SP_DONE;
}

enum sp_result sp_conn_migrate(struct sp_conn *conn, const struct sp_path *to, uint64_t now_ns)
{
    return begin_move(conn, to, false, now_ns);
}

enum sp_result sp_conn_move_to_preferred(struct sp_conn *conn, const struct sp_path *to,
                                         uint64_t now_ns)
{
    return begin_move(conn, to, true, now_ns);
}
