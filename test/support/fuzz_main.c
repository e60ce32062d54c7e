/* SPDX-License-Identifier: MIT */
/* A fuzz target without libFuzzer, as a test.
 *
 *     fuzz_<name> CORPUS [ITERATIONS [SEED]]
 *
 * Runs each file of the folder CORPUS, then ITERATIONS inputs that are mutated from them.  The
 * same seed gives the same inputs.  What was run last is printed when it fails. */

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/support/fuzz.h"

enum {
    INPUT_SIZE_MAX = 4096,
    FILES_MAX = 1024,
    MUTATIONS_MAX = 6, /* in a row, on one input */
};

static struct input {
    uint8_t *data;
    size_t size;
} files[FILES_MAX];
static size_t file_count;

static struct {
    uint8_t data[INPUT_SIZE_MAX];
    size_t size;
    const char *name; /* of the file, or NULL */
    unsigned long iteration;
    unsigned long seed;
} now;

/* Async-signal-safe as far as a process that is about to die needs it. */
static void print_input(void)
{
    if (now.name != NULL)
        dprintf(STDERR_FILENO, "fuzz: failed in file %s\n", now.name);
    else
        dprintf(STDERR_FILENO, "fuzz: failed in iteration %lu of seed %lu\n", now.iteration,
                now.seed);
    dprintf(STDERR_FILENO, "fuzz: %zu bytes: ", now.size);
    for (size_t i = 0; i < now.size; i++)
        dprintf(STDERR_FILENO, "%02x", now.data[i]);
    dprintf(STDERR_FILENO, "\n");
}

static void on_signal(int number)
{
    print_input();
    signal(number, SIG_DFL);
    raise(number);
}

static void on_assert(const char *expr, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
}

/* Defined where a sanitizer is linked in. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static void run(const uint8_t *data, size_t size)
{
    if (data != now.data)
        memcpy(now.data, data, size);
    now.size = size;
    if (LLVMFuzzerTestOneInput(now.data, size) != 0)
        fprintf(stderr, "fuzz: an input was rejected\n");
}

static bool read_file(const char *path, struct input *ret)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    uint8_t *data = malloc(INPUT_SIZE_MAX);
    size_t size = data == NULL ? 0 : fread(data, 1, INPUT_SIZE_MAX, file);
    bool ok = data != NULL && !ferror(file);
    fclose(file);
    if (!ok) {
        free(data);
        return false;
    }
    *ret = (struct input){.data = data, .size = size};
    return true;
}

/* Runs and keeps the files, in the order of their names.  False if one cannot be read. */
static bool run_files(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0)
        return false;
    bool ok = true;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (ok && name[0] != '.' && file_count < FILES_MAX) {
            ok = read_file(path, &files[file_count]);
            now.name = name;
            if (ok)
                run(files[file_count].data, files[file_count].size);
            file_count += ok ? 1 : 0;
        }
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    now.name = NULL;
    return ok && file_count > 0;
}

static uint64_t rng; /* xorshift64; never 0 */

static uint64_t next_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static size_t random_below(size_t end)
{
    return end == 0 ? 0 : next_random() % end;
}

/* Borders of varints, of lengths and of CIDs. */
static const uint8_t borders[] = {0x00, 0x01, 0x14, 0x15, 0x3f, 0x40, 0x7f,
                                  0x80, 0xbf, 0xc0, 0xd0, 0xfe, 0xff};

static void insert(size_t at, const uint8_t *bytes, size_t size)
{
    if (size > INPUT_SIZE_MAX - now.size)
        size = INPUT_SIZE_MAX - now.size;
    memmove(now.data + at + size, now.data + at, now.size - at);
    memcpy(now.data + at, bytes, size);
    now.size += size;
}

static void erase(size_t at, size_t size)
{
    if (size > now.size - at)
        size = now.size - at;
    memmove(now.data + at, now.data + at + size, now.size - at - size);
    now.size -= size;
}

static void mutate(void)
{
    size_t at = random_below(now.size);
    uint8_t byte = (uint8_t)next_random();
    const struct input *other = &files[random_below(file_count)];
    size_t other_at = random_below(other->size);
    switch (now.size == 0 ? 3 : random_below(8)) {
    case 0:
        now.data[at] ^= (uint8_t)(1u << byte % 8);
        break;
    case 1:
        now.data[at] = byte;
        break;
    case 2:
        now.data[at] = borders[byte % sizeof(borders)];
        break;
    case 3:
        insert(at, &byte, 1);
        break;
    case 4:
        erase(at, 1 + random_below(4));
        break;
    case 5: /* cut */
        now.size = at;
        break;
    case 6: /* as another one goes on */
        now.size = at;
        insert(at, other->data + other_at, other->size - other_at);
        break;
    default: { /* a number of eight bytes */
        uint8_t number[8];
        memset(number, borders[byte % sizeof(borders)], sizeof(number));
        number[7] = (uint8_t)next_random();
        insert(at, number, sizeof(number));
    }
    }
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s CORPUS [ITERATIONS [SEED]]\n", argv[0]);
        return 2;
    }
    unsigned long iterations = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    now.seed = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;

    sb_assert_handler = on_assert;
    static const int numbers[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(print_input);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        signal(numbers[i], on_signal);

    if (!run_files(argv[1])) {
        fprintf(stderr, "fuzz: cannot read the corpus %s\n", argv[1]);
        return 1;
    }
    rng = now.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (now.iteration = 0; now.iteration < iterations; now.iteration++) {
        const struct input *file = &files[random_below(file_count)];
        memcpy(now.data, file->data, file->size);
        now.size = file->size;
        for (size_t left = 1 + random_below(MUTATIONS_MAX); left > 0; left--)
            mutate();
        run(now.data, now.size);
    }
    printf("%zu files, %lu mutations of seed %lu\n", file_count, iterations, now.seed);
    for (size_t i = 0; i < file_count; i++)
        free(files[i].data);
    return 0;
}
