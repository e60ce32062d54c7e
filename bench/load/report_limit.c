/* SPDX-License-Identifier: MIT */
/* The limit of the machine and the part of it that a scenario reaches; and the comparison with bare
 * TLS. */

#include "bench/load/report_limit.h"

#include <math.h>

#include <spate/base.h>

#include "bench/load/clock.h"
#include "bench/load/json.h"
#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/versus.h"
#include "bench/load/versus_bare.h"

/* Which side's cost is the limit. */
static const char *dearer_side(const struct limit *l)
{
    if (!isfinite(l->gbps))
        return "";
    return l->send_ns + l->seal_ns >= l->receive_ns + l->open_ns ? "sender" : "receiver";
}

static void write_limit(struct json *j, const struct limit *l)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"limit_gbps", l->gbps},
        {"limit_cpu_s_per_gb", l->cpu_s_per_gb},
        {"kernel_gbps", l->kernel_gbps},
        {"kernel_cpu_s_per_gb", l->kernel_cpu_s_per_gb},
        {"kernel_send_ns", l->send_ns},
        {"kernel_receive_ns", l->receive_ns},
        {"kernel_datagrams_lost", l->kernel_lost},
        {"seal_ns", l->seal_ns},
        {"open_ns", l->open_ns},
        {"floor_p50_us", l->blocking.p50_us},
        {"floor_p99_us", l->blocking.p99_us},
        {"floor_spin_p50_us", l->spinning.p50_us},
        {"floor_spin_p99_us", l->spinning.p99_us},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        json_number(j, numbers[i].name, numbers[i].value);
    json_text(j, "limited_by", dearer_side(l));
    json_integer(j, "limit_payload_bytes", l->payload);
    json_integer(j, "limit_segments", l->segments);
}

void report_write_versus(struct json *j, const struct versus *v)
{
    const struct limit *l = &v->limit;
    json_integer(j, "runs", v->runs);
    write_limit(j, l);
    json_number(j, "cpu_s_per_gb", isfinite(l->gbps) ? v->cpu_s_per_gb : NAN);
    json_number(j, "of_limit", v->gbps / l->gbps);
    json_number(j, "of_limit_min", v->of_limit_min);
    json_number(j, "of_limit_max", v->of_limit_max);
    json_number(j, "of_limit_cpu", v->cpu_s_per_gb / l->cpu_s_per_gb);
    json_number(j, "p50_over_floor", v->p50_us / l->blocking.p50_us);
    json_number(j, "p99_over_floor", v->p99_us / l->blocking.p99_us);
    json_number(j, "p50_over_spin_floor", v->p50_us / l->spinning.p50_us);
    json_number(j, "p99_over_spin_floor", v->p99_us / l->spinning.p99_us);
}

void report_print_versus(const struct options *o, const struct versus *v, FILE *file)
{
    const struct limit *l = &v->limit;
    fprintf(file, "  limit, medians of %u runs in turns: ", (unsigned)v->runs);
    if (o->kind == SCENARIO_BULK)
        fprintf(file,
                "%.3f Gbit/s, of it %.3f (%.3f to %.3f); %.3f CPU s/GB both sides, "
                "%.3f times it\n",
                l->gbps, v->gbps / l->gbps, v->of_limit_min, v->of_limit_max, l->cpu_s_per_gb,
                v->cpu_s_per_gb / l->cpu_s_per_gb);
    else
        fprintf(file,
                "floor us p50 %.1f p99 %.1f, over it %.2f and %.2f; "
                "spinning p50 %.1f p99 %.1f, over it %.2f and %.2f\n",
                l->blocking.p50_us, l->blocking.p99_us, v->p50_us / l->blocking.p50_us,
                v->p99_us / l->blocking.p99_us, l->spinning.p50_us, l->spinning.p99_us,
                v->p50_us / l->spinning.p50_us, v->p99_us / l->spinning.p99_us);
}

void report_write_bare(struct json *j, const struct versus_bare *v)
{
    json_integer(j, "runs", v->runs);
    json_number(j, "server_cpu_us_per_handshake", v->server_us);
    json_number(j, "client_cpu_us_per_handshake", v->client_us);
    json_number(j, "bare_server_us", v->bare.server_us);
    json_number(j, "bare_client_us", v->bare.client_us);
    json_number(j, "of_bare", v->server_us / v->bare.server_us);
    json_number(j, "of_bare_min", v->of_bare_min);
    json_number(j, "of_bare_max", v->of_bare_max);
    json_number(j, "client_of_bare", v->client_us / v->bare.client_us);
}

void report_print_bare(const struct versus_bare *v, FILE *file)
{
    fprintf(file,
            "  bare TLS over memory, medians of %u runs in turns: server %.1f us, of it %.3f times "
            "(%.3f to %.3f); client %.1f us, %.3f times\n",
            (unsigned)v->runs, v->bare.server_us, v->server_us / v->bare.server_us, v->of_bare_min,
            v->of_bare_max, v->bare.client_us, v->client_us / v->bare.client_us);
}

void report_write_limit(const struct options *o, const struct versus *v, FILE *file)
{
    struct json j = json_of(file);
    json_begin(&j, NULL);
    json_text(&j, "scenario", options_scenario_name(o->scenario));
    json_number(&j, "seconds", (double)o->duration_ns / (double)NS_PER_S);
    json_integer(&j, "runs", v->runs);
    write_limit(&j, &v->limit);
    json_begin(&j, "config");
    json_text(&j, "version", spate_version());
    json_text(&j, "direction", o->direction == DIRECTION_UP ? "up" : "down");
    json_text(&j, "cipher", v->limit.cipher);
    json_integer(&j, "mtu", v->limit.mtu);
    json_integer(&j, "request_bytes", o->request_bytes);
    json_integer(&j, "response_bytes", o->response_bytes);
    json_end(&j);
    json_end(&j);
}

void report_print_limit(const struct options *o, const struct versus *v, FILE *file)
{
    const struct limit *l = &v->limit;
    fprintf(file, "limit %s, %u-byte datagrams with %u of payload, %u to a train, %s, %u runs\n",
            o->direction == DIRECTION_UP ? "up" : "down", (unsigned)l->mtu, (unsigned)l->payload,
            (unsigned)l->segments, l->cipher, (unsigned)v->runs);
    fprintf(file, "  %.3f Gbit/s by the %s, %.3f CPU s/GB both sides\n", l->gbps, dearer_side(l),
            l->cpu_s_per_gb);
    fprintf(file,
            "  a datagram costs, ns: send %.1f + seal %.1f = %.1f; receive %.1f + open %.1f"
            " = %.1f\n",
            l->send_ns, l->seal_ns, l->send_ns + l->seal_ns, l->receive_ns, l->open_ns,
            l->receive_ns + l->open_ns);
    fprintf(file, "  the kernel alone: %.3f Gbit/s, %.3f CPU s/GB, %.0f datagrams lost\n",
            l->kernel_gbps, l->kernel_cpu_s_per_gb, l->kernel_lost);
    fprintf(file, "  a round trip, us: blocking p50 %.1f p99 %.1f, spinning p50 %.1f p99 %.1f\n",
            l->blocking.p50_us, l->blocking.p99_us, l->spinning.p50_us, l->spinning.p99_us);
}
