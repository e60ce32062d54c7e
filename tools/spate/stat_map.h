/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STAT_MAP_H
#define SPATE_STAT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <spate/stat_file.h>

/* The file in which an engine shows its counters, read from outside.  Everything in it is checked
 * against the size of the file: another process writes it, and may be another version, or broken.
 * What was checked is copied, because that process may change it afterwards. */
struct stat_map {
    const uint8_t *bytes;
    size_t size;
    int fd;                          /* -1: not open */
    struct spate_stat_head head;     /* a copy */
    struct spate_stat_field *fields; /* a copy */
    uint64_t copy_size; /* of each shard's block: counters and connections, without histograms */
    dev_t device;       /* what the path named when it was opened */
    ino_t inode;
    char path[1024];
    char folder[1024]; /* of which the newest file is read; "": one file is */
};

/* Opens `what`: a path, a folder with such files, of which the engine that started last is taken,
 * or the number of a process that has such a file.  Returns NULL, or why it cannot be read: a
 * static string.  From then on a file that is cut off under the reader ends the program with a
 * message, by SIGBUS. */
const char *stat_map_open(const char *what, struct stat_map *ret);
void stat_map_close(struct stat_map *map);

/* Opens the file that has taken the place of this one, if there is one: an engine that starts again
 * makes a new file at the same path, or in the same folder.  Returns whether `*map` is another one
 * now. */
bool stat_map_renew(struct stat_map *map);

enum stat_state {
    STAT_RUNNING,
    STAT_ENDED, /* the engine has ended and said so: what it counted is final */
    STAT_GONE,  /* its process has died without a word */
};

enum stat_state stat_map_state(const struct stat_map *map);

/* "running", "ended" or "gone". */
const char *stat_state_name(enum stat_state state);

/* A copy of all shards at one time. */
struct stat_view {
    const struct stat_map *map;
    uint8_t *blocks;     /* head.shard_count of map->copy_size bytes */
    uint32_t torn_count; /* shards that died while they wrote */
    uint64_t taken_ns;   /* CLOCK_MONOTONIC */
};

/* Copies what the shards have published.  Returns false without memory.  The view is to be freed.
 */
bool stat_view_take(const struct stat_map *map, struct stat_view *ret);
void stat_view_free(struct stat_view *view);

/* When a shard has published last; 0: never. */
uint64_t stat_view_published_ns(const struct stat_view *view);

/* The head of a shard's block. */
const struct spate_stat_shard *stat_view_shard(const struct stat_view *view, uint32_t shard);
/* How many rows of connections it has, and one of them. */
uint32_t stat_view_conn_count(const struct stat_view *view, uint32_t shard);
const struct spate_stat_conn *stat_view_conn(const struct stat_view *view, uint32_t shard,
                                             uint32_t row);
/* The value of a counter or gauge: of a shard, or of a connection. */
uint64_t stat_view_value(const struct stat_view *view, uint32_t shard,
                         const struct spate_stat_field *field);
uint64_t stat_view_conn_value(const struct stat_view *view, uint32_t shard, uint32_t row,
                              const struct spate_stat_field *field);

/* Finds a field by its name and part.  NULL: the engine's version does not have it. */
const struct spate_stat_field *stat_map_find(const struct stat_map *map, enum spate_stat_part part,
                                             const char *name);
/* The sum over all shards of a counter or gauge by name; 0 if there is none.  Of turn_longest_ns
 * the largest. */
uint64_t stat_view_sum(const struct stat_view *view, const char *name);

/* Adds a histogram of a shard to `sum`, as it is now.  Counts its buckets, because it is being
 * written to. */
void stat_map_add_histogram(const struct stat_map *map, uint32_t shard,
                            const struct spate_stat_field *field, struct spate_histogram *sum);

#endif
