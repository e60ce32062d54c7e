#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate cp and spate sync: trees there and back, what is refused, and whom they trust."""
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import time
import unittest

from spate_cp_support import HANG_S, SPATE, Case, parts


class Copies(Case):
    def test_a_tree_goes_there_and_back_with_all_that_it_has(self):
        self.make_tree(self.here / 'tree')
        server, port = self.serve_trusted()
        self.assert_done(self.copy(port, '-r', self.here / 'tree', '127.0.0.1:in'))
        self.assert_same(self.here / 'tree', self.root / 'in' / 'tree')
        back = self.top / 'back'
        self.assert_done(self.copy(port, '-r', '127.0.0.1:in/tree', back))
        self.assert_same(self.here / 'tree', back / 'tree')
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(HANG_S), 0)

    def test_some_files_of_several_places(self):
        _, port = self.serve_trusted()
        for i, size in enumerate((0, 10, 300_000, 5_000_000)):
            folder = self.here / str(i)
            folder.mkdir()
            (folder / f'f{i}').write_bytes(os.urandom(size))
        names = [self.here / str(i) / f'f{i}' for i in range(4)]
        self.assert_done(self.copy(port, *names, '127.0.0.1:in/new/folder'))
        there = self.root / 'in' / 'new' / 'folder'
        back = self.top / 'back'
        self.assert_done(self.copy(port, *(f'127.0.0.1:in/new/folder/f{i}' for i in range(4)),
                                   back))
        for i in range(4):
            self.assertEqual(names[i].read_bytes(), (there / f'f{i}').read_bytes())
            self.assertEqual(names[i].read_bytes(), (back / f'f{i}').read_bytes())

    def test_more_folders_than_a_stream_has(self):
        """Those in a folder are made before its time is set."""
        tree = self.here / 'tree'
        for i in range(1000):
            (tree / f'{i % 3}' / f'{i:0100}').mkdir(parents=True)
        for path in (*(tree / f'{i}' for i in range(3)), tree):
            os.utime(path, ns=(1, 981173106987654321))
            path.chmod(0o555)
        _, port = self.serve_trusted()
        self.assert_done(self.copy(port, '--streams', '16', '-r', tree, '127.0.0.1:in'))
        self.assert_same(tree, self.root / 'in' / 'tree')

    def test_holes_stay_holes(self):
        _, port = self.serve_trusted()
        path = self.here / 'sparse'
        with open(path, 'wb') as file:
            file.write(b'begin')
            file.seek(30_000_000)
            file.write(b'middle')
            for i in range(200):  # more ranges than one message has room for
                file.seek(40_000_000 + i * 16384)
                file.write(b'x')
            file.truncate(100_000_000)
        self.assert_done(self.copy(port, path, '127.0.0.1:in'))
        there = self.root / 'in' / 'sparse'
        self.assert_done(self.copy(port, '127.0.0.1:in/sparse', self.top / 'back'))
        for copy in (there, self.top / 'back' / 'sparse'):
            self.assertTrue(copy.read_bytes() == path.read_bytes())
            self.assertLess(copy.stat().st_blocks * 512, 10_000_000)

    def test_the_root_as_a_whole_and_over_v6(self):
        self.make_tree(self.root / 'in')
        server, port = self.serve(listen='[::1]:0')
        done = self.copy(port, '--fingerprint', server.fingerprint, '-r', '[::1]:', self.here)
        self.assert_done(done)
        self.assert_same(self.root, self.here)

    def test_one_stream_and_little_memory(self):
        _, port = self.serve_trusted()
        (self.here / 'file').write_bytes(os.urandom(30_000_000))
        few = ['--streams', '1', '--memory', '1Mi', '--profile', 'wan', '--json']
        done = self.copy(port, *few, self.here / 'file', '127.0.0.1:in')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual(json.loads(done.stdout)['streams_max'], 1)
        done = self.copy(port, *few, '127.0.0.1:in/file', self.top / 'back')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertTrue((self.here / 'file').read_bytes() ==
                        (self.top / 'back' / 'file').read_bytes())

    def test_more_streams_than_memory(self):
        """Some of them have no buffers, and take bytes as they come."""
        _, port = self.serve_trusted()
        (self.root / 'file').write_bytes(os.urandom(60_000_000))
        done = self.copy(port, '--streams', '8', '--memory', '1Mi', '--json', '127.0.0.1:file',
                         self.here)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        figures = json.loads(done.stdout)
        self.assertLess(figures['placed_in_bytes'], 60_000_000)
        self.assertGreater(figures['placed_in_bytes'], 0)
        self.assertTrue((self.here / 'file').read_bytes() == (self.root / 'file').read_bytes())

    def test_a_folder_of_the_server_that_is_made_anew(self):
        _, port = self.serve_trusted()
        (self.here / 'small').write_bytes(b'x')
        (self.here / 'large').write_bytes(bytes(1_000_000))
        for _ in range(3):
            for name in ('small', 'large'):
                self.assert_done(self.copy(port, self.here / name, '127.0.0.1:in'))
                self.assertTrue((self.root / 'in' / name).exists())
                (self.root / 'in').rename(self.top / 'elsewhere')
                (self.root / 'in').mkdir()
                shutil.rmtree(self.top / 'elsewhere')

    def test_a_folder_that_was_moved_gets_nothing_more(self):
        _, port = self.serve_trusted()
        for name in ('one', 'two'):
            (self.here / name).write_bytes(b'x')
        self.assert_done(self.copy(port, self.here / 'one', '127.0.0.1:in/a'))
        (self.root / 'in' / 'a').rename(self.top / 'elsewhere')
        self.assert_done(self.copy(port, self.here / 'two', '127.0.0.1:in/a'))
        self.assertEqual(os.listdir(self.top / 'elsewhere'), ['one'])
        self.assertEqual(os.listdir(self.root / 'in' / 'a'), ['two'])

    def test_figures_are_printed_on_demand(self):
        _, port = self.serve_trusted()
        (self.here / 'file').write_bytes(bytes(9_000_000))
        (self.here / 'small').write_bytes(b'x')
        done = self.copy(port, '--json', self.here / 'file', self.here / 'small', '127.0.0.1:in')
        figures = json.loads(done.stdout)
        self.assertEqual((figures['status'], figures['files'], figures['failed']), (0, 2, 0))
        self.assertEqual((figures['bytes'], figures['chunks']), (9_000_001, 3))
        self.assertGreater(figures['rtt_us'], 0)
        self.assertGreaterEqual(figures['cwnd_bytes'], 2400)
        self.assertEqual((figures['connections'], figures['resets']), (1, 0))
        self.assertEqual(figures['streams_opened'], 5)  # a probe, three chunks, a small file
        self.assertLess(figures['resent_bytes'], 9_000_000)
        if figures['packets_lost'] + figures['probe_timeouts'] == 0:
            self.assertEqual(figures['resent_bytes'], 0)

    def test_progress_is_for_a_terminal(self):
        server, port = self.serve_trusted()
        (self.root / 'a\x1b]0;b').write_bytes(os.urandom(100_000_000))
        ours, theirs = pty.openpty()
        words = self.words(port, '--streams', '1', '127.0.0.1:a\x1b]0;b', self.here)
        client = self.start(*words, stderr=theirs)
        time.sleep(0.05)
        server.send_signal(signal.SIGSTOP)  # or it might be done before there is anything to show
        time.sleep(0.3)
        server.send_signal(signal.SIGCONT)
        self.assertEqual(client.wait(HANG_S), 0)
        os.close(theirs)
        os.set_blocking(ours, False)
        text = os.read(ours, 1 << 16).decode()
        os.close(ours)
        self.assertRegex(text, r'\d+%  \d+/1 files  \d+\.\d MB  \d+\.\d MB/s')
        self.assertTrue(text.endswith('\r\x1b[K'), text)
        self.assertIn('a?]0;b', text)
        self.assertNotIn('\x1b', text.replace('\x1b[K', ''))

    def test_a_large_file_that_is_there_is_not_sent_again(self):
        _, port = self.serve_trusted()
        (self.here / 'file').write_bytes(os.urandom(9_000_000))
        self.assert_done(self.copy(port, self.here / 'file', '127.0.0.1:in'))
        done = self.copy(port, '--json', self.here / 'file', '127.0.0.1:in')
        figures = json.loads(done.stdout)
        self.assertEqual((figures['bytes'], figures['skipped']), (0, 1))
        os.utime(self.here / 'file')  # another time: another file
        done = self.copy(port, '--json', self.here / 'file', '127.0.0.1:in')
        self.assertEqual(json.loads(done.stdout)['bytes'], 9_000_000)


class Sync(Case):
    def sync(self, port, *words):
        done = self.copy(port, '--json', *words, command='sync')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        figures = json.loads(done.stdout)
        return figures['files'], figures['skipped']

    def test_only_what_differs_is_copied_to_the_server(self):
        _, port = self.serve_trusted()
        tree = self.here / 'tree'
        self.make_tree(tree)
        there = self.root / 'in'
        self.assertEqual(self.sync(port, tree, '127.0.0.1:in')[1], 0)
        self.assert_same(tree, there)
        copied, skipped = self.sync(port, tree, '127.0.0.1:in')
        self.assertEqual((copied, skipped), (3, 317))  # the links
        (tree / 'many' / '1' / 'file 1').write_text('another size')
        (tree / 'sizes' / '9000000').unlink()
        (tree / 'empty' / 'deep' / 'er').rmdir()
        self.assertEqual(self.sync(port, tree, '127.0.0.1:in')[0], 4)
        self.assertTrue((there / 'sizes' / '9000000').exists())
        self.sync(port, '--delete', tree, '127.0.0.1:in')
        self.assert_same(tree, there)

    def test_only_what_differs_is_copied_from_the_server(self):
        _, port = self.serve_trusted()
        tree = self.root / 'in'
        self.make_tree(tree)
        self.assertEqual(self.sync(port, '127.0.0.1:in', self.here)[1], 0)
        self.assert_same(tree, self.here)
        self.assertEqual(self.sync(port, '127.0.0.1:in', self.here), (3, 317))
        (tree / 'sizes' / '4194305').write_bytes(bytes(4_194_305))
        (self.here / 'many' / 'extra').mkdir()
        (self.here / 'many' / 'extra' / 'file').write_text('x')
        self.assertEqual(self.sync(port, '--delete', '127.0.0.1:in', self.here)[0], 4)
        self.assert_same(tree, self.here)


    def test_a_source_that_is_no_folder_deletes_nothing(self):
        _, port = self.serve_trusted()
        (self.root / 'folder').mkdir()
        (self.root / 'file').write_bytes(b'x')
        os.symlink('folder', self.root / 'link')
        (self.here / 'mine').write_bytes(b'x')
        for path in ('file', 'link'):
            for words in (['--delete'], []):
                done = self.copy(port, *words, f'127.0.0.1:{path}', self.here, command='sync')
                self.assert_one_line(done, f'{path}: is not a folder')
        self.assertEqual(os.listdir(self.here), ['mine'])
        self.assertEqual(self.sync(port, '--delete', '127.0.0.1:folder', self.here), (0, 0))
        self.assertEqual(os.listdir(self.here), [])
        (self.here / 'mine').write_bytes(b'x')
        self.assertEqual(self.sync(port, '--delete', '127.0.0.1:', self.here)[1], 0)
        self.assertEqual(sorted(os.listdir(self.here)), ['file', 'folder', 'in', 'link'])


class Refused(Case):
    def test_the_server_takes_in_nothing_unless_it_was_told_to(self):
        (self.here / 'small').write_bytes(b'x')
        (self.here / 'large').write_bytes(bytes(300_000))
        _, closed = self.serve_trusted('--verbose')
        for name in ('small', 'large'):
            done = self.copy(closed, self.here / name, '127.0.0.1:in')
            self.assert_one_line(done, f'in/{name}: the server takes in nothing there')
        _, port = self.serve_trusted('--writable', 'in')
        (self.root / 'inside').mkdir()
        for target in ('', 'inside', 'other'):
            done = self.copy(port, self.here / 'small', f'127.0.0.1:{target}')
            self.assert_one_line(done, 'the server takes in nothing there')
        (self.root / 'file').write_bytes(b'x')
        done = self.copy(port, '--delete', self.here, '127.0.0.1:', command='sync')
        self.assertEqual(done.returncode, 1)
        self.assertEqual(sorted(os.listdir(self.root)), ['file', 'in', 'inside'])
        self.assertEqual(os.listdir(self.root / 'in'), [])

    def test_nothing_leads_out_of_the_folder(self):
        _, port = self.serve_trusted()
        secret = self.top / 'secret'
        secret.write_bytes(b'secret')
        os.symlink(self.top, self.root / 'in' / 'out')
        os.symlink(secret, self.root / 'in' / 'link')
        (self.here / 'file').write_bytes(b'x')
        done = self.copy(port, '127.0.0.1:in/out/secret', self.top / 'back')
        self.assert_one_line(done, 'a path that is not allowed')
        done = self.copy(port, self.here / 'file', '127.0.0.1:in/out')
        self.assert_one_line(done, 'a path that is not allowed')
        self.assertFalse((self.top / 'file').exists())
        self.assert_done(self.copy(port, '127.0.0.1:in/link', self.top / 'back'))
        self.assertTrue((self.top / 'back' / 'link').is_symlink())  # as data
        for path in ('../secret', '/etc/passwd', 'in/../../secret', 'in//x', '.'):
            done = self.copy(port, f'127.0.0.1:{path}', self.top / 'back')
            self.assertEqual(done.returncode, 2, path)
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)

    def test_a_link_in_the_target_is_not_followed(self):
        _, port = self.serve_trusted()
        outside = self.top / 'outside'
        outside.mkdir()
        (self.root / 'tree' / 'sub').mkdir(parents=True)
        (self.root / 'tree' / 'sub' / 'file').write_bytes(b'x')
        (self.here / 'tree').mkdir()
        os.symlink(outside, self.here / 'tree' / 'sub')
        done = self.copy(port, '-r', '127.0.0.1:tree', self.here)
        self.assertEqual(done.returncode, 1)
        self.assertIn('tree/sub/file: a path that is not allowed', done.stderr)
        self.assertEqual(os.listdir(outside), [])

    def test_what_is_missing_or_of_another_kind(self):
        _, port = self.serve_trusted()
        (self.root / 'folder').mkdir()
        os.mkfifo(self.root / 'fifo')
        (self.root / 'file').write_bytes(b'x')
        for path, why in (('none', 'no such file'), ('folder', 'is a folder'),
                          ('file/x', 'not allowed'), ('fifo', 'neither a file')):
            self.assert_one_line(self.copy(port, f'127.0.0.1:{path}', self.here), why)
        self.assert_one_line(self.copy(port, '-r', '127.0.0.1:none', self.here), 'no such file')
        self.assertEqual(os.listdir(self.here), [])
        self.assert_one_line(self.copy(port, self.here, '127.0.0.1:in'), 'use -r')
        self.assert_one_line(self.copy(port, self.here / 'none', '127.0.0.1:in'), 'No such file')
        # The others come all the same.
        done = self.copy(port, '127.0.0.1:none', '127.0.0.1:file', self.here)
        self.assert_one_line(done, 'none: no such file')
        self.assertEqual(os.listdir(self.here), ['file'])

    def test_wrong_command_lines(self):
        file = str(self.here / 'file')
        table = [
            ([], 'a source and a target are needed'),
            ([file], 'a source and a target are needed'),
            ([file, 'dir'], 'one side must be HOST:PATH'),
            ([file, 'h:a', 'h:b'], 'one side must be local'),
            (['h:a', file, 'dir'], 'one side must be HOST:PATH'),
            (['h:a', 'g:b', 'dir'], 'must be on one server'),
            (['h:', 'dir'], 'a folder needs -r'),
            (['--port', '0', file, 'h:'], '--port must be'),
            (['--streams', '17', file, 'h:'], '--streams must be'),
            (['--memory', '1', file, 'h:'], '--memory must be'),
            (['--profile', 'man', file, 'h:'], '--profile must be'),
            (['--delete', file, 'h:'], 'unknown option'),
            (['--ca', 'x', '--fingerprint', 'y', file, 'h:'], 'exclude each other'),
        ]
        for words, text in table:
            with self.subTest(words):
                self.assert_one_line(self.run_spate('cp', *words), text, 2)
        self.assert_one_line(self.run_spate('sync', 'a', 'h:b', 'c'), 'takes two folders', 2)
        for words, text in ((['--writable', 'x'], 'go with --cp'),
                            (['--cp', '--writable', '/x'], '--writable must be'),
                            (['--cp', '--identity', 'x', '--cert', 'c', '--key', 'k'],
                             '--identity goes without')):
            done = self.run_spate('serve', '--listen', '127.0.0.1:0', '--root', '.', *words)
            self.assert_one_line(done, text, 2)


class Trust(Case):
    def setUp(self):
        super().setUp()
        (self.root / 'file').write_bytes(b'x')

    def fetch(self, port, *words):
        return self.copy(port, *words, '127.0.0.1:file', self.here)

    def test_the_first_use_keeps_the_fingerprint(self):
        server, port = self.serve()
        strict = self.fetch(port, '--strict')
        self.assert_one_line(strict, f'is not known; its fingerprint is {server.fingerprint}')
        first = self.fetch(port)
        self.assert_one_line(first, f'is new; its fingerprint {server.fingerprint} is kept', 0)
        self.assert_done(self.fetch(port, '--strict'))
        self.end(server)
        again, port_2 = self.serve(listen=f'127.0.0.1:{port}')  # the identity lasts
        self.assertEqual((again.fingerprint, port_2), (server.fingerprint, port))
        self.assert_done(self.fetch(port))

    def test_another_server_at_the_address_is_refused(self):
        server, port = self.serve_trusted()
        self.end(server)
        (self.top / 'identity').unlink()
        server, _ = self.serve(listen=f'127.0.0.1:{port}')
        self.assert_one_line(self.fetch(port), 'has changed its fingerprint to ' +
                             server.fingerprint)
        self.assertEqual(os.listdir(self.here), [])
        wrong = self.fetch(port, '--fingerprint', 'sha256:' + '0' * 64)
        self.assert_one_line(wrong, 'has another fingerprint')
        self.assert_done(self.fetch(port, '--fingerprint', server.fingerprint))

    def test_a_ca(self):
        _, port = self.serve('--cert-out', self.top / 'ca.pem')
        self.assertNotIn('PRIVATE', (self.top / 'ca.pem').read_text())
        self.assert_done(self.fetch(port, '--ca', self.top / 'ca.pem'))
        self.assert_one_line(self.fetch(port, '--ca', self.top / 'ca.pem', '--name', 'other'),
                             'closed here')

    def test_a_token(self):
        good, bad, short = self.top / 'good', self.top / 'bad', self.top / 'short'
        good.write_text('0123456789abcdef\n')
        bad.write_text('0123456789abcdeg\n')
        short.write_text('0123456789abcde\n')
        for path in (good, bad, short):
            path.chmod(0o600)
        _, port = self.serve_trusted('--token', good, '--writable', '.')
        _, open_port = self.serve_trusted()
        self.assert_done(self.fetch(port, '--token', good))
        (self.here / 'new').write_bytes(b'new')
        self.assert_done(self.copy(port, '--token', good, self.here / 'new', '127.0.0.1:in'))
        self.assert_one_line(self.fetch(port, '--token', bad), 'the token is missing or wrong')
        self.assert_one_line(self.fetch(port), 'the token is missing or wrong')
        done = self.copy(port, self.here / 'new', '127.0.0.1:')
        self.assertEqual(done.returncode, 1)
        self.assertFalse((self.root / 'new').exists())
        # A server without it proves nothing.
        self.assert_one_line(self.fetch(open_port, '--token', good),
                             'the token is missing or wrong')
        self.assert_one_line(self.fetch(port, '--token', short), 'less than 16 characters')
        # Nobody gets files by the other protocol.
        done = self.run_spate('get', '--insecure', '-o', self.here,
                              f'https://127.0.0.1:{port}/file')
        self.assertEqual(done.returncode, 1)

    def test_a_small_file_comes_by_0_rtt(self):
        _, port = self.serve_trusted('--early', '--writable', 'in')
        tickets = ['--tickets', self.top / 'tickets', '--json']
        first = json.loads(self.fetch(port, *tickets).stdout)
        self.assertEqual((first['resumed'], first['early']), (False, 'none'))
        (self.root / 'file').write_bytes(b'second')
        second = json.loads(self.fetch(port, *tickets).stdout)
        self.assertEqual((second['resumed'], second['early'], second['files']),
                         (True, 'accepted', 1))
        self.assertEqual((self.here / 'file').read_bytes(), b'second')
        # What changes the server is not sent by 0-RTT.
        done = self.copy(port, *tickets, self.here / 'file', '127.0.0.1:in')
        third = json.loads(done.stdout)
        self.assertEqual((third['resumed'], third['early'], third['files']), (True, 'none', 1))
        self.assertEqual(parts(self.root), [])

    def test_digests_are_what_both_sides_know(self):
        """--hash; tickets of one do not disturb the other."""
        _, port = self.serve_trusted('--early', '--writable', 'in')
        (self.root / 'large').write_bytes(os.urandom(9_000_000))
        for _ in range(2):
            for words, wanted in (((), 'gmac'), (('--hash', 'sha256'), 'sha256'),
                                  (('--hash', 'gmac'), 'gmac')):
                words += ('--tickets', self.top / 'tickets', '--json')
                (self.root / 'file').write_bytes(os.urandom(1000))
                for name in 'file', 'large':
                    done = self.copy(port, *words, f'127.0.0.1:{name}', self.here)
                    self.assertEqual((done.returncode, done.stderr), (0, ''))
                    self.assertEqual(json.loads(done.stdout)['hash'], wanted)
                    self.assertEqual((self.here / name).read_bytes(),
                                     (self.root / name).read_bytes())
                    done = self.copy(port, *words, self.here / name, '127.0.0.1:in')
                    self.assertEqual((done.returncode, done.stderr), (0, ''))
                    self.assertEqual((self.root / 'in' / name).read_bytes(),
                                     (self.root / name).read_bytes())
                    (self.here / name).unlink()
                    (self.root / 'in' / name).unlink()
        self.assertEqual(json.loads(self.fetch(port, *words).stdout)['early'], 'accepted')
        wrong = self.run_spate('cp', '--hash', 'md5', '127.0.0.1:file', self.here)
        self.assert_one_line(wrong, '--hash must be gmac or sha256', status=2)

    def test_a_ticket_does_not_stand_in_for_another_kind_of_trust(self):
        _, port = self.serve_trusted('--early', '--writable', 'in')
        tickets = ['--tickets', self.top / 'tickets', '--json']
        self.assertEqual(self.fetch(port, *tickets).returncode, 0)
        wrong = self.fetch(port, *tickets, '--fingerprint', 'sha256:' + '0' * 64)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn('has another fingerprint', wrong.stderr)
        other = self.run_spate('cert', '--cert-out', self.top / 'c', '--key-out', self.top / 'k')
        self.assertEqual(other.returncode, 0)
        self.assertEqual(self.fetch(port, *tickets, '--ca', self.top / 'c').returncode, 1)
        self.assertTrue(json.loads(self.fetch(port, *tickets).stdout)['resumed'])


@unittest.skipUnless(os.geteuid() == 0 and shutil.which('unshare'), 'needs a mount namespace')
class Addresses(Case):
    def test_0_rtt_is_not_for_an_address_that_may_be_silent(self):
        server, port = self.serve('--early', listen='127.0.0.2:0')
        (self.root / 'file').write_bytes(b'x')
        hosts = self.top / 'hosts'
        hosts.write_text('127.0.0.2 twins\n127.0.0.1 twins\n')
        script = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(('127.0.0.1', int(port)))  # this one comes first
            silent.setblocking(False)
            for _ in range(2):
                words = self.words(port, '--tickets', self.top / 'tickets', '--timeout', '1',
                                   '--fingerprint', server.fingerprint, '--name', 'localhost',
                                   'twins:file', self.here)
                done = subprocess.run(
                    ['unshare', '--mount', 'sh', '-c', script, 'sh', SPATE, *map(str, words)],
                    capture_output=True, text=True, timeout=HANG_S, check=False)
                self.assert_done(done)
                self.assertEqual((self.here / 'file').read_bytes(), b'x')
                (self.here / 'file').unlink()
                self.assertGreater(len(silent.recv(2000)), 1000)  # it was asked first
            self.assertTrue((self.top / 'tickets').exists())


if __name__ == '__main__':
    unittest.main(verbosity=2)
