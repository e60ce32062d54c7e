/* SPDX-License-Identifier: MIT */
#include "tools/spate/key_file.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "tools/spate/hex.h"
#include "tools/spate/secret_file.h"

enum { DIGITS = 2 * SPATE_KEY_SIZE, FILE_SIZE_MAX = 4096 };

/* Makes a file with a random key.  Another process may have been faster. */
static int make(const char *path)
{
    uint8_t key[SPATE_KEY_SIZE];
    char line[DIGITS + 1];
    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
        return -errno;
    hex_write(key, sizeof(key), line);
    line[DIGITS] = '\n';
    int e = secret_file_write(path, line, sizeof(line), false);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(line, sizeof(line));
    return e == -EEXIST ? 0 : e;
}

static const char *parse(const char *text, size_t size, struct key_file *ret)
{
    struct key_file file = {.count = 0};
    const char *wrong = NULL;
    while (size > 0 && wrong == NULL) {
        const char *end = memchr(text, '\n', size);
        size_t digits = end != NULL ? (size_t)(end - text) : size;
        if (file.count == KEY_FILE_KEYS_MAX)
            wrong = "has more than 4 keys";
        else if (digits != DIGITS || !hex_read(text, digits, file.keys[file.count]))
            wrong = "must have 64 hexadecimal digits a line";
        file.count++;
        size_t used = end != NULL ? digits + 1 : digits;
        text += used;
        size -= used;
    }
    if (file.count == 0)
        wrong = "is empty";
    if (wrong == NULL)
        *ret = file;
    explicit_bzero(&file, sizeof(file));
    return wrong;
}

const char *key_file_read(const char *path, struct key_file *ret)
{
    char *text = NULL;
    size_t size = 0;
    int e = secret_file_read(path, FILE_SIZE_MAX, &text, &size);
    if (e == -ENOENT) {
        e = make(path);
        if (e == 0)
            e = secret_file_read(path, FILE_SIZE_MAX, &text, &size);
    }
    if (e != 0)
        return e == -EINVAL ? "is no regular file" : strerror(-e);
    const char *wrong = parse(text, size, ret);
    secret_free(text, size);
    return wrong;
}
