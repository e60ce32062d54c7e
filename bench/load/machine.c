/* SPDX-License-Identifier: MIT */
#include "bench/load/machine.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/load/json.h"

/* The first line of a file, or "". */
static void read_line(const char *path, char *ret, size_t ret_size)
{
    ret[0] = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(ret, (int)ret_size, file) != NULL)
        ret[strcspn(ret, "\n")] = 0;
    (void)fclose(file);
}

/* What /proc/cpuinfo says about the first CPU. */
struct cpu {
    char model[128];
    bool is_virtual; /* a hypervisor is below */
    bool has_vaes;
    bool has_avx512;
};

/* Whether the line has the word, between blanks. */
static bool has_word(const char *line, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = strstr(line, word); at != NULL; at = strstr(at + 1, word)) {
        if (isspace((unsigned char)at[-1]) && (at[size] == 0 || isspace((unsigned char)at[size])))
            return true;
    }
    return false;
}

static void read_cpu(struct cpu *ret)
{
    memset(ret, 0, sizeof(*ret));
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL)
        return;
    char line[8192];
    while (fgets(line, sizeof(line), file) != NULL && line[0] != '\n') {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value != NULL) {
            (void)snprintf(ret->model, sizeof(ret->model), "%s", value + 2);
            ret->model[strcspn(ret->model, "\n")] = 0;
        } else if (strncmp(line, "flags", 5) == 0) {
            ret->is_virtual = has_word(line, "hypervisor");
            ret->has_vaes = has_word(line, "vaes");
            ret->has_avx512 = has_word(line, "avx512f");
        }
    }
    (void)fclose(file);
}

void machine_write(struct json *j)
{
    struct utsname system;
    struct cpu cpu;
    char governor[64];
    long pages = sysconf(_SC_PHYS_PAGES);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    long page_size = sysconf(_SC_PAGESIZE);

    memset(&system, 0, sizeof(system));
    (void)uname(&system);
    read_cpu(&cpu);
    read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof(governor));
    json_begin(j, "machine");
    json_text(j, "cpu", cpu.model);
    json_integer(j, "cpus", cpus > 0 ? (uint64_t)cpus : 0);
    json_text(j, "architecture", system.machine);
    json_bool(j, "virtual", cpu.is_virtual);
    json_bool(j, "vaes", cpu.has_vaes);
    json_bool(j, "avx512", cpu.has_avx512);
    json_text(j, "governor", governor);
    json_integer(j, "memory_bytes",
                 pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size : 0);
    json_text(j, "kernel", system.release);
    json_end(j);
}
