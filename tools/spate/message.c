/* SPDX-License-Identifier: MIT */
#include "tools/spate/message.h"

#include <stdio.h>
#include <string.h>

#include "tools/spate/commands.h"

enum { LINE_SIZE = 1024 };

static void clean(char *text)
{
    for (char *c = text; *c != 0; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

void message(const char *command, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    clean(line);
    fprintf(stderr, "spate%s%s: %s\n", command[0] != 0 ? " " : "", command, line);
}

int message_usage(const char *command, const char *what, const char *value)
{
    if (value != NULL && value[0] == 0)
        value = "''";
    message(command, "%s%s%s (see \"spate %s%shelp\")", what, value != NULL ? " " : "",
            value != NULL ? value : "", command, command[0] != 0 ? " --" : "");
    return EXIT_USAGE;
}

const char *message_why(const struct spate_error *error, int e)
{
    return error->text[0] != 0 ? error->text : strerror(-e);
}
