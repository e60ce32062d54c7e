/* SPDX-License-Identifier: MIT */
/* The server as a process of its own.  A plain fork is enough: it happens while no thread, ring or
 * TLS object exists.  The child ends when the parent asks for it or has ended.  It detects that by
 * the end of the control socket, and by PR_SET_PDEATHSIG if it does not read the socket. */

#include "bench/load/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/clock.h"
#include "bench/load/cpu.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/crew.h"
#include "bench/load/server.h"
#include "bench/load/usage.h"

#define START_TIMEOUT_NS (20 * NS_PER_S)
#define STOP_TIMEOUT_NS  (2 * NS_PER_S)
/* How often the server looks at the control socket: rarely enough to cost nothing under
 * load, often enough that a sample is taken when it is asked for. */
#define CONTROL_INTERVAL_NS (1 * NS_PER_MS)
#define IDLE_WAIT_NS        (10 * NS_PER_MS)
#define IDLE_WAIT_LONG_NS   (100 * NS_PER_MS) /* `idle` counts the turns */

/* Takes what the client asks.  Returns false when it is over. */
static bool obey(struct crew *s, int control)
{
    int asked = control_is_asked(control);
    if (asked <= 0)
        return asked == 0;
    struct control_message m = {.kind = CONTROL_SAMPLE};
    crew_sample(s, &m.sample);
    return control_send(control, &m) == 0;
}

static bool serve(struct crew *s, uint64_t wait_ns, int control, struct failure *failure)
{
    struct control_message ready = {.kind = CONTROL_READY};
    const char *certificate = server_certificate(crew_first(s));
    const struct address *address = server_address(crew_first(s));
    if (strlen(certificate) >= sizeof(ready.text))
        return failure_set(failure, "the certificate is too large to hand over");
    memcpy(ready.text, certificate, strlen(certificate));
    ready.address = address->storage;
    ready.address_size = address->size;
    if (control_send(control, &ready) != 0)
        return true; /* the client has ended: the error cannot be reported */

    uint64_t looked_ns = 0;
    for (;;) {
        if (!crew_turn(s, wait_ns, failure))
            return false;
        uint64_t now_ns = clock_now_ns();
        if (now_ns - looked_ns < CONTROL_INTERVAL_NS)
            continue;
        looked_ns = now_ns;
        if (!obey(s, control))
            return true;
    }
}

bool server_process_serve(const struct options *o, int control, struct failure *failure)
{
    struct crew *s = NULL;
    /* By default the client has the second CPU. */
    int avoid = o->client_cpu == CPU_DEFAULT ? cpu_of_shard(1, CPU_ANY) : o->client_cpu;
    uint64_t wait_ns = o->kind == SCENARIO_IDLE ? IDLE_WAIT_LONG_NS : IDLE_WAIT_NS;
    usage_open(); /* before the threads of further shards */
    bool is_good = crew_open(o, avoid, &s, failure) && serve(s, wait_ns, control, failure);
    crew_close(s);
    return is_good;
}

static int run_child(const struct options *o, server_process_work work, int cpu, int control)
{
    struct failure failure = {.is_set = false};

    (void)signal(SIGINT, SIG_IGN); /* the terminal sends it to both; the client decides */
    (void)signal(SIGTERM, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    bool is_good = cpu_pin(cpu, "--server-cpu", &failure) && work(o, control, &failure);
    if (!is_good) {
        struct control_message m = {.kind = CONTROL_FAILED};
        (void)snprintf(m.text, sizeof(m.text), "%s", failure.text);
        (void)control_send(control, &m);
    }
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Returns false if the process did not end in time. */
static bool wait_for_end(pid_t pid, uint64_t timeout_ns, int *ret_status)
{
    uint64_t end_ns = clock_now_ns() + timeout_ns;
    for (;;) {
        pid_t ended = waitpid(pid, ret_status, WNOHANG);
        if (ended == pid || (ended < 0 && errno == ECHILD))
            return true;
        if (clock_now_ns() >= end_ns)
            return false;
        struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
        (void)nanosleep(&pause, NULL);
    }
}

bool server_process_start(const struct options *o, server_process_work work, int cpu,
                          struct server_process *ret, struct control_message *ret_ready,
                          struct failure *failure)
{
    int ends[2];
    int status = control_open(ends);
    if (status != 0)
        return failure_set(failure, "cannot make a socket pair: %s", strerror(-status));

    pid_t pid = fork();
    if (pid < 0) {
        status = errno;
        (void)close(ends[0]);
        (void)close(ends[1]);
        return failure_set(failure, "cannot start the server's process: %s", strerror(status));
    }
    if (pid == 0) {
        (void)close(ends[0]);
        exit(run_child(o, work, cpu, ends[1]));
    }
    (void)close(ends[1]);

    struct server_process p = {.pid = pid, .control = ends[0]};
    do {
        status = control_receive(p.control, ret_ready, START_TIMEOUT_NS);
    } while (status == -EINTR);
    if (status == 0 && ret_ready->kind == CONTROL_READY) {
        *ret = p;
        return true;
    }
    if (status == 0)
        (void)failure_set(failure, "%s", ret_ready->text);
    else if (status == -ETIMEDOUT)
        (void)failure_set(failure, "the server's process does not come up within %d s",
                          (int)(START_TIMEOUT_NS / NS_PER_S));
    server_process_stop(&p, failure);
    return failure_set(failure, "the server's process has not come up");
}

void server_process_stop(struct server_process *p, struct failure *failure)
{
    struct failure own = {.is_set = false};
    struct control_message m = {.kind = CONTROL_QUIT};
    int wait_status = 0;

    bool was_alive = waitpid(p->pid, &wait_status, WNOHANG) == 0;
    (void)control_send(p->control, &m);
    while (control_receive(p->control, &m, 0) == 0) {
        if (m.kind == CONTROL_FAILED)
            (void)failure_set(&own, "%s", m.text);
    }
    (void)close(p->control);
    if (was_alive && !wait_for_end(p->pid, STOP_TIMEOUT_NS, &wait_status)) {
        (void)kill(p->pid, SIGKILL);
        (void)waitpid(p->pid, &wait_status, 0);
        wait_status = 0; /* that was us */
    }
    if (WIFSIGNALED(wait_status))
        (void)failure_set(&own, "the server's process was killed by signal %d (%s)",
                          WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    if (own.is_set)
        *failure = own;
    else if (!was_alive)
        (void)failure_set(failure, "the server's process has ended with status %d",
                          WEXITSTATUS(wait_status));
}
