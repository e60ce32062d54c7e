/* SPDX-License-Identifier: MIT */
/* A program whose loop is GLib's: a source of its own with the shard's descriptor and ready time.
 * "Prepare" runs right before each poll.
 *
 *     host_glib CERT-FILE KEY-FILE PORT */

#include <signal.h>

#include <glib-unix.h>
#include <glib.h>

#include "tools/examples/echo.h"

#define NS_PER_US UINT64_C(1000)

struct shard_source {
    GSource base;
    struct echo *echo;
    gpointer fd_tag;
    GMainLoop *loop;
    int result;
};

/* GLib's monotonic time is the library's clock in microseconds. */
static gboolean prepare(GSource *source, gint *ret_wait_ms)
{
    struct shard_source *host = (struct shard_source *)source;
    uint64_t due_ns = spate_shard_deadline_ns(host->echo->shard);
    *ret_wait_ms = -1;
    g_source_set_ready_time(
        source, due_ns == SPATE_FOREVER ? -1 : (gint64)((due_ns + NS_PER_US - 1) / NS_PER_US));
    return due_ns == 0;
}

static gboolean check(GSource *source)
{
    struct shard_source *host = (struct shard_source *)source;
    gint64 ready_us = g_source_get_ready_time(source);
    return g_source_query_unix_fd(source, host->fd_tag) != 0 ||
           (ready_us >= 0 && g_source_get_time(source) >= ready_us);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer argument)
{
    struct shard_source *host = (struct shard_source *)source;
    (void)callback;
    (void)argument;
    host->result = echo_turn(host->echo);
    if (host->result != 0)
        g_main_loop_quit(host->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static int run(struct echo *echo)
{
    static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};
    GSource *source = g_source_new(&functions, sizeof(struct shard_source));
    struct shard_source *host = (struct shard_source *)source;
    host->echo = echo;
    host->loop = g_main_loop_new(NULL, FALSE);
    host->fd_tag = g_source_add_unix_fd(source, spate_shard_fd(echo->shard), G_IO_IN);
    (void)g_source_attach(source, NULL);
    (void)g_unix_signal_add(SIGINT, on_signal, host->loop);
    (void)g_unix_signal_add(SIGTERM, on_signal, host->loop);

    g_main_loop_run(host->loop);

    int result = host->result;
    g_main_loop_unref(host->loop);
    g_source_destroy(source);
    g_source_unref(source);
    return result;
}

int main(int argc, char **argv)
{
    struct echo echo;
    int result = echo_open(&echo, argc, argv);
    if (result == 0)
        result = run(&echo);
    echo_close(&echo);
    return result;
}
