/* SPDX-License-Identifier: MIT */
#include "test/interop/ng_resume.h"

#include <errno.h>
#include <string.h>

#include "proto/base/bytes.h"

enum { FILE_SIZE_MAX = 16384, PARAMS_SIZE_MAX = 1024, HEAD_SIZE = 4 };

#define EARLY_DATA_ALL 0xffffffffU /* [RFC9001 4.6.1] */

static int fail(const char *what, const char *why)
{
    peer_error("%s: %s", what, why);
    return -1;
}

/* ---- Server ---- */

/* Every ClientHello is new: nobody attacks a test. */
static int on_add(void *context, time_t expires, const gnutls_datum_t *key,
                  const gnutls_datum_t *data)
{
    (void)context, (void)expires, (void)key, (void)data;
    return 0;
}

int ng_resume_init_server(struct ng_tls *tls)
{
    if (!tls->options->is_early)
        return 0;
    int e = gnutls_anti_replay_init(&tls->anti_replay);
    if (e < 0)
        return fail("anti-replay", gnutls_strerror(e));
    gnutls_anti_replay_set_add_function(tls->anti_replay, on_add);
    gnutls_anti_replay_set_ptr(tls->anti_replay, NULL);
    return 0;
}

int ng_resume_configure_server(struct ng_tls_session *session)
{
    if (session->tls->anti_replay == NULL)
        return 0;
    gnutls_anti_replay_enable(session->gnutls, session->tls->anti_replay);
    return gnutls_record_set_max_early_data_size(session->gnutls, EARLY_DATA_ALL);
}

void ng_resume_deinit(struct ng_tls *tls)
{
    if (tls->anti_replay != NULL)
        gnutls_anti_replay_deinit(tls->anti_replay);
}

/* ---- Client ---- */

static int write_file(const char *path, const uint8_t *params, size_t params_size,
                      const gnutls_datum_t *data)
{
    uint8_t head[HEAD_SIZE];
    sb_store_u16(head, 0);
    sb_store_u16(head + 2, (uint16_t)params_size);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return fail(path, strerror(errno));
    bool is_written = fwrite(head, 1, sizeof(head), file) == sizeof(head) &&
                      fwrite(params, 1, params_size, file) == params_size &&
                      fwrite(data->data, 1, data->size, file) == data->size;
    is_written = fclose(file) == 0 && is_written;
    return is_written ? 0 : fail(path, "cannot be written");
}

static int on_ticket(gnutls_session_t gnutls, unsigned type, unsigned when, unsigned incoming,
                     const gnutls_datum_t *message)
{
    struct ng_tls_session *session = gnutls_session_get_ptr(gnutls);
    gnutls_datum_t data;
    uint8_t params[PARAMS_SIZE_MAX];
    (void)type, (void)when, (void)incoming, (void)message;
    if (gnutls_session_get_data2(gnutls, &data) != 0)
        return 0;
    ngtcp2_ssize size =
        ng_encode_early_params(session->ref.get_conn(&session->ref), params, sizeof(params));
    if (size > 0)
        (void)write_file(session->tls->options->session_path, params, (size_t)size, &data);
    gnutls_free(data.data);
    session->wants_ticket = false;
    return 0;
}

void ng_resume_watch(struct ng_tls_session *session)
{
    if (session->tls->options->session_path == NULL)
        return;
    session->wants_ticket = true;
    gnutls_handshake_set_hook_function(session->gnutls, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET,
                                       GNUTLS_HOOK_POST, on_ticket);
}

int ng_resume_begin(struct ng_tls_session *session, ngtcp2_conn *quic)
{
    static uint8_t bytes[FILE_SIZE_MAX];
    const struct peer_options *o = session->tls->options;
    FILE *file = o->session_path != NULL ? fopen(o->session_path, "re") : NULL;
    if (file == NULL)
        return 0; /* the first connection */
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    size_t params_size = size >= HEAD_SIZE ? sb_load_u16(bytes + 2) : size;
    if (size == sizeof(bytes) || HEAD_SIZE + params_size >= size)
        return fail(o->session_path, "is no session");
    int e = gnutls_session_set_data(session->gnutls, bytes + HEAD_SIZE + params_size,
                                    size - HEAD_SIZE - params_size);
    if (e < 0)
        return fail(o->session_path, gnutls_strerror(e));
    if (!o->is_early)
        return 0;
    if (ng_set_early_params(quic, bytes + HEAD_SIZE, params_size) != 0)
        return fail(o->session_path, "has no transport parameters");
    session->is_early = true;
    return 0;
}
