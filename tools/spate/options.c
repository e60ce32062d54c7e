/* SPDX-License-Identifier: MIT */
#include "tools/spate/options.h"

/* The loop over the options of a command, and options that several commands have. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/number.h"

#define NS_PER_S UINT64_C(1000000000)

/* Says what is wrong with an option that getopt_long() has refused.  Returns the exit status. */
static int refuse(const struct options_spec *spec, const char *word)
{
    size_t size = strncmp(word, "--", 2) == 0 ? strcspn(word + 2, "=") : 0;
    uint32_t count = 0;
    for (const struct option *o = spec->longs; size > 0 && o->name != NULL; o++) {
        if (strncmp(o->name, word + 2, size) != 0)
            continue;
        if (optopt != 0 && o->val == optopt && word[2 + size] == '=')
            return message_usage(spec->command, "this option takes no value:", word);
        count++;
    }
    if (optopt != 0) { /* `word` may be the one before: others may follow in the same word */
        const char letter[] = {'-', (char)optopt, 0};
        return message_usage(spec->command, "unknown option", letter);
    }
    return message_usage(spec->command, count > 1 ? "ambiguous option" : "unknown option", word);
}

bool options_parse(const struct options_spec *spec, int argc, char **argv, int *ret_status)
{
    char letters[16];
    int option;
    (void)snprintf(letters, sizeof(letters), "%sh", spec->short_options);
    *ret_status = 0;
    opterr = 0;
    while (*ret_status == 0 &&
           (option = getopt_long(argc, argv, letters, spec->longs, NULL)) != -1) {
        if (option == 'h') {
            fputs(spec->usage, stdout);
            return false;
        }
        if (option == ':')
            *ret_status =
                message_usage(spec->command, "a value is missing after", argv[optind - 1]);
        else if (option == '?')
            *ret_status = refuse(spec, argv[optind - 1]);
        else
            *ret_status = spec->take(spec->context, option, optarg);
    }
    return *ret_status == 0;
}

bool options_take_simple(const struct option_simple *simple, size_t count, int option,
                         const char *value)
{
    for (size_t i = 0; i < count; i++) {
        if (simple[i].option != option)
            continue;
        if (simple[i].text != NULL)
            *simple[i].text = value;
        else
            *simple[i].flag = true;
        return true;
    }
    return false;
}

int options_take_address(const char *command, const char *option, const char *value,
                         struct net_address *ret)
{
    const char *wrong = net_parse(value, ret);
    if (wrong == NULL)
        return 0;
    message(command, "%s %s: %s", option, value, wrong);
    return EXIT_USAGE;
}

/* Writes a number as one would give it: 1048576 is 1Mi. */
static void write_number(uint64_t number, char ret[32])
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi"};
    size_t unit = 0;
    if (number > 0 && number % 1000000000 == 0) {
        (void)snprintf(ret, 32, "%" PRIu64 "G", number / 1000000000);
        return;
    }
    while (unit < 3 && number > 0 && number % 1024 == 0) {
        number /= 1024;
        unit++;
    }
    (void)snprintf(ret, 32, "%" PRIu64 "%s", number, units[unit]);
}

static int refuse_number(const char *command, const char *option, const char *value, uint64_t min,
                         uint64_t max, const char *unit)
{
    char what[128];
    char from[32];
    char to[32];
    write_number(min, from);
    write_number(max, to);
    (void)snprintf(what, sizeof(what), "%s must be %s to %s%s, not", option, from, to, unit);
    return message_usage(command, what, value);
}

int options_take_number(const char *command, const char *option, const char *value, uint64_t min,
                        uint64_t max, uint64_t *ret)
{
    if (number_parse(value, min, max, ret))
        return 0;
    return refuse_number(command, option, value, min, max, "");
}

int options_take_seconds(const char *command, const char *option, const char *value, uint64_t min,
                         uint64_t max, uint64_t *ret_ns)
{
    uint64_t seconds;
    if (!number_parse(value, min, max, &seconds))
        return refuse_number(command, option, value, min, max, " seconds");
    *ret_ns = seconds * NS_PER_S;
    return 0;
}

int options_take_versions(const char *command, const char *value, enum spate_versions *ret)
{
    if (number_parse_versions(value, ret))
        return 0;
    return message_usage(command, "--quic must be both, prefer-2, begin-2, only-1 or only-2, not",
                         value);
}

int options_take_ciphers(const char *command, const char *value, uint32_t *ret)
{
    if (number_parse_ciphers(value, ret))
        return 0;
    return message_usage(
        command, "--cipher must be of aes-128-gcm, aes-256-gcm and chacha20-poly1305, not", value);
}
