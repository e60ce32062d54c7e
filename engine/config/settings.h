/* SPDX-License-Identifier: MIT */
#ifndef SE_SETTINGS_H
#define SE_SETTINGS_H

#include <stdatomic.h>

#include <spate/settings.h>

#include "proto/base/compiler.h"
#include "proto/conn/conn.h"

/* Settings that connections share.  They do not change, so shards need no lock to read them. */
struct spate_settings {
    _Atomic uint32_t ref_count; /* A1: the last release sees all others: acq_rel */
    struct sp_config proto;
    bool event_batches;
};

/* Makes settings from `config`, which must be valid and agree with the engine's configuration
 * `of_engine` in all fields that do not belong to connections.  Returns 0, -EINVAL with one line in
 * `error`, or -ENOMEM. */
SB_MUST_USE int se_settings_make(const struct spate_config *of_engine,
                                 const struct spate_config *config, struct spate_settings **ret,
                                 struct spate_error *error);

/* Take and give back a reference; NULL is accepted. */
struct spate_settings *se_settings_ref(struct spate_settings *settings);
void se_settings_unref(struct spate_settings *settings);

#endif
