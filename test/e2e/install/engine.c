/* SPDX-License-Identifier: MIT */
/* Makes an engine with everything that it can be given, and unmakes it: `engine FOLDER`. */
#include <stdio.h>
#include <string.h>
#include <spate/spate.h>

static void ignore(enum spate_log_level level, const char *line, void *user)
{
    (void)level;
    (void)line;
    (void)user;
}

int main(int argc, char **argv)
{
    struct spate_error error = {""};
    struct spate_config config;
    struct spate_quic_lb lb;
    struct spate_qlog qlog;
    struct spate_log log;
    struct spate_engine *engine;
    char stat_file[4096];
    int result;

    if (argc != 2)
        return 2;
    spate_config_init(&config);
    config.shard_count = 2;
    spate_quic_lb_init(&lb);
    lb.server_id_size = 1;
    lb.is_encrypted = true;
    memset(lb.key, 7, sizeof(lb.key));
    config.quic_lb = &lb;
    spate_qlog_init(&qlog);
    qlog.dir = argv[1];
    config.qlog = &qlog;
    spate_log_init(&log);
    log.write = ignore;
    config.log = &log;
    snprintf(stat_file, sizeof(stat_file), "%s/stat", argv[1]);
    config.stat_file = stat_file;

    result = spate_engine_create(&config, &engine, &error);
    if (result != 0) {
        fprintf(stderr, "spate_engine_create: %s\n",
                error.text[0] != '\0' ? error.text : strerror(-result));
        return 1;
    }
    spate_engine_destroy(engine);
    return 0;
}
