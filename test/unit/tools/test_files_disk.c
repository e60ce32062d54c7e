/* SPDX-License-Identifier: MIT */
/* What "spate cp" writes and reads: nothing outside of its folder, nothing half under a final name.
 */

#include "test/support/qt.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/spate/files/beneath.h"
#include "tools/spate/files/known.h"
#include "tools/spate/files/target.h"
#include "tools/spate/files/walk.h"

struct disk {
    char path[64];
    int root;
    struct files_beneath beneath;
};

static int set_up(void **state)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    assert_non_null(disk);
    strcpy(disk->path, "/tmp/spate-files-XXXXXX");
    assert_non_null(mkdtemp(disk->path));
    disk->root = open(disk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(disk->root >= 0);
    files_beneath_init(&disk->beneath, disk->root);
    *state = disk;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct disk *disk = *state;
    files_beneath_deinit(&disk->beneath);
    (void)close(disk->root);
    (void)nftw(disk->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(disk);
    return 0;
}

static struct files_item item_of(enum files_kind kind, const char *path, const char *data)
{
    struct files_item item = {.kind = kind, .mode = 0640, .mtime_ns = 1500000000123456789};
    (void)snprintf(item.path, sizeof(item.path), "%s", path);
    if (kind == FILES_LINK)
        (void)snprintf(item.target, sizeof(item.target), "%s", data);
    if (kind != FILES_FILE || data[0] == 0)
        return item;
    item.size = item.piece_size = item.data_size = strlen(data);
    item.extents[0] = (struct files_extent){.offset = 0, .size = item.size};
    item.extent_count = 1;
    return item;
}

static int place(struct disk *disk, enum files_kind kind, const char *path, const char *data)
{
    struct files_item item = item_of(kind, path, data);
    return files_beneath_place(&disk->beneath, &item, (const uint8_t *)data);
}

static void assert_content(struct disk *disk, const char *path, const char *text)
{
    char data[64];
    struct stat status;
    int fd = files_beneath_open_file(disk->root, path, &status);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, data, sizeof(data)), strlen(text));
    assert_memory_equal(data, text, strlen(text));
    (void)close(fd);
}

/* Counts what is in the folder itself. */
static uint32_t count_entries(struct disk *disk)
{
    uint32_t count = 0;
    struct files_walk *walk;
    struct files_item item;
    assert_int_equal(files_walk_create(disk->root, "", true, &walk), 0);
    while (files_walk_next(walk, &item) != 0)
        count++;
    files_walk_destroy(walk);
    return count;
}

static void files_appear_whole_with_permissions_and_time(void **state)
{
    struct disk *disk = *state;
    struct stat status;
    assert_int_equal(place(disk, FILES_FILE, "a/b/file", "first"), 0);
    assert_int_equal(place(disk, FILES_FILE, "a/b/file", "second"), 0); /* replaces it */
    assert_content(disk, "a/b/file", "second");
    assert_int_equal(fstatat(disk->root, "a/b/file", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(files_mtime_ns(&status), 1500000000123456789);
    assert_int_equal(place(disk, FILES_FILE, "empty", ""), 0);
    assert_int_equal(place(disk, FILES_FOLDER, "a/b", ""), 0); /* sets what it is */
    assert_int_equal(fstatat(disk->root, "a/b", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(count_entries(disk), 5); /* the root, a, b, file, empty */
    assert_int_equal(place(disk, FILES_FILE, "a", "not over a folder"), -EISDIR);
    assert_int_equal(place(disk, FILES_FILE, "a/b/file/c", "not below a file"), -ENOTDIR);
}

static void a_hole_at_the_end_keeps_the_size(void **state)
{
    struct disk *disk = *state;
    struct stat status;
    struct files_item item = item_of(FILES_FILE, "sparse", "data");
    item.size = item.piece_size = 100000;
    item.extents[0].offset = 50000;
    assert_int_equal(files_beneath_place(&disk->beneath, &item, (const uint8_t *)"data"), 0);
    assert_int_equal(fstatat(disk->root, "sparse", &status, 0), 0);
    assert_int_equal(status.st_size, 100000);
    char data[4];
    int fd = openat(disk->root, "sparse", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, data, 4, 50000), 4);
    assert_memory_equal(data, "data", 4);
    (void)close(fd);
}

static void no_symbolic_link_is_followed(void **state)
{
    struct disk *disk = *state;
    struct stat status;
    char outside[80];
    (void)snprintf(outside, sizeof(outside), "%s-outside", disk->path);
    assert_int_equal(place(disk, FILES_LINK, "out", "/tmp"), 0);
    assert_int_equal(place(disk, FILES_LINK, "up", ".."), 0);
    assert_int_equal(place(disk, FILES_FILE, "out/file", "x"), -ELOOP);
    assert_int_equal(place(disk, FILES_FILE, "up/file", "x"), -ELOOP);
    assert_int_equal(place(disk, FILES_FOLDER, "out", ""), -ELOOP);
    assert_int_equal(place(disk, FILES_FILE, "out/new/file", "x"), -ELOOP);
    assert_int_equal(files_beneath_open_file(disk->root, "out/passwd", &status), -ELOOP);
    assert_int_equal(files_beneath_open_file(disk->root, "../x", &status), -EXDEV);
    assert_int_equal(files_beneath_open_file(disk->root, "/etc/passwd", &status), -EXDEV);
    assert_int_equal(files_beneath_remove(&disk->beneath, "up/x"), -ELOOP);
    /* A link is replaced by a file of its name: what it points to stays. */
    assert_int_equal(place(disk, FILES_LINK, "file", outside), 0);
    assert_int_equal(place(disk, FILES_FILE, "file", "x"), 0);
    assert_int_equal(access(outside, F_OK), -1);
    assert_content(disk, "file", "x");
}

static void only_regular_files_are_read(void **state)
{
    struct disk *disk = *state;
    struct stat status;
    assert_int_equal(mkfifoat(disk->root, "fifo", 0600), 0);
    assert_int_equal(files_beneath_open_file(disk->root, "fifo", &status), -EMEDIUMTYPE);
    assert_int_equal(files_beneath_open_file(disk->root, "", &status), -EISDIR);
    assert_int_equal(files_beneath_open_file(disk->root, "none", &status), -ENOENT);
}

static void files_links_and_empty_folders_are_removed(void **state)
{
    struct disk *disk = *state;
    assert_int_equal(place(disk, FILES_FILE, "a/file", "x"), 0);
    assert_int_equal(place(disk, FILES_LINK, "a/link", "file"), 0);
    assert_int_equal(files_beneath_remove(&disk->beneath, "a"), -ENOTEMPTY);
    assert_int_equal(files_beneath_remove(&disk->beneath, "a/link"), 0);
    assert_int_equal(files_beneath_remove(&disk->beneath, "a/file"), 0);
    assert_int_equal(files_beneath_remove(&disk->beneath, "a"), 0);
    assert_int_equal(files_beneath_remove(&disk->beneath, "a"), -ENOENT);
}

static void a_read_error_is_not_the_end_of_a_folder(void **state)
{
    struct disk *disk = *state;
    struct files_walk *walk;
    struct files_item item;
    assert_int_equal(place(disk, FILES_FILE, "a/file", "x"), 0);
    assert_int_equal(place(disk, FILES_FILE, "b", "x"), 0);
    int next = fcntl(disk->root, F_DUPFD, 0); /* the descriptor that the walk will get */
    int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next >= 0 && other > next);
    (void)close(next);
    assert_int_equal(files_walk_create(disk->root, "a", true, &walk), 0);
    assert_int_equal(files_walk_next(walk, &item), 1);
    assert_int_equal(dup2(other, next), next); /* no folder can be read from it any more */
    assert_int_equal(files_walk_next(walk, &item), -ENOTDIR);
    assert_string_equal(item.path, "a");
    assert_int_equal(files_walk_next(walk, &item), 0);
    files_walk_destroy(walk);
    (void)close(other);
}

/* ---- Large files ---- */

enum { LARGE = (8 << 20) + 1000 }; /* three chunks */

static struct files_target *open_target(struct disk *disk)
{
    struct files_item item = item_of(FILES_FILE, "folder/large", "");
    struct files_target *target = NULL;
    item.size = LARGE;
    assert_int_equal(files_target_open(&disk->beneath, &item, &target), 0);
    assert_int_equal(target->chunk_count, 3);
    return target;
}

static void write_chunk(struct files_target *target, uint32_t index)
{
    struct files_item item = {.offset = index * FILES_CHUNK_SIZE, .extent_count = 1};
    uint64_t size = files_target_chunk_bytes(target, index);
    item.data_size = item.piece_size = size;
    item.extents[0] = (struct files_extent){.offset = item.offset, .size = size};
    uint8_t *data = malloc(size);
    assert_non_null(data);
    memset(data, 'a' + (int)index, size);
    assert_int_equal(files_target_reserve(target, &item), 0);
    assert_int_equal(files_target_write(target, data, size, item.offset), 0);
    free(data);
    assert_int_equal(files_target_chunk_done(target, index), 0);
}

static void a_large_file_goes_on_where_it_stopped(void **state)
{
    struct disk *disk = *state;
    struct stat status;
    struct files_target *target = open_target(disk);
    write_chunk(target, 2);
    write_chunk(target, 0);
    write_chunk(target, 0); /* twice is no more */
    assert_int_equal(target->have_count, 2);
    assert_false(target->is_whole);
    files_target_close(target);
    assert_int_equal(fstatat(disk->root, "folder/large", &status, 0), -1);
    assert_int_equal(count_entries(disk), 2); /* parts are not listed */

    target = open_target(disk);
    assert_int_equal(target->have_count, 2);
    assert_int_equal(target->have[1], 0);
    write_chunk(target, 1);
    assert_true(target->is_whole);
    files_target_close(target);
    assert_int_equal(fstatat(disk->root, "folder/large", &status, 0), 0);
    assert_int_equal(status.st_size, LARGE);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(files_mtime_ns(&status), 1500000000123456789);
    int fd = openat(disk->root, "folder/large", O_RDONLY | O_CLOEXEC);
    for (uint64_t at = 0; at < LARGE; at += 999) {
        char byte;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        assert_int_equal(byte, 'a' + (int)(at / FILES_CHUNK_SIZE));
    }
    (void)close(fd);
}

static void a_part_of_another_boot_begins_anew(void **state)
{
    struct disk *disk = *state;
    struct files_target *target = open_target(disk);
    write_chunk(target, 0);
    off_t boot_at = (LARGE + 4095) / 4096 * 4096 + 16;
    assert_int_equal(pwrite(target->fd, "x", 1, boot_at), 1);
    files_target_close(target);
    target = open_target(disk);
    assert_int_equal(target->have_count, 0);
    write_chunk(target, 1);
    files_target_close(target);
    target = open_target(disk);
    assert_int_equal(target->have_count, 1);
    /* So does one that was cut off, at any place. */
    assert_int_equal(ftruncate(target->fd, boot_at), 0);
    files_target_close(target);
    target = open_target(disk);
    assert_int_equal(target->have_count, 0);
    char part[100];
    struct stat status;
    (void)snprintf(part, sizeof(part), "folder/%s", target->part);
    assert_int_equal(fstatat(disk->root, part, &status, 0), 0);
    target->is_stale = true; /* nothing of it is of use */
    files_target_close(target);
    assert_int_equal(fstatat(disk->root, part, &status, 0), -1);
}

/* What another process does between open() and flock(). */
static struct files_target *finished_before_the_lock;

int flock(int fd, int operation)
{
    struct files_target *target = finished_before_the_lock;
    finished_before_the_lock = NULL;
    if (target != NULL) {
        write_chunk(target, 2);
        assert_true(target->is_whole);
        files_target_close(target);
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_file_that_was_just_finished_stays_whole(void **state)
{
    struct disk *disk = *state;
    struct files_item item = item_of(FILES_FILE, "folder/large", "");
    struct files_target *target = open_target(disk);
    struct files_target *other = NULL;
    struct stat status;
    item.size = LARGE;
    write_chunk(target, 0);
    write_chunk(target, 1);
    finished_before_the_lock = target;
    assert_int_equal(files_target_open(&disk->beneath, &item, &other), -EWOULDBLOCK);
    assert_null(other);
    assert_int_equal(fstatat(disk->root, "folder/large", &status, 0), 0);
    assert_int_equal(status.st_size, LARGE);
    int fd = openat(disk->root, "folder/large", O_RDONLY | O_CLOEXEC);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, LARGE - 1), 1);
    assert_int_equal(byte, 'c');
    (void)close(fd);
    assert_int_equal(count_entries(disk), 3); /* the root, the folder, the file */
}

static void one_at_a_time_writes_a_part(void **state)
{
    struct disk *disk = *state;
    struct files_item item = item_of(FILES_FILE, "folder/large", "");
    struct files_target *target = open_target(disk);
    struct files_target *other = NULL;
    item.size = LARGE;
    assert_int_equal(files_target_open(&disk->beneath, &item, &other), -EWOULDBLOCK);
    assert_null(other);
    item.size++; /* another file: another part */
    assert_int_equal(files_target_open(&disk->beneath, &item, &other), 0);
    files_target_close(other);
    files_target_close(target);
}

/* ---- Servers that are known ---- */

/* Sets the path of a file that is not there yet, and two fingerprints. */
static void know_nobody(const struct disk *disk, char *path, size_t size, char *one, char *two)
{
    (void)snprintf(path, size, "%s/known", disk->path);
    known_fingerprint((const uint8_t *)"one", 3, one);
    known_fingerprint((const uint8_t *)"two", 3, two);
}

static void a_server_is_known_after_the_first_time(void **state)
{
    struct disk *disk = *state;
    char path[100];
    char one[FINGERPRINT_SIZE];
    char two[FINGERPRINT_SIZE];
    enum known known;
    know_nobody(disk, path, sizeof(path), one, two);
    assert_int_equal(known_look(path, "host:1", one, &known), 0);
    assert_int_equal(known, KNOWN_NEW);
    assert_int_equal(known_check(path, "host:1", one, &known), 0);
    assert_int_equal(known, KNOWN_NEW);
    assert_int_equal(known_check(path, "host:1", one, &known), 0);
    assert_int_equal(known, KNOWN_SAME);
    assert_int_equal(known_check(path, "host:1", two, &known), 0);
    assert_int_equal(known, KNOWN_OTHER);
    assert_int_equal(known_check(path, "host:12", two, &known), 0);
    assert_int_equal(known, KNOWN_NEW);
    assert_int_equal(known_check(path, "host:1", one, &known), 0);
    assert_int_equal(known, KNOWN_SAME);
    assert_int_equal(known_check(disk->path, "host:1", one, &known), -EINVAL); /* a folder */
}

/* Files of earlier versions have IPv6 addresses without brackets: a server in there is no new one,
 * which would be trusted. */
static void an_ipv6_server_is_known_without_brackets_too(void **state)
{
    struct disk *disk = *state;
    char path[100];
    char one[FINGERPRINT_SIZE];
    char two[FINGERPRINT_SIZE];
    enum known known;
    know_nobody(disk, path, sizeof(path), one, two);
    assert_int_equal(known_check(path, "::1:4433", one, &known), 0);
    assert_int_equal(known_look(path, "[::1]:4433", one, &known), 0);
    assert_int_equal(known, KNOWN_SAME);
    assert_int_equal(known_check(path, "[::1]:4433", two, &known), 0);
    assert_int_equal(known, KNOWN_OTHER);
    assert_int_equal(known_check(path, "[::1]:443", two, &known), 0);
    assert_int_equal(known, KNOWN_NEW);
    assert_int_equal(known_check(path, "[::1]:443", one, &known), 0);
    assert_int_equal(known, KNOWN_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_appear_whole_with_permissions_and_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_hole_at_the_end_keeps_the_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_symbolic_link_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_regular_files_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_links_and_empty_folders_are_removed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_read_error_is_not_the_end_of_a_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_file_goes_on_where_it_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_part_of_another_boot_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_was_just_finished_stays_whole, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_at_a_time_writes_a_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_is_known_after_the_first_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_ipv6_server_is_known_without_brackets_too, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
