/* SPDX-License-Identifier: MIT */
#include "uring/socket.h"

/* Two counters: of datagrams that found the buffer of their socket full, and of those for which the
 * sockets of the machine had no memory left (net.ipv4.udp_mem).  Linux has the second since 5.11.
 *
 * The file snmp has a line of names and one of numbers, snmp6 a name and a number in each line. The
 * folder is that of the thread: /proc/net is that of the process, whose first thread may be in
 * another network namespace. */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "/proc/thread-self/net/"
#define FULL   "RcvbufErrors"
#define SHORT  "MemErrors"

enum { LINE_MAX_SIZE = 1024 };

/* Moves on to the next word.  Returns its length, 0 at the end. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, " \n");
    return strcspn(*at, " \n");
}

/* Returns which word of a line is `name`, or 0. */
static uint32_t column_of(const char *line, const char *name)
{
    uint32_t column = 0;
    for (size_t size; (size = next_word(&line)) > 0; line += size, column++)
        if (size == strlen(name) && memcmp(line, name, size) == 0)
            return column;
    return 0;
}

/* Adds the number below `name`.  Returns false if there is none. */
static bool add(const char *names, const char *numbers, const char *name, uint64_t *count)
{
    uint32_t column = column_of(names, name);
    uint64_t more;
    for (uint32_t i = 0; i < column; i++) {
        size_t size = next_word(&numbers);
        numbers += size;
    }
    if (column == 0 || next_word(&numbers) == 0 || sscanf(numbers, "%" SCNu64, &more) != 1)
        return false;
    *count += more;
    return true;
}

static int read_v4(uint64_t *ret)
{
    char names[LINE_MAX_SIZE] = "", numbers[LINE_MAX_SIZE];
    FILE *file = fopen(FOLDER "snmp", "re");
    if (file == NULL)
        return -errno;
    int result = -ENOENT;
    while (result != 0 && fgets(numbers, sizeof(numbers), file) != NULL) {
        *ret = 0;
        if (strncmp(numbers, "Udp:", 4) == 0 && add(names, numbers, FULL, ret)) {
            (void)add(names, numbers, SHORT, ret);
            result = 0;
        }
        memcpy(names, numbers, sizeof(names));
    }
    (void)fclose(file);
    return result;
}

/* 0 where there is no IPv6. */
static uint64_t read_v6(void)
{
    char line[LINE_MAX_SIZE];
    uint64_t count = 0, more;
    FILE *file = fopen(FOLDER "snmp6", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Udp6" FULL " %" SCNu64, &more) == 1 ||
            sscanf(line, "Udp6" SHORT " %" SCNu64, &more) == 1)
            count += more;
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
