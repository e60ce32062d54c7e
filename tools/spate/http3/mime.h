/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_MIME_H
#define SPATE_HTTP3_MIME_H

/* Returns the media type of a file by the end of its name, without regard to case, and
 * "application/octet-stream" for ends that are not known.  The string is static. */
const char *mime_of(const char *path);

#endif
