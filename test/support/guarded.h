/* SPDX-License-Identifier: MIT */
#ifndef QT_GUARDED_H
#define QT_GUARDED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory between two inaccessible pages: an access one byte too far is a SIGSEGV. */
struct qt_guarded {
    uint8_t *start;
    size_t size;
};

enum { QT_PAGE_SIZE = 4096, QT_CANARY_SIZE = 64, QT_CANARY = 0xa7 };

static inline struct qt_guarded qt_guarded_of(size_t size)
{
    size = (size + QT_PAGE_SIZE - 1) / QT_PAGE_SIZE * QT_PAGE_SIZE;
    uint8_t *all = mmap(NULL, size + 2 * QT_PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all, QT_PAGE_SIZE, PROT_NONE) != 0 ||
        mprotect(all + QT_PAGE_SIZE + size, QT_PAGE_SIZE, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    return (struct qt_guarded){.start = all + QT_PAGE_SIZE, .size = size};
}

/* Room for `size` bytes: 0 right after the first guard page, 1 right before the second,
 * otherwise somewhere between; canaries stand around it where there is room. */
static inline uint8_t *qt_guarded_place(struct qt_guarded *g, size_t size, uint32_t where)
{
    uint8_t *at = g->start;
    if (where == 1)
        at += g->size - size;
    else if (where > 1)
        at += where % (g->size - size + 1);
    size_t before = (size_t)(at - g->start);
    size_t behind = g->size - before - size;
    before = before < QT_CANARY_SIZE ? before : QT_CANARY_SIZE;
    behind = behind < QT_CANARY_SIZE ? behind : QT_CANARY_SIZE;
    memset(at - before, QT_CANARY, before);
    memset(at + size, QT_CANARY, behind);
    return at;
}

/* Are the canaries around `size` bytes at `at` alive? */
static inline int qt_guarded_is_whole(const struct qt_guarded *g, const uint8_t *at, size_t size)
{
    const uint8_t *end = g->start + g->size;
    for (size_t i = 1; i <= QT_CANARY_SIZE && at - g->start >= (ptrdiff_t)i; i++) {
        if (at[-(ptrdiff_t)i] != QT_CANARY)
            return 0;
    }
    for (size_t i = 0; i < QT_CANARY_SIZE && at + size + i < end; i++) {
        if (at[size + i] != QT_CANARY)
            return 0;
    }
    return 1;
}

#endif
