/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CLOSE_TEXT_H
#define SPATE_CLOSE_TEXT_H

#include <stddef.h>

#include <spate/spate.h>

/* Writes in a few words why a client's connection has ended.  `close->reason` is not NULL. */
void close_text(const struct spate_close *close, char *ret, size_t ret_size);

#endif
