/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAGIC_SIZE = 16, BOOT_SIZE = 40, LIST_ALIGN = 4096 };
enum { CHUNK_MISSING, CHUNK_THERE, CHUNK_WRITTEN }; /* the first two are on the disk, too */

/* What stands after the bytes of the file, before a byte for each chunk. */
struct trailer {
    char magic[MAGIC_SIZE];
    char boot[BOOT_SIZE]; /* the boot of the machine that wrote it */
};

static void make_trailer(struct trailer *ret)
{
    *ret = (struct trailer){.magic = "spate-part 1"};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, ret->boot, sizeof(ret->boot) - 1) <= 0)
        ret->boot[0] = 0;
    (void)close(fd);
}

static off_t trailer_at(const struct files_target *target)
{
    return (off_t)((target->size + LIST_ALIGN - 1) / LIST_ALIGN * LIST_ALIGN);
}

static void make_part_name(const struct files_item *item, char ret[64])
{
    char text[FILES_PATH_SIZE + 64];
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int size = snprintf(text, sizeof(text), "%" PRIu64 " %" PRId64 " %s", item->size,
                        item->mtime_ns, item->path);
    (void)SHA256((const unsigned char *)text, (size_t)size, digest);
    size = snprintf(ret, 64, "%s", FILES_PART_PREFIX);
    for (int i = 0; i < 16; i++)
        size += snprintf(ret + size, 64 - (size_t)size, "%02x", digest[i]);
}

/* Reads which chunks an earlier attempt has left, or begins the list. */
static int read_list(struct files_target *target)
{
    struct trailer mine;
    struct trailer found;
    off_t at = trailer_at(target);
    make_trailer(&mine);
    ssize_t list =
        pread(target->fd, target->have, target->chunk_count, at + (off_t)sizeof(struct trailer));
    bool is_known = list == (ssize_t)target->chunk_count && mine.boot[0] != 0 &&
                    pread(target->fd, &found, sizeof(found), at) == sizeof(found) &&
                    memcmp(&found, &mine, sizeof(mine)) == 0;
    for (uint32_t i = 0; i < target->chunk_count; i++) {
        target->have[i] = is_known && target->have[i] == CHUNK_THERE;
        target->have_count += target->have[i];
    }
    if (is_known)
        return 0;
    off_t end = at + (off_t)sizeof(mine) + target->chunk_count;
    if (ftruncate(target->fd, 0) != 0 || ftruncate(target->fd, end) != 0 ||
        pwrite(target->fd, &mine, sizeof(mine), at) != sizeof(mine))
        return -errno;
    return 0;
}

static int open_part(struct files_target *target)
{
    target->fd = openat(target->dir, target->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (target->fd < 0 || flock(target->fd, LOCK_EX | LOCK_NB) != 0)
        return -errno;
    struct stat status;
    if (fstat(target->fd, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || !files_has_name(target->dir, target->part, &status))
        return -EWOULDBLOCK;
    target->is_ours = true;
    struct statfs system;
    target->reserves = fstatfs(target->fd, &system) != 0 || system.f_type != TMPFS_MAGIC;
    return read_list(target);
}

int files_target_open(struct files_beneath *beneath, const struct files_item *item,
                      struct files_target **ret)
{
    const char *name;
    int dir = files_beneath_parent(beneath, item->path, true, &name);
    if (dir < 0)
        return dir;
    struct files_target *target = calloc(1, sizeof(*target));
    if (target == NULL)
        return -ENOMEM;
    target->size = item->size;
    target->mode = item->mode;
    target->mtime_ns = item->mtime_ns;
    target->chunk_size = files_chunk_size(item->size);
    target->chunk_count = files_chunk_count(item->size);
    target->fd = -1;
    memcpy(target->path, item->path, sizeof(target->path));
    make_part_name(item, target->part);
    target->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    target->have = calloc(target->chunk_count, 1);
    int e = target->dir < 0 ? -errno : target->have == NULL ? -ENOMEM : open_part(target);
    if (e != 0) {
        files_target_close(target);
        return e;
    }
    *ret = target;
    return 0;
}

uint64_t files_target_chunk_bytes(const struct files_target *target, uint32_t index)
{
    uint64_t offset = index * target->chunk_size;
    uint64_t left = target->size - offset;
    return left < target->chunk_size ? left : target->chunk_size;
}

bool files_target_has(const struct files_target *target, uint32_t index)
{
    return target->have[index] == CHUNK_THERE;
}

int files_target_enter(struct files_target *target, uint32_t index)
{
    if (target->have[index] != CHUNK_MISSING)
        return -EWOULDBLOCK;
    target->have[index] = CHUNK_WRITTEN;
    return 0;
}

void files_target_leave(struct files_target *target, uint32_t index)
{
    if (target->have[index] == CHUNK_WRITTEN)
        target->have[index] = CHUNK_MISSING;
}

int files_target_reserve(struct files_target *target, const struct files_item *item)
{
    for (uint32_t i = 0; i < item->extent_count && target->reserves; i++) {
        const struct files_extent *extent = &item->extents[i];
        int e;
        do
            e = fallocate(target->fd, FALLOC_FL_KEEP_SIZE, (off_t)extent->offset,
                          (off_t)extent->size);
        while (e != 0 && errno == EINTR);
        if (e != 0 && errno != EOPNOTSUPP) /* writing says then whether there is space */
            return -errno;
    }
    return 0;
}

int files_target_write(struct files_target *target, const uint8_t *data, size_t size,
                       uint64_t offset)
{
    return files_write_all(target->fd, data, size, offset);
}

static int commit(struct files_target *target)
{
    const char *slash = strrchr(target->path, '/');
    const char *name = slash != NULL ? slash + 1 : target->path;
    if (ftruncate(target->fd, (off_t)target->size) != 0)
        return -errno;
    int e = files_set_attributes(target->fd, target->mode, target->mtime_ns);
    if (e == 0 && renameat(target->dir, target->part, target->dir, name) != 0)
        e = -errno;
    target->is_whole = e == 0;
    return e;
}

int files_target_chunk_done(struct files_target *target, uint32_t index)
{
    static const uint8_t there = CHUNK_THERE;
    if (index < target->chunk_count && target->have[index] != CHUNK_THERE) {
        if (pwrite(target->fd, &there, 1,
                   trailer_at(target) + (off_t)(sizeof(struct trailer) + index)) != 1)
            return -errno;
        target->have[index] = CHUNK_THERE;
        target->have_count++;
    }
    if (target->have_count < target->chunk_count || target->is_whole)
        return 0;
    return commit(target);
}

void files_target_close(struct files_target *target)
{
    if (target == NULL)
        return;
    bool is_useless = target->is_stale || target->have_count == 0;
    if (target->is_ours && is_useless && !target->is_whole)
        (void)unlinkat(target->dir, target->part, 0);
    if (target->fd >= 0)
        (void)close(target->fd);
    if (target->dir >= 0)
        (void)close(target->dir);
    free(target->have);
    free(target);
}
