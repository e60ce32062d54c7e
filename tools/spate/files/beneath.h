/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_BENEATH_H
#define SPATE_FILES_BENEATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tools/spate/files/wire.h"

/* Files below a folder.  The kernel resolves each path below it, and follows no symbolic link, so
 * nothing that is in a tree or in a message leads out of the folder.  The folder that was used last
 * stays open: the files of a folder mostly follow each other. */
struct files_beneath {
    int root; /* a folder; the caller's */
    int last; /* the folder `path`; -1: none */
    char path[FILES_PATH_SIZE];
};

void files_beneath_init(struct files_beneath *ret, int root);
void files_beneath_deinit(struct files_beneath *beneath);

/* Opens a file for reading, and looks at it.  Returns a descriptor or a negative errno:
 * -EISDIR: a folder; -EMEDIUMTYPE: a device, a socket or a FIFO. */
int files_beneath_open_file(int root, const char *path, struct stat *ret);

/* Opens the folder that has the last component of `path`.
 *
 *   creates    Whether folders that do not exist are made.
 *   *ret_name  Points into `path`: the last component.
 *
 * Returns a descriptor that is valid until the next call, or a negative errno. */
int files_beneath_parent(struct files_beneath *beneath, const char *path, bool creates,
                         const char **ret_name);

/* Writes a file, a folder or a symbolic link; folders on the way are made.  A file appears under
 * its name when it is whole, and replaces what had the name, unless that is a folder.
 *
 *   item  FILES_FILE: the whole of it; `data` has data_size bytes for its extents.
 *
 * Returns 0 or a negative errno. */
int files_beneath_place(struct files_beneath *beneath, const struct files_item *item,
                        const uint8_t *data);

/* Removes a file, a symbolic link or an empty folder.  Returns 0 or a negative errno. */
int files_beneath_remove(struct files_beneath *beneath, const char *path);

/* Sets permissions and time of a file or a folder.  Returns 0 or a negative errno. */
int files_set_attributes(int fd, uint16_t mode, int64_t mtime_ns);

/* Returns whether an open file still has a name.  Who has finished a part between our open() and
 * our flock() has given the file its final name: writing to it would destroy that.
 *
 *   dir     The folder of the name.
 *   status  Of the open file. */
bool files_has_name(int dir, const char *name, const struct stat *status);

/* Returns the time of the last change in nanoseconds since 1970. */
int64_t files_mtime_ns(const struct stat *status);

/* Writes a name that no other process uses, and that the programs here do not send: it begins with
 * FILES_PART_PREFIX. */
void files_temporary_name(char ret[64]);

#define FILES_PART_PREFIX ".spate-part-"

/* Writes all of it.  Returns 0 or a negative errno. */
int files_write_all(int fd, const uint8_t *data, size_t size, uint64_t offset);

#endif
