/* SPDX-License-Identifier: MIT */
#include "test/support/other_client.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct memory_reading memory_read(const struct pw_end *end)
{
    unsigned long size = 0, resident = 0;
    (void)malloc_trim(0); /* what OpenSSL has freed after handshakes is not counted */
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    assert_int_equal(fclose(file), 0);
    return (struct memory_reading){
        .resident_bytes = (int64_t)resident * sysconf(_SC_PAGESIZE),
        .counted_bytes = (int64_t)pw_stats(end).memory_bytes_now,
    };
}

static void stop(void *pid)
{
    (void)kill(*(pid_t *)pid, SIGKILL);
    (void)waitpid(*(pid_t *)pid, NULL, 0);
}

void other_client_start(const struct pw *w, void (*config_of)(struct spate_config *config),
                        void (*run)(struct pw *w, const int *fds), const int *fds)
{
    pid_t *pid = owned_alloc(sizeof(*pid));
    *pid = fork();
    assert_true(*pid >= 0);
    if (*pid != 0) {
        (void)owned_add(pid, stop);
        return;
    }
    static struct pw own;
    struct spate_config config;
    struct spate_error error = {""};
    spate_config_init(&config);
    config_of(&config);
    config.backend = pw_backend();
    own = (struct pw){.client = {.name = "client", .tls = w->client.tls},
                      .address = w->address,
                      .address_size = w->address_size};
    if (spate_engine_create(&config, &own.client.engine, &error) != 0)
        _exit(1);
    own.client.shard = spate_engine_shard(own.client.engine, 0);
    run(&own, fds);
    _exit(0);
}
