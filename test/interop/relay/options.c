/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/options.h"

#include <string.h>

#include "test/interop/relay/program.h"

#define NAME "relay"

static const char usage_text[] =
    "usage: relay --map LISTEN=SERVER [OPTIONS]\n"
    "\n"
    "Passes UDP datagrams between clients and a server, as a NAT and a path that is not perfect.\n"
    "\n"
    "  --map LISTEN=SERVER   clients send to LISTEN, for example 127.0.0.1:0=127.0.0.1:4433; up "
    "to\n"
    "                        4 of them\n"
    "  --up LINK             what happens on the way to the server, --down LINK: to the client,\n"
    "  --both LINK           or both.  LINK is KEY=VALUE,KEY=VALUE...:\n" LINK_USAGE
    "  --via ADDR            where the sockets to the server are bound; may be repeated, for\n"
    "  --rebind-addr         rebinding to the next of them\n"
    "  --rebind TIME[/PERIOD]  every client gets another port then, after its first datagram\n"
    "  --gso off, --gro off  breaks trains apart, when they are sent or before they are received\n"
    "  --memory BYTES        of datagrams on their way (default: 268435456)\n"
    "  --seed N              chance (default: 1)\n"
    "\n"
    "It prints \"listening at ADDR:PORT\" for each map, \"rebound N\" when it rebinds, and "
    "counters as\n"
    "a line of JSON when SIGINT or SIGTERM end it.\n";

static int fail(const char *what, const char *value)
{
    return program_fail(NAME, what, value);
}

static int add_map(struct relay_options *o, const char *text)
{
    char listen[80];
    const char *server = strchr(text, '=');
    size_t size = server != NULL ? (size_t)(server - text) : sizeof(listen);
    if (size >= sizeof(listen) || o->door_count == FLOWS_DOORS_MAX)
        return fail("--map must be LISTEN=SERVER, at most 4 times, not", text);
    memcpy(listen, text, size);
    listen[size] = 0;
    struct flows_door *door = &o->doors[o->door_count];
    if (!batch_parse_address(listen, &door->listen) ||
        !batch_parse_address(server + 1, &door->server))
        return fail("--map must be addresses, not", text);
    o->door_count++;
    return 0;
}

static int set_rebind(struct relay_options *o, const char *text)
{
    char copy[64];
    if (strlen(text) >= sizeof(copy))
        return fail("--rebind must be TIME[/PERIOD], not", text);
    memcpy(copy, text, strlen(text) + 1);
    char *period = strchr(copy, '/');
    if (period != NULL)
        *period++ = 0;
    if (!link_parse_time(copy, &o->rebind_ns) ||
        (period != NULL && !link_parse_time(period, &o->rebind_period_ns)))
        return fail("--rebind must be TIME[/PERIOD], not", text);
    return 0;
}

static int set_off(const char *option, const char *text, bool *ret)
{
    *ret = false;
    return strcmp(text, "off") == 0 ? 0 : fail(option, text);
}

static int take(void *context, int option, const char *value)
{
    struct relay_options *o = context;
    switch (option) {
    case 'm':
        return add_map(o, value);
    case 'u':
        return program_link(NAME, value, &o->up, NULL);
    case 'd':
        return program_link(NAME, value, &o->down, NULL);
    case 'b':
        return program_link(NAME, value, &o->up, &o->down);
    case 'v':
        if (o->via_count == FLOWS_VIA_MAX || !batch_parse_address(value, &o->via[o->via_count]))
            return fail("--via must be an address, at most 8 times, not", value);
        o->via_count++;
        return 0;
    case 'r':
        return set_rebind(o, value);
    case 'a':
        o->rebinds_address = true;
        return 0;
    case 'g':
        return set_off("--gso takes off only, not", value, &o->gso);
    case 'G':
        return set_off("--gro takes off only, not", value, &o->gro);
    case 'M':
        return program_number(NAME, "--memory must be bytes, not", value, &o->memory_bytes);
    default: /* 's' */
        return program_number(NAME, "--seed must be a number, not", value, &o->seed);
    }
}

bool relay_options_parse(struct relay_options *ret, int argc, char **argv, int *ret_status)
{
    static const struct option options[] = {
        {"map", required_argument, NULL, 'm'},
        {"up", required_argument, NULL, 'u'},
        {"down", required_argument, NULL, 'd'},
        {"both", required_argument, NULL, 'b'},
        {"via", required_argument, NULL, 'v'},
        {"rebind", required_argument, NULL, 'r'},
        {"rebind-addr", no_argument, NULL, 'a'},
        {"gso", required_argument, NULL, 'g'},
        {"gro", required_argument, NULL, 'G'},
        {"memory", required_argument, NULL, 'M'},
        {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const struct program_options program = {NAME, usage_text, options, take, ret};
    memset(ret, 0, sizeof(*ret));
    ret->gro = ret->gso = true;
    ret->memory_bytes = UINT64_C(256) << 20;
    ret->seed = 1;
    if (!program_parse(&program, argc, argv, ret_status))
        return false;
    if (ret->door_count == 0)
        *ret_status = fail("--map is missing", "");
    else if (ret->up.has_l4s || ret->down.has_l4s)
        *ret_status = fail("l4s=on is for ip-relay alone", "");
    return *ret_status == 0;
}
