/* SPDX-License-Identifier: MIT */
/* spate caps: what this kernel and this build can do. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"

enum { CAPS_MAX = 64, LIBRARIES_MAX = 8 };

/* All that there is to say. */
struct report {
    struct spate_cap caps[CAPS_MAX];
    size_t cap_count;
    struct spate_library libraries[LIBRARIES_MAX];
    size_t library_count;
    enum spate_backend backend;
    struct spate_error backend_reason; /* empty, or why it is not io_uring */
    const char *crypto;
    struct spate_error crypto_reason;
};

static void fill(struct report *r)
{
    *r = (struct report){0};
    size_t count = spate_caps(r->caps, CAPS_MAX);
    r->cap_count = count < CAPS_MAX ? count : CAPS_MAX;
    count = spate_libraries(r->libraries, LIBRARIES_MAX);
    r->library_count = count < LIBRARIES_MAX ? count : LIBRARIES_MAX;
    r->backend = spate_backend_probe(&r->backend_reason);
    r->crypto = spate_crypto_probe(&r->crypto_reason);
}

static void print_libraries(const struct report *r)
{
    bool any_inside = false;
    for (size_t i = 0; i < r->library_count; i++) {
        printf("%s: %s, %s\n", r->libraries[i].name, r->libraries[i].version,
               r->libraries[i].is_inside ? "inside" : "shared");
        any_inside = any_inside || r->libraries[i].is_inside;
    }
    if (any_inside)
        puts("What is inside gets no updates from the system: run \"tools/deps.sh --refresh\" in\n"
             "the source tree, build and install again.");
}

static void print_text(const struct report *r)
{
    int width = 0;
    for (size_t i = 0; i < r->cap_count; i++) {
        int size = (int)strlen(r->caps[i].name);
        width = size > width ? size : width;
    }
    for (size_t i = 0; i < r->cap_count; i++)
        printf("%-*s  %-3s%s%s\n", width, r->caps[i].name, r->caps[i].have ? "yes" : "no",
               r->caps[i].reason[0] != '\0' ? "  " : "", r->caps[i].reason);
    printf("\nback-end: %s%s%s\n", spate_backend_name(r->backend),
           r->backend_reason.text[0] != '\0' ? ", as " : "", r->backend_reason.text);
    printf("AES-GCM: %s%s%s\n", r->crypto, r->crypto_reason.text[0] != '\0' ? ", as " : "",
           r->crypto_reason.text);
    print_libraries(r);
}

/* Prints a string of JSON. */
static void print_string(const char *text)
{
    putchar('"');
    for (const char *c = text; *c != '\0'; c++)
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            printf("\\u%04x", (unsigned char)*c);
        else
            putchar(*c);
    putchar('"');
}

static void print_choice(const char *name, const char *value, const char *reason)
{
    printf("\"%s\":{\"name\":", name);
    print_string(value);
    printf(",\"reason\":");
    print_string(reason);
    printf("},\n");
}

static void print_json(const struct report *r)
{
    printf("{\"version\":");
    print_string(spate_version());
    printf(",\n");
    print_choice("backend", spate_backend_name(r->backend), r->backend_reason.text);
    print_choice("aes_gcm", r->crypto, r->crypto_reason.text);
    printf("\"libraries\":[");
    for (size_t i = 0; i < r->library_count; i++) {
        printf("%s{\"name\":", i > 0 ? ",\n" : "");
        print_string(r->libraries[i].name);
        printf(",\"version\":");
        print_string(r->libraries[i].version);
        printf(",\"is_inside\":%s}", r->libraries[i].is_inside ? "true" : "false");
    }
    printf("],\n\"caps\":[");
    for (size_t i = 0; i < r->cap_count; i++) {
        printf("%s{\"name\":", i > 0 ? ",\n" : "");
        print_string(r->caps[i].name);
        printf(",\"have\":%s,\"reason\":", r->caps[i].have ? "true" : "false");
        print_string(r->caps[i].reason);
        printf("}");
    }
    printf("]}\n");
}

int caps_run(int argc, char **argv)
{
    bool is_json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc == 2 && commands_is_help(argv[1])) {
        puts("usage: spate caps [--json]\n"
             "\n"
             "Prints what this kernel, this machine and this build can do, found out by\n"
             "trying: the ring, the offloads of UDP (GSO, GRO), steering of datagrams to\n"
             "shards, time stamps, times of departure, and what OpenSSL has.  Then what an\n"
             "engine would choose.");
        return EXIT_SUCCESS;
    }
    if (argc > 1 && !is_json)
        return message_usage("caps", "takes no arguments but --json, got", argv[1]);
    struct report report;
    fill(&report);
    if (is_json)
        print_json(&report);
    else
        print_text(&report);
    return EXIT_SUCCESS;
}
