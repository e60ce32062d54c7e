/* SPDX-License-Identifier: MIT */
/* spate caps: what this kernel and this build can do. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"

enum { CAPS_MAX = 64, LIBRARIES_MAX = 8 };

static void print_libraries(void)
{
    struct spate_library libraries[LIBRARIES_MAX];
    size_t count = spate_libraries(libraries, LIBRARIES_MAX);
    bool any_inside = false;
    for (size_t i = 0; i < count && i < LIBRARIES_MAX; i++) {
        printf("%s: %s, %s\n", libraries[i].name, libraries[i].version,
               libraries[i].is_inside ? "inside" : "shared");
        any_inside = any_inside || libraries[i].is_inside;
    }
    if (any_inside)
        puts("What is inside gets no updates from the system: run \"tools/deps.sh --refresh\" in\n"
             "the source tree, build and install again.");
}

int caps_run(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("usage: spate caps");
        return EXIT_SUCCESS;
    }
    if (argc > 1)
        return message_usage("caps", "takes no arguments, got", argv[1]);

    struct spate_cap caps[CAPS_MAX];
    size_t count = spate_caps(caps, CAPS_MAX);
    int width = 0;
    for (size_t i = 0; i < count && i < CAPS_MAX; i++) {
        int size = (int)strlen(caps[i].name);
        width = size > width ? size : width;
    }
    for (size_t i = 0; i < count && i < CAPS_MAX; i++)
        printf("%-*s  %-3s%s%s\n", width, caps[i].name, caps[i].have ? "yes" : "no",
               caps[i].reason[0] != '\0' ? "  " : "", caps[i].reason);

    struct spate_error reason = {""};
    enum spate_backend backend = spate_backend_probe(&reason);
    printf("\nback-end: %s%s%s\n", spate_backend_name(backend),
           reason.text[0] != '\0' ? ", as " : "", reason.text);
    reason.text[0] = '\0';
    const char *crypto = spate_crypto_probe(&reason);
    printf("AES-GCM: %s%s%s\n", crypto, reason.text[0] != '\0' ? ", as " : "", reason.text);
    print_libraries();
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
