/* SPDX-License-Identifier: MIT */
#include "test/relay/options.h"

#include <string.h>

#include "test/interop/relay/program.h"

enum { MTU_MIN = 1280, MTU_MAX = 65535 };

#define NAME "ip-relay"

#define JOIN_NS_DEFAULT UINT64_C(50000)

static const char usage_text[] =
    "usage: ip-relay --left NETNS --right NETNS [OPTIONS]\n"
    "\n"
    "Passes IP packets of any kind between two network namespaces, over a path that is not "
    "perfect.\n"
    "NETNS is a path such as /proc/1234/ns/net, or a name in /run/netns.  Left has 10.77.0.1 and\n"
    "fd77::1 then, right has 10.77.0.2 and fd77::2, each at a device \"path\".\n"
    "\n"
    "  --to-right LINK       what happens from left to right, --to-left LINK: from right to left,\n"
    "  --both LINK           or both.  LINK is KEY=VALUE,KEY=VALUE...:\n" LINK_USAGE
    "  --mtu N               of the devices (1500)\n"
    "  --whole               a train (GSO) meets the link as one packet, not as its segments\n"
    "  --join TIME           segments of a train that arrive within it come out as a train again\n"
    "                        (50us)\n"
    "  --gro off             no trains come out; --gso off: the kernel cuts them before\n"
    "  --memory BYTES        of packets on their way (2147483648)\n"
    "  --seed N              chance (1)\n"
    "\n"
    "It prints \"ready\", and counters as a line of JSON when SIGINT or SIGTERM end it.  All "
    "sizes\n"
    "are those of IP packets.\n";

static int fail(const char *what, const char *value)
{
    return program_fail(NAME, what, value);
}

static int set_link(const char *text, struct line_config *a, struct line_config *b)
{
    return program_link(NAME, text, &a->link, b == NULL ? NULL : &b->link);
}

static int set_mtu(const char *text, uint32_t *ret)
{
    uint64_t number = 0;
    int status = program_number(NAME, "--mtu must be a number, not", text, &number);
    if (status != 0)
        return status;
    if (number < MTU_MIN || number > MTU_MAX)
        return fail("--mtu goes from 1280 to 65535, not to", text);
    *ret = (uint32_t)number;
    return 0;
}

static int set_join(struct ip_options *o, const char *text)
{
    uint64_t join_ns;
    if (!link_parse_time(text, &join_ns))
        return fail("--join must be a time, not", text);
    o->lines[SIDE_LEFT].join_ns = o->lines[SIDE_RIGHT].join_ns = join_ns;
    return 0;
}

static int take(void *context, int option, const char *value)
{
    struct ip_options *o = context;
    switch (option) {
    case 'l':
        o->netns[SIDE_LEFT] = value;
        return 0;
    case 'r':
        o->netns[SIDE_RIGHT] = value;
        return 0;
    case 'R':
        return set_link(value, &o->lines[SIDE_LEFT], NULL);
    case 'L':
        return set_link(value, &o->lines[SIDE_RIGHT], NULL);
    case 'b':
        return set_link(value, &o->lines[SIDE_LEFT], &o->lines[SIDE_RIGHT]);
    case 'm':
        return set_mtu(value, &o->mtu);
    case 'w':
        o->lines[SIDE_LEFT].keeps_whole = o->lines[SIDE_RIGHT].keeps_whole = true;
        return 0;
    case 'j':
        return set_join(o, value);
    case 'G':
        o->lines[SIDE_LEFT].splits = o->lines[SIDE_RIGHT].splits = true;
        return strcmp(value, "off") == 0 ? 0 : fail("--gro takes off only, not", value);
    case 'g':
        o->has_offloads = false;
        return strcmp(value, "off") == 0 ? 0 : fail("--gso takes off only, not", value);
    case 'M':
        return program_number(NAME, "--memory must be bytes, not", value, &o->memory_bytes);
    default: /* 's' */
        return program_number(NAME, "--seed must be a number, not", value, &o->seed);
    }
}

bool ip_options_parse(struct ip_options *ret, int argc, char **argv, int *ret_status)
{
    static const struct option options[] = {
        {"left", required_argument, NULL, 'l'},     {"right", required_argument, NULL, 'r'},
        {"to-right", required_argument, NULL, 'R'}, {"to-left", required_argument, NULL, 'L'},
        {"both", required_argument, NULL, 'b'},     {"mtu", required_argument, NULL, 'm'},
        {"whole", no_argument, NULL, 'w'},          {"join", required_argument, NULL, 'j'},
        {"gro", required_argument, NULL, 'G'},      {"gso", required_argument, NULL, 'g'},
        {"memory", required_argument, NULL, 'M'},   {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    const struct program_options program = {NAME, usage_text, options, take, ret};
    memset(ret, 0, sizeof(*ret));
    ret->mtu = 1500;
    ret->has_offloads = true;
    ret->memory_bytes = UINT64_C(2) << 30;
    ret->seed = 1;
    ret->lines[SIDE_LEFT].join_ns = ret->lines[SIDE_RIGHT].join_ns = JOIN_NS_DEFAULT;
    if (!program_parse(&program, argc, argv, ret_status))
        return false;
    if (ret->netns[SIDE_LEFT] == NULL || ret->netns[SIDE_RIGHT] == NULL)
        *ret_status = fail("--left and --right are needed", "");
    return *ret_status == 0;
}
