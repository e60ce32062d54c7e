/* SPDX-License-Identifier: MIT */
#include "uring/socket.h"

/* /proc/net/snmp has a line of names and one of numbers, /proc/net/snmp6 a name and a number in
 * each line. */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME "RcvbufErrors"

enum { LINE_MAX_SIZE = 1024 };

/* Moves on to the next word.  Returns its length, 0 at the end. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, " \n");
    return strcspn(*at, " \n");
}

/* Returns which word of a line is NAME, or 0. */
static uint32_t column_of(const char *line)
{
    uint32_t column = 0;
    for (size_t size; (size = next_word(&line)) > 0; line += size, column++)
        if (size == strlen(NAME) && memcmp(line, NAME, size) == 0)
            return column;
    return 0;
}

static bool take_column(const char *line, uint32_t column, uint64_t *ret)
{
    for (uint32_t i = 0; i < column; i++) {
        size_t size = next_word(&line);
        line += size;
    }
    return next_word(&line) > 0 && sscanf(line, "%" SCNu64, ret) == 1;
}

static int read_v4(uint64_t *ret)
{
    char names[LINE_MAX_SIZE] = "", numbers[LINE_MAX_SIZE];
    FILE *file = fopen("/proc/net/snmp", "re");
    if (file == NULL)
        return -errno;
    int result = -ENOENT;
    while (result != 0 && fgets(numbers, sizeof(numbers), file) != NULL) {
        uint32_t column = strncmp(numbers, "Udp:", 4) == 0 ? column_of(names) : 0;
        if (column > 0 && take_column(numbers, column, ret))
            result = 0;
        memcpy(names, numbers, sizeof(names));
    }
    (void)fclose(file);
    return result;
}

/* 0 where there is no IPv6. */
static uint64_t read_v6(void)
{
    char line[LINE_MAX_SIZE];
    uint64_t count = 0;
    FILE *file = fopen("/proc/net/snmp6", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Udp6" NAME " %" SCNu64, &count) == 1)
            break;
    (void)fclose(file);
    return count;
}

int su_socket_overflows(uint64_t *ret)
{
    uint64_t count = 0;
    int result = read_v4(&count);
    if (result == 0)
        *ret = count + read_v6();
    return result;
}
