/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_NG_COMPAT_H
#define INTEROP_NG_COMPAT_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

/* The peer is written for the names of ngtcp2 1.x.  Debian 12 has 0.12, with other names. */
#if NGTCP2_VERSION_NUM < 0x010000

/* clang-format off */
#define ngtcp2_ccerr                       ngtcp2_connection_close_error
#define ngtcp2_ccerr_set_application_error ngtcp2_connection_close_error_set_application_error
#define ngtcp2_ccerr_set_liberr            ngtcp2_connection_close_error_set_transport_error_liberr
#define ngtcp2_ccerr_set_tls_alert \
    ngtcp2_connection_close_error_set_transport_error_tls_alert
#define NGTCP2_CCERR_TYPE_APPLICATION      NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION
#define preferred_addr                     preferred_address
#define preferred_addr_present             preferred_address_present
/* clang-format on */

static inline void ng_get_remote_ccerr(ngtcp2_conn *quic, ngtcp2_ccerr *ret)
{
    ngtcp2_conn_get_connection_close_error(quic, ret);
}

static inline void ng_set_original_dcid(ngtcp2_transport_params *params, const ngtcp2_cid *cid)
{
    params->original_dcid = *cid;
}

/* The token of a client's Initial; size 0 if there is none. */
static inline const uint8_t *ng_token_of(const ngtcp2_pkt_hd *hd, size_t *ret_size)
{
    *ret_size = hd->token.len;
    return hd->token.base;
}

static inline void ng_set_token(ngtcp2_settings *settings, const ngtcp2_pkt_hd *hd)
{
    settings->token = hd->token;
}

/* The server's transport parameters, for 0-RTT in a later connection. */
static inline ngtcp2_ssize ng_encode_early_params(ngtcp2_conn *quic, uint8_t *ret, size_t size)
{
    return ngtcp2_encode_transport_params(ret, size,
                                          NGTCP2_TRANSPORT_PARAMS_TYPE_ENCRYPTED_EXTENSIONS,
                                          ngtcp2_conn_get_remote_transport_params(quic));
}

static inline int ng_set_early_params(ngtcp2_conn *quic, const uint8_t *data, size_t size)
{
    ngtcp2_transport_params params;
    int e = ngtcp2_decode_transport_params(
        &params, NGTCP2_TRANSPORT_PARAMS_TYPE_ENCRYPTED_EXTENSIONS, data, size);
    if (e == 0)
        ngtcp2_conn_set_early_remote_transport_params(quic, &params);
    return e;
}

#else

static inline ngtcp2_ssize ng_encode_early_params(ngtcp2_conn *quic, uint8_t *ret, size_t size)
{
    return ngtcp2_conn_encode_0rtt_transport_params(quic, ret, size);
}

static inline int ng_set_early_params(ngtcp2_conn *quic, const uint8_t *data, size_t size)
{
    return ngtcp2_conn_decode_and_set_0rtt_transport_params(quic, data, size);
}

static inline const uint8_t *ng_token_of(const ngtcp2_pkt_hd *hd, size_t *ret_size)
{
    *ret_size = hd->tokenlen;
    return hd->token;
}

static inline void ng_set_token(ngtcp2_settings *settings, const ngtcp2_pkt_hd *hd)
{
    settings->token = hd->token;
    settings->tokenlen = hd->tokenlen;
}

static inline void ng_get_remote_ccerr(ngtcp2_conn *quic, ngtcp2_ccerr *ret)
{
    *ret = *ngtcp2_conn_get_ccerr(quic);
}

static inline void ng_set_original_dcid(ngtcp2_transport_params *params, const ngtcp2_cid *cid)
{
    params->original_dcid = *cid;
    params->original_dcid_present = 1;
}

#endif

#endif
