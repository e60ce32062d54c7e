/* SPDX-License-Identifier: MIT */
/* The text of a link's configuration: key=value, with commas between them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test/interop/relay/link.h"

struct unit {
    const char *name;
    double factor;
};

static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit rates[] = {
    {"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"k", 1e3}, {"m", 1e6}, {NULL, 0}};
static const struct unit shares[] = {{"", 1e6}, {"%", 1e4}, {NULL, 0}};
static const struct unit bdps[] = {{"", 1e6}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {NULL, 0}};

/* Reads a number that is not negative, and a unit of the table. */
static bool parse_number(const char *text, const struct unit *units, double *ret)
{
    char *end;
    if ((text[0] < '0' || text[0] > '9') || text[1] == 'x')
        return false;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0)
        return false;
    for (; units->name != NULL; units++) {
        if (strcmp(end, units->name) == 0) {
            *ret = value * units->factor;
            return *ret <= 9e18;
        }
    }
    return false;
}

static bool parse_u64(const char *text, const struct unit *units, uint64_t *ret)
{
    double value;
    if (!parse_number(text, units, &value))
        return false;
    *ret = (uint64_t)value;
    return true;
}

bool link_parse_time(const char *text, uint64_t *ret)
{
    return parse_u64(text, times, ret);
}

bool link_parse_rate(const char *text, uint64_t *ret)
{
    return parse_u64(text, rates, ret) && *ret >= 1000;
}

/* Reads "2+3+4", ascending. */
static bool parse_list(const char *text, uint64_t *list, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (;;) {
        char *end;
        errno = 0;
        uint64_t number = strtoull(text, &end, 10);
        bool is_ascending = count == 0 || number > list[count - 1];
        if (text[0] < '0' || text[0] > '9' || errno != 0 || number == 0 || !is_ascending ||
            count == LINK_LIST_MAX)
            return false;
        list[count++] = number;
        if (*end == 0)
            break;
        if (*end != '+')
            return false;
        text = end + 1;
    }
    *ret_count = count;
    return true;
}

static bool parse_share(const char *text, uint32_t *ret)
{
    double value;
    if (!parse_number(text, shares, &value) || value > 1e6)
        return false;
    *ret = (uint32_t)(value + 0.5);
    return true;
}

/* Reads START+LENGTH or START+LENGTH/PERIOD. */
static bool parse_outage(const char *text, struct link_config *ret)
{
    char copy[64];
    if (strlen(text) >= sizeof(copy))
        return false;
    memcpy(copy, text, strlen(text) + 1);
    char *length = strchr(copy, '+');
    char *period = strchr(copy, '/');
    if (length == NULL)
        return false;
    *length++ = 0;
    if (period != NULL)
        *period++ = 0;
    return link_parse_time(copy, &ret->outage_ns) &&
           link_parse_time(length, &ret->outage_length_ns) && ret->outage_length_ns > 0 &&
           (period == NULL || (link_parse_time(period, &ret->outage_period_ns) &&
                               ret->outage_period_ns >= ret->outage_length_ns));
}

/* Cuts the text at its colons.  Returns the number of parts, 0 if there are too many. */
static uint32_t split(char *text, char **parts, uint32_t parts_max)
{
    uint32_t count = 0;
    while (text != NULL && count < parts_max)
        parts[count++] = strsep(&text, ":");
    return text == NULL ? count : 0;
}

/* Reads BEGIN:END or BEGIN:END:LOSS. */
static bool parse_bursts(const char *text, struct link_config *c)
{
    char copy[64];
    char *parts[3];
    if (strlen(text) >= sizeof(copy))
        return false;
    memcpy(copy, text, strlen(text) + 1);
    uint32_t count = split(copy, parts, 3);
    c->bad_loss_share = 1000000;
    return count >= 2 && parse_share(parts[0], &c->bad_begin_share) &&
           parse_share(parts[1], &c->bad_end_share) &&
           (count == 2 || parse_share(parts[2], &c->bad_loss_share));
}

/* Reads RATE:BURST. */
static bool parse_policer(const char *text, struct link_config *c)
{
    char copy[64];
    char *parts[2];
    if (strlen(text) >= sizeof(copy))
        return false;
    memcpy(copy, text, strlen(text) + 1);
    return split(copy, parts, 2) == 2 && parse_u64(parts[0], rates, &c->policer_bits_per_s) &&
           parse_u64(parts[1], sizes, &c->policer_bytes) && c->policer_bits_per_s > 0;
}

static bool parse_one(const char *key, const char *value, struct link_config *c)
{
    const struct {
        const char *key;
        const struct unit *units;
        uint64_t *ret;
    } numbers[] = {
        {"delay", times, &c->delay_ns},
        {"jitter", times, &c->jitter_ns},
        {"rate", rates, &c->rate.bits_per_s},
        {"queue", sizes, &c->queue_bytes},
        {"queue-packets", counts, &c->queue_packets},
        {"queue-bdp", bdps, &c->queue_bdp_share},
        {"rtt", times, &c->rtt_ns},
        {"reorder-every", counts, &c->reorder_every},
        {"reorder-by", times, &c->reorder_ns},
        {"ce-queue", sizes, &c->ce_queue_bytes},
        {"bad-run", counts, &c->bad_run_max},
        {"first", counts, &c->first},
        {"every", counts, &c->every},
        {"mtu", counts, &c->size_max},
    };
    const struct {
        const char *key;
        uint32_t *ret;
    } parts[] = {
        {"loss", &c->loss_share},
        {"corrupt", &c->corrupt_share},
        {"duplicate", &c->duplicate_share},
        {"reorder", &c->reorder_share},
        {"ce", &c->ce_share},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) == 0)
            return parse_u64(value, numbers[i].units, numbers[i].ret);
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(key, parts[i].key) == 0)
            return parse_share(value, parts[i].ret);
    }
    if (strcmp(key, "drop") == 0)
        return parse_list(value, c->drop, &c->drop_count);
    if (strcmp(key, "corrupt-list") == 0)
        return parse_list(value, c->corrupt, &c->corrupt_count);
    if (strcmp(key, "outage") == 0)
        return parse_outage(value, c);
    if (strcmp(key, "bursts") == 0)
        return parse_bursts(value, c);
    if (strcmp(key, "policer") == 0)
        return parse_policer(value, c);
    if (strcmp(key, "steps") == 0)
        return link_parse_steps(value, &c->rate);
    if (strcmp(key, "trace") == 0)
        return link_read_trace(value, &c->rate);
    if (strcmp(key, "order") == 0 && strcmp(value, "keep") == 0) {
        c->keeps_order = true;
        return true;
    }
    if (strcmp(key, "l4s") == 0 && strcmp(value, "on") == 0) {
        c->has_l4s = true;
        return true;
    }
    if (strcmp(key, "ecn") == 0 && strcmp(value, "clear") == 0) {
        c->clears_ecn = true;
        return true;
    }
    return false;
}

const char *link_parse(const char *text, struct link_config *ret)
{
    struct link_config config = *ret;
    char copy[4096];
    if (strlen(text) >= sizeof(copy))
        return "is too long";
    memcpy(copy, text, strlen(text) + 1);
    char *rest = copy;
    while (rest != NULL) {
        char *key = strsep(&rest, ",");
        char *value = strchr(key, '=');
        if (value == NULL)
            return "is not KEY=VALUE,KEY=VALUE...";
        *value++ = 0;
        if (!parse_one(key, value, &config))
            return "has a key that is not known, or a value that does not fit it";
    }
    if (config.queue_bdp_share != 0 && (config.rate.bits_per_s == 0 || config.rtt_ns == 0))
        return "has a queue-bdp without rate and rtt";
    if (config.rate.bits_per_s != 0 && config.rate.step_count != 0)
        return "has a rate and steps";
    if (config.has_l4s &&
        (config.rate.bits_per_s == 0 || (config.queue_bytes == 0 && config.queue_bdp_share == 0)))
        return "has l4s without rate and queue";
    *ret = config;
    return NULL;
}
