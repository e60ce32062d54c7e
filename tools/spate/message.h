/* SPDX-License-Identifier: MIT */
#ifndef SPATE_COMMAND_MESSAGE_H
#define SPATE_COMMAND_MESSAGE_H

#include <stdarg.h>

#include <spate/spate.h>

/* Prints one line on stderr: "spate COMMAND: ...".  Control characters, which names and peers may
 * contain, are printed as '?'. */
void message(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints what is wrong with the command line.  `command` is "" before a command is known, `value`
 * may be NULL.  Returns EXIT_USAGE. */
int message_usage(const char *command, const char *what, const char *value);

/* Returns why something has failed: the words of the library, or of a negative errno. */
const char *message_why(const struct spate_error *error, int e);

#endif
