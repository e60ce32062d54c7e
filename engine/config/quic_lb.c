/* SPDX-License-Identifier: MIT */
#include "engine/config/quic_lb.h"

/* Configurations of connection IDs that load balancers can read, and the balancer's side of them.
 * How a server makes such IDs is in engine/conn/cids.c.  [draft-ietf-quic-load-balancers] */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/quic_lb.h"
#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "proto/wire/stateless.h"

_Static_assert((int)SC_LB_KEY_SIZE == SPATE_QUIC_LB_KEY_SIZE, "one key");
_Static_assert((int)SC_LB_SIZE_MAX == SE_LB_TEXT_SIZE_MAX, "one limit");

/* X(field, smallest, largest)  [quic-lb 5.1, 5.3] */
#define FIELDS(X) \
    X(config_id, 0, SPATE_QUIC_LB_UNROUTABLE) \
    X(server_id_size, 1, SPATE_QUIC_LB_SERVER_ID_SIZE_MAX) \
    X(nonce_size, 4, 18)

enum {
    /* An unroutable ID has at least 8 bytes, so that those after the first are random enough. */
    UNROUTABLE_TEXT_SIZE_MIN = 6,
    NONCE_SIZE_INITIAL = 8,
};

struct spate_quic_lb_reader {
    struct sc_lb *cipher; /* NULL: in clear */
    uint8_t config_id;
    uint8_t server_id_size;
    uint8_t text_size;
};

void spate_quic_lb_init_sized(struct spate_quic_lb *lb, size_t size)
{
    const struct spate_quic_lb defaults = {.size = size, .nonce_size = NONCE_SIZE_INITIAL};
    se_sized_give(&defaults, sizeof(defaults), lb, size);
}

static int field_check(const char *name, uint8_t value, int least, int most,
                       struct spate_error *error)
{
    if (value >= least && value <= most)
        return 0;
    se_error_set(error, "quic_lb.%s is %u, must be %d to %d", name, value, least, most);
    return -EINVAL;
}

static int check(const struct spate_quic_lb *lb, struct spate_error *error)
{
    int result = 0;
#define CHECK(field, least, most) \
    if (result == 0) \
        result = field_check(#field, lb->field, least, most, error);
    FIELDS(CHECK)
#undef CHECK
    /* [quic-lb 5.3, 5.4.2.2] */
    int least = lb->config_id == SPATE_QUIC_LB_UNROUTABLE ? UNROUTABLE_TEXT_SIZE_MIN : 5;
    if (result == 0)
        result = field_check("server_id_size + nonce_size", se_quic_lb_text_size(lb), least,
                             SE_LB_TEXT_SIZE_MAX, error);
    return result;
}

int se_quic_lb_take(const struct spate_quic_lb *given, struct spate_quic_lb *ret,
                    struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_quic_lb",
        SE_SIZE_THROUGH(struct spate_quic_lb, reserved),
        sizeof(struct spate_quic_lb),
    };
    struct spate_quic_lb own;
    spate_quic_lb_init(&own);
    int result = se_sized_take(&shape, given, &own, error);
    if (result == 0)
        result = check(&own, error);
    if (result == 0)
        *ret = own;
    explicit_bzero(own.key, sizeof(own.key));
    return result;
}

int spate_quic_lb_reader_create(const struct spate_quic_lb *given,
                                struct spate_quic_lb_reader **ret, struct spate_error *error)
{
    struct spate_quic_lb lb;
    int result = se_quic_lb_take(given, &lb, error);
    if (result != 0)
        return result;
    struct spate_quic_lb_reader *reader = calloc(1, sizeof(*reader));
    bool is_encrypted = lb.is_encrypted && lb.config_id != SPATE_QUIC_LB_UNROUTABLE;
    if (reader != NULL && is_encrypted)
        reader->cipher = sc_lb_create(lb.key, lb.server_id_size, lb.nonce_size);
    explicit_bzero(lb.key, sizeof(lb.key));
    if (reader == NULL || (is_encrypted && reader->cipher == NULL)) {
        free(reader);
        return -ENOMEM;
    }
    reader->config_id = lb.config_id;
    reader->server_id_size = lb.server_id_size;
    reader->text_size = se_quic_lb_text_size(&lb);
    *ret = reader;
    return 0;
}

void spate_quic_lb_reader_destroy(struct spate_quic_lb_reader *reader)
{
    if (reader == NULL)
        return;
    sc_lb_destroy(reader->cipher);
    free(reader);
}

int spate_quic_lb_read(struct spate_quic_lb_reader *reader, const void *cid, size_t size,
                       uint8_t *ret)
{
    const uint8_t *bytes = cid;
    if (size == 0)
        return -EMSGSIZE;
    /* [quic-lb 3.2] No server has a CID of the reserved configuration. */
    if (bytes[0] >> 5 != reader->config_id || reader->config_id == SPATE_QUIC_LB_UNROUTABLE)
        return -ENOENT;
    if (size < 1 + (size_t)reader->text_size)
        return -EMSGSIZE;
    if (reader->cipher != NULL)
        sc_lb_decrypt_server_id(reader->cipher, bytes + 1, ret);
    else
        memcpy(ret, bytes + 1, reader->server_id_size);
    return 0;
}

int spate_quic_lb_read_datagram(struct spate_quic_lb_reader *reader, const void *data, size_t size,
                                uint8_t *ret)
{
    const uint8_t *bytes = data;
    struct sp_peek peek;
    uint8_t short_size = (uint8_t)(1 + reader->text_size);
    if (size == 0 || !sp_peek_read(bytes, size, short_size, &peek))
        return -EMSGSIZE;
    return spate_quic_lb_read(reader, peek.dcid.data, peek.dcid.size, ret);
}
