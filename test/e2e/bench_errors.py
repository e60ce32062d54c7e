#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench and bad input: one line on stderr that says what is wrong, non-zero, no hang."""
import os
import re
import signal
import socket
import subprocess
import time

import bench_support as support


def unused_port():
    """A port of 127.0.0.1 that nobody had a moment ago: out of the ephemeral range."""
    for port in range(1024, 32768):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue
    raise AssertionError('no port')


class CommandLine(support.BenchTest):
    def test_mistakes_exit_with_2_and_name_the_option(self):
        for words, part in (
                ([], 'the scenario is missing'),
                (['bulk', '--strems', '3'], 'did you mean --streams?'),
                (['bulk', '--streams', 'x'], "--streams must be a number from 1 to 10000, not 'x'"),
                (['rr', '--cipher', 'des'], "not 'des'"),
                (['serve'], 'serve wants --listen'),
                (['bulk', '--runs', '3'], '--runs needs --vs-limit'),
                (['limit', '--streams', '3'], '--streams is for bulk and mixed, not for limit'),
                (['bulk', '--vs-limit', '--connect', '127.0.0.1:9'], 'exclude each other'),
                (['bulk', '--json'], 'a value is missing after --json: FILE'),
                (['bulk', '--s', '1'], 'unknown option --s; see spate-bench --help'),
                (['serve', '--listen', '127.0.0.1:99999'], '--listen must have a port'),
                (['serve', '--listen', 'x'], '--listen must be ADDR:PORT')):
            self.assert_fails(words, part, code=2)

    def test_help_fits_a_terminal_and_names_each_scenario_once(self):
        lines = self.run_bench('--help').stdout.splitlines()
        self.assertLess(max(map(len, lines)), 80)
        self.assertEqual([line for line in lines if re.search(r'\b(\w+): \1:', line)], [])

    def test_a_result_that_is_missing_is_named(self):
        done = self.run_bench('compare', '/missing', '/missing')
        self.assertEqual((done.returncode, done.stderr), (
            2, 'spate-bench compare: /missing: No such file or directory\n'))

    def test_addresses_that_are_none_are_told_apart(self):
        for address, part in (('localhost', 'ADDR:PORT'), ('::1:443', 'ADDR:PORT'),
                              ('[::1]', 'ADDR:PORT'), (':4433', 'ADDR:PORT'),
                              ('127.0.0.1:0', 'must have a port from 1 to 65535'),
                              ('127.0.0.1:65536', 'a port from 1 to 65535'),
                              ('127.0.0.1:x', "not 'x'")):
            self.assert_fails(['bulk', '--connect', address], part, code=2)

    def test_a_name_that_does_not_resolve_is_named(self):
        self.assert_fails(['bulk', '--connect', 'no-such-host.invalid:4433'],
                          "'no-such-host.invalid' does not resolve")
        self.assert_fails(['serve', '--listen', 'no-such-host.invalid:4433'],
                          "'no-such-host.invalid' does not resolve")

    def test_a_cpu_that_is_not_there_is_named(self):
        self.assert_fails(['bulk', '--server-cpu', '4000'], '--server-cpu 4000')
        self.assert_fails(['bulk', '--client-cpu', '4000'], '--client-cpu 4000')
        self.assert_fails(['limit', '--server-cpu', '4000'], '--server-cpu 4000')
        self.assert_fails(['limit', '--client-cpu', '4000'], '--client-cpu 4000')

    def test_outputs_that_cannot_be_written_are_found_before_the_run(self):
        begin = time.monotonic()
        self.assert_fails(['bulk', '--seconds', '30', '--json', '/no/such/folder/x'],
                          '--json /no/such/folder/x', 'No such file')
        self.assert_fails(['rr', '--seconds', '30', '--hist', self.folder.name], '--hist',
                          'directory')
        self.assertLess(time.monotonic() - begin, 10)

    def test_a_full_disk_is_an_error(self):
        self.assert_fails_with_output(['bulk', '--bytes', '1M', '--json', '/dev/full'],
                                      '--json /dev/full', 'No space')

    def test_output_that_is_lost_is_an_error(self):
        for words in (['--help'], ['--version'], ['bulk', '--bytes', '1M']):
            with open('/dev/full', 'w', encoding='utf-8') as full:
                done = subprocess.run([support.BENCH, *words], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr),
                             (1, 'spate-bench: cannot write to stdout\n'))

    def assert_fails_with_output(self, words, *parts):
        done = self.run_bench(*words)
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, *parts)


class Certificates(support.BenchTest):
    def both_forms(self, words, *parts):
        self.assert_fails(['serve', '--listen', '127.0.0.1:0', *words], *parts)
        self.assert_fails(['bulk', '--bytes', '1M', *words], *parts)

    def test_a_missing_file_is_named(self):
        missing = self.path('missing.pem')
        key = self.path('key.pem', support.KEY)
        cert = self.path('cert.pem', support.CERT)
        self.both_forms(['--cert', missing, '--key', key], missing)
        self.both_forms(['--cert', cert, '--key', missing], missing)
        self.assert_fails(['bulk', '--connect', '127.0.0.1:9', '--ca', missing], missing)

    def test_a_file_that_cannot_be_read_is_named(self):
        key = self.path('key.pem', support.KEY)
        self.both_forms(['--cert', self.folder.name, '--key', key], self.folder.name)

    def test_a_file_without_pem_is_named(self):
        cert = self.path('cert.pem', support.CERT)
        key = self.path('key.pem', support.KEY)
        junk = self.path('junk.pem', 'no certificate\n')
        self.both_forms(['--cert', junk, '--key', key], junk)
        self.both_forms(['--cert', cert, '--key', junk], junk)

    def test_a_key_that_does_not_match_is_an_error(self):
        cert = self.path('cert.pem', support.CERT)
        other = self.path('other.pem', support.OTHER_KEY)
        self.both_forms(['--cert', cert, '--key', other], 'match')

    def test_a_stranger_is_not_trusted(self):
        _, address = self.start_server()
        self.assert_fails(['bulk', '--connect', address, '--bytes', '1M'], 'certificate',
                          '--insecure')

    def test_a_certificate_for_another_name_is_not_accepted(self):
        cert = self.path('cert.pem', support.CERT)
        key = self.path('key.pem', support.KEY)
        _, address = self.start_server('--cert', cert, '--key', key)
        self.assert_fails(['bulk', '--connect', address, '--bytes', '1M', '--ca', cert,
                           '--name', 'example.org'], 'certificate')


class Network(support.BenchTest):
    def test_a_port_in_use_is_named(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.0.1', 0))
            address = f'127.0.0.1:{s.getsockname()[1]}'
            self.assert_fails(['serve', '--listen', address], address, 'in use')
            self.assert_fails(['bulk', '--listen', address], address, 'in use')

    def test_an_address_of_another_machine_is_named(self):
        self.assert_fails(['serve', '--listen', '192.0.2.1:4433'], '192.0.2.1:4433')
        self.assert_fails(['limit', '--listen', '192.0.2.1:4433'], 'the kernel path: bind')

    def test_a_refused_connection_fails_at_once(self):
        for scenario in ('bulk', 'rr', 'handshake'):
            begin = time.monotonic()
            address = f'127.0.0.1:{unused_port()}'
            self.assert_fails([scenario, '--connect', address, '--timeout', '30'], address)
            self.assertLess(time.monotonic() - begin, 10)

    def test_a_server_that_never_answers_is_given_up(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.0.1', 0))
            address = f'127.0.0.1:{s.getsockname()[1]}'
            begin = time.monotonic()
            self.assert_fails(['bulk', '--connect', address, '--timeout', '0.5'], address,
                              'within 0.5 s')
            self.assertLess(time.monotonic() - begin, 5)


    def test_a_run_without_a_result_is_no_success(self):
        # One response is more than can come in that time.
        self.assert_fails(['rr', '--response', '1T', '--seconds', '0.2', '--warmup', '0'],
                          'nothing has finished in 0.2')


class ServerGoesAway(support.BenchTest):
    def wait_for_load(self, process):
        time.sleep(0.8)  # past the handshake; a run that is slower only fails another way
        self.assertIsNone(process.poll())

    def fails(self, process, *parts):
        _, stderr = process.communicate(timeout=support.HANG_S)
        self.assertEqual(process.returncode, 1)
        self.assert_one_line(stderr, *parts)

    def test_a_foreign_server_that_is_killed(self):
        for words in (['bulk'], ['bulk', '--direction', 'up'], ['rr'], ['handshake']):
            server, address = self.start_server()
            client = self.start_bench(*words, '--connect', address, '--insecure', '--seconds',
                                      '30', '--timeout', '1')
            self.wait_for_load(client)
            server.kill()
            self.fails(client, address)

    def test_a_server_that_was_killed_and_started_again_says_so(self):
        key = self.path('key', 'x' * 32)
        for backend in 'auto', 'mmsg':
            words = '--reset-key', key, '--backend', backend
            server, address = self.start_server(*words)
            client = self.start_bench('rr', '--connect', address, '--insecure', '--seconds', '60',
                                      '--timeout', '30')
            self.wait_for_load(client)
            server.kill()
            self.start_server(*words, listen=address)
            begin = time.monotonic()
            self.fails(client, address, 'was it restarted?')
            self.assertLess(time.monotonic() - begin, 10)

    def test_a_reset_key_of_another_size_is_refused(self):
        for size in 0, 31, 33:
            key = self.path('key', 'x' * size)
            self.assert_fails(['serve', '--listen', '127.0.0.1:0', '--reset-key', key],
                              '--reset-key', '32 bytes')
        missing = self.path('missing')
        self.assert_fails(['serve', '--listen', '127.0.0.1:0', '--reset-key', missing], missing)
        self.assert_fails(['bulk', '--reset-key', missing], '--reset-key is for serve', code=2)

    def test_a_bad_id_for_load_balancers_is_refused(self):
        for server_id, key in (('123', '00' * 16), ('0g', '00' * 16),
                               ('00' * 13, '00' * 16), ('01', '00' * 15), ('01', 'x' * 32)):
            self.assert_fails(['serve', '--listen', '127.0.0.1:0', '--server-id', server_id,
                               '--lb-key', key], 'in hexadecimal')

    def test_a_foreign_server_that_stops_says_so(self):
        server, address = self.start_server()
        client = self.start_bench('bulk', '--connect', address, '--insecure', '--seconds', '30')
        self.wait_for_load(client)
        server.terminate()
        self.fails(client, address, 'the server stops')
        server.communicate(timeout=support.HANG_S)
        self.assertEqual(server.returncode, 0)

    def test_our_own_server_that_is_killed(self):
        client = self.start_bench('bulk', '--seconds', '30')
        self.wait_for_load(client)
        os.kill(support.child_of(client), signal.SIGKILL)
        self.fails(client, 'killed by signal 9')

    def test_the_servers_process_of_the_limit_that_is_killed(self):
        client = self.start_bench('limit', '--seconds', '30')
        self.wait_for_load(client)
        os.kill(support.child_of(client), signal.SIGKILL)
        self.fails(client, 'killed by signal 9')

    def test_our_own_server_that_hangs(self):
        client = self.start_bench('rr', '--seconds', '30', '--timeout', '0.5')
        self.wait_for_load(client)
        child = support.child_of(client)
        os.kill(child, signal.SIGSTOP)
        self.fails(client, 'nothing has moved for 0.5 s')
        self.assertTrue(support.wait_until_gone(child, 5))

    def test_no_server_outlives_its_client(self):
        client = self.start_bench('bulk', '--seconds', '30')
        self.wait_for_load(client)
        child = support.child_of(client)
        client.kill()
        client.communicate()
        self.assertTrue(support.wait_until_gone(child, 5))

    def test_an_interrupted_run_reports_what_it_has(self):
        client = self.start_bench('bulk', '--seconds', '30', '--warmup', '0')
        self.wait_for_load(client)
        child = support.child_of(client)
        client.send_signal(signal.SIGINT)
        stdout, stderr = client.communicate(timeout=support.HANG_S)
        self.assertEqual((client.returncode, stderr), (130, ''))
        self.assertIn('Gbit/s', stdout)
        self.assertFalse(support.is_alive(child))


if __name__ == '__main__':
    support.main()
