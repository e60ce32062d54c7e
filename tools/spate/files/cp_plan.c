/* SPDX-License-Identifier: MIT */
/* What is to be copied.  Local sources are walked, lists of the server are read; both fill the same
 * queues: small files, large files, and folders, whose times are set when nothing is written into
 * them any more. */

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/spate/files/cp.h"
#include "tools/spate/message.h"

/* ---- Sets of paths, for sync ---- */

struct cp_entry {
    enum files_kind kind;
    uint64_t size;
    int64_t mtime_ns;
    const char *path; /* behind it; a key's is the caller's */
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct cp_entry *)a)->path, ((const struct cp_entry *)b)->path);
}

static struct cp_entry *entry_create(const char *path)
{
    size_t size = strlen(path) + 1;
    struct cp_entry *entry = calloc(1, sizeof(*entry) + size);
    if (entry != NULL)
        entry->path = memcpy(entry + 1, path, size);
    return entry;
}

/* Without memory it is a failure that is counted: what is not in the set would be deleted. */
static void set_add(struct cp_run *run, void **set, const char *path, const struct files_item *item)
{
    struct cp_entry *entry = entry_create(path);
    struct cp_entry **found = NULL;
    if (entry != NULL) {
        entry->kind = item->kind;
        entry->size = item->size;
        entry->mtime_ns = item->mtime_ns;
        found = tsearch(entry, set, compare_entries);
    }
    if (found == NULL)
        cp_report_failed(run, path, FILES_BUSY);
    if (found == NULL || *found != entry)
        free(entry);
}

static const struct cp_entry *set_find(void *const *set, const char *path)
{
    const struct cp_entry key = {.path = path};
    struct cp_entry **found = tfind(&key, set, compare_entries);
    return found != NULL ? *found : NULL;
}

/* Whether the target has what sync would copy.  A symbolic link is made anew in any case. */
static bool is_same(const struct cp_entry *there, const struct files_item *item)
{
    return there != NULL && there->kind == FILES_FILE && item->kind == FILES_FILE &&
           there->size == item->size && there->mtime_ns == item->mtime_ns;
}

/* ---- Begin and end ---- */

static bool failed_to_open(const struct cp_run *run, const char *path)
{
    message(run->options->command, "%s: %s", path, strerror(errno));
    return false;
}

/* Opens the folder where a source is, and finds its name there.  For sync: the source itself. */
static bool open_source(struct cp_run *run, uint32_t index, char ret_name[256])
{
    const char *text = run->options->sources[index];
    char path[FILES_PATH_SIZE];
    size_t size = strlen(text);
    while (size > 1 && text[size - 1] == '/')
        size--;
    if (size >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return failed_to_open(run, text);
    }
    memcpy(path, text, size);
    path[size] = 0;
    const char *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    bool is_dots = strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
    if (run->options->is_sync) {
        ret_name[0] = 0;
        run->roots[index] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return run->roots[index] >= 0 || failed_to_open(run, text);
    }
    if (is_dots) {
        char real[PATH_MAX];
        if (realpath(path, real) == NULL)
            return failed_to_open(run, text);
        (void)snprintf(path, sizeof(path), "%s", real);
    }
    char *slash = strrchr(path, '/');
    if (snprintf(ret_name, 256, "%s", slash != NULL ? slash + 1 : path) >= 256) {
        errno = ENAMETOOLONG;
        return failed_to_open(run, text);
    }
    if (slash != NULL)
        slash[slash == path] = 0;
    run->roots[index] = open(slash != NULL ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return run->roots[index] >= 0 || failed_to_open(run, text);
}

static bool open_target(struct cp_run *run)
{
    const char *path = run->options->target;
    int fd = -1;
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files_beneath_init(&run->beneath, fd);
    return fd >= 0 || failed_to_open(run, path);
}

bool cp_plan_begin(struct cp_run *run)
{
    const struct cp_options *o = run->options;
    files_beneath_init(&run->beneath, -1);
    STAILQ_INIT(&run->small);
    STAILQ_INIT(&run->large);
    STAILQ_INIT(&run->folders);
    STAILQ_INIT(&run->extra);
    LIST_INIT(&run->streams);
    run->is_compared = !o->is_sync || !o->is_push;
    run->roots = malloc(o->source_count * sizeof(*run->roots));
    if (run->roots == NULL)
        return failed_to_open(run, "memory");
    for (uint32_t i = 0; i < o->source_count; i++)
        run->roots[i] = -1;
    if (!o->is_push)
        return open_target(run);
    char name[256];
    for (uint32_t i = 0; i < o->source_count; i++) {
        struct stat status;
        if (!open_source(run, i, name))
            return false;
        if (fstatat(run->roots[i], name, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)
            return failed_to_open(run, o->sources[i]);
        if (S_ISDIR(status.st_mode) && !o->is_recursive) {
            message(o->command, "%s is a folder: use -r", o->sources[i]);
            return false;
        }
    }
    return true;
}

static void drop(struct files_wants *wants)
{
    struct files_want *want;
    while ((want = STAILQ_FIRST(wants)) != NULL) {
        STAILQ_REMOVE_HEAD(wants, link);
        files_want_destroy(want);
    }
}

static void large_destroy(struct cp_large *large)
{
    files_target_close(large->target);
    files_want_destroy(large->file);
    free(large->have);
    free(large);
}

void cp_plan_deinit(struct cp_run *run)
{
    struct cp_large *large;
    drop(&run->small);
    drop(&run->folders);
    drop(&run->extra);
    while ((large = STAILQ_FIRST(&run->large)) != NULL) {
        STAILQ_REMOVE_HEAD(&run->large, link);
        large_destroy(large);
    }
    tdestroy(run->seen, free);
    tdestroy(run->there, free);
    files_walk_destroy(run->walk);
    for (uint32_t i = 0; run->roots != NULL && i < run->options->source_count; i++) {
        if (run->roots[i] >= 0)
            (void)close(run->roots[i]);
    }
    free(run->roots);
    files_beneath_deinit(&run->beneath);
    if (run->beneath.root >= 0)
        (void)close(run->beneath.root);
}

/* ---- Entries ---- */

struct cp_large *cp_plan_large(struct cp_run *run, struct files_want *file)
{
    struct cp_large *large = calloc(1, sizeof(*large));
    if (large == NULL) {
        cp_report_failed(run, file->path, FILES_BUSY);
        files_want_destroy(file);
        return NULL;
    }
    large->file = file;
    large->chunk_count = large->left = files_chunk_count(file->size);
    large->have = calloc(large->chunk_count, 1);
    if (large->have == NULL)
        large->stage = CP_FAILED;
    STAILQ_INSERT_TAIL(&run->large, large, link);
    return large;
}

/* Ends a large file, once. */
void cp_large_settle(struct cp_run *run, struct cp_large *large, enum files_status status)
{
    if (large->stage == CP_FAILED)
        return;
    large->stage = CP_FAILED; /* no more chunks are asked for */
    if (status == FILES_OK)
        run->files_done++;
    else
        cp_report_failed(run, large->file->path, status);
    if (status == FILES_CHANGED && large->target != NULL)
        large->target->is_stale = true;
}

static void add(struct cp_run *run, const struct files_item *item, const char *path,
                const char *local, int root)
{
    struct files_want *want = files_want_create(path, local, item->target);
    if (want == NULL) {
        cp_report_failed(run, path, FILES_BUSY);
        return;
    }
    want->kind = item->kind;
    want->mode = item->mode;
    want->mtime_ns = item->mtime_ns;
    want->size = item->size;
    want->root = root;
    want->is_pinned = item->kind == FILES_FILE;
    if (item->kind == FILES_FOLDER) {
        STAILQ_INSERT_HEAD(&run->folders, want, link);
        return;
    }
    run->files_known++;
    run->bytes_known += item->size;
    if (item->kind == FILES_FILE && item->size > FILES_SMALL_MAX) {
        (void)cp_plan_large(run, want);
        return;
    }
    STAILQ_INSERT_TAIL(&run->small, want, link);
    run->small_count++;
    run->small_bytes += item->size;
}

static void skip(struct cp_run *run, const struct files_item *item)
{
    run->files_known++;
    run->bytes_known += item->size;
    run->files_skipped++;
    run->bytes_skipped += item->size;
}

/* ---- To the server ---- */

static bool begin_walk(struct cp_run *run)
{
    char name[256];
    uint32_t index = run->source_next++;
    int *root = &run->roots[index];
    if (*root >= 0)
        (void)close(*root);
    *root = -1;
    if (!open_source(run, index, name) ||
        files_walk_create(*root, name, run->options->is_recursive, &run->walk) != 0) {
        run->files_failed++;
        return false;
    }
    run->walk_root = *root;
    return true;
}

/* Makes the path that the server sees. */
static bool join(const char *folder, const char *path, char ret[FILES_PATH_SIZE])
{
    const char *slash = folder[0] != 0 && path[0] != 0 ? "/" : "";
    int size = snprintf(ret, FILES_PATH_SIZE, "%s%s%s", folder, slash, path);
    return size > 0 && size < FILES_PATH_SIZE;
}

static void take_local(struct cp_run *run, const struct files_item *item)
{
    char path[FILES_PATH_SIZE];
    if (item->path[0] == 0) /* the folder of a sync itself */
        return;
    if (!join(run->options->target, item->path, path)) {
        cp_report_failed(run, item->path, FILES_BAD_PATH);
        return;
    }
    if (run->options->is_sync) {
        set_add(run, &run->seen, path, item);
        if (is_same(set_find(&run->there, path), item)) {
            skip(run, item);
            return;
        }
    }
    add(run, item, path, item->path, run->walk_root);
}

void cp_plan_walk(struct cp_run *run)
{
    struct files_item item;
    if (!run->is_compared)
        return;
    while (run->small_count < CP_BATCH_MAX && run->small_bytes < CP_BATCH_BYTES) {
        if (run->walk == NULL &&
            (run->source_next == run->options->source_count || !begin_walk(run))) {
            if (run->source_next == run->options->source_count)
                return;
            continue;
        }
        int got = files_walk_next(run->walk, &item);
        if (got > 0) {
            take_local(run, &item);
            if (item.kind == FILES_FILE && item.size > FILES_SMALL_MAX)
                return;
        } else if (got < 0) {
            cp_report_failed(run, item.path, files_status_of(got));
        } else {
            files_walk_destroy(run->walk);
            run->walk = NULL;
        }
    }
}

bool cp_plan_is_complete(const struct cp_run *run)
{
    return run->is_compared && run->source_next == run->options->source_count &&
           run->walk == NULL && run->list_count == 0;
}

/* ---- From the server ---- */

/* Returns the part of a listed path that the local folder gets, or NULL: the server has listed
 * something else than what it was asked for. */
static const char *local_part(const struct cp_run *run, const char *source, const char *path)
{
    size_t size = strlen(source);
    if (size == 0)
        return path;
    if (strncmp(path, source, size) != 0 || (path[size] != '/' && path[size] != 0))
        return NULL;
    if (run->options->is_sync)
        return path[size] == '/' ? path + size + 1 : path + size;
    const char *slash = strrchr(source, '/');
    return slash != NULL ? path + (slash + 1 - source) : path;
}

static const struct cp_entry *look(struct cp_run *run, const char *local, struct cp_entry *room)
{
    struct stat status;
    const char *name;
    int dir = files_beneath_parent(&run->beneath, local, false, &name);
    if (dir < 0 || fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return NULL;
    room->kind = S_ISREG(status.st_mode) ? FILES_FILE : FILES_LINK;
    room->size = (uint64_t)status.st_size;
    room->mtime_ns = files_mtime_ns(&status);
    return room;
}

/* The source of a sync itself.  What is no folder has nothing in it that could be copied, and would
 * leave nothing of the target. */
static void on_source(struct cp_run *run, const char *source, enum files_kind kind)
{
    run->is_listed = kind == FILES_FOLDER;
    if (run->is_listed)
        return;
    run->files_failed++;
    progress_clear(&run->progress);
    message(run->options->command, "%s: is not a folder", source);
}

void cp_plan_listed(struct cp_run *run, const char *source, struct files_item *item)
{
    struct cp_entry room;
    if (!run->is_compared) { /* the target of a sync, before its source is walked */
        set_add(run, &run->there, item->path, item);
        return;
    }
    const char *local = local_part(run, source, item->path);
    if (local == NULL) {
        cp_report_failed(run, item->path, FILES_BAD_PATH);
        return;
    }
    if (local[0] == 0) {
        on_source(run, source, item->kind);
        return;
    }
    if (run->options->is_sync)
        set_add(run, &run->seen, local, item);
    bool may_skip = run->options->is_sync || item->size > FILES_SMALL_MAX;
    if (may_skip && is_same(look(run, local, &room), item)) {
        skip(run, item);
        return;
    }
    if (item->kind != FILES_LINK) {
        add(run, item, item->path, local, run->beneath.root);
        return;
    }
    char path[FILES_PATH_SIZE]; /* `local` lies in the item */
    (void)snprintf(path, sizeof(path), "%s", local);
    (void)snprintf(item->path, sizeof(item->path), "%s", path);
    int e = files_beneath_place(&run->beneath, item, NULL);
    run->files_known++;
    if (e == 0)
        run->files_done++;
    else
        cp_report_failed(run, item->path, files_status_of(e));
}

/* ---- The end ---- */

static void add_extra(struct cp_run *run, const char *path)
{
    struct files_want *want = files_want_create(path, path, "");
    if (want != NULL)
        STAILQ_INSERT_HEAD(&run->extra, want, link);
    else
        cp_report_failed(run, path, FILES_BUSY);
}

/* The tree is sorted by path: what is in a folder comes after it, and is removed before it. */
static void visit(const void *node, VISIT order, void *user)
{
    struct cp_run *run = user;
    const struct cp_entry *entry = *(struct cp_entry *const *)node;
    bool is_target = strcmp(entry->path, run->options->target) == 0;
    if ((order == postorder || order == leaf) && !is_target &&
        set_find(&run->seen, entry->path) == NULL)
        add_extra(run, entry->path);
}

static void remove_local(struct cp_run *run)
{
    struct files_walk *walk;
    struct files_item item;
    int got;
    if (files_walk_create(run->beneath.root, "", true, &walk) != 0) {
        cp_report_failed(run, run->options->target, FILES_BUSY);
        return;
    }
    while ((got = files_walk_next(walk, &item)) != 0) {
        if (got > 0 && item.path[0] != 0 && set_find(&run->seen, item.path) == NULL)
            add_extra(run, item.path);
        else if (got < 0 && got != -EMEDIUMTYPE)
            cp_report_failed(run, item.path, files_status_of(got));
    }
    files_walk_destroy(walk);
    struct files_want *want;
    while ((want = STAILQ_FIRST(&run->extra)) != NULL) {
        STAILQ_REMOVE_HEAD(&run->extra, link);
        int e = files_beneath_remove(&run->beneath, want->local);
        if (e != 0)
            cp_report_failed(run, want->local, files_status_of(e));
        files_want_destroy(want);
    }
}

void cp_plan_finish(struct cp_run *run)
{
    struct files_want *want;
    struct files_item item = {.kind = FILES_FOLDER};
    /* What could not be listed must not be taken for what is gone. */
    bool deletes = run->options->deletes && run->files_failed + run->files_missing == 0;
    if (run->options->is_push) {
        if (deletes)
            twalk_r(run->there, visit, run);
        return;
    }
    /* The root of the server is not listed itself: it is a folder in any case. */
    if (deletes && (run->is_listed || run->options->sources[0][0] == 0))
        remove_local(run);
    while ((want = STAILQ_FIRST(&run->folders)) != NULL) {
        STAILQ_REMOVE_HEAD(&run->folders, link);
        (void)snprintf(item.path, sizeof(item.path), "%s", want->local);
        item.mode = want->mode;
        item.mtime_ns = want->mtime_ns;
        int e = files_beneath_place(&run->beneath, &item, NULL);
        if (e != 0)
            cp_report_failed(run, want->local, files_status_of(e));
        files_want_destroy(want);
    }
}
