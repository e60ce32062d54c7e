/* SPDX-License-Identifier: MIT */
/* The parts of the limit, one after the other, and what they add up to.
 *
 * Each part that has two ends forks its server, which runs on the server's CPU; this process is
 * the client and is pinned as the load generator's client is. */

#include "bench/load/limit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/address.h"
#include "bench/load/control.h"
#include "bench/load/cpu.h"
#include "bench/load/endpoint.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/process.h"
#include "bench/roofline/cipher.h"
#include "bench/roofline/echo.h"
#include "bench/roofline/flow.h"
#include "crypto/suite.h"

/* The cipher varies less than the other parts: a part of the time is enough. */
#define CIPHER_SHARE 4

uint32_t limit_payload_bytes(uint32_t mtu)
{
    return (uint32_t)cipher_shape_of(mtu).payload;
}

static struct limit limit_none(void)
{
    return (struct limit){
        .send_ns = NAN,
        .receive_ns = NAN,
        .kernel_gbps = NAN,
        .kernel_lost = NAN,
        .seal_ns = NAN,
        .open_ns = NAN,
        .gbps = NAN,
        .cpu_s_per_gb = NAN,
        .kernel_cpu_s_per_gb = NAN,
        .blocking = {NAN, NAN},
        .spinning = {NAN, NAN},
    };
}

void limit_derive(struct limit *limit)
{
    double sender_ns = limit->send_ns + limit->seal_ns;
    double receiver_ns = limit->receive_ns + limit->open_ns;
    limit->gbps = limit->payload * 8 / fmax(sender_ns, receiver_ns);
    /* Nanoseconds per byte are seconds per gigabyte. */
    limit->cpu_s_per_gb = (sender_ns + receiver_ns) / limit->payload;
    limit->kernel_cpu_s_per_gb = (limit->send_ns + limit->receive_ns) / limit->payload;
}

static const struct sc_suite *suite_of(const struct limit_setup *setup)
{
    for (unsigned i = 0; i < SC_SUITE_COUNT; i++) {
        const struct sc_suite *suite = sc_suite_at(i);
        bool is_it =
            suite != NULL &&
            (setup->cipher != NULL            ? strcmp(suite->tls_name, setup->cipher) == 0
             : setup->options->cipher != NULL ? strcmp(suite->name, setup->options->cipher) == 0
                                              : suite->id == SP_SUITE_AES_128_GCM);
        if (is_it)
            return suite;
    }
    return NULL;
}

/* The client's half of a part. */
typedef bool (*client_half)(const struct limit_setup *setup, const struct control_message *server,
                            int control, struct limit *ret, struct failure *failure);

static bool run_flow(const struct limit_setup *setup, const struct control_message *server,
                     int control, struct limit *ret, struct failure *failure)
{
    struct flow_result flow;
    if (!flow_run(setup, server, control, &flow, failure))
        return false;
    ret->send_ns = flow.sender.cpu_ns / flow.sender.datagrams;
    ret->receive_ns = flow.receiver.cpu_ns / flow.receiver.datagrams;
    ret->kernel_gbps = flow.receiver.datagrams * ret->payload * 8e-9 / flow.receiver.seconds;
    ret->kernel_lost = flow.receiver.kernel_drops;
    return true;
}

static bool run_blocking(const struct limit_setup *setup, const struct control_message *server,
                         int control, struct limit *ret, struct failure *failure)
{
    return echo_run(setup, server, control, false, &ret->blocking, failure);
}

static bool run_spinning(const struct limit_setup *setup, const struct control_message *server,
                         int control, struct limit *ret, struct failure *failure)
{
    return echo_run(setup, server, control, true, &ret->spinning, failure);
}

static bool run_pair(const struct limit_setup *setup, server_process_work server_part,
                     client_half client_part, struct limit *ret, struct failure *failure)
{
    const struct options *o = setup->options;
    struct server_process process;
    struct control_message ready;
    int server_cpu = cpu_choose(o->server_cpu, o->client_cpu);
    int client_cpu = cpu_choose(o->client_cpu, server_cpu);
    if (!server_process_start(o, server_part, server_cpu, &process, &ready, failure))
        return false;
    if (cpu_pin(client_cpu, "--client-cpu", failure))
        (void)client_part(setup, &ready, process.control, ret, failure);
    server_process_stop(&process, failure);
    cpu_unpin();
    return !failure->is_set;
}

static bool measure_bulk(const struct limit_setup *setup, enum sp_suite suite, struct limit *ret,
                         struct failure *failure)
{
    const struct flow_shape shape = flow_shape_of(ret->mtu);
    if (!run_pair(setup, flow_serve, run_flow, ret, failure))
        return false;
    int cpu = cpu_choose(setup->options->client_cpu, cpu_choose(CPU_DEFAULT, CPU_ANY));
    const struct cipher_setup cipher = {
        .suite = suite,
        .crypto = (enum spate_crypto)setup->options->crypto,
        .duration_ns = setup->duration_ns / CIPHER_SHARE,
    };
    bool is_good = cpu_pin(cpu, "--client-cpu", failure) &&
                   cipher_run(&cipher, &shape, &ret->seal_ns, &ret->open_ns, failure);
    cpu_unpin();
    limit_derive(ret);
    return is_good;
}

bool limit_measure(const struct limit_setup *setup, struct limit *ret, struct failure *failure)
{
    const struct options *o = setup->options;
    const struct sc_suite *suite = suite_of(setup);
    struct address_list server;
    if (suite == NULL)
        return failure_set(failure, "the cipher: this OpenSSL lacks %s",
                           setup->cipher != NULL ? setup->cipher : o->cipher);
    if (!address_resolve(o->listen, "--listen", 0, &server, failure))
        return false;

    struct limit limit = limit_none();
    limit.mtu = endpoint_mtu(o, address_is_v6(&server.items[0]));
    limit.payload = limit_payload_bytes(limit.mtu);
    limit.segments = flow_shape_of(limit.mtu).segment_count;
    (void)snprintf(limit.cipher, sizeof(limit.cipher), "%s", suite->tls_name);
    bool is_good =
        ((setup->parts & LIMIT_BULK) == 0 || measure_bulk(setup, suite->id, &limit, failure)) &&
        ((setup->parts & LIMIT_TRIP) == 0 ||
         (run_pair(setup, echo_serve_blocking, run_blocking, &limit, failure) &&
          run_pair(setup, echo_serve_spinning, run_spinning, &limit, failure)));
    if (is_good)
        *ret = limit;
    return is_good;
}
