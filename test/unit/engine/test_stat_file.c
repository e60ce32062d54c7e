/* SPDX-License-Identifier: MIT */
/* The file of counters, and children of the process: only the process itself keeps it alive. */

#include "test/support/owned.h"

#include <fcntl.h>
#include <signal.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_child_does_not_keep_the_file_alive),
        QT_TEST(owned, a_child_leaves_the_file_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
