/* SPDX-License-Identifier: MIT */
#include "tools/spate/options.h"

/* The loop over the options of a command, which all commands share. */

#include <stdio.h>

#include "tools/spate/message.h"

bool options_parse(const struct options_spec *spec, int argc, char **argv, int *ret_status)
{
    int option;
    *ret_status = 0;
    opterr = 0;
    while (*ret_status == 0 &&
           (option = getopt_long(argc, argv, spec->short_options, spec->longs, NULL)) != -1) {
        if (option == 'h') {
            fputs(spec->usage, stdout);
            return false;
        }
        if (option == ':')
            *ret_status =
                message_usage(spec->command, "a value is missing after", argv[optind - 1]);
        else if (option == '?')
            *ret_status = message_usage(spec->command, "unknown option", argv[optind - 1]);
        else
            *ret_status = spec->take(spec->context, option, optarg);
    }
    return *ret_status == 0;
}
