/* SPDX-License-Identifier: MIT */
/* The work over ngtcp2 with GnuTLS: one connection, one thread per side, trains in both directions.
 * One stream per request, or one stream for all of bulk. */

#include <stdio.h>

#include "bench/peers/ng_session.h"

static bool serve(const struct plan *plan, struct run_shared *shared, struct failure *failure)
{
    static struct ng_session session;
    bool is_good = ng_session_listen(&session, plan, shared, failure);
    while (is_good && !session.has_ended)
        is_good = ng_session_turn(&session);
    ng_session_close(&session);
    return is_good;
}

static bool drive(struct run *run)
{
    static struct ng_session session;
    bool is_good = ng_session_connect(&session, run);
    while (is_good && !run->is_over) {
        is_good = ng_session_turn(&session);
        if (is_good && session.has_ended)
            is_good = failure_set(&run->failure, "the server has closed");
    }
    if (is_good) {
        const char *name = gnutls_cipher_get_name(gnutls_cipher_get(session.tls_session.gnutls));
        (void)snprintf(run->cipher, sizeof(run->cipher), "%s", name);
    }
    ng_session_close(&session);
    return is_good;
}

int main(int argc, char **argv)
{
    const struct run_stack stack = {.name = "peer-ngtcp2", .serve = serve, .drive = drive};
    return run_main(argc, argv, &stack);
}
