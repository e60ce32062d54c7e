/* SPDX-License-Identifier: MIT */
/* The load generator's command line: values, defaults, and what it says about mistakes. */

#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/config.h>

#include "bench/load/failure.h"
#include "bench/load/number.h"
#include "bench/load/options.h"

#define WORDS_MAX 32

static struct options options;
static struct failure failure;

/* Parses a line of words that are separated by one blank. */
static bool parse(const char *line)
{
    static char copy[512];
    char *words[WORDS_MAX];
    int count = 0;

    (void)snprintf(copy, sizeof(copy), "spate-bench %s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    memset(&failure, 0, sizeof(failure));
    return options_parse(count, words, &options, &failure);
}

static void expect_failure(const char *line, const char *text)
{
    assert_false(parse(line));
    assert_true(failure.is_set);
    assert_string_equal(failure.text, text);
}

static void sizes_take_units_of_1000_and_1024(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0},
        {"1500", 1500},
        {"64K", 64000},
        {"1.5M", 1500000},
        {"10G", 10000000000},
        {"1T", 1000000000000},
        {"2Ki", 2048},
        {"0.5Mi", 512 * 1024},
        {"1Gi", UINT64_C(1) << 30},
        {"1e6", 1000000},
        {"1Ti", UINT64_C(1) << 40},
    };
    static const char *const bad[] = {"",     "-1",  "+1",  " 1",  "1 ",   "x", "1x", "1KK",  "1k",
                                      "0x10", "inf", "nan", "1.5", "1e99", "G", ".5", "1,000"};
    (void)state;
    for (size_t i = 0; i < QT_COUNT(good); i++) {
        uint64_t value = 0;
        assert_true(number_parse_size(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < QT_COUNT(bad); i++) {
        uint64_t value = 77;
        assert_false(number_parse_size(bad[i], &value));
        assert_int_equal(value, 77);
    }
}

static void sizes_are_formatted_with_the_largest_exact_unit(void **state)
{
    static const struct {
        uint64_t value;
        const char *text;
    } samples[] = {
        {0, "0"}, {1500, "1500"}, {64000, "64K"}, {65536, "64Ki"}, {UINT64_C(1) << 40, "1Ti"},
    };
    (void)state;
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        char text[32];
        number_format_size(text, sizeof(text), samples[i].value);
        assert_string_equal(text, samples[i].text);
    }
}

static void defaults_depend_on_the_scenario(void **state)
{
    (void)state;
    assert_true(parse("bulk"));
    assert_int_equal(options.scenario, SCENARIO_BULK);
    assert_int_equal(options.duration_ns, 5000000000);
    assert_int_equal(options.warmup_ns, 500000000);
    assert_int_equal(options.streams, 1);
    assert_int_equal(options.direction, DIRECTION_DOWN);
    assert_string_equal(options.listen, "127.0.0.1:0");

    assert_true(parse("bulk --bytes 10M")); /* all of it, and no time limit */
    assert_int_equal(options.duration_ns, 0);
    assert_int_equal(options.warmup_ns, 0);
    assert_int_equal(options.bytes, 10000000);

    assert_true(parse("rr"));
    assert_int_equal(options.inflight, 1);
    assert_int_equal(options.request_bytes, 64);
    assert_true(parse("handshake"));
    assert_int_equal(options.inflight, 16);
    assert_true(parse("serve --listen [::]:4433"));
    assert_int_equal(options.duration_ns, 0);
    assert_true(parse("rr --connect localhost:4433"));
    assert_null(options.listen);

    assert_true(parse("limit"));
    assert_int_equal(options.duration_ns, 1000000000);
    assert_int_equal(options.runs, 5);
    assert_string_equal(options.listen, "127.0.0.1:0");
    assert_true(parse("bulk --vs-limit"));
    assert_int_equal(options.duration_ns, 1000000000); /* of each of its runs */
    assert_int_equal(options.warmup_ns, 200000000);
}

static void every_option_reaches_its_field(void **state)
{
    (void)state;
    assert_true(parse("bulk --seconds 0.25 --warmup 0 --direction up --streams 7 --conns=3 "
                      "--server-cpu 1 --client-cpu any --mtu 1400 --verify --timeout 2"));
    assert_int_equal(options.duration_ns, 250000000);
    assert_int_equal(options.warmup_ns, 0);
    assert_int_equal(options.direction, DIRECTION_UP);
    assert_int_equal(options.streams, 7);
    assert_int_equal(options.conns, 3);
    assert_int_equal(options.server_cpu, 1);
    assert_int_equal(options.client_cpu, CPU_ANY);
    assert_int_equal(options.mtu, 1400);
    assert_true(options.verify);
    assert_int_equal(options.timeout_ns, 2000000000);

    assert_true(parse("rr --request 1Ki --response 0 --rate 2500 --arrivals uniform "
                      "--json a --hist b"));
    assert_int_equal(options.request_bytes, 1024);
    assert_int_equal(options.response_bytes, 0);
    assert_true(options.rate == 2500);
    assert_int_equal(options.arrivals, ARRIVALS_UNIFORM);
    assert_string_equal(options.json, "a");
    assert_string_equal(options.hist, "b");

    assert_true(parse("rr --connect h:1 --cipher chacha20-poly1305 --cert c --key k --ca a "
                      "--name n --keylog l"));
    assert_string_equal(options.connect, "h:1");
    assert_string_equal(options.cipher, "chacha20-poly1305");
    assert_int_equal(options.cipher_bits, 4);
    assert_string_equal(options.cert, "c");
    assert_string_equal(options.key, "k");
    assert_string_equal(options.ca, "a");
    assert_string_equal(options.name, "n");
    assert_string_equal(options.keylog, "l");
    assert_true(parse("rr --vs-limit --runs 7"));
    assert_true(options.vs_limit);
    assert_int_equal(options.runs, 7);
    assert_true(parse("handshake --vs-bare"));
    assert_true(options.vs_bare);
    assert_int_equal(options.duration_ns, 1000000000);
    assert_true(parse("bulk --insecure"));
    assert_true(options.insecure);
    assert_int_equal(options.profile, 0);
    assert_true(parse("bulk --profile lan"));
    assert_int_equal(options.profile, SPATE_PROFILE_LAN);
    assert_true(parse("serve --listen a:1 --profile wan"));
    assert_int_equal(options.profile, SPATE_PROFILE_WAN);
}

static void help_and_version_need_no_scenario(void **state)
{
    (void)state;
    assert_true(parse("--help"));
    assert_true(options.help);
    assert_true(parse("-h"));
    assert_true(options.help);
    assert_true(parse("--version"));
    assert_true(options.version);
}

static void a_mistake_gives_one_line_that_names_it(void **state)
{
    static const struct {
        const char *line;
        const char *text;
    } samples[] = {
        {"", "the scenario is missing: bulk, rr, handshake, datagram, mixed, idle, messages, "
             "limit, serve, "
             "bidi, fanin, fanout, pps, churn, loss, pressure or soak; "
             "see spate-bench --help"},
        {"bulky", "no scenario 'bulky': it must be bulk, rr, handshake, datagram, mixed, idle, "
                  "messages, limit, serve, "
                  "bidi, fanin, fanout, pps, churn, loss, pressure or soak; "
                  "see spate-bench --help"},
        {"bulk rr", "'rr' is one word too many: the scenario is bulk already"},
        {"bulk --strems 1", "unknown option --strems: did you mean --streams?"},
        {"bulk --frobnicate", "unknown option --frobnicate; see spate-bench --help"},
        {"bulk -x", "unknown option -x; see spate-bench --help"},
        {"bulk --streams", "a value is missing after --streams: N"},
        {"bulk --crypto x", "--crypto must be auto, openssl or fused, not 'x'"},
        {"bulk --backend x", "--backend must be auto, io_uring or mmsg, not 'x'"},
        {"bulk --direction x", "--direction must be down, up or both, not 'x'"},
        {"bulk --streams x", "--streams must be a number from 1 to 10000, not 'x'"},
        {"bulk --streams 0", "--streams must be a number from 1 to 10000, not '0'"},
        {"bulk --streams 10001", "--streams must be a number from 1 to 10000, not '10001'"},
        {"bulk --streams 1K", "--streams must be a number from 1 to 10000, not '1K'"},
        {"bulk --bytes 1Q",
         "--bytes must be a size from 1 to 1000T, such as 1500 or 10M, not '1Q'"},
        {"bulk --seconds -1", "--seconds must be seconds from 0.01 to 86400, not '-1'"},
        {"rr --rate 0", "--rate must be a number from 1 to 100000000, not '0'"},
        {"bulk --mtu 1199", "--mtu must be a number from 1200 to 65507, not '1199'"},
        {"bulk --direction left", "--direction must be down, up or both, not 'left'"},
        {"bulk --cipher rot13",
         "--cipher must be aes-128-gcm, aes-256-gcm or chacha20-poly1305, not 'rot13'"},
        {"bulk --server-cpu x", "--server-cpu must be the number of a CPU or 'any', not 'x'"},
        {"bulk --insecure=1", "--insecure takes no value"},
        {"bulk --json=", "--json must be FILE, not nothing"},
        {"bulk --cert c", "--key is missing: --cert and --key belong together"},
        {"bulk --key k", "--cert is missing: --cert and --key belong together"},
        {"serve", "serve wants --listen ADDR:PORT, such as --listen [::]:4433"},
        {"rr --streams 2", "--streams is for bulk and mixed, not for rr"},
        {"rr --bulk-conns 2", "--bulk-conns is for mixed, not for rr"},
        {"mixed --bytes 1M", "--bytes is for bulk, not for mixed"},
        {"mixed --bulk-conns 1000 --streams 1001",
         "--bulk-conns times --streams is at most 1000000"},
        {"bulk --inflight 2",
         "--inflight is for rr, handshake, mixed, idle and messages, not for bulk"},
        {"serve --listen a:1 --ca x",
         "--ca is for bulk, rr, handshake, datagram, mixed, idle and messages, not for serve"},
        {"rr --rate 10 --inflight 2",
         "--rate and --inflight exclude each other: a fixed rate does not wait for answers"},
        {"rr --busy-poll --spin 50", "--busy-poll and --spin exclude each other: it never sleeps"},
        {"bulk --profile man", "--profile must be none, lan or wan, not 'man'"},
        {"bulk --profile wan --cc bbr",
         "--profile and --cc exclude each other: it chooses the controller"},
        {"bulk --connect a:1 --shards 2",
         "--connect and --shards exclude each other: the server is not ours"},
        {"bulk --shards 65", "--shards must be a number from 0 to 64, not '65'"},
        {"serve --listen a:1 --sockets 2",
         "--sockets is for bulk, rr, handshake, datagram, mixed, idle and messages, not for serve"},
        {"bulk --connect a:1 --server-cpu 0",
         "--connect and --server-cpu exclude each other: the server is not ours"},
        {"rr --arrivals uniform", "--arrivals needs --rate"},
        {"bulk --runs 3", "--runs needs --vs-limit or --vs-bare"},
        {"rr --vs-bare", "--vs-bare is for handshake, not for rr"},
        {"handshake --vs-bare --connect a:1",
         "--connect and --vs-bare exclude each other: the server is not ours"},
        {"handshake --vs-limit", "--vs-limit is for bulk and rr, not for handshake"},
        {"limit --conns 2",
         "--conns is for bulk, rr, datagram, mixed, idle and messages, not for limit"},
        {"limit --runs 100", "--runs must be a number from 1 to 99, not '100'"},
        {"bulk --vs-limit --connect a:1",
         "--connect and --vs-limit exclude each other: the limit needs both sides"},
        {"rr --vs-limit --rate 10",
         "--rate and --vs-limit exclude each other: latency then counts from when a request was "
         "meant to start"},
        {"mixed --direction both", "--direction both is for bulk, not for mixed"},
        {"bulk --vs-limit --loss 1",
         "--vs-limit is for one direction, and for no path but loopback"},
        {"mixed --interval 1", "--interval is for soak, not for mixed"},
        {"fanin --inflight 2",
         "--inflight is for rr, handshake, mixed, idle and messages, not for fanin"},
        {"soak --seconds 1000 --interval 0.05", "--seconds over --interval is at most 4096"},
        {"rr --conns 10001", "--conns is at most 10000, but for idle"},
        {"rr --bulk", "--bulk is for idle, not for rr"},
        {"idle --conns 500001", "--conns must be a number from 1 to 500000, not '500001'"},
        {"bulk --conns 10000 --streams 101", "--conns times --streams is at most 1000000"},
    };
    (void)state;
    for (size_t i = 0; i < QT_COUNT(samples); i++)
        expect_failure(samples[i].line, samples[i].text);
}

static void idle_has_defaults_of_its_own(void **state)
{
    (void)state;
    assert_true(parse("idle"));
    assert_int_equal(options.conns, 1000);
    assert_int_equal(options.inflight, 16);
    assert_true(options.keep_alive_ns == 30 * UINT64_C(1000000000));
    assert_true(options.warmup_ns == 4 * UINT64_C(1000000000));
    assert_true(parse("idle --conns 100000 --keep-alive 2.5 --bulk --rate 500"));
    assert_int_equal(options.conns, 100000);
    assert_true(options.keep_alive_ns == 2500 * UINT64_C(1000000));
    assert_true(options.bulk);
    assert_true(parse("rr"));
    assert_int_equal(options.conns, 1);
    assert_true(options.keep_alive_ns == 0 && !options.bulk);
}

static void messages_have_a_size_and_a_pattern(void **state)
{
    (void)state;
    assert_true(parse("messages"));
    assert_int_equal(options.kind, SCENARIO_MESSAGES);
    assert_int_equal(options.message_bytes, 1000);
    assert_int_equal(options.pattern, PATTERN_REQUEST);
    assert_int_equal(options.inflight, 1);
    assert_int_equal(options.conns, 1);
    assert_false(options.ordered || options_has_relay(&options));
    assert_true(parse("messages --pattern publish --size 64Mi --ordered --conns 100 --loss 5"));
    assert_int_equal(options.message_bytes, 64 << 20);
    assert_int_equal(options.pattern, PATTERN_PUBLISH);
    assert_int_equal(options.inflight, 16);
    assert_int_equal(options.conns, 100);
    assert_true(options.ordered && options_has_relay(&options));
    assert_true(parse("datagram"));
    assert_int_equal(options.message_bytes, 100);
    expect_failure("messages --size 31", "--size is at least 32 for messages");
    expect_failure("datagram --size 65001", "--size is at most 65000 for datagram");
    expect_failure("rr --ordered", "--ordered is for messages, not for rr");
}

static void a_scenario_presets_what_the_line_does_not_have(void **state)
{
    (void)state;
    assert_true(parse("fanin"));
    assert_int_equal(options.scenario, SCENARIO_FANIN);
    assert_int_equal(options.kind, SCENARIO_BULK);
    assert_int_equal(options.conns, 16);
    assert_int_equal(options.direction, DIRECTION_UP);
    assert_true(parse("--conns 3 fanin --direction down")); /* in any order */
    assert_int_equal(options.conns, 3);
    assert_int_equal(options.direction, DIRECTION_DOWN);
    assert_true(parse("bidi"));
    assert_int_equal(options.direction, DIRECTION_BOTH);
    assert_true(parse("churn --early"));
    assert_true(options.leaks && options.first_byte && options.resume);
    assert_int_equal(options.inflight, 16);
    assert_true(parse("pps"));
    assert_int_equal(options.message_bytes, 600);
    assert_int_equal(options.mtu, 1200);
    assert_true(parse("loss"));
    assert_true(options_has_relay(&options));
    assert_true(parse("loss --loss 0 --delay 0"));
    assert_false(options_has_relay(&options));
    assert_true(parse("soak"));
    assert_true(options.duration_ns == 3600 * UINT64_C(1000000000));
    assert_true(options.interval_ns == 60 * UINT64_C(1000000000));
    assert_true(parse("bulk"));
    assert_false(options_has_relay(&options));
    assert_int_equal(options.kind, SCENARIO_BULK);
}

static void a_failed_parse_leaves_the_result_alone(void **state)
{
    (void)state;
    assert_true(parse("bulk --streams 9"));
    assert_false(parse("bulk --streams 5 --nope"));
    assert_int_equal(options.streams, 9);
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    char clean[8];
    failure_clean(clean, sizeof(clean), "a\x1b[2J\nlong");
    assert_string_equal(clean, "a [2J l");
    memset(&failure, 0, sizeof(failure));
    assert_false(failure_set(&failure, "one\ntwo"));
    assert_string_equal(failure.text, "one two");
    assert_false(failure_set(&failure, "later"));
    assert_string_equal(failure.text, "one two"); /* the first reason wins */
}

static void help_names_every_kind_of_option(void **state)
{
    (void)state;
    char *text = NULL;
    size_t text_size = 0;
    FILE *file = open_memstream(&text, &text_size);
    assert_non_null(file);
    options_print_help(file);
    assert_int_equal(fclose(file), 0);
    static const char *const names[] = {
        "--streams N", "--connect ADDR:PORT", "--listen ADDR:PORT", "--insecure",
        "--rate R",    "--cert-out FILE",     "--hist FILE",        "serve --listen"};
    for (size_t i = 0; i < QT_COUNT(names); i++)
        assert_non_null(strstr(text, names[i]));
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 100);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_take_units_of_1000_and_1024),
        cmocka_unit_test(sizes_are_formatted_with_the_largest_exact_unit),
        cmocka_unit_test(defaults_depend_on_the_scenario),
        cmocka_unit_test(every_option_reaches_its_field),
        cmocka_unit_test(help_and_version_need_no_scenario),
        cmocka_unit_test(a_mistake_gives_one_line_that_names_it),
        cmocka_unit_test(messages_have_a_size_and_a_pattern),
        cmocka_unit_test(a_scenario_presets_what_the_line_does_not_have),
        cmocka_unit_test(a_failed_parse_leaves_the_result_alone),
        cmocka_unit_test(idle_has_defaults_of_its_own),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(help_names_every_kind_of_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
