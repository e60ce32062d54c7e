/* SPDX-License-Identifier: MIT */
#include "bench/micro/instructions.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/micro/harness.h"
#include "proto/base/compiler.h"

#define COUNTED_ITEMS 4000
#define PATH_BYTES    256
#define LINE_BYTES    256
#define ARGUMENTS_MAX 64

void micro_counted(const struct micro_subject *subject, uint64_t count);

#if __has_attribute(noipa)
#define ONE_FUNCTION __attribute__((noipa))
#else
#define ONE_FUNCTION SB_NEVER_INLINE
#endif

/* What callgrind watches by its name: a function that stays one, and that returns itself.  gcc's
 * link-time optimisation would make a copy of another name (`.isra.0`), which callgrind misses. */
ONE_FUNCTION void micro_counted(const struct micro_subject *subject, uint64_t count)
{
    subject->run(subject->context, count);
    __asm__ volatile("" : : : "memory");
}

void micro_count_instructions(const struct micro_subject *subject)
{
    uint32_t items = SB_MAX(subject->items, 1u);
    uint64_t count = SB_MAX(COUNTED_ITEMS / items, 1u);
    subject->run(subject->context, count);
    micro_counted(subject, count);
    printf("%llu %s\n", (unsigned long long)(count * items), subject->name);
    (void)fflush(stdout);
}

/* Returns the sum in callgrind's dump, or 0 if there is none. */
static double instructions_of(const char *path)
{
    char line[LINE_BYTES];
    unsigned long long sum = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "summary: %llu", &sum) == 1)
            break;
    }
    (void)fclose(file);
    return (double)sum;
}

/* The child's part: only what follows the first word of a line matters. */
static void run_valgrind(const char *program, const char *folder, char *const *names, int out)
{
    char out_file[PATH_BYTES];
    char *arguments[ARGUMENTS_MAX] = {
        (char[]){"valgrind"},
        (char[]){"--quiet"},
        (char[]){"--tool=callgrind"},
        (char[]){"--toggle-collect=micro_counted"},
        (char[]){"--dump-after=micro_counted"},
        out_file,
        strdup(program),
        (char[]){"--counted"},
    };
    (void)snprintf(out_file, sizeof(out_file), "--callgrind-out-file=%s/out", folder);
    for (size_t i = 8; *names != NULL && i < ARGUMENTS_MAX - 1; i++)
        arguments[i] = *names++;
    (void)dup2(out, STDOUT_FILENO);
    (void)execvp(arguments[0], arguments);
    perror("valgrind");
    _exit(127);
}

/* Returns false if callgrind counted nothing for one of the subjects. */
static bool print_counts(FILE *lines, const char *folder)
{
    bool ok = true;
    char line[LINE_BYTES];
    for (unsigned number = 1; fgets(line, sizeof(line), lines) != NULL; number++) {
        char path[PATH_BYTES];
        char *name = NULL;
        unsigned long long items = strtoull(line, &name, 10);
        (void)snprintf(path, sizeof(path), "%s/out.%u", folder, number);
        name[strcspn(name, "\n")] = 0;
        double count = instructions_of(path);
        ok = ok && count > 0;
        printf("  %-42s %10.1f instructions\n", name + 1, count / (double)items);
        (void)fflush(stdout);
        (void)unlink(path);
    }
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/out", folder);
    (void)unlink(path);
    return ok;
}

int micro_instructions(const char *program, char *const *names)
{
    char folder[] = "/tmp/spate-micro.XXXXXX";
    int ends[2];
    if (mkdtemp(folder) == NULL || pipe(ends) != 0) {
        perror("spate-micro");
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0)
        run_valgrind(program, folder, names, ends[1]);
    (void)close(ends[1]);
    FILE *lines = fdopen(ends[0], "r");
    if (pid < 0 || lines == NULL) {
        perror("spate-micro");
        return 1;
    }
    bool ok = print_counts(lines, folder);
    (void)fclose(lines);
    int status = 1;
    (void)waitpid(pid, &status, 0);
    (void)rmdir(folder);
    if (status == 0 && !ok)
        (void)fprintf(stderr, "spate-micro: callgrind counted nothing: does valgrind work here?\n");
    return status == 0 && ok ? 0 : 1;
}
