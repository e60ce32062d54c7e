/* SPDX-License-Identifier: MIT */
/* The file of counters, and children of the process: only the process itself keeps it alive. */

#include "test/support/owned.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spate/base.h>

#include "engine/shard/stat_file.h"

struct place {
    char folder[32];
    char path[64];
};

static void end_place(void *object)
{
    struct place *place = object;
    (void)unlink(place->path);
    (void)rmdir(place->folder);
}

static struct place *make_place(void)
{
    struct place *place = owned_alloc(sizeof(*place));
    strcpy(place->folder, "/tmp/spate-stat-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof(place->path), "%s/stat", place->folder);
    return owned_add(place, end_place);
}

static int open_stat(struct se_stat_file *file, const char *path)
{
    struct spate_error warning = {""}, error = {""};
    return se_stat_file_open(file, path, 1, &warning, &error);
}

/* As a reader asks. */
static bool is_locked(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
    (void)close(fd);
    return lock.l_type != F_UNLCK;
}

/* A process with a file, and a child of it that does not execute anything: like a supervisor that
 * is a fork of what it watches.  Says by a pipe that both run. */
static void run_process(const char *path, int said)
{
    static struct se_stat_file file;
    if (open_stat(&file, path) != 0)
        _exit(1);
    pid_t child = fork();
    if (child == 0) {
        (void)dprintf(said, "%d\n", (int)getpid());
        for (;;)
            (void)pause();
    }
    for (;;)
        (void)pause();
}

static void a_child_does_not_keep_the_file_alive(void **state)
{
    (void)state;
    struct place *place = make_place();
    int said[2];
    char text[32] = {0};
    assert_int_equal(pipe(said), 0);
    pid_t process = fork();
    if (process == 0)
        run_process(place->path, said[1]);
    ssize_t size = read(said[0], text, sizeof(text) - 1);
    bool was_locked = is_locked(place->path);
    assert_int_equal(kill(process, SIGKILL), 0);
    assert_int_equal(waitpid(process, NULL, 0), process);
    bool is_still_locked = is_locked(place->path);
    pid_t child = (pid_t)strtol(text, NULL, 10);
    bool child_lived = size > 0 && child > 1 && kill(child, SIGKILL) == 0;
    (void)close(said[0]);
    (void)close(said[1]);
    assert_true(child_lived);
    assert_true(was_locked);
    assert_false(is_still_locked);
}

/* What a child writes, and its end, are no business of the readers. */
static void a_child_leaves_the_file_alone(void **state)
{
    (void)state;
    static struct se_stat_file file, second;
    struct place *place = make_place(), *other = make_place();
    assert_int_equal(open_stat(&file, place->path), 0);
    assert_int_equal(open_stat(&second, other->path), 0);
    se_stat_file_close(&second); /* it has left the list */
    assert_int_equal(access(other->path, F_OK), -1);
    int status;
    pid_t child = fork();
    if (child == 0) {
        memset(file.map, 0, file.size); /* a shard that goes on counts into it */
        se_stat_file_close(&file);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(access(place->path, F_OK), 0);
    const struct spate_stat_head *head = (const void *)file.map;
    assert_memory_equal(head->magic, SPATE_STAT_MAGIC, sizeof(head->magic));
    assert_int_equal(head->state, SPATE_STAT_RUNNING);
    assert_true(is_locked(place->path));
    se_stat_file_close(&file);
    assert_int_equal(access(place->path, F_OK), -1);
}

/* Returns whether this process has the file mapped, or open.  The descriptor would keep the lock,
 * too. */
static bool has_file(const char *path)
{
    char line[512], target[512];
    bool has = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
        has |= strstr(line, path) != NULL;
    if (maps != NULL)
        (void)fclose(maps);
    for (int fd = 0; fd < 64; fd++) {
        (void)snprintf(line, sizeof(line), "/proc/self/fd/%d", fd);
        ssize_t size = readlink(line, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = 0;
        has |= strstr(target, path) != NULL;
    }
    return has || maps == NULL;
}

struct remaker {
    const char *path;
    atomic_bool is_over;
    atomic_int made_count;
};

static void *make_and_end(void *object)
{
    struct remaker *r = object;
    static struct se_stat_file file;
    while (!atomic_load(&r->is_over) && open_stat(&file, r->path) == 0) {
        se_stat_file_close(&file);
        atomic_fetch_add(&r->made_count, 1);
    }
    return NULL;
}

/* Another thread makes and ends engines while this one forks. */
static void no_child_gets_a_file_that_is_being_made(void **state)
{
    (void)state;
    struct place *place = make_place();
    struct remaker r = {.path = place->path};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_and_end, &r), 0);
    int children = 0, with_file = 0;
    for (; children < 300 && with_file == 0; children++) {
        int status, made = atomic_load(&r.made_count);
        while (atomic_load(&r.made_count) == made)
            (void)usleep(10);
        pid_t child = fork();
        if (child == 0)
            _exit(has_file(place->path));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        with_file += WEXITSTATUS(status) != 0;
    }
    atomic_store(&r.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(with_file, 0);
}

/* ---- A program with handlers of its own, which run inside of ours ---- */

static struct {
    bool is_on;
    const char *old_path, *new_path;
    struct se_stat_file old, made_before, made_after, made_in_child;
    bool has_failed;
} own;

static void own_before(void)
{
    if (own.is_on)
        own.has_failed |= open_stat(&own.made_before, own.new_path) != 0;
}

static void own_after(void)
{
    if (!own.is_on)
        return;
    se_stat_file_close(&own.made_before);
    own.has_failed |= open_stat(&own.made_after, own.new_path) != 0;
}

/* Ends what the parent had, and begins anew. */
static void own_in_child(void)
{
    if (!own.is_on)
        return;
    se_stat_file_close(&own.old);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s-child", own.old_path);
    own.has_failed |= open_stat(&own.made_in_child, path) != 0;
}

static const struct spate_stat_head *head_of(const struct se_stat_file *file)
{
    return (const void *)file->map;
}

/* Returns 0, or which step has failed. */
static int fork_with_handlers(void)
{
    int status;
    (void)alarm(10); /* a handler that waits for a lock waits for ever */
    if (open_stat(&own.old, own.old_path) != 0)
        return 1;
    own.is_on = true;
    pid_t child = fork();
    own.is_on = false;
    if (own.has_failed)
        return 2;
    if (child == 0) {
        (void)alarm(10);
        bool is_fresh = head_of(&own.made_in_child)->state == SPATE_STAT_RUNNING &&
                        memcmp(head_of(&own.made_in_child)->magic, SPATE_STAT_MAGIC,
                               sizeof(head_of(&own.made_in_child)->magic)) == 0;
        se_stat_file_close(&own.made_in_child);
        _exit(is_fresh ? 0 : 1);
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return 3;
    if (head_of(&own.old)->state != SPATE_STAT_RUNNING || access(own.old_path, F_OK) != 0)
        return 4;
    if (head_of(&own.made_after)->state != SPATE_STAT_RUNNING || access(own.new_path, F_OK) != 0)
        return 5;
    se_stat_file_close(&own.made_after);
    se_stat_file_close(&own.old);
    return access(own.old_path, F_OK) == 0 ? 6 : 0;
}

static void other_handlers_may_make_and_end_engines(void **state)
{
    (void)state;
    int status;
    own.old_path = make_place()->path;
    own.new_path = make_place()->path;
    pid_t process = fork();
    if (process == 0)
        _exit(fork_with_handlers());
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_child_does_not_keep_the_file_alive),
        QT_TEST(owned, a_child_leaves_the_file_alone),
        QT_TEST(owned, no_child_gets_a_file_that_is_being_made),
        QT_TEST(owned, other_handlers_may_make_and_end_engines),
    };
    /* First of all: so they run inside of those of the library. */
    if (pthread_atfork(own_before, own_after, own_in_child) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
