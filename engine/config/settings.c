/* SPDX-License-Identifier: MIT */
#include "engine/config/settings.h"

/* Settings of connections that differ from those of their engine.
 *
 * A connection of proto/ has a pointer to its configuration anyway.  So settings are one object
 * that counts its users, and cost a connection a pointer.  The list of engine/config/config.c says
 * which fields belong to connections, and checks their ranges for engines and for settings alike.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "engine/config/config.h"
#include "proto/base/assert.h"

static int same_engine_check(const struct spate_config *of_engine,
                             const struct spate_config *config, struct spate_error *error)
{
    for (size_t i = 0; i < se_config_field_count; i++) {
        const struct se_config_field *field = &se_config_fields[i];
        uint64_t value = se_config_value(config, field);
        uint64_t of_all = se_config_value(of_engine, field);
        if (field->is_of_conn || value == of_all)
            continue;
        se_error_set(error,
                     "%s is %" PRIu64 ", and %" PRIu64
                     " in the engine: it is not a setting of connections",
                     field->name, value, of_all);
        return -EINVAL;
    }
    return 0;
}

int se_settings_make(const struct spate_config *of_engine, const struct spate_config *config,
                     struct spate_settings **ret, struct spate_error *error)
{
    int result = se_config_check(config, error);
    if (result == 0)
        result = same_engine_check(of_engine, config, error);
    if (result != 0)
        return result;
    struct spate_settings *settings = calloc(1, sizeof(*settings));
    if (settings == NULL)
        return -ENOMEM;
    atomic_init(&settings->ref_count, 1);
    se_config_to_proto(config, &settings->proto);
    settings->event_batches = config->event_batches;
    *ret = settings;
    return 0;
}

void spate_settings_destroy(struct spate_settings *settings)
{
    se_settings_unref(settings);
}

struct spate_settings *se_settings_ref(struct spate_settings *settings)
{
    if (settings != NULL) {
        uint32_t before = atomic_fetch_add_explicit(&settings->ref_count, 1, memory_order_relaxed);
        SB_ASSERT(before > 0);
    }
    return settings;
}

void se_settings_unref(struct spate_settings *settings)
{
    if (settings == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&settings->ref_count, 1, memory_order_acq_rel);
    SB_ASSERT(before > 0);
    if (before == 1)
        free(settings);
}
