/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/root.h"

enum { NAMES_MAX = 10000 };

struct name {
    bool is_folder;
    char *text;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* A name is text of whoever may write to the folder. */
static void write_escaped(FILE *out, const char *text)
{
    for (; *text != 0; text++) {
        if (strchr("<>&\"'", *text) != NULL || (unsigned char)*text < 0x20)
            (void)fprintf(out, "&#%d;", (unsigned char)*text);
        else
            (void)fputc(*text, out);
    }
}

static void write_url(FILE *out, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (; *text != 0; text++) {
        if (strchr(plain, *text) != NULL)
            (void)fputc(*text, out);
        else
            (void)fprintf(out, "%%%02X", (unsigned char)*text);
    }
}

static int write_page(const char *path, const struct name *names, size_t count, char **ret,
                      size_t *ret_size)
{
    FILE *out = open_memstream(ret, ret_size);
    if (out == NULL)
        return -ENOMEM;
    (void)fputs("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/", out);
    write_escaped(out, path);
    (void)fputs("</title>\n<ul>\n", out);
    if (path[0] != 0)
        (void)fputs("<li><a href=\"../\">../</a>\n", out);
    for (size_t i = 0; i < count; i++) {
        const char *end = names[i].is_folder ? "/" : "";
        (void)fputs("<li><a href=\"./", out);
        write_url(out, names[i].text);
        (void)fprintf(out, "%s\">", end);
        write_escaped(out, names[i].text);
        (void)fprintf(out, "%s</a>\n", end);
    }
    (void)fputs("</ul>\n", out);
    bool is_good = ferror(out) == 0;
    is_good = fclose(out) == 0 && is_good;
    if (!is_good) {
        free(*ret);
        *ret = NULL;
    }
    return is_good ? 0 : -ENOMEM;
}

static int read_names(DIR *folder, struct name *ret, size_t *ret_count)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL)
            return -errno; /* 0 at the end */
        if (entry->d_name[0] == '.')
            continue;
        if (*ret_count == NAMES_MAX)
            return -E2BIG;
        char *text = strdup(entry->d_name);
        if (text == NULL)
            return -ENOMEM;
        ret[(*ret_count)++] = (struct name){.is_folder = entry->d_type == DT_DIR, .text = text};
    }
}

int listing_make(int root, const char *path, char **ret, size_t *ret_size)
{
    int fd = root_open_folder(root, path);
    if (fd < 0)
        return fd;
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        int e = -errno;
        (void)close(fd);
        return e;
    }
    struct name *names = calloc(NAMES_MAX, sizeof(*names));
    size_t count = 0;
    int e = names == NULL ? -ENOMEM : read_names(folder, names, &count);
    (void)closedir(folder);
    if (e == 0) {
        qsort(names, count, sizeof(*names), compare);
        e = write_page(path, names, count, ret, ret_size);
    }
    for (size_t i = 0; i < count; i++)
        free(names[i].text);
    free(names);
    return e;
}
