/* SPDX-License-Identifier: MIT */
#include "bench/load/serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/cpu.h"
#include "bench/load/endpoint.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/progress.h"
#include "bench/load/result.h"
#include "bench/load/crew.h"
#include "bench/load/server.h"
#include "bench/load/usage.h"

/* Also how late a signal is seen that comes just before the wait. */
#define IDLE_WAIT_NS (100 * NS_PER_MS)
#define GOODBYE_NS   (500 * NS_PER_MS)

static bool write_certificate(const struct crew *s, const char *path, struct failure *failure)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return failure_set(failure, "cannot write --cert-out %s: %s", path, strerror(errno));
    bool is_written = fputs(server_certificate(crew_first(s)), file) >= 0;
    if (fclose(file) != 0 || !is_written)
        return failure_set(failure, "cannot write --cert-out %s: %s", path, strerror(errno));
    return true;
}

static void say_where(const struct options *o, const struct crew *s, FILE *status)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(server_address(crew_first(s)), text);
    fprintf(status, "listening at %s%s%s\n", text,
            o->cert != NULL ? "" : " with a fresh self-signed certificate: clients need ",
            o->cert != NULL       ? ""
            : o->cert_out != NULL ? "it as --ca, or --insecure"
                                  : "--insecure");
    (void)fflush(status);
}

static bool loop(const struct options *o, struct crew *s, const volatile sig_atomic_t *stop,
                 struct failure *failure)
{
    struct progress progress = progress_of(SCENARIO_SERVE);
    uint64_t now_ns = clock_now_ns();
    uint64_t end_ns = o->duration_ns == 0 ? UINT64_MAX : now_ns + o->duration_ns;
    bool is_good = true;

    while (is_good && *stop == 0 && now_ns < end_ns) {
        uint64_t left_ns = end_ns - now_ns;
        is_good = crew_turn(s, left_ns < IDLE_WAIT_NS ? left_ns : IDLE_WAIT_NS, failure);
        now_ns = clock_now_ns();
        progress_show(&progress, true, crew_payload_bytes(s), 0, now_ns);
    }
    progress_clear(&progress);
    return is_good;
}

bool serve_run(const struct options *o, FILE *status, const volatile sig_atomic_t *stop,
               struct result *ret, struct failure *failure)
{
    struct crew *s = NULL;

    memset(ret, 0, sizeof(*ret));
    spate_histogram_init(&ret->latency);
    usage_open();
    if (!cpu_pin(cpu_choose(o->server_cpu, CPU_ANY), "--server-cpu", failure) ||
        !crew_open(o, CPU_ANY, &s, failure))
        return false;

    bool is_good = o->cert_out == NULL || write_certificate(s, o->cert_out, failure);
    if (is_good) {
        ret->have_server = true;
        ret->backend = spate_engine_backend(server_engine(crew_first(s)));
        ret->crypto = spate_engine_crypto(server_engine(crew_first(s)));
        endpoint_warn(server_engine(crew_first(s)));
        ret->mtu = endpoint_mtu(o, address_is_v6(server_address(crew_first(s))));
        crew_sample(s, &ret->server[0]);
        say_where(o, s, status);
        is_good = loop(o, s, stop, failure);
        crew_sample(s, &ret->server[1]);
        ret->duration_ns = ret->server[1].now_ns - ret->server[0].now_ns;
        ret->bytes = crew_payload_bytes(s);
        crew_say_goodbye(s, GOODBYE_NS);
    }
    crew_close(s);
    return is_good;
}
