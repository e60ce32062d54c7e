/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/known.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/spate/hex.h"
#include "tools/spate/net.h"
#include "tools/spate/secret_file.h"

enum { KNOWN_FILE_MAX = 1 << 20 };

void known_fingerprint(const uint8_t *certificate, size_t size, char ret[FINGERPRINT_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256(certificate, size, digest);
    memcpy(ret, "sha256:", 7);
    hex_write(digest, sizeof(digest), ret + 7);
    ret[FINGERPRINT_SIZE - 1] = 0;
}

/* Finds the line of a server: the text after its name and the space.  NULL: there is none. */
static const char *find(const char *text, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = text; line != NULL && *line != 0;) {
        if (strncmp(line, name, size) == 0 && line[size] == ' ')
            return line + size + 1;
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return NULL;
}

/* The same, and as it was written before IPv6 addresses had brackets.  Nothing else is written so:
 * the port is behind the last colon. */
static const char *find_either(const char *text, const char *name)
{
    char old[NET_NAME_SIZE];
    const char *end = name[0] == '[' ? strchr(name, ']') : NULL;
    const char *found = find(text, name);
    if (found != NULL || end == NULL)
        return found;
    int size = snprintf(old, sizeof(old), "%.*s%s", (int)(end - name - 1), name + 1, end + 1);
    return (size_t)size < sizeof(old) ? find(text, old) : NULL;
}

static int add(const char *path, const char *text, size_t size, const char *name,
               const char *fingerprint)
{
    size_t room = size + strlen(name) + FINGERPRINT_SIZE + 4;
    char *more = malloc(room);
    if (more == NULL)
        return -ENOMEM;
    int length = snprintf(more, room, "%s%s%s %s\n", text,
                          size > 0 && text[size - 1] != '\n' ? "\n" : "", name, fingerprint);
    int e = secret_file_write(path, more, (size_t)length, true);
    free(more);
    return e;
}

static int check(const char *path, const char *server, const char *fingerprint, bool adds,
                 enum known *ret)
{
    char *text = NULL;
    size_t size = 0;
    int e = secret_file_read(path, KNOWN_FILE_MAX, &text, &size);
    if (e != 0 && e != -ENOENT)
        return e;
    const char *found = text != NULL ? find_either(text, server) : NULL;
    enum known known = KNOWN_NEW;
    e = 0;
    if (found != NULL)
        known = strncmp(found, fingerprint, FINGERPRINT_SIZE - 1) == 0 ? KNOWN_SAME : KNOWN_OTHER;
    else if (adds)
        e = add(path, text != NULL ? text : "", size, server, fingerprint);
    secret_free(text, size);
    if (e == 0)
        *ret = known;
    return e;
}

int known_check(const char *path, const char *server, const char *fingerprint, enum known *ret)
{
    return check(path, server, fingerprint, true, ret);
}

int known_look(const char *path, const char *server, const char *fingerprint, enum known *ret)
{
    return check(path, server, fingerprint, false, ret);
}

int known_default_path(char *ret, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char folder[3500];
    if (state != NULL && state[0] == '/')
        (void)snprintf(folder, sizeof(folder), "%s", state);
    else if (home != NULL && home[0] == '/')
        (void)snprintf(folder, sizeof(folder), "%s/.local/state", home);
    else
        return -ENOENT;
    size_t used = strlen(folder);
    (void)snprintf(folder + used, sizeof(folder) - used, "/spate");
    for (char *slash = folder; slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (folder[0] != 0 && mkdir(folder, 0700) != 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return -errno;
    return (size_t)snprintf(ret, size, "%s/known_servers", folder) < size ? 0 : -ENAMETOOLONG;
}
