/* SPDX-License-Identifier: MIT */
/* Whom a unit trusts.  Both sides of a connection show a certificate, whichever of them began:
 *
 *   --peer   its fingerprint is in the list; nothing else of it counts
 *   --ca     it is of that CA, and for who connects, of the name that was connected to
 *   --token  alone: any certificate, and a proof of the token in the hello.  With one of the other
 *            two: both */

#include <stdlib.h>
#include <string.h>

#include "tools/spate/files/identity.h"
#include "tools/spate/message.h"
#include "tools/spate/relay/node.h"

enum { ALERT_BAD_CERTIFICATE = 42, ALERT_UNKNOWN = 46 };

static void on_verify(const struct spate_ask *ask, void *user)
{
    const struct relay_node *node = user;
    const struct relay_options *o = node->options;
    char fingerprint[FINGERPRINT_SIZE];
    uint8_t alert = ALERT_BAD_CERTIFICATE;
    if (ask->chain_count > 0) {
        known_fingerprint(ask->chain[0].data, ask->chain[0].size, fingerprint);
        alert = o->trusted_count == 0 ? 0 : ALERT_UNKNOWN;
        for (uint32_t i = 0; i < o->trusted_count; i++) {
            if (strcmp(o->trusted[i], fingerprint) == 0)
                alert = 0;
        }
        if (alert != 0)
            message("relay", "a unit with the fingerprint %s is refused", fingerprint);
    }
    (void)spate_shard_answer_verify(ask->shard, ask->conn_id, alert, "not trusted");
}

static int create(struct relay_node *node, const struct identity *identity,
                  struct spate_error *error)
{
    static const char *const alpn[] = {RELAY_ALPN};
    struct spate_tls_options tls;
    spate_tls_options_init(&tls);
    tls.cert_pem = identity->cert_pem;
    tls.key_pem = identity->key_pem;
    tls.ca_file = node->options->ca;
    tls.alpn = alpn;
    tls.alpn_count = 1;
    tls.keylog_file = getenv("SSLKEYLOGFILE");
    if (node->options->ca == NULL || node->options->trusted_count > 0) {
        tls.on_verify = on_verify;
        tls.verify = node->options->ca == NULL ? SPATE_VERIFY_INSTEAD : SPATE_VERIFY_AFTER_CHAIN;
        tls.ask_user = node;
    }
    int e = spate_tls_client_create(&tls, &node->client_tls, error);
    if (e != 0)
        return e;
    tls.client_auth = SPATE_CLIENT_AUTH_REQUIRED;
    return spate_tls_server_create(&tls, &node->server_tls, error);
}

bool relay_trust_create(struct relay_node *node)
{
    const struct relay_options *o = node->options;
    struct spate_error error = {""};
    struct spate_self_signed_options self_signed;
    struct identity identity;
    if (o->token != NULL) {
        const char *wrong = files_token_read(o->token, &node->token);
        if (wrong != NULL) {
            message("relay", "--token %s: %s", o->token, wrong);
            return false;
        }
    }
    spate_self_signed_options_init(&self_signed);
    self_signed.days = IDENTITY_DAYS;
    int e = identity_open(&identity, o->identity, &self_signed, &error);
    if (e == 0)
        e = create(node, &identity, &error);
    if (e != 0)
        message("relay", "%s", message_why(&error, e));
    else
        identity_print(&identity);
    identity_close(&identity);
    return e == 0;
}
