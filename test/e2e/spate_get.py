#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate serve and spate get: a server and its clients over real sockets.  What arrives, what is
refused, and that nothing half stays under its final name."""
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import time
import unittest

from spate_get_support import HANG_S, SPATE, Case


class Files(Case):
    def test_files_of_all_sizes_come_over_one_connection(self):
        names = []
        for size in (0, 1, 1199, 16383, 16384, 16385, 262144, 278528, 278529, 20_000_000):
            names.append(f'file{size}')
            self.make(names[-1], os.urandom(size))
        server, url = self.serve('--conns', '1')  # no second one would get in
        self.assert_all(self.get(*(f'{url}/{name}' for name in names)))
        self.assertEqual(sorted(os.listdir(self.to)), sorted(names))
        self.assert_same(*names)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0)

    def test_more_files_than_streams_at_a_time(self):
        names = [f'n{i}' for i in range(700)]
        for name in names:
            self.make(name, name.encode() * 3)
        _, url = self.serve()
        self.assert_all(self.get(*(f'{url}/{name}' for name in names), '--parallel', '1000'))
        self.assert_same(*names)

    def test_a_connection_for_each_file(self):
        names = [f'n{i}' for i in range(30)]
        for name in names:
            self.make(name, name.encode())
        _, url = self.serve()
        self.assert_all(self.get('--separate', '--parallel', '7', '--window', '1Ki',
                                 *(f'{url}/{name}' for name in names)))
        self.assert_same(*names)

    def test_names_with_odd_characters(self):
        names = ['a b', 'ünïcode', '100%', 'q?', 'h#', "quote'\"", 'line\nend', 'back\\slash',
                 '-o', '.hidden', 'tab\tx', 'n' * 255, '~', '[x]', 'a&b=c+d', b'\xff\xfe'.decode(
                     errors='surrogateescape')]
        for name in names:
            self.make(f'd/{name}', os.fsencode(name))
        _, url = self.serve()
        urls = []
        for name in names:
            encoded = name.replace('%', '%25').replace('?', '%3F').replace('#', '%23')
            urls.append(f'{url}/d/{encoded}')
        self.assert_all(self.get(*urls))
        self.assert_same(*(f'd/{name}' for name in names))
        self.assertEqual(sorted(os.listdir(self.to)), sorted(names))

    def test_over_v6_with_retry_and_one_cipher(self):
        self.make('file', os.urandom(100_000))
        server, url = self.serve('--retry', '--cipher', 'chacha20-poly1305', '--verbose',
                                 listen='[::1]:0')
        self.assert_all(self.get('--window', '4Ki', f'{url}/file'))
        self.assert_same('file')
        refused = self.get('--cipher', 'aes-128-gcm', f'{url}/file')
        self.assert_one_line(refused, '1 file is missing')
        self.assertEqual(server.stdout.readline(), '200 100000 /file\n')

    def test_each_version_of_quic_and_none_in_common(self):
        self.make('file', os.urandom(100_000))
        _, both = self.serve()
        _, one = self.serve('--quic', 'only-1')
        for url, versions, is_good in ((both, 'only-2', True), (both, 'prefer-2', True),
                                       (one, 'begin-2', True), (one, 'only-2', False)):
            done = self.get('--insecure', '--quic', versions, '--update-keys', f'{url}/file',
                            trust=False)
            if is_good:
                self.assert_all(done)
                self.assert_same('file')
                (self.to / 'file').unlink()
            else:
                self.assert_one_line(done, 'no QUIC version that we do; 1 file is missing')

    def test_a_connection_moves_to_another_port_if_asked_to(self):
        self.make('file', os.urandom(2_000_000))
        # A move that fails is reported after 3 s, before the slow transfer ends.
        for words, rate, ports in (([], '50mbit', 1), (['--migrate'], '4mbit', 2)):
            server, url = self.serve('--conns', '1', '--verbose')  # no second one would get in
            relay, url = self.relay_to(url, rate)
            self.assert_all(self.get(*words, f'{url}/file'))
            self.assert_same('file')
            # The server prints this after the last acknowledgment, which needs the relay.
            self.assertEqual(server.stdout.readline(), '200 2000000 /file\n')
            relay.send_signal(signal.SIGTERM)
            report = json.loads(relay.communicate(timeout=HANG_S)[0].splitlines()[-1])
            self.assertEqual(report['flows'], ports)
            (self.to / 'file').unlink()

    def test_two_servers_at_once(self):
        self.make('a', b'a')
        self.make('b', b'b')
        _, one = self.serve()
        _, two = self.serve()
        self.assert_all(self.get('--insecure', f'{one}/a', f'{two}/b', trust=False))
        self.assert_same('a', 'b')

    def test_the_folder_is_made_and_an_old_file_is_replaced(self):
        self.make('file', b'new')
        _, url = self.serve()
        fresh = self.to / 'fresh'
        self.assert_all(self.get(f'{url}/file', to=fresh))
        (self.to / 'file').write_bytes(b'old and longer')
        self.assert_all(self.get(f'{url}/file'))
        self.assertEqual((self.to / 'file').read_bytes(), b'new')
        self.assertEqual((fresh / 'file').read_bytes(), b'new')

    def test_a_link_under_the_final_name_is_replaced_and_not_followed(self):
        self.make('file', b'new')
        other = self.top / 'other'
        other.write_bytes(b'precious')
        (self.to / 'file').symlink_to(other)
        _, url = self.serve()
        self.assert_all(self.get(f'{url}/file'))
        self.assertEqual(other.read_bytes(), b'precious')
        self.assertFalse((self.to / 'file').is_symlink())

    def test_secrets_go_into_the_key_log_of_the_environment(self):
        self.make('file', b'x')
        logs = {side: self.top / f'{side}.keys' for side in ('server', 'client')}
        _, url = self.serve(env={**os.environ, 'SSLKEYLOGFILE': str(logs['server'])})
        self.assert_all(self.get(f'{url}/file',
                                 env={**os.environ, 'SSLKEYLOGFILE': str(logs['client'])}))
        lines = [sorted(log.read_text().splitlines()) for log in logs.values()]
        self.assertTrue(lines[0])
        self.assertEqual(*lines)


class Refusals(Case):
    def test_tricks_do_not_leave_the_folder(self):
        (self.top / 'secret').write_text('secret')
        self.make('inside', b'fine')
        self.make('sub/file', b'fine')
        os.symlink(self.top / 'secret', self.root / 'link')
        os.symlink('inside', self.root / 'link-inside')
        os.symlink(self.top, self.root / 'folder-link')
        os.symlink('/proc/self/root', self.root / 'magic')
        os.mkfifo(self.root / 'fifo')
        _, url = self.serve()
        for path, code in (('link', 403), ('link-inside', 403), ('folder-link/secret', 403),
                           ('magic/etc/passwd', 403), ('fifo', 403), ('sub', 403),
                           ('../secret', 400), ('sub/../inside', 400), ('%2e%2e/secret', 400),
                           ('sub/..%2f..%2fsecret', 400), ('//etc/passwd', 400),
                           ('nothing', 404), ('inside/below', 404)):
            name = path.split('/')[-1].replace('%2f', '/')
            done = self.get(f'{url}/{path}')
            if '/' in name:
                self.assert_one_line(done, 'names no file', status=2)
                continue
            self.assert_one_line(done, f'(code {code})')
            self.assertEqual(os.listdir(self.to), [], path)

    def test_what_is_there_comes_although_something_is_missing(self):
        self.make('one', b'1')
        self.make('two', os.urandom(3_000_000))
        _, url = self.serve()
        self.assert_one_line(self.get(f'{url}/one', f'{url}/missing', f'{url}/two'),
                             '/missing: not found')
        self.assertEqual(sorted(os.listdir(self.to)), ['one', 'two'])
        self.assert_same('one', 'two')

    def test_a_file_that_cannot_be_read(self):
        self.make('file', b'1')
        (self.root / 'file').chmod(0)
        _, url = self.serve()
        done = self.get(f'{url}/file')
        if os.geteuid() != 0:  # root may read everything
            self.assert_one_line(done, '(code 403)')

    def fetched_bytes(self):
        return sum(path.stat().st_size for path in self.to.iterdir())

    def test_a_file_that_becomes_shorter_is_not_delivered(self):
        self.make('file', b'')
        os.truncate(self.root / 'file', 1 << 40)  # more than any machine moves meanwhile
        _, url = self.serve()
        client = self.start('get', '--ca', self.ca, '-o', self.to, '--window', '1Ki',
                            f'{url}/file')
        deadline = time.monotonic() + HANG_S
        # The client makes its file before the server opens its own.
        while not self.fetched_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.truncate(self.root / 'file', 1000)
        _, err = client.communicate(timeout=HANG_S)
        self.assertEqual(client.returncode, 1)
        self.assertIn('(code 500)', err)
        self.assertEqual(os.listdir(self.to), [])

    def test_the_server_must_be_the_one_that_was_meant(self):
        self.make('file', b'x')
        server, url = self.serve('--name', 'other.example')
        self.assert_one_line(self.get(f'{url}/file'), '1 file is missing')
        self.assert_one_line(self.get(f'{url}/file', trust=False), 'certificate')
        self.assert_all(self.get('--insecure', f'{url}/file', trust=False))

    def test_nobody_listens(self):
        _, url = self.serve()
        done = self.get('https://127.0.0.1:1/a', 'https://127.0.0.1:1/b')
        self.assert_one_line(done, '127.0.0.1:1: Connection refused; 2 files are missing')
        self.assertEqual(os.listdir(self.to), [])

    def test_a_silent_server_is_given_up(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(('127.0.0.1', 0))
            done = self.get('--insecure', '--timeout', '1',
                            f'https://127.0.0.1:{silent.getsockname()[1]}/a', trust=False)
        self.assert_one_line(done, 'no answer')


class Ends(Case):
    """Whatever ends a transfer, nothing half stays."""

    def start_long(self):
        """A transfer that takes a while."""
        self.make('long', b'')
        os.truncate(self.root / 'long', 64 << 30)
        server, url = self.serve()
        client = self.start('get', '--ca', self.ca, '-o', self.to, f'{url}/long')
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            if any(path.stat().st_size > 0 for path in self.to.iterdir()):
                return server, client
            time.sleep(0.01)
        self.fail(f'nothing comes: {client.poll()}')

    def test_a_signal_removes_what_is_half(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            _, client = self.start_long()
            client.send_signal(number)
            _, err = client.communicate(timeout=HANG_S)
            self.assertEqual((client.returncode, err), (130, 'spate get: interrupted\n'))
            self.assertEqual(os.listdir(self.to), [])

    def test_a_server_that_stops_leaves_nothing_half(self):
        server, client = self.start_long()
        server.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=HANG_S)
        self.assertEqual(client.returncode, 1)
        self.assertIn('the server stops; 1 file is missing', err)
        self.assertEqual(os.listdir(self.to), [])
        self.assertEqual(server.wait(HANG_S), 0)

    def test_a_full_disk_leaves_nothing_half_and_the_others_come(self):
        self.make('large', os.urandom(3_000_000))
        self.make('small', b'small')
        _, url = self.serve()

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

        # EFBIG here takes the way of ENOSPC.
        self.assert_one_line(self.get(f'{url}/large', f'{url}/small', preexec_fn=limit),
                             '/large: File too large')
        self.assertEqual(os.listdir(self.to), ['small'])

    def test_a_disk_without_space(self):
        self.make('large', os.urandom(3_000_000))
        disk = self.top / 'disk'
        disk.mkdir()
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', disk],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            return  # needs root: the test above takes the same way
        self.addCleanup(subprocess.run, ['umount', disk], check=True)
        _, url = self.serve()
        self.assert_one_line(self.get(f'{url}/large', to=disk), 'No space left on device')
        self.assertEqual(os.listdir(disk), [])

    def test_a_folder_under_the_final_name(self):
        self.make('file', b'x')
        (self.to / 'file').mkdir()
        _, url = self.serve()
        self.assert_one_line(self.get(f'{url}/file'), 'Is a directory')
        self.assertEqual(os.listdir(self.to), ['file'])

    def test_few_descriptors_are_enough_for_many_files(self):
        names = [f'n{i}' for i in range(60)]
        for name in names:
            self.make(name, os.urandom(600_000))

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

        _, url = self.serve(preexec_fn=limit)
        self.assert_all(self.get(*(f'{url}/{name}' for name in names)))
        self.assert_same(*names)


class Progress(Case):
    def test_a_terminal_sees_how_far_it_is_and_a_pipe_does_not(self):
        self.make('long', b'')
        os.truncate(self.root / 'long', 64 << 30)
        _, url = self.serve()
        ours, theirs = pty.openpty()
        client = subprocess.Popen([SPATE, 'get', '--ca', self.ca, '-o', self.to, f'{url}/long'],
                                  stderr=theirs, stdout=subprocess.DEVNULL)
        self.addCleanup(lambda: client.poll() is None and client.kill())
        os.close(theirs)
        shown = b''
        while b'MB' not in shown:
            shown += os.read(ours, 4096)
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(HANG_S), 130)
        os.close(ours)
        self.assertIn(b'0/1 files', shown)


class Mistakes(Case):
    def test_wrong_command_lines(self):
        out = ('-o', str(self.to))
        url = 'https://localhost/a'
        for text, *args in (
                ('a URL is missing', 'get', *out),
                ('-o is missing', 'get', url),
                ('unknown option --frob', 'get', *out, '--frob', url),
                ('a value is missing after --ca', 'get', *out, url, '--ca'),
                ('a value is missing after -o', 'get', url, '-o'),
                ('--ca and --insecure exclude each other', 'get', *out, '--ca', 'x', '--insecure',
                 url),
                ('the URL http://h/a does not begin with https://', 'get', *out, 'http://h/a'),
                ('the URL https://h/ names no file', 'get', *out, 'https://h/'),
                ('two URLs have the same file name, a', 'get', *out, url, 'https://other/b/a'),
                ('--parallel must be 1 to 1000, not 0', 'get', *out, url, '--parallel', '0'),
                ('--window must be 1Ki to 1Gi, not 1', 'get', *out, url, '--window', '1'),
                ('--timeout must be 1 to 86400 seconds, not -1', 'get', *out, url, '--timeout',
                 '-1'),
                ('--cipher must be', 'get', *out, url, '--cipher', 'rot13'),
                ('--quic must be both, prefer-2', 'get', *out, url, '--quic', '2'),
                ('--quic must be both, prefer-2', 'serve', '--quic', '3'),
                ('--listen is missing', 'serve', '--root', self.root),
                ('--root is missing', 'serve', '--listen', '127.0.0.1:0'),
                ('is not ADDR:PORT', 'serve', '--listen', '127.0.0.1'),
                ('is not ADDR:PORT', 'serve', '--listen', '::1:4433'),
                ('is not ADDR:PORT', 'serve', '--listen', '127.0.0.1:65536'),
                ('--cert and --key go together', 'serve', '--listen', '127.0.0.1:0', '--root',
                 self.root, '--cert', 'x'),
                ('--cert-out and --name are for', 'serve', '--listen', '127.0.0.1:0', '--root',
                 self.root, '--cert', 'x', '--key', 'y', '--cert-out', 'z'),
                ('--conns must be', 'serve', '--conns', '0'),
                ('--listen: at most 8 addresses', 'serve', *(['--listen', '127.0.0.1:0'] * 9)),
                ('unexpected argument here', 'serve', 'here')):
            done = subprocess.run([SPATE, *map(str, args)], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assert_one_line(done, text, status=2)
            self.assertEqual(done.stdout, '')

    def test_what_the_system_refuses_is_named(self):
        listen = ('serve', '--listen', '127.0.0.1:0', '--root')
        plain = self.top / 'plain'
        plain.write_text('x')
        for text, *args in (
                ('--root /no/such: No such file', *listen, '/no/such'),
                (f'--root {plain}: Not a directory', *listen, plain),
                ('/no/such/ca', *listen, self.root, '--cert-out', '/no/such/ca'),
                ('/no/such/cert', *listen, self.root, '--cert', '/no/such/cert', '--key', plain),
                ('/no/such/ca', 'get', '--ca', '/no/such/ca', '-o', self.to, 'https://[::1]/a'),
                ('-o /no/such/to: No such file', 'get', '-o', '/no/such/to', 'https://[::1]/a'),
                (f'-o {plain}: Not a directory', 'get', '-o', plain, 'https://[::1]/a')):
            done = subprocess.run([SPATE, *map(str, args)], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assert_one_line(done, text)

    def test_both_sides_record_their_connections(self):
        self.make('a', b'x' * 100000)
        sides = {}
        for side in 'server', 'client':
            (self.top / side).mkdir()
        server, url = self.serve('--qlog', self.top / 'server')
        self.assert_all(self.get('--qlog', self.top / 'client', f'{url}/a'))
        server.send_signal(signal.SIGTERM)  # its files are complete when it has ended
        self.assertEqual(server.wait(HANG_S), 0)
        for side in 'server', 'client':
            file, = self.top.joinpath(side).glob(f'*_{side}.sqlog')
            sides[side] = file
        self.assertEqual(sides['server'].name[:-len('_server.sqlog')],
                         sides['client'].name[:-len('_client.sqlog')])
        text = sides['client'].read_bytes()
        self.assertIn(b'"name":"quic:packets_acked"', text)
        self.assertIn(b'"name":"quic:connection_closed"', text)
        self.assertNotIn(b'quic:udp_datagrams', text)
        done = self.get('--qlog', '/no/such', f'{url}/a')
        self.assert_one_line(done, 'qlog.dir: /no/such: No such file or directory')

    def test_help_names_every_option(self):
        for command in ('serve', 'get', 'cp', 'sync', 'cert', 'caps'):
            done = subprocess.run([SPATE, command, '--help'], capture_output=True, text=True,
                                  timeout=HANG_S, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertIn(f'usage: spate {command}', done.stdout)


if __name__ == '__main__':
    unittest.main(verbosity=2)
