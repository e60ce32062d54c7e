/* SPDX-License-Identifier: MIT */
#ifndef SE_ASK_H
#define SE_ASK_H

#include <stdbool.h>

struct spate_conn;
struct spate_shard;

/* Questions of handshakes to the application: see <spate/cert.h>. */

/* Notes that the handshake waits for an answer: se_asks_run() asks for it. */
void se_ask_raise(struct spate_conn *conn);

/* Calls the application's functions.  Returns whether there was a question. */
bool se_asks_run(struct spate_shard *shard);

#endif
