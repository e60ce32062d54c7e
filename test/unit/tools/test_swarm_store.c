/* SPDX-License-Identifier: MIT */
/* The files of "spate swarm fetch" when two processes fetch into one folder. */

#include "test/support/qt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/spate/swarm/store.h"

enum { SIZE = 1000, PIECE = 64 << 10 };

struct world {
    char folder[64];
    int root;
    struct store store;
};

static struct world *finishing; /* whose part gets its final name before it is locked */

static void world_deinit(struct world *world)
{
    finishing = NULL;
    if (world->store.meta != NULL)
        store_deinit(&world->store);
    (void)unlinkat(world->root, "file", 0);
    (void)close(world->root);
    (void)rmdir(world->folder);
}

QT_FIXTURE(world, world_deinit)

static void find_part(const struct world *world, char ret[256])
{
    DIR *dir = opendir(world->folder);
    const struct dirent *entry;
    assert_non_null(dir);
    ret[0] = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, FILES_PART_PREFIX, sizeof(FILES_PART_PREFIX) - 1) == 0)
            (void)snprintf(ret, 256, "%s", entry->d_name);
    }
    (void)closedir(dir);
}

/* Instead of that of the C library: another process ends between open() and this. */
int flock(int fd, int operation)
{
    char part[256];
    if (finishing != NULL) {
        find_part(finishing, part);
        assert_int_equal(renameat(finishing->root, part, finishing->root, "file"), 0);
        finishing = NULL;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_part_that_was_just_finished_is_not_written_to(void **state)
{
    struct world *world = *state;
    struct meta_file file = {.size = SIZE, .mode = 0644, .path = (char[]){"file"}};
    uint8_t hash[META_HASH_SIZE] = {0};
    struct meta meta = {.piece_size = PIECE, .piece_count = 1, .file_count = 1, .total = SIZE};
    char part[256];
    uint32_t which;
    meta.files = &file;
    meta.hashes = hash;
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/spate-store-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    world->root = open(world->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(store_init(&world->store, &meta, world->root, true, &which), 0);
    assert_false(world->store.files[0].is_final);
    store_deinit(&world->store);
    find_part(world, part);
    assert_true(part[0] != 0);

    finishing = world;
    assert_int_equal(store_init(&world->store, &meta, world->root, true, &which), 0);
    assert_null(finishing);
    assert_true(world->store.files[0].is_final);
    assert_true(world->store.files[0].fd < 0);
    store_deinit(&world->store);
    world->store.meta = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, a_part_that_was_just_finished_is_not_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
