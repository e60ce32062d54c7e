/* SPDX-License-Identifier: MIT */
#include "bench/load/suite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/failure.h"

/* Where the program is, seen from the folder of spate-bench: the build tree, and installed. */
static const char *const places[] = {"../suite/suite.py", "../share/spate/suite/suite.py"};

enum { WORDS_MAX = 64 };

bool suite_is_asked(const char *word)
{
    return strcmp(word, "suite") == 0 || strcmp(word, "compare") == 0;
}

bool suite_exec(int argc, char **argv, struct failure *failure)
{
    char own[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (size < 0)
        return failure_set(failure, "cannot read /proc/self/exe: %s", strerror(errno));
    own[size] = 0;
    char *slash = strrchr(own, '/');
    int folder_size = slash == NULL ? 0 : (int)(slash - own);
    char path[PATH_MAX + 64];
    bool is_found = false;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !is_found; i++) {
        (void)snprintf(path, sizeof(path), "%.*s/%s", folder_size, own, places[i]);
        is_found = access(path, R_OK) == 0;
    }
    if (!is_found)
        return failure_set(failure, "there is no %s beside %s: was it moved?", places[0], own);
    if (argc > WORDS_MAX - 4)
        return failure_set(failure, "more than %d words", WORDS_MAX - 4);

    static char python[] = "python3"; /* execvp() takes no constants */
    char *words[WORDS_MAX] = {python, path, own};
    for (int i = 1; i < argc; i++)
        words[i + 2] = argv[i];
    (void)execvp(words[0], words);
    return failure_set(failure, "cannot start python3: %s", strerror(errno));
}
