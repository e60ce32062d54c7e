/* SPDX-License-Identifier: MIT */
#include "test/support/owned.h"

#include <stdlib.h>
#include <unistd.h>

struct owned {
    void *object;
    void (*release)(void *object);
};

static struct owned *all;
static size_t count;
static size_t capacity;

void *owned_add(void *object, void (*release)(void *object))
{
    if (count == capacity) {
        size_t larger = 2 * capacity + 16;
        struct owned *moved = realloc(all, larger * sizeof(*all));
        assert_non_null(moved);
        all = moved;
        capacity = larger;
    }
    all[count++] = (struct owned){object, release};
    return object;
}

void *owned_alloc(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);
    assert_non_null(memory);
    return owned_add(memory, free);
}

static void close_fd(void *object)
{
    (void)close((int)(intptr_t)object);
}

int owned_fd(int fd)
{
    assert_true(fd >= 0);
    (void)owned_add((void *)(intptr_t)fd, close_fd);
    return fd;
}

/* Forgets it first: if its release fails the test, the tear-down does not repeat it. */
static void end_at(size_t at)
{
    struct owned owned = all[at];
    count--;
    memmove(&all[at], &all[at + 1], (count - at) * sizeof(*all));
    owned.release(owned.object);
}

void owned_end(void *object)
{
    size_t at = count;
    while (at > 0 && all[at - 1].object != object)
        at--;
    assert_true(at > 0);
    end_at(at - 1);
}

void owned_end_all(void)
{
    for (size_t at = count; at > 0; at--) {
        if (all[at - 1].release != free)
            end_at(at - 1);
    }
    while (count > 0)
        end_at(count - 1);
    free(all);
    all = NULL;
    capacity = 0;
}

int owned_setup(void **state)
{
    (void)state;
    owned_end_all();
    return 0;
}

int owned_teardown(void **state)
{
    (void)state;
    owned_end_all();
    return 0;
}
