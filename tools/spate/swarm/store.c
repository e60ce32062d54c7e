/* SPDX-License-Identifier: MIT */
#include "tools/spate/swarm/store.h"

/* Received blocks are decrypted into the mapping of a part.  Its space was given by the disk before
 * (fallocate()), so a full disk is an error and not SIGBUS.  The list of pieces that are
 * there is not kept on the disk: the next attempt hashes what the parts have, which also finds out
 * what a crash of the machine has left of them.  Holes are not read. */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tools/spate/hex.h"

enum { NAME_BYTES = 16, PAGE = 4096 };

/* ---- Names ---- */

static void make_part_name(const struct meta *meta, uint32_t index, char ret[64])
{
    uint8_t text[SWARM_ID_SIZE + 4];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    memcpy(text, meta->id, SWARM_ID_SIZE);
    for (int i = 0; i < 4; i++)
        text[SWARM_ID_SIZE + i] = (uint8_t)(index >> (8 * i));
    (void)SHA256(text, sizeof(text), digest);
    size_t size = sizeof(FILES_PART_PREFIX) - 1;
    memcpy(ret, FILES_PART_PREFIX, size);
    hex_write(digest, NAME_BYTES, ret + size);
    ret[size + 2 * NAME_BYTES] = 0;
}

/* ---- Opening ---- */

static int map(struct store_file *file, int fd, uint64_t size, bool is_writable)
{
    if (size == 0)
        return 0;
    void *at =
        mmap(NULL, size, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    file->map = at;
    return 0;
}

static void unmap(struct store *store, uint32_t index)
{
    struct store_file *file = &store->files[index];
    if (file->map != NULL)
        (void)munmap(file->map, store->meta->files[index].size);
    file->map = NULL;
}

/* Opens a file that has its own name and the right size.  Returns -ENOENT if there is none. */
static int open_final(struct store *store, uint32_t index)
{
    const struct meta_file *about = &store->meta->files[index];
    struct stat status;
    int fd = files_beneath_open_file(store->beneath.root, about->path, &status);
    if (fd < 0)
        return fd;
    int e = (uint64_t)status.st_size == about->size
                ? map(&store->files[index], fd, about->size, false)
                : -ENOENT;
    (void)close(fd);
    store->files[index].is_final = e == 0;
    return e;
}

/* Opens or makes a part. */
static int open_part(struct store *store, uint32_t index, bool creates)
{
    const struct meta_file *about = &store->meta->files[index];
    struct store_file *file = &store->files[index];
    const char *name;
    char part[64];
    struct stat status;
    int dir = files_beneath_parent(&store->beneath, about->path, creates, &name);
    if (dir < 0)
        return dir;
    make_part_name(store->meta, index, part);
    int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (creates ? O_CREAT : 0);
    file->fd = openat(dir, part, flags, 0600);
    if (file->fd < 0 || flock(file->fd, LOCK_EX | LOCK_NB) != 0 || fstat(file->fd, &status) != 0)
        return -errno;
    if (!files_has_name(dir, part, &status)) /* another process has finished it: look for that */
        return creates ? -EWOULDBLOCK : -ENOENT;
    if (!S_ISREG(status.st_mode))
        return -EWOULDBLOCK;
    if ((uint64_t)status.st_size != about->size && ftruncate(file->fd, (off_t)about->size) != 0)
        return -errno;
    struct statfs system;
    file->is_tmpfs = fstatfs(file->fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
    return map(file, file->fd, about->size, true);
}

static void close_part(struct store_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
}

/* What is there of a file: the part goes first, because it is newer. */
static int open_file(struct store *store, uint32_t index)
{
    int e = store->is_writable ? open_part(store, index, false) : -ENOENT;
    if (e != -ENOENT)
        return e;
    close_part(&store->files[index]);
    e = open_final(store, index);
    if (e != -ENOENT)
        return e;
    return store->is_writable ? open_part(store, index, true) : 0;
}

static uint32_t pieces_of(const struct meta *meta, const struct meta_file *file)
{
    if (file->size == 0)
        return 0;
    uint64_t first = file->offset / meta->piece_size;
    return (uint32_t)((file->offset + file->size - 1) / meta->piece_size - first + 1);
}

int store_init(struct store *ret, const struct meta *meta, int root, bool is_writable,
               uint32_t *ret_file)
{
    *ret = (struct store){.meta = meta, .is_writable = is_writable};
    files_beneath_init(&ret->beneath, root);
    ret->files = calloc(meta->file_count, sizeof(*ret->files));
    ret->have = calloc((size_t)meta->piece_count / 8 + 1, 1);
    *ret_file = 0;
    ret->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    ret->hash = EVP_MD_CTX_new();
    if (ret->files == NULL || ret->have == NULL || ret->digest == NULL || ret->hash == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < meta->file_count; i++)
        ret->files[i] =
            (struct store_file){.fd = -1, .pieces_left = pieces_of(meta, &meta->files[i])};
    for (uint32_t i = 0; i < meta->file_count; i++) {
        int e = open_file(ret, i);
        *ret_file = i;
        if (e != 0)
            return e;
    }
    return 0;
}

void store_deinit(struct store *store)
{
    for (uint32_t i = 0; store->files != NULL && i < store->meta->file_count; i++) {
        unmap(store, i);
        close_part(&store->files[i]);
    }
    files_beneath_deinit(&store->beneath);
    EVP_MD_CTX_free(store->hash);
    EVP_MD_free(store->digest);
    free(store->files);
    free(store->have);
    *store = (struct store){.files = NULL};
}

/* ---- What is there ---- */

/* Whether a range of a file may have been written: a hole was not. */
static bool has_data(const struct store_file *file, const struct meta_segment *segment)
{
    if (file->map == NULL)
        return false;
    if (file->fd < 0)
        return true;
    off_t at = lseek(file->fd, (off_t)segment->offset, SEEK_DATA);
    return at >= 0 ? (uint64_t)at < segment->offset + segment->size : errno != ENXIO;
}

void store_check(struct store *store, uint32_t piece)
{
    const struct meta *meta = store->meta;
    uint64_t start = (uint64_t)piece * meta->piece_size;
    uint64_t end = start + meta_piece_bytes(meta, piece);
    struct meta_segment segment;
    uint8_t digest[EVP_MAX_MD_SIZE];
    for (uint64_t at = start; meta_next_segment(meta, &at, end, &segment);) {
        if (!has_data(&store->files[segment.file], &segment))
            return;
    }
    bool is_good = EVP_DigestInit_ex2(store->hash, store->digest, NULL) == 1;
    for (uint64_t at = start; meta_next_segment(meta, &at, end, &segment);) {
        const uint8_t *from = store->files[segment.file].map + segment.offset;
        is_good = is_good && EVP_DigestUpdate(store->hash, from, segment.size) == 1;
    }
    if (!is_good || EVP_DigestFinal_ex(store->hash, digest, NULL) != 1 ||
        memcmp(digest, meta->hashes + (size_t)piece * META_HASH_SIZE, META_HASH_SIZE) != 0)
        return;
    store->have[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
    store->have_count++;
    for (uint64_t at = start; meta_next_segment(meta, &at, end, &segment);)
        store->files[segment.file].pieces_left--;
}

/* Copies a file, without the program where the file system can. */
static int copy(int from, int to, uint64_t size)
{
    while (size > 0) {
        ssize_t done = copy_file_range(from, NULL, to, NULL, size, 0);
        if (done <= 0)
            return done < 0 ? -errno : -ENODATA;
        size -= (uint64_t)done;
    }
    return 0;
}

/* A file that has its name, and pieces that are wrong or continue in one that is not there: a part
 * takes its place, with what was right of it. */
static int begin_anew(struct store *store, uint32_t index)
{
    const struct meta_file *about = &store->meta->files[index];
    struct store_file *file = &store->files[index];
    struct stat status;
    unmap(store, index);
    file->is_final = false;
    int from = files_beneath_open_file(store->beneath.root, about->path, &status);
    if (from < 0)
        return from;
    int e = open_part(store, index, true);
    if (e == 0 && file->pieces_left < pieces_of(store->meta, about))
        e = copy(from, file->fd, about->size);
    (void)close(from);
    return e;
}

/* Gives a file its name, permissions and time. */
static int commit(struct store *store, uint32_t index)
{
    const struct meta_file *about = &store->meta->files[index];
    struct store_file *file = &store->files[index];
    const char *name;
    char part[64];
    int dir = files_beneath_parent(&store->beneath, about->path, true, &name);
    if (dir < 0)
        return dir;
    make_part_name(store->meta, index, part);
    struct stat status;
    int e = fstat(file->fd, &status) != 0             ? -errno
            : (uint64_t)status.st_size != about->size ? -ESTALE
                                                      : 0;
    if (e == 0)
        e = files_set_attributes(file->fd, about->mode, about->mtime_ns);
    if (e == 0 && renameat(dir, part, dir, name) != 0)
        e = -errno;
    if (e != 0)
        return e;
    close_part(file);
    file->is_final = true;
    store->files_done++;
    return 0;
}

int store_begin(struct store *store, uint32_t *ret_file)
{
    for (uint32_t i = 0; i < store->meta->file_count; i++) {
        const struct store_file *file = &store->files[i];
        int e = 0;
        if (store->is_writable && file->is_final && file->pieces_left > 0)
            e = begin_anew(store, i);
        else if (store->is_writable && !file->is_final && file->pieces_left == 0)
            e = commit(store, i);
        else
            store->files_done += file->is_final && file->pieces_left == 0;
        *ret_file = i;
        if (e != 0)
            return e;
    }
    return 0;
}

/* ---- Writing ---- */

uint8_t *store_place(const struct store *store, uint32_t piece)
{
    uint64_t at = (uint64_t)piece * store->meta->piece_size;
    uint64_t end = at + meta_piece_bytes(store->meta, piece);
    struct meta_segment segment;
    if (!meta_next_segment(store->meta, &at, end, &segment) || at != end)
        return NULL;
    return store->files[segment.file].map + segment.offset;
}

/* The size stays as it is: a file that somebody has cut off is found out. */
static int allocate(int fd, const struct meta_segment *segment)
{
    off_t offset = (off_t)segment->offset;
    off_t size = (off_t)segment->size;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, size) == 0)
        return 0;
    return errno == EOPNOTSUPP ? -posix_fallocate(fd, offset, size) : -errno;
}

/* Writes zeros.  A tmpfs has its pages then, and they are known to be zeros: it maps 16 of them at
 * a time when they are read.  Those that fallocate() has given it fills one by one.  A file that
 * somebody has cut off does not get its size back by that. */
static int fill(int fd, const struct meta_segment *segment, uint64_t size)
{
    static const uint8_t zeros[64 << 10];
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    if ((uint64_t)status.st_size != size)
        return -ESTALE;
    for (uint64_t done = 0; done < segment->size;) {
        uint64_t left = segment->size - done;
        ssize_t now = pwrite(fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros),
                             (off_t)(segment->offset + done));
        if (now < 0 && errno != EINTR)
            return -errno;
        done += now > 0 ? (uint64_t)now : 0;
    }
    return 0;
}

int store_prepare(const struct store *store, uint32_t piece)
{
    uint64_t at = (uint64_t)piece * store->meta->piece_size;
    uint64_t end = at + meta_piece_bytes(store->meta, piece);
    uint8_t *place = store_place(store, piece);
    struct meta_segment segment;
    bool is_filled = false;
    while (meta_next_segment(store->meta, &at, end, &segment)) {
        const struct store_file *file = &store->files[segment.file];
        is_filled = place != NULL && file->is_tmpfs;
        int e = is_filled ? fill(file->fd, &segment, store->meta->files[segment.file].size)
                          : allocate(file->fd, &segment);
        if (e != 0)
            return e;
    }
    if (place == NULL)
        return 0;
    /* All page faults at once.  Where the kernel does not know that, they come one by one.  Pages
     * of a tmpfs that are read may be written: it does not need to know when they are. */
    uint8_t *first = place - (uintptr_t)place % PAGE;
    (void)madvise(first, (size_t)(place - first) + meta_piece_bytes(store->meta, piece),
                  is_filled ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
    return 0;
}

int store_piece_done(struct store *store, uint32_t piece, uint32_t *ret_file)
{
    uint64_t start = (uint64_t)piece * store->meta->piece_size;
    uint64_t end = start + meta_piece_bytes(store->meta, piece);
    struct meta_segment segment;
    store->have[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
    store->have_count++;
    for (uint64_t at = start; meta_next_segment(store->meta, &at, end, &segment);) {
        struct store_file *file = &store->files[segment.file];
        file->pieces_left--;
        *ret_file = segment.file;
        int e = file->pieces_left == 0 && !file->is_final ? commit(store, segment.file) : 0;
        if (e != 0)
            return e;
    }
    return 0;
}

size_t store_vectors(const struct store *store, uint64_t *at, uint64_t end, struct iovec *ret,
                     size_t max)
{
    size_t count = 0;
    struct meta_segment segment;
    while (count < max && meta_next_segment(store->meta, at, end, &segment)) {
        uint8_t *map = store->files[segment.file].map;
        if (map == NULL)
            return 0;
        ret[count++] = (struct iovec){.iov_base = map + segment.offset, .iov_len = segment.size};
    }
    return count;
}

/* ---- Files that become shorter ---- */

static volatile sig_atomic_t was_cut;

bool store_was_cut(void)
{
    return was_cut != 0;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    was_cut = 1;
    if (info->si_code == BUS_ADRERR) {
        uint8_t *at = info->si_addr;
        at -= (uintptr_t)at % PAGE;
        if (mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) != MAP_FAILED)
            return;
    }
    (void)signal(number, SIG_DFL); /* the instruction is repeated, and ends the program */
}

void store_guard(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    (void)sigaction(SIGBUS, &action, NULL);
}
