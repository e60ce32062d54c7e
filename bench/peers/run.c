/* SPDX-License-Identifier: MIT */
/* Two processes and a clock.  The server counts what it receives in memory that both have; all else
 * is read by the client, the CPU time of the server included: so both samples are of one moment,
 * and the server does nothing but serve. */

#include "bench/peers/run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/clock.h"
#include "bench/load/cpu.h"
#include "bench/load/json.h"

#define START_TIMEOUT_NS (10 * NS_PER_S)
/* Nothing here takes longer than what was asked for and this. */
#define SPARE_S 20

static uint64_t process_cpu_ns(pid_t pid)
{
    clockid_t id;
    struct timespec t = {0};
    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void take_sample(const struct run *run, uint64_t now_ns, struct run_sample *ret)
{
    *ret = (struct run_sample){
        .now_ns = now_ns,
        .server_cpu_ns = process_cpu_ns(run->server),
        .client_cpu_ns = process_cpu_ns(getpid()),
        .bytes = run->plan->is_up
                     ? atomic_load_explicit(&run->shared->received_bytes, memory_order_relaxed)
                     : run->received_bytes,
        .requests = run->requests,
    };
}

static bool has_all_bytes(const struct run *run)
{
    uint64_t bytes = run->plan->is_up
                         ? atomic_load_explicit(&run->shared->received_bytes, memory_order_relaxed)
                         : run->received_bytes;
    return run->plan->bytes != 0 && bytes - run->begin.bytes >= run->plan->bytes;
}

void run_turn(struct run *run, uint64_t now_ns)
{
    if (run->started_ns == 0)
        run->started_ns = now_ns;
    uint64_t age_ns = now_ns - run->started_ns;
    if (!run->is_measuring && age_ns >= run->plan->warmup_ns) {
        run->is_measuring = true;
        take_sample(run, now_ns, &run->begin);
    } else if (run->is_measuring && !run->is_over &&
               (has_all_bytes(run) || now_ns - run->begin.now_ns >= run->plan->duration_ns)) {
        run->is_over = true;
        take_sample(run, now_ns, &run->end);
    }
}

void run_answer(struct run *run, uint64_t start_ns, uint64_t now_ns)
{
    run->requests++;
    if (run->is_measuring && !run->is_over)
        spate_histogram_record(&run->latency, now_ns - start_ns);
}

static void write_side(struct json *j, const char *key, uint64_t cpu_ns, double gb, double requests)
{
    double cpu_s = (double)cpu_ns / (double)NS_PER_S;
    json_begin(j, key);
    json_number(j, "cpu_s", cpu_s);
    json_number(j, "cpu_s_per_gb", gb > 0 ? cpu_s / gb : NAN);
    json_number(j, "cpu_us_per_request", requests > 0 ? cpu_s * 1e6 / requests : NAN);
    json_end(j);
}

static void write_result(const struct run *run, const struct run_stack *stack)
{
    const struct plan *plan = run->plan;
    const struct run_sample *a = &run->begin;
    const struct run_sample *b = &run->end;
    double seconds = (double)(b->now_ns - a->now_ns) / (double)NS_PER_S;
    double gb = plan->is_rr ? 0 : (double)(b->bytes - a->bytes) / 1e9;
    double requests = (double)(b->requests - a->requests);
    bool has_latency = run->latency.count > 0;
    struct json j = json_of(stdout);

    json_begin(&j, NULL);
    json_text(&j, "scenario", plan->is_rr ? "rr" : "bulk");
    json_text(&j, "stack", stack->name);
    json_text(&j, "cipher", plan->is_plain ? "none" : run->cipher);
    json_number(&j, "seconds", seconds);
    json_number(&j, "gbps", gb > 0 ? gb * 8 / seconds : NAN);
    json_number(&j, "requests_per_s", plan->is_rr ? requests / seconds : NAN);
    json_number(&j, "p50_us",
                has_latency ? (double)spate_histogram_percentile(&run->latency, 50) / 1e3 : NAN);
    json_number(&j, "p99_us",
                has_latency ? (double)spate_histogram_percentile(&run->latency, 99) / 1e3 : NAN);
    write_side(&j, "server", b->server_cpu_ns - a->server_cpu_ns, gb, requests);
    write_side(&j, "client", b->client_cpu_ns - a->client_cpu_ns, gb, requests);
    json_end(&j);
}

static void print_failure(const struct run_stack *stack, const char *side, const struct failure *f)
{
    fprintf(stderr, "%s, %s: %s\n", stack->name, side, f->text);
}

static bool enter(const char *netns, struct failure *failure)
{
    if (netns == NULL)
        return true;
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    bool is_good = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (!is_good)
        (void)failure_set(failure, "--server-netns %s: %s", netns, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return is_good;
}

static int serve(const struct run *run, const struct run_stack *stack)
{
    struct failure failure = {.is_set = false};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool is_good = enter(run->plan->server_netns, &failure) &&
                   cpu_pin(run->plan->server_cpu, "--server-cpu", &failure) &&
                   stack->serve(run->plan, run->shared, &failure);
    if (!is_good)
        print_failure(stack, "server", &failure);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool wait_until_listening(struct run *run)
{
    uint64_t give_up_ns = clock_now_ns() + START_TIMEOUT_NS;
    while (atomic_load(&run->shared->port) == 0) {
        const struct timespec pause = {.tv_nsec = (long)NS_PER_MS};
        if (waitpid(run->server, NULL, WNOHANG) != 0) {
            run->server = 0;
            return failure_set(&run->failure, "the server has not come up");
        }
        if (clock_now_ns() >= give_up_ns)
            return failure_set(&run->failure, "the server does not listen");
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

int run_main(int argc, char **argv, const struct run_stack *stack)
{
    static struct run run;
    struct plan plan;
    if (!plan_parse(&plan, argc, argv, &run.failure)) {
        fprintf(stderr, "%s: %s\n", stack->name, run.failure.text);
        return 2;
    }
    (void)plan_payload(); /* before the fork, so that no process fills it during the run */
    run.plan = &plan;
    spate_histogram_init(&run.latency);
    run.shared =
        mmap(NULL, sizeof(*run.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run.server = run.shared == MAP_FAILED ? -1 : fork();
    if (run.server < 0) {
        fprintf(stderr, "%s: cannot start the server: %s\n", stack->name, strerror(errno));
        return EXIT_FAILURE;
    }
    if (run.server == 0)
        exit(serve(&run, stack));

    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm((unsigned)((plan.warmup_ns + plan.duration_ns) / NS_PER_S) + SPARE_S);
    bool is_good = wait_until_listening(&run) &&
                   cpu_pin(plan.client_cpu, "--client-cpu", &run.failure) && stack->drive(&run);
    if (run.server != 0) {
        (void)kill(run.server, SIGKILL);
        (void)waitpid(run.server, NULL, 0);
    }
    if (is_good)
        write_result(&run, stack);
    else
        print_failure(stack, "client", &run.failure);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
