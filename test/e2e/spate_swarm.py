#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate swarm: seeders and fetchers over real sockets: honest, dishonest, fast, slow and dead."""
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from processes import Processes
from spate_cp_support import HANG_S, SPATE, describe, parts

PIECE = 65536


def pack_meta(piece_size, files, hashes):
    """A metainfo by hand: files are (path, size)."""
    data = b'spate-swarm 1\n\0\0' + struct.pack('>II', piece_size, len(files))
    for path, size in files:
        data += struct.pack('>HqQH', 0o644, 0, size, len(path)) + path
    return data + b''.join(hashes)


class Case(Processes):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='spate-swarm-')
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.source = self.top / 'source'
        self.meta = self.top / 'meta'
        self.known = self.top / 'known'
        self.source.mkdir()

    def start(self, *words, **more):
        return super().start(SPATE, 'swarm', *words, stdin=subprocess.DEVNULL, **more)

    def swarm(self, *words, **more):
        return subprocess.run([SPATE, 'swarm', *map(str, words)], capture_output=True, text=True,
                              timeout=HANG_S, stdin=subprocess.DEVNULL, check=False, **more)

    def make(self, piece_size=PIECE, path=None):
        done = self.swarm('make', '--piece-size', piece_size, path or self.source, self.meta)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout

    def make_file(self, size, name='file'):
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))

    def listening(self, process):
        """Reads the address of a process, whose fingerprint is known from now on."""
        fingerprint = process.stdout.readline().split()[-1]
        line = process.stdout.readline()
        match = re.fullmatch(r'listening at \S+:(\d+)\n', line)
        if not match:
            self.fail(line + process.stderr.read())
        with open(self.known, 'a', encoding='ascii') as file:
            file.write(f'127.0.0.1:{match[1]} {fingerprint}\n')
        return match[1]

    def seed(self, *words, folder=None, meta=None):
        process = self.start('seed', '--listen', '127.0.0.1:0', *words, meta or self.meta,
                             folder or self.source)
        process.port = self.listening(process)
        return process

    def fetch_words(self, seeders, *words, folder='target'):
        peers = [word for seeder in seeders for word in ('--peer', f'127.0.0.1:{seeder.port}')]
        return ['fetch', '--known', self.known, '--json', *peers, *words, self.meta,
                self.top / folder]

    def fetch(self, seeders, *words, folder='target'):
        done = self.swarm(*self.fetch_words(seeders, *words, folder=folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def assert_same(self, folder='target'):
        left, right = describe(self.source), describe(self.top / folder)
        files = {path: value for path, value in left.items() if value[3] is not None}
        found = {path: value for path, value in right.items() if value[3] is not None}
        self.assertEqual(files.keys(), found.keys())
        for path, value in files.items():
            self.assertEqual(value[:3], found[path][:3], path)
            self.assertTrue(value[3] == found[path][3], f'{path}: another content')
        self.assertEqual(parts(self.top / folder), [])

    def wait_for(self, condition, process=None):
        end = time.monotonic() + HANG_S
        while not condition():
            if process is not None:
                self.assertIsNone(process.poll(), 'it ended too early')
            self.assertLess(time.monotonic(), end, 'nothing happens')
            time.sleep(0.01)

    def written(self, folder='target'):
        return sum(path.stat().st_blocks * 512
                   for path in (self.top / folder).rglob('.spate-part-*'))


class Honest(Case):
    def test_a_tree_arrives_from_one_seeder(self):
        for size in (0, 1, 16_383, 16_384, 65_535, 65_536, 65_537, 1_000_000, 3_000_000):
            self.make_file(size, f'sizes/{size}')
        for i in range(200):
            self.make_file(i * 37, f'many/{i % 7}/file {i}')
        for name in ('ünï', "quote'\"", 'line\nend', '-o', '.hidden', 'n' * 255):
            self.make_file(100, name)
        (self.source / 'sizes' / '1').chmod(0o400)
        os.utime(self.source / 'sizes' / '65536', ns=(1, 981173106987654321))
        self.assertRegex(self.make(), r'\A[0-9a-f]{64}: 215 files, ')
        seeder = self.seed()
        figures, errors = self.fetch([seeder])
        self.assertEqual(errors, '')
        self.assert_same()
        self.assertEqual(figures['pieces'], figures['pieces_there'])
        self.assertEqual((figures['blocks_twice'], figures['pieces_bad']), (0, 0))
        self.assertEqual(figures['copied_bytes'], 0)
        figures, _ = self.fetch([seeder])  # everything is there: nobody is needed
        self.assertEqual((figures['bytes_in'], figures['pieces_before']), (0, figures['pieces']))

    def test_a_single_file(self):
        self.make_file(500_000)
        self.make(path=self.source / 'file')
        self.fetch([self.seed()])
        self.assert_same()

    def test_memory_is_bounded_by_what_was_asked_for(self):
        self.make_file(20_000_000)
        self.make()
        figures, _ = self.fetch([self.seed()], '--memory', '1Mi')
        self.assert_same()
        self.assertEqual(figures['slots'], 16)
        self.assertLessEqual(figures['slots_max'], 16)

    def test_the_profile_names_the_stages(self):
        self.make_file(2_000_000)
        self.make()
        figures, errors = self.fetch([self.seed()], '--profile')
        for stage in ('header', 'dispatch', 'placing', 'hashing', 'writing'):
            self.assertRegex(errors, rf'(?m)^{stage} ')
        self.assertGreater(figures['profile_ms']['hashing'], 0)

    def test_eight_uneven_seeders(self):
        self.make_file(24_000_000)
        self.make()
        rates = [16_000_000, 8_000_000, 4_000_000, 2_000_000, 1_000_000, 500_000, 200_000, 100_000]
        seeders = [self.seed('--rate', rate, '--json') for rate in rates]
        figures, _ = self.fetch(seeders)
        self.assert_same()
        self.assertEqual(figures['peers_max'], 8)
        # All together send 31.8 MB/s; the fastest alone would take 1.5 s.
        self.assertLess(figures['blocks_twice'], figures['blocks'] / 4)
        sent = []
        for seeder in seeders:
            seeder.send_signal(signal.SIGINT)
            sent.append(json.loads(seeder.communicate(timeout=HANG_S)[0])['bytes_out'])
            self.assertEqual(seeder.returncode, 0)
        self.assertGreater(sum(count > 0 for count in sent), 5, sent)
        self.assertGreater(sent[0], sent[3], sent)

    def test_two_fetchers_serve_each_other(self):
        for name in ('left', 'right'):
            self.make_file(40 * PIECE, name)
        self.make()
        for name in ('left', 'right'):  # each has one half, and nobody has all
            (self.top / name).mkdir()
            shutil.copy2(self.source / name, self.top / name / name)
        one = self.start('fetch', '--listen', '127.0.0.1:0', '--json', '--linger', '20', self.meta,
                         self.top / 'left')
        one.port = self.listening(one)
        figures, _ = self.fetch([one], '--linger', '20', folder='right')
        self.assertEqual(figures['pieces_before'], 40)
        out, errors = one.communicate(timeout=HANG_S)
        self.assertEqual((one.returncode, errors), (0, ''))
        self.assertEqual(json.loads(out)['pieces_before'], 40)
        self.assertEqual(json.loads(out)['bytes_out'], 40 * PIECE)
        self.assert_same('left')
        self.assert_same('right')

    def test_peers_beyond_the_uploads_wait_for_their_turn(self):
        self.make_file(3_000_000)
        self.make()
        seeder = self.seed('--uploads', '1', '--rate', '1000000')
        fetchers = [self.start(*self.fetch_words([seeder], folder=f'target{i}')) for i in range(3)]
        for i, fetcher in enumerate(fetchers):
            _, errors = fetcher.communicate(timeout=HANG_S)
            self.assertEqual((fetcher.returncode, errors), (0, ''))
            self.assert_same(f'target{i}')

    def test_a_token_keeps_others_out(self):
        self.make_file(200_000)
        self.make()
        for name, text in (('token', 'a' * 20), ('wrong', 'b' * 20)):
            (self.top / name).write_text(text + '\n')
        seeder = self.seed('--token', self.top / 'token')
        for words in ([], ['--token', self.top / 'wrong']):
            done = self.swarm(*self.fetch_words([seeder], *words))
            self.assertEqual(done.returncode, 1)
            self.assertIn('the token is missing or wrong', done.stderr)
            self.assertIn('no peer is left', done.stderr)
            self.assertFalse((self.top / 'target' / 'file').exists())
        self.fetch([seeder], '--token', self.top / 'token')
        self.assert_same()

    def test_another_content_is_not_mixed_in(self):
        self.make_file(200_000)
        self.make()
        other = self.top / 'other'
        other.write_bytes(self.meta.read_bytes())
        (self.source / 'file').write_bytes(os.urandom(200_000))
        self.make()
        seeder = self.seed(meta=other)
        done = self.swarm(*self.fetch_words([seeder]))
        self.assertEqual(done.returncode, 1)
        self.assertIn('another metainfo', done.stderr)

    def test_a_seeder_with_a_new_identity_is_refused(self):
        self.make_file(100_000)
        self.make()
        seeder = self.seed()
        text = self.known.read_text()
        self.known.write_text(text.replace(text.split(':')[-1][:8], '00000000'))
        done = self.swarm(*self.fetch_words([seeder]))
        self.assertEqual(done.returncode, 1)
        self.assertIn('has changed its fingerprint', done.stderr)


class Ends(Case):
    def test_a_seeder_that_is_killed_costs_its_blocks_alone(self):
        self.make_file(20_000_000)
        self.make()
        seeders = [self.seed('--rate', '8000000') for _ in range(2)]
        process = self.start(*self.fetch_words(seeders))
        self.wait_for(lambda: self.written() > 4_000_000, process)
        seeders[0].kill()
        out, errors = process.communicate(timeout=HANG_S)
        self.assertEqual(process.returncode, 0, errors)
        self.assert_same()
        figures = json.loads(out)
        self.assertEqual(figures['pieces_bad'], 0)
        self.assertLess(figures['bytes_in'], 20_000_000 + 4_000_000)

    def test_an_interrupted_fetch_goes_on(self):
        self.make_file(20_000_000)
        self.make_file(100_000, 'small')
        self.make()
        seeder = self.seed('--rate', '10000000')
        before = 0
        for number in (signal.SIGKILL, signal.SIGINT):
            process = self.start(*self.fetch_words([seeder]))
            want = before + 4_000_000
            self.wait_for(lambda w=want: self.written() > w, process)
            before = self.written()
            process.send_signal(number)
            _, errors = process.communicate(timeout=HANG_S)
            if number == signal.SIGINT:
                self.assertEqual((process.returncode, errors), (130, 'spate swarm: interrupted\n'))
            self.assertFalse((self.top / 'target' / 'file').exists())
        figures, _ = self.fetch([seeder])
        self.assertGreater(figures['pieces_before'], 30)
        self.assertLess(figures['bytes_in'], 20_100_000 - 30 * PIECE)
        self.assert_same()

    def test_what_is_wrong_at_the_target_is_fetched_again(self):
        self.make_file(10 * PIECE)
        self.make()
        shutil.copytree(self.source, self.top / 'target')
        with open(self.top / 'target' / 'file', 'r+b') as file:
            file.seek(3 * PIECE)
            byte = file.read(1)[0]
            file.seek(3 * PIECE)
            file.write(bytes([byte ^ 1]))
        figures, _ = self.fetch([self.seed()])
        self.assertEqual((figures['pieces_before'], figures['bytes_in']), (9, PIECE))
        self.assert_same()

    def test_a_corrupt_seeder_is_found_out(self):
        self.make_file(40 * PIECE)
        self.make()
        bad = self.top / 'bad'
        shutil.copytree(self.source, bad)
        liar = self.seed(folder=bad)
        with open(bad / 'file', 'r+b') as file:  # after it has verified what it has
            for piece in range(40):
                file.seek(piece * PIECE + 5000)
                file.write(b'lie')
        done = self.swarm(*self.fetch_words([liar]))
        self.assertEqual(done.returncode, 1)
        self.assertIn('another hash', done.stderr)
        self.assertFalse((self.top / 'target' / 'file').exists())
        figures, errors = self.fetch([liar, self.seed()])
        self.assert_same()
        self.assertLessEqual(figures['peers_banned'], 1)
        self.assertEqual('another hash' in errors, figures['peers_banned'] == 1)

    def test_a_seeder_whose_file_becomes_shorter_goes_on(self):
        self.make_file(40 * PIECE)
        self.make()
        seeder = self.seed()
        (self.source / 'file').rename(self.top / 'whole')
        shutil.copy2(self.top / 'whole', self.source / 'file')
        os.truncate(self.top / 'whole', 10 * PIECE)
        done = self.swarm(*self.fetch_words([seeder]))
        self.assertEqual(done.returncode, 1)
        self.assertIn('another hash', done.stderr)
        self.assertIsNone(seeder.poll())  # no SIGBUS

    def test_a_part_that_is_cut_off_by_others_gets_no_name(self):
        self.make_file(4_000_000)
        self.make()
        process = self.start(*self.fetch_words([self.seed('--rate', '1000000')]))
        self.wait_for(lambda: self.written() > 500_000, process)
        part, = (self.top / 'target').iterdir()
        os.truncate(part, 0)
        _, errors = process.communicate(timeout=HANG_S)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(errors, 'spate swarm: file: another program has cut off a file\n')
        self.assertFalse((self.top / 'target' / 'file').exists())

    def test_nobody_there_and_nothing_to_get(self):
        self.make_file(PIECE)
        self.make()
        empty = self.top / 'empty'
        empty.mkdir()
        seeder = self.seed(folder=empty)
        done = self.swarm(*self.fetch_words([seeder], '--timeout', '1'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('nothing has come for 1 s', done.stderr)
        seeder.kill()
        seeder.wait()
        done = self.swarm(*self.fetch_words([seeder], '--timeout', '1'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('nothing has come for 1 s: ', done.stderr)

    def test_two_fetchers_do_not_write_the_same_file(self):
        self.make_file(4_000_000)
        self.make()
        seeder = self.seed('--rate', '1000000')
        process = self.start(*self.fetch_words([seeder]))
        self.wait_for(lambda: self.written() > 0, process)
        done = self.swarm(*self.fetch_words([seeder]))
        self.assertEqual(done.returncode, 1)
        self.assertIn('file: another process writes it', done.stderr)
        process.kill()


class Hostile(Case):
    def test_hostile_metainfos_write_nothing(self):
        digest = hashlib.sha256(b'x').digest()
        outside = self.top / 'outside'
        for path in (b'../outside', b'/' + os.fsencode(outside)[1:], b'a/../../outside', b'', b'.',
                     b'a//b', b'a\0b', b'.spate-part-x'):
            self.meta.write_bytes(pack_meta(PIECE, [(path, 1)], [digest]))
            done = self.swarm('fetch', '--peer', '127.0.0.1:1', self.meta, self.top / 'target')
            self.assertEqual(done.returncode, 1, path)
            self.assertIn('a file name that is not allowed', done.stderr)
            self.assertFalse(outside.exists())
        for data in (b'', b'x' * 100, pack_meta(PIECE, [(b'a', 1)], []),
                     pack_meta(PIECE + 1, [(b'a', 1)], [digest]),
                     pack_meta(PIECE, [(b'a', 1), (b'a', 1)], [digest]),
                     pack_meta(PIECE, [(b'a', 1), (b'a/b', 1)], [digest]),
                     pack_meta(PIECE, [(b'a', 1 << 63)], [digest])):
            self.meta.write_bytes(data)
            done = self.swarm('fetch', '--peer', '127.0.0.1:1', self.meta, self.top / 'target')
            self.assertEqual(done.returncode, 1, data)
            self.assertEqual(done.stderr.count('\n'), 1)

    def test_links_in_the_target_lead_nowhere(self):
        self.make_file(100, 'in/file')
        self.make()
        seeder = self.seed()
        target = self.top / 'target'
        elsewhere = self.top / 'elsewhere'
        target.mkdir()
        elsewhere.mkdir()
        (target / 'in').symlink_to(elsewhere)
        done = self.swarm(*self.fetch_words([seeder]))
        self.assertEqual(done.returncode, 1)
        self.assertIn(os.strerror(errno.ELOOP), done.stderr)
        self.assertEqual(os.listdir(elsewhere), [])

    def test_wrong_command_lines(self):
        for words in ([], ['seed'], ['steal'], ['seed', 'm', 'd'], ['fetch', 'm', 'd'],
                      ['fetch', '--peer', 'host', 'm', 'd'], ['make', 'x'],
                      ['make', '--piece-size', '100000', 'x', 'y'],
                      ['fetch', '--peer', 'h:1', 'm', 'd', 'e']):
            done = self.swarm(*words)
            self.assertEqual(done.returncode, 2, words)
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertIn('usage: spate swarm make', self.swarm('--help').stdout)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which('unshare'), 'needs a mount namespace')
class Full(Case):
    def test_a_full_disk_is_an_error(self):
        self.make_file(20_000_000, 'large')
        self.make_file(1000, 'small')
        self.make()
        seeder = self.seed()
        target = self.top / 'target'
        target.mkdir()
        script = f'mount -t tmpfs -o size=8m none {target} && {{ "$@"; echo $?; ls -A {target}; }}'
        words = [SPATE, 'swarm', *map(str, self.fetch_words([seeder]))]
        done = subprocess.run(['unshare', '--mount', 'sh', '-c', script, 'sh', *words],
                              capture_output=True, text=True, timeout=HANG_S, check=False)
        lines = done.stdout.split('\n')
        self.assertEqual(json.loads(lines[0])['status'], 1)
        self.assertEqual(lines[1], '1')
        self.assertEqual(done.stderr, f'spate swarm: large: {os.strerror(errno.ENOSPC)}\n')
        self.assertNotIn('large', lines[2:])


if __name__ == '__main__':
    unittest.main(verbosity=2)
