/* SPDX-License-Identifier: MIT */
#ifndef SPATE_KEY_FILE_H
#define SPATE_KEY_FILE_H

#include <stddef.h>
#include <stdint.h>

#include <spate/config.h>

enum { KEY_FILE_KEYS_MAX = 4 };

/* The keys of a server's tickets, from a file: a line of 64 hexadecimal digits for each, the one
 * that seals first.  Servers that share the file, or are started again with it, open each other's
 * tickets. */
struct key_file {
    uint8_t keys[KEY_FILE_KEYS_MAX][SPATE_KEY_SIZE];
    size_t count;
};

/* Reads the file.  One that does not exist is made, with a random key, for its owner alone.
 * Returns NULL, or what is wrong: a static string or that of an errno, valid until the next call.
 * `ret` is untouched then.  The caller wipes it after use. */
const char *key_file_read(const char *path, struct key_file *ret);

#endif
