/* SPDX-License-Identifier: MIT */
#include "bench/peers/plan.h"

#include <stddef.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "bench/load/number.h"

enum kind { KIND_FLAG, KIND_NUMBER, KIND_SECONDS, KIND_CPU, KIND_TEXT, KIND_DIRECTION };

static const struct {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t min;
    uint64_t max;
} specs[] = {
    {"--direction", KIND_DIRECTION, offsetof(struct plan, is_up), 0, 0},
    {"--plain", KIND_FLAG, offsetof(struct plan, is_plain), 0, 0},
    {"--inflight", KIND_NUMBER, offsetof(struct plan, inflight), 1, PLAN_INFLIGHT_MAX},
    {"--request", KIND_NUMBER, offsetof(struct plan, request_bytes), PLAN_HEADER_SIZE,
     PLAN_INFLIGHT_BYTES_MAX},
    {"--response", KIND_NUMBER, offsetof(struct plan, response_bytes), 1, PLAN_INFLIGHT_BYTES_MAX},
    {"--seconds", KIND_SECONDS, offsetof(struct plan, duration_ns), 0, 0},
    {"--warmup", KIND_SECONDS, offsetof(struct plan, warmup_ns), 0, 0},
    {"--bytes", KIND_NUMBER, offsetof(struct plan, bytes), 1, (uint64_t)1 << 50},
    {"--window", KIND_NUMBER, offsetof(struct plan, window_bytes), 65536, (uint64_t)1 << 40},
    {"--address", KIND_TEXT, offsetof(struct plan, address), 0, 0},
    {"--server-netns", KIND_TEXT, offsetof(struct plan, server_netns), 0, 0},
    {"--mtu", KIND_NUMBER, offsetof(struct plan, mtu), 1200, 65507},
    {"--server-cpu", KIND_CPU, offsetof(struct plan, server_cpu), 0, 4095},
    {"--client-cpu", KIND_CPU, offsetof(struct plan, client_cpu), 0, 4095},
    {"--cert", KIND_TEXT, offsetof(struct plan, cert), 0, 0},
    {"--key", KIND_TEXT, offsetof(struct plan, key), 0, 0},
};

static uint8_t payload[PLAN_PAYLOAD_SIZE];

const uint8_t *plan_payload(void)
{
    if (payload[1] == 0) {
        for (uint32_t i = 0; i < sizeof(payload); i++)
            payload[i] = (uint8_t)(i ^ (i >> 8) ^ (i >> 16));
    }
    return payload;
}

static bool set_value(struct plan *plan, size_t i, const char *value)
{
    void *field = (char *)plan + specs[i].offset;
    uint64_t number = 0;
    double seconds = 0;
    switch (specs[i].kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    case KIND_DIRECTION:
        *(bool *)field = strcmp(value, "up") == 0;
        return strcmp(value, "up") == 0 || strcmp(value, "down") == 0;
    case KIND_SECONDS:
        if (!number_parse_decimal(value, &seconds) || seconds > 3600)
            return false;
        *(uint64_t *)field = (uint64_t)(seconds * (double)NS_PER_S);
        return true;
    case KIND_NUMBER:
    case KIND_CPU:
        if (!number_parse_size(value, &number) || number < specs[i].min || number > specs[i].max)
            return false;
        if (specs[i].kind == KIND_CPU)
            *(int *)field = (int)number;
        else
            *(uint64_t *)field = number;
        return true;
    case KIND_TEXT:
        break;
    }
    *(const char **)field = value;
    return true;
}

static bool check(const struct plan *plan, struct failure *failure)
{
    if (!plan->is_plain && (plan->cert == NULL || plan->key == NULL))
        return failure_set(failure, "--cert and --key are needed");
    if (plan->duration_ns == 0)
        return failure_set(failure, "--seconds must be more than 0");
    if (plan->inflight * (plan->request_bytes + plan->response_bytes) > PLAN_INFLIGHT_BYTES_MAX)
        return failure_set(failure, "--inflight with --request and --response: at most 1 MiB");
    return true;
}

bool plan_parse(struct plan *ret, int argc, char **argv, struct failure *failure)
{
    struct plan plan = {
        .inflight = 1,
        .request_bytes = 64,
        .response_bytes = 64,
        .duration_ns = NS_PER_S,
        .warmup_ns = 200 * NS_PER_MS,
        .mtu = 1472,
        .server_cpu = 0,
        .client_cpu = 1,
    };
    if (argc < 2 || (strcmp(argv[1], "bulk") != 0 && strcmp(argv[1], "rr") != 0))
        return failure_set(failure, "the first word must be bulk or rr");
    plan.is_rr = strcmp(argv[1], "rr") == 0;
    for (int at = 2; at < argc; at++) {
        size_t i = 0;
        while (i < sizeof(specs) / sizeof(specs[0]) && strcmp(argv[at], specs[i].name) != 0)
            i++;
        if (i == sizeof(specs) / sizeof(specs[0]))
            return failure_set(failure, "there is no option %s", argv[at]);
        const char *value = "";
        if (specs[i].kind != KIND_FLAG && ++at == argc)
            return failure_set(failure, "%s wants a value", specs[i].name);
        if (specs[i].kind != KIND_FLAG)
            value = argv[at];
        if (!set_value(&plan, i, value))
            return failure_set(failure, "%s: not '%s'", specs[i].name, value);
    }
    if (!check(&plan, failure))
        return false;
    *ret = plan;
    return true;
}

void plan_write_request(const struct plan *plan, uint64_t response_bytes, uint8_t *ret)
{
    for (int i = 0; i < PLAN_HEADER_SIZE; i++)
        ret[i] = (uint8_t)(response_bytes >> (56 - 8 * i));
    if (plan->is_rr)
        memcpy(ret + PLAN_HEADER_SIZE, plan_payload(), plan->request_bytes - PLAN_HEADER_SIZE);
}

uint64_t plan_read_header(const uint8_t header[PLAN_HEADER_SIZE])
{
    uint64_t value = 0;
    for (int i = 0; i < PLAN_HEADER_SIZE; i++)
        value = value << 8 | header[i];
    return value;
}
