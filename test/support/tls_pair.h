/* SPDX-License-Identifier: MIT */
#ifndef QT_TLS_PAIR_H
#define QT_TLS_PAIR_H

#include "crypto/cert.h"
#include "crypto/self_signed.h"
#include "crypto/tls.h"
#include "crypto/tls_config.h"

/* Two TLS ends that talk in memory through struct sp_tls_ops, as two connections without
 * loss would.  Include "test/support/qt.h" before. */

enum { QT_FACTS_MAX = 64 };

/* One end, and all that it has said. */
struct qt_tls_end {
    struct sp_tls *tls;
    bool is_complete;
    int alert;                     /* -1: none */
    bool is_excess;                /* SP_TLS_EXCESS came, not SP_TLS_ALERT */
    uint64_t said[SP_LEVELS];      /* CRYPTO bytes to send */
    uint64_t delivered[SP_LEVELS]; /* CRYPTO bytes that the other end has received */
    bool has_secret[SP_LEVELS][2]; /* [level][is_write] */
    uint8_t secrets[SP_LEVELS][2][SP_SECRET_SIZE_MAX];
    size_t secret_size;
    enum sp_suite suite;
    uint8_t params[256];
    size_t params_size;
    bool has_params;
    bool is_client;
    enum sp_tls_event_kind early;            /* EARLY_ACCEPTED or EARLY_REJECTED, if it came */
    uint32_t ticket_count;                   /* TICKET events */
    struct sp_tls_event facts[QT_FACTS_MAX]; /* in order; their pointers are stale */
    size_t fact_count;
    size_t wait_count; /* SP_TLS_WAIT */
};

struct qt_tls_pair {
    struct sc_tls_config *client_config;
    struct sc_tls_config *server_config;
    struct qt_tls_end client;
    struct qt_tls_end server;
    size_t step_max; /* bytes that one delivery takes; 0: no limit */
};

/* What a test deviates in from the pair that works: a client that trusts the server's
 * certificate, one protocol "test". */
struct qt_tls_args {
    struct sc_tls_options client;
    struct sc_tls_options server;
    const char *name; /* the client's idea of the server's; NULL: localhost */
    bool no_name;
    struct sb_bytes params; /* the server's transport parameters; no data: three bytes */
    struct sb_bytes ticket; /* that the client resumes with; no data: none */
    bool wants_early;
    int resume_result; /* what sc_tls_resume() must return */
    /* Configurations to use in the place of those above; NULL: none. */
    struct sc_tls_config *client_config;
    struct sc_tls_config *server_config;
    struct sc_memory *memory; /* of both ends; NULL: the heap */
};

/* A certificate for localhost and its key, the same in a whole process. */
const char *qt_cert(void);
const char *qt_key(void);
/* Another certificate, which neither side trusts. */
const char *qt_other_cert(void);
const char *qt_other_key(void);

/* Arguments of a pair that works. */
struct qt_tls_args qt_tls_args(void);

/* Those of a server without certificate, which does not work. */
struct qt_tls_args qt_tls_args_without_cert(void);

/* A certificate for `name` (NULL: localhost), signed by itself, and its key, as PEM; owned by the
 * test. */
struct qt_identity {
    char *cert, *key;
};
struct qt_identity qt_identity(enum sc_key_type type, const char *name);
/* The same for our own use, owned by the test.  Remote: without the key. */
struct sc_cert *qt_identity_cert(const struct qt_identity *id, bool is_remote);

/* Makes and starts both ends; owned by the test (test/support/owned.h). */
void qt_tls_open(struct qt_tls_pair *pair, const struct qt_tls_args *args);
/* Pulls all events of an end. */
void qt_tls_pull(struct qt_tls_end *end);
/* Delivers one step's bytes; false if there was nothing to deliver. */
bool qt_tls_step(struct qt_tls_pair *pair);
/* Delivers until nothing is left. */
void qt_tls_run(struct qt_tls_pair *pair);
/* Frees both ends now, for a test that loops over samples. */
void qt_tls_close(struct qt_tls_pair *pair);

/* Gives `end` bytes that the other end never said. */
void qt_tls_inject(struct qt_tls_end *end, enum sp_level level, const void *data, size_t size);

/* Asserts that both completed with equal secrets, by sealing with the one and opening with
 * the other. */
void qt_tls_assert_complete(struct qt_tls_pair *pair);

#endif
