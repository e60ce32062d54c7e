/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/options.h"

#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/options.h"

static const char usage_text[] =
    "usage: spate relay --unit N --identity FILE TRUST... [OPTIONS]\n"
    "\n"
    "Passes packets of a TUN or TAP interface, or of a UDP socket, on to other\n"
    "units, hop by hop, in QUIC datagrams.  Runs until SIGINT or SIGTERM.\n"
    "\n"
    "  --unit N              number of this unit, 1 to 4294967294, of nobody else\n"
    "  --role ROLE           roadside (default): floods what it has no route for;\n"
    "                        onboard: sends that upstream\n"
    "  --listen ADDR:PORT    takes in neighbours; may be given 8 times\n"
    "  --connect HOST:PORT   a neighbour; it is tried again until it answers; up to\n"
    "                        64 times\n"
    "  --upstream HOST:PORT  a neighbour that leads upstream; the one that answers\n"
    "                        fastest is used\n"
    "\n"
    "the device:\n"
    "  --tun NAME            a TUN interface, made if it is not there; give it\n"
    "                        addresses yourself\n"
    "  --tap NAME            a TAP interface; units learn whose hardware addresses\n"
    "                        are where\n"
    "  --udp LOCAL=REMOTE    a UDP socket at LOCAL that talks to REMOTE, both\n"
    "                        ADDR:PORT\n"
    "  --to UNIT             with --udp: for this unit alone, not for all\n"
    "  --no-trains           no TSO and USO of the interface; all units must agree\n"
    "\n"
    "routes:\n"
    "  --prefix CIDR         addresses behind this unit, which it announces; up to\n"
    "                        32 times\n"
    "  --route CIDR=UNIT     addresses behind another one, whatever is announced; up\n"
    "                        to 32 times\n"
    "  --hops N              that a packet may go, 1 to 32 (default: 8)\n"
    "  --beat MS             a heartbeat measures each neighbour so often, 10 to\n"
    "                        10000 (default: 200); one that misses three is not used\n"
    "\n"
    "trust, one at least:\n"
    "  --identity FILE       certificate and key of this unit, made if there is\n"
    "                        none; its fingerprint is printed\n"
    "  --peer FINGERPRINT    neighbours with this one; up to 64 times\n"
    "  --ca FILE             neighbours with a certificate of this CA\n"
    "  --token FILE          neighbours that have this token too (first line, 16\n"
    "                        characters)\n"
    "\n"
    "  --limit BYTES         a second that each neighbour may bring; more is dropped\n"
    "  --datagram-size N     at most so many bytes of UDP payload in a datagram\n"
    "                        (default: 8972)\n"
    "  --report SECONDS      prints the counters so often; otherwise at the end\n"
    "  --json                as JSON, a line each\n";

enum {
    OPTION_UNIT = 256,
    OPTION_ROLE,
    OPTION_LISTEN,
    OPTION_CONNECT,
    OPTION_UPSTREAM,
    OPTION_TUN,
    OPTION_TAP,
    OPTION_UDP,
    OPTION_TO,
    OPTION_NO_TRAINS,
    OPTION_PREFIX,
    OPTION_ROUTE,
    OPTION_HOPS,
    OPTION_BEAT,
    OPTION_IDENTITY,
    OPTION_PEER,
    OPTION_CA,
    OPTION_TOKEN,
    OPTION_LIMIT,
    OPTION_DATAGRAM_SIZE,
    OPTION_REPORT,
    OPTION_JSON,
};

static const struct option long_options[] = {
    {"unit", required_argument, NULL, OPTION_UNIT},
    {"role", required_argument, NULL, OPTION_ROLE},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"connect", required_argument, NULL, OPTION_CONNECT},
    {"upstream", required_argument, NULL, OPTION_UPSTREAM},
    {"tun", required_argument, NULL, OPTION_TUN},
    {"tap", required_argument, NULL, OPTION_TAP},
    {"udp", required_argument, NULL, OPTION_UDP},
    {"to", required_argument, NULL, OPTION_TO},
    {"no-trains", no_argument, NULL, OPTION_NO_TRAINS},
    {"prefix", required_argument, NULL, OPTION_PREFIX},
    {"route", required_argument, NULL, OPTION_ROUTE},
    {"hops", required_argument, NULL, OPTION_HOPS},
    {"beat", required_argument, NULL, OPTION_BEAT},
    {"identity", required_argument, NULL, OPTION_IDENTITY},
    {"peer", required_argument, NULL, OPTION_PEER},
    {"ca", required_argument, NULL, OPTION_CA},
    {"token", required_argument, NULL, OPTION_TOKEN},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"datagram-size", required_argument, NULL, OPTION_DATAGRAM_SIZE},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int usage(const char *what, const char *value)
{
    return message_usage("relay", what, value);
}

static int take_unit(const char *name, const char *value, uint32_t *ret)
{
    uint64_t number;
    int status = options_take_number("relay", name, value, 1, RELAY_ALL - 1, &number);
    if (status == 0)
        *ret = (uint32_t)number;
    return status;
}

static int take_listen(struct relay_options *o, const char *value)
{
    if (o->listen_count == RELAY_LISTEN_MAX)
        return usage("--listen is given too often:", value);
    int status = options_take_address("relay", "--listen", value, &o->listen[o->listen_count]);
    o->listen_count += status == 0;
    return status;
}

static int take_target(struct relay_options *o, const char *value, bool is_upstream)
{
    if (o->target_count == RELAY_TARGETS_MAX)
        return usage("--connect and --upstream are given too often:", value);
    const char *option = is_upstream ? "--upstream" : "--connect";
    int status = options_take_address("relay", option, value, &o->targets[o->target_count].address);
    if (status != 0)
        return status;
    o->targets[o->target_count].text = value;
    o->targets[o->target_count++].is_upstream = is_upstream;
    return 0;
}

static int take_device(struct relay_options *o, enum relay_device_kind kind, const char *name)
{
    if (o->device != RELAY_DEVICE_NONE)
        return usage("one of --tun, --tap and --udp is enough:", name);
    o->device = kind;
    o->device_name = name;
    return 0;
}

static int take_udp(struct relay_options *o, const char *value)
{
    char local[NET_TEXT_SIZE + 256];
    const char *equals = strchr(value, '=');
    int status = take_device(o, RELAY_DEVICE_UDP, value);
    if (status != 0)
        return status;
    if (equals == NULL || (size_t)(equals - value) >= sizeof(local))
        return usage("--udp must be LOCAL=REMOTE, not", value);
    memcpy(local, value, (size_t)(equals - value));
    local[equals - value] = 0;
    status = options_take_address("relay", "--udp", local, &o->udp_local);
    return status != 0 ? status
                       : options_take_address("relay", "--udp", equals + 1, &o->udp_remote);
}

static int take_prefix(struct relay_options *o, const char *value)
{
    if (o->prefix_count == RELAY_OWN_PREFIXES_MAX)
        return usage("--prefix is given too often:", value);
    if (!relay_prefix_parse(value, &o->prefixes[o->prefix_count]))
        return usage("--prefix must be ADDRESS/BITS, not", value);
    o->prefix_count++;
    return 0;
}

static int take_route(struct relay_options *o, const char *value)
{
    char prefix[64];
    const char *equals = strchr(value, '=');
    size_t size = equals != NULL ? (size_t)(equals - value) : sizeof(prefix);
    if (o->route_count == RELAY_OWN_PREFIXES_MAX)
        return usage("--route is given too often:", value);
    if (size >= sizeof(prefix))
        return usage("--route must be ADDRESS/BITS=UNIT, not", value);
    memcpy(prefix, value, size);
    prefix[size] = 0;
    if (!relay_prefix_parse(prefix, &o->routes[o->route_count].prefix))
        return usage("--route must be ADDRESS/BITS=UNIT, not", value);
    return take_unit("--route", equals + 1, &o->routes[o->route_count++].unit);
}

static int take_peer(struct relay_options *o, const char *value)
{
    if (o->trusted_count == RELAY_TRUSTED_MAX)
        return usage("--peer is given too often:", value);
    if (strlen(value) != FINGERPRINT_SIZE - 1 || strncmp(value, "sha256:", 7) != 0)
        return usage("--peer must be sha256: and 64 digits, not", value);
    o->trusted[o->trusted_count++] = value;
    return 0;
}

static int take_role(struct relay_options *o, const char *value)
{
    if (strcmp(value, "roadside") == 0)
        o->role = RELAY_ROADSIDE;
    else if (strcmp(value, "onboard") == 0)
        o->role = RELAY_ONBOARD;
    else
        return usage("--role must be roadside or onboard, not", value);
    return 0;
}

static int take_amount(struct relay_options *o, int option, const char *value)
{
    uint64_t number = 0;
    int status = 0;
    switch (option) {
    case OPTION_HOPS:
        status = options_take_number("relay", "--hops", value, 1, RELAY_HOPS_MAX, &number);
        o->hops = (uint8_t)number;
        break;
    case OPTION_BEAT:
        status = options_take_number("relay", "--beat", value, 10, 10000, &number);
        o->beat_ns = number * 1000000;
        break;
    case OPTION_LIMIT:
        status = options_take_number("relay", "--limit", value, 1000, UINT64_C(125000000000),
                                     &o->rate_bytes_per_s);
        break;
    case OPTION_DATAGRAM_SIZE:
        status =
            options_take_number("relay", "--datagram-size", value, 1200, 65507, &o->datagram_size);
        break;
    default:
        status = options_take_seconds("relay", "--report", value, 1, 86400, &o->report_ns);
        break;
    }
    return status;
}

static int take(void *context, int option, const char *value)
{
    struct relay_options *o = context;
    const struct option_simple simple[] = {
        {OPTION_IDENTITY, &o->identity, NULL},
        {OPTION_CA, &o->ca, NULL},
        {OPTION_TOKEN, &o->token, NULL},
        {OPTION_JSON, NULL, &o->is_json},
        {OPTION_NO_TRAINS, NULL, &o->has_no_trains},
    };
    if (options_take_simple(simple, sizeof(simple) / sizeof(simple[0]), option, value))
        return 0;
    switch (option) {
    case OPTION_UNIT:
        return take_unit("--unit", value, &o->unit);
    case OPTION_ROLE:
        return take_role(o, value);
    case OPTION_LISTEN:
        return take_listen(o, value);
    case OPTION_CONNECT:
    case OPTION_UPSTREAM:
        return take_target(o, value, option == OPTION_UPSTREAM);
    case OPTION_TUN:
        return take_device(o, RELAY_DEVICE_TUN, value);
    case OPTION_TAP:
        return take_device(o, RELAY_DEVICE_TAP, value);
    case OPTION_UDP:
        return take_udp(o, value);
    case OPTION_TO:
        return take_unit("--to", value, &o->device_target);
    case OPTION_PREFIX:
        return take_prefix(o, value);
    case OPTION_ROUTE:
        return take_route(o, value);
    case OPTION_PEER:
        return take_peer(o, value);
    default:
        return take_amount(o, option, value);
    }
}

bool relay_options_parse(struct relay_options *ret, int argc, char **argv, int *ret_status)
{
    *ret = (struct relay_options){
        .hops = 8, .beat_ns = UINT64_C(200000000), .device_target = RELAY_ALL};
    const struct options_spec spec = {"relay", usage_text, ":", long_options, take, ret};
    if (!options_parse(&spec, argc, argv, ret_status))
        return false;
    if (optind < argc)
        *ret_status = usage("takes no arguments, got", argv[optind]);
    else if (ret->unit == 0)
        *ret_status = usage("--unit is missing", NULL);
    else if (ret->identity == NULL)
        *ret_status = usage("--identity is missing", NULL);
    else if (ret->trusted_count == 0 && ret->ca == NULL && ret->token == NULL)
        *ret_status = usage("--peer, --ca or --token must say whom to trust", NULL);
    else if (ret->listen_count == 0 && ret->target_count == 0)
        *ret_status = usage("--listen, --connect or --upstream is missing", NULL);
    return *ret_status == 0;
}
