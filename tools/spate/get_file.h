/* SPDX-License-Identifier: MIT */
#ifndef SPATE_GET_FILE_H
#define SPATE_GET_FILE_H

#include <spate/spate.h>

#include "tools/spate/get_job.h"

/* One file of a job: its stream, the memory that it is received into, and what is on disk. */

/* Opens a stream, and sends the request.  Returns 0, -EAGAIN if the peer allows no more streams
 * now, or another negative errno after the file has failed. */
int get_file_start(struct get_file *file);

/* Handles an event of the file's stream, except SPATE_EVENT_STREAM_CLOSED. */
void get_file_event(struct get_file *file, struct spate_event *event);

/* Removes what is half, and prints why; `why` NULL: prints nothing. */
void get_file_fail(struct get_file *file, const char *why);

#endif
