/* SPDX-License-Identifier: MIT */
#ifndef SE_CONFIG_H
#define SE_CONFIG_H

#include <spate/engine.h>

#include "proto/base/compiler.h"

/* Bounds of the configuration that other files use. */
enum {
    SE_SHARDS_MAX = 64,
    SE_CID_SIZE = 8, /* bytes of the CIDs that we issue: too many random ones to guess or collide */
    SE_CONNS_MAX = 1000000,
    SE_RECEIVE_SLOTS_MAX = 32768,
    SE_TRANSMIT_SLOTS_MAX = 16384,
};

struct sp_config;

/* Describes a field of struct spate_config. */
struct se_config_field {
    const char *name;
    size_t offset;
    size_t size; /* bytes: 8, 4, or 1 for a bool */
    uint64_t initial;
    uint64_t min;
    uint64_t max;
    bool zero_is_none; /* 0 is allowed although it is less than min */
    bool is_of_conn;   /* connections may differ in it: see engine/config/settings.h */
};

/* All fields except size, cpus, the keys and reserved ones, in the order of the struct. */
extern const struct se_config_field se_config_fields[];
extern const size_t se_config_field_count;

/* Copies a program's configuration, which may be shorter or longer than ours, onto `ret`, which
 * holds what a shorter one lacks.  Does not check values.  Returns 0, -EINVAL or -E2BIG, with one
 * line in `error`. */
SB_MUST_USE int se_config_copy(const struct spate_config *given, struct spate_config *ret,
                               struct spate_error *error);

/* Copies a program's configuration, which may be shorter or longer than ours, and checks it.
 * Returns 0, or the error that spate_engine_create() returns, with one line in `error`. */
SB_MUST_USE int se_config_take(const struct spate_config *given, struct spate_config *ret,
                               struct spate_error *error);

/* Returns 0, or -EINVAL with one line in `error` about the first value that is out of range. */
SB_MUST_USE int se_config_check(const struct spate_config *config, struct spate_error *error);

/* Returns whether `bytes_per_s` is a rate limit: 0 for none, or in range. */
bool se_config_is_rate(uint64_t bytes_per_s);

/* Returns the value of a field. */
uint64_t se_config_value(const struct spate_config *config, const struct se_config_field *field);

/* Writes the part of the configuration that the connections of a shard use. */
void se_config_to_proto(const struct spate_config *config, struct sp_config *ret);

/* Writes one line of text to `error`, which may be NULL. */
__attribute__((format(printf, 2, 3))) void se_error_set(struct spate_error *error,
                                                        const char *format, ...);

#endif
