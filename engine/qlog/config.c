/* SPDX-License-Identifier: MIT */
#include "engine/qlog/log_impl.h"

/* The configuration of qlog: defaults, ranges, the list of peers. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/config/sized.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* X(field, default, smallest, largest)  The comments in <spate/qlog.h> repeat them. */
#define FIELDS(X) \
    X(one_in, 1, 1, 1000000) \
    X(files_max, 64, 1, 4096) \
    X(file_bytes_max, 64 * MIB, 64 * KIB, 1024 * GIB) \
    X(bytes_max, GIB, 64 * KIB, 64 * 1024 * GIB) \
    X(ring_bytes, MIB, 64 * KIB, GIB)

#define INITIAL(field, initial, least, most) .field = (initial),

void spate_qlog_init_sized(struct spate_qlog *qlog, size_t size)
{
    const struct spate_qlog defaults = {.size = size, FIELDS(INITIAL)};
    se_sized_give(&defaults, sizeof(defaults), qlog, size);
}

static int field_check(const char *name, uint64_t value, uint64_t least, uint64_t most,
                       struct spate_error *error)
{
    if (value >= least && value <= most)
        return 0;
    se_error_set(error, "qlog.%s is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64, name, value,
                 least, most);
    return -EINVAL;
}

/* Reads "ADDRESS" or "ADDRESS/BITS", of `size` bytes. */
static bool prefix_read(const char *text, size_t size, struct se_qlog_prefix *ret)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = memchr(text, '/', size);
    size_t address_size = slash != NULL ? (size_t)(slash - text) : size;
    if (address_size >= sizeof(address))
        return false;
    memcpy(address, text, address_size);
    address[address_size] = '\0';
    *ret = (struct se_qlog_prefix){.family = strchr(address, ':') != NULL ? 6 : 4};
    if (inet_pton(ret->family == 6 ? AF_INET6 : AF_INET, address, ret->ip) != 1)
        return false;
    uint32_t most = ret->family == 6 ? 128 : 32, bits = slash != NULL ? 0 : most;
    for (const char *at = slash != NULL ? slash + 1 : text + size; at < text + size; at++) {
        if (*at < '0' || *at > '9')
            return false;
        bits = bits * 10 + (uint32_t)(*at - '0');
        if (bits > most)
            return false;
    }
    ret->bits = (uint8_t)bits;
    return slash == NULL || slash + 1 < text + size;
}

static int peers_read(const char *peers, struct se_qlog_log *log, struct spate_error *error)
{
    static const char between[] = ", ";
    if (peers == NULL)
        return 0;
    for (const char *at = peers + strspn(peers, between); *at != '\0';) {
        size_t size = strcspn(at, between);
        bool has_room = log->prefix_count < SE_QLOG_PREFIXES_MAX;
        if (!has_room || !prefix_read(at, size, &log->prefixes[log->prefix_count])) {
            se_error_set(error, "qlog.peers: %.*s is %s", (int)size, at,
                         has_room ? "no prefix" : "one too many");
            return -EINVAL;
        }
        log->prefix_count++;
        at += size;
        at += strspn(at, between);
    }
    if (log->prefix_count > 0)
        return 0;
    se_error_set(error, "qlog.peers is empty: NULL stands for all");
    return -EINVAL;
}

int se_qlog_take(const struct spate_qlog *given, struct se_qlog_log *log, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_qlog",
        SE_SIZE_THROUGH(struct spate_qlog, ring_bytes),
        sizeof(struct spate_qlog),
    };
    struct spate_qlog own;
    spate_qlog_init(&own);
    int result = se_sized_take(&shape, given, &own, error);
#define CHECK(field, initial, least, most) \
    if (result == 0) \
        result = field_check(#field, own.field, least, most, error);
    FIELDS(CHECK)
#undef CHECK
    if (result == 0 && own.dir == NULL) {
        se_error_set(error, "qlog.dir is NULL: name a folder");
        result = -EINVAL;
    }
    if (result == 0)
        result = peers_read(own.peers, log, error);
    if (result != 0)
        return result;
    log->folder = open(own.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (log->folder < 0) {
        int code = errno;
        se_error_set(error, "qlog.dir: %s: %s", own.dir, strerrordesc_np(code));
        return -code;
    }
    while ((own.ring_bytes & (own.ring_bytes - 1)) != 0)
        own.ring_bytes += own.ring_bytes & -own.ring_bytes; /* up to a power of two */
    own.dir = own.peers = NULL;
    log->config = own;
    return 0;
}
