#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The spate command: what it prints, and that every mistake is one line on stderr."""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

SPATE = sys.argv.pop(1)
# As the build has decided: "OpenSSL: 3.5.2, shared" and so on.
LIBRARIES = [sys.argv.pop(1), sys.argv.pop(1)]


def run(*args):
    return subprocess.run([SPATE, *args], capture_output=True, text=True, timeout=60)


class Caps(unittest.TestCase):
    def test_every_capability_is_a_yes_or_a_no_with_its_reason(self):
        done = run('caps')
        self.assertEqual(done.returncode, 0, done.stderr)
        text, _, rest = done.stdout.partition('\n\n')
        lines = text.splitlines()
        backend, crypto, *libraries = rest.splitlines()
        self.assertRegex(backend, r'^back-end: (io_uring|mmsg, as .*)$')
        self.assertRegex(crypto, r'^AES-GCM: (fused-avx2|fused-avx512|openssl, as .*)$')
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertRegex(line, r'^\S.*  (yes|no)( |$)')
            self.assertRegex(line, r'  (yes|no  +\S)', 'a no without a reason')
        self.assertEqual(libraries[:2], LIBRARIES)
        if any('inside' in library for library in LIBRARIES):
            self.assertIn('tools/deps.sh --refresh', ' '.join(libraries[2:]))
        else:
            self.assertEqual(libraries[2:], [])

    @unittest.skipUnless(shutil.which('nm'), 'there is no nm')
    def test_openssl_is_here_once_at_most(self):
        """Two of them are prepared at each start: in a process that copies a small file that was a
        third of all instructions."""
        symbols = subprocess.run(['nm', SPATE], capture_output=True, text=True, check=True).stdout
        self.assertLessEqual(len(re.findall(r' [tT] EVP_CIPHER_fetch$', symbols, re.M)), 1)

    def test_json_says_the_same(self):
        done, text = run('caps', '--json'), run('caps').stdout
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        found = json.loads(done.stdout)
        for cap in found['caps']:
            line = next(line for line in text.splitlines()
                        if re.match(re.escape(cap['name']) + r'  +(yes|no)', line))
            self.assertEqual(line.split(cap['name'], 1)[1].split()[0],
                             'yes' if cap['have'] else 'no', line)
            self.assertTrue(line.endswith(cap['reason']), (line, cap))
            self.assertTrue(cap['have'] or cap['reason'], cap)
        self.assertEqual(len(found['caps']), len(text.partition('\n\n')[0].splitlines()))
        self.assertIn(f'back-end: {found["backend"]["name"]}', text)
        self.assertIn(f'AES-GCM: {found["aes_gcm"]["name"]}', text)
        self.assertEqual([f'{one["name"]}: {one["version"]}, '
                          f'{"inside" if one["is_inside"] else "shared"}'
                          for one in found['libraries']], LIBRARIES)

    def test_offloads_steering_stamps_and_openssl_are_in_it(self):
        found = json.loads(run('caps', '--json').stdout)['caps']
        caps = {cap['name']: cap['have'] for cap in found}
        for name in ('UDP_SEGMENT (GSO)', 'UDP_GRO', 'SO_TXTIME', 'SO_ATTACH_REUSEPORT_CBPF',
                     'SO_TIMESTAMPNS', 'SO_TIMESTAMPING, sent', 'key exchange X25519MLKEM768'):
            self.assertIn(name, caps)
        for name in 'TLS 1.3', 'AES-128-GCM', 'key exchange X25519':  # nothing works without
            self.assertTrue(caps[name], name)


class Cert(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.cert = os.path.join(self.folder.name, 'cert.pem')
        self.key = os.path.join(self.folder.name, 'key.pem')

    def test_each_type_is_made_and_only_we_can_read_the_key(self):
        for key_type in ('p256', 'ed25519', 'rsa'):
            done = run('cert', '--cert-out', self.cert, '--key-out', self.key, '--name',
                       'example.org', '--name', '192.0.2.1', '--days', '3', '--type', key_type)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))
            self.assertIn('BEGIN CERTIFICATE', pathlib.Path(self.cert).read_text())
            self.assertIn('PRIVATE KEY', pathlib.Path(self.key).read_text())
            self.assertEqual(stat.S_IMODE(os.stat(self.key).st_mode), 0o600)

    def test_a_key_file_that_others_could_read_is_closed_to_them(self):
        pathlib.Path(self.key).write_text('old')
        os.chmod(self.key, 0o644)
        self.assertEqual(run('cert', '--cert-out', self.cert, '--key-out', self.key).returncode, 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.key).st_mode), 0o600)

    def test_the_options_have_their_names_of_before_too(self):
        done = run('cert', '--out-cert', self.cert, '--out-key', self.key)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))
        self.assertIn('PRIVATE KEY', pathlib.Path(self.key).read_text())


class Mistakes(unittest.TestCase):
    def expect(self, status, text, *args):
        done = run(*args)
        self.assertEqual(done.returncode, status, args)
        self.assertEqual(done.stdout, '')
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertIn(text, done.stderr)

    def test_wrong_command_lines(self):
        out = ('--cert-out', '/dev/null', '--key-out', '/dev/null')
        for text, *args in (
                ('a command is missing',),
                ('unknown command frobnicate', 'frobnicate'),
                ('takes no arguments but --json, got --verbose', 'caps', '--verbose'),
                ('takes no arguments but --json, got --json', 'caps', '--json', '--json'),
                ('--cert-out is missing', 'cert'),
                ('--key-out is missing', 'cert', '--cert-out', '/dev/null'),
                ('unknown option --frob', 'cert', *out, '--frob'),
                ('unknown option -x', 'cert', *out, '-x'),
                ('unexpected argument here', 'cert', *out, 'here'),
                ('unknown option -a (', 'serve', '--retry', '-ab', 'word'),
                ('ambiguous option --list (', 'serve', '--list'),
                ('this option takes no value: --retry=1 (', 'serve', '--retry=1'),
                *(('this option takes no value: --help=1 (', *words, '--help=1') for words in (
                    ['cert'], ['serve'], ['get'], ['cp', '-r'], ['sync'], ['stat'],
                    ['hist', 'show'], ['relay'], ['swarm', 'make'])),
                ('--interval must be 100 to 60000, not 1 (', 'stat', '--interval', '1'),
                ('--memory must be 1Mi to 16Gi, not 1 (', 'swarm', 'seed', '--memory', '1'),
                ('--memory must be 1Mi to 1024Gi, not 1 (', 'cp', '--memory', '1'),
                ('--report must be 1 to 86400 seconds, not 0 (', 'relay', '--report', '0'),
                ('--timeout must be 1 to 86400 seconds, not 5m (', 'get', '--timeout', '5m'),
                ('--timeout must be 1 to 86400 seconds, not 5m (', 'cp', '--timeout', '5m'),
                ('--linger must be 0 to 31536000 seconds, not x (', 'swarm', 'seed', '--linger',
                 'x'),
                ('--rate must be 1000 to 125G, not 1 (', 'swarm', 'seed', '--rate', '1'),
                ("--days must be 1 to 36500, not '' (", 'cert', *out, '--days', ''),
                ('--cert-out and --key-out must be two files', 'cert', '--cert-out', 'a.pem',
                 '--key-out', 'a.pem'),
                ('--listen foo: is not ADDR:PORT', 'serve', '--listen', 'foo'),
                ('--listen foo: is not ADDR:PORT', 'relay', '--listen', 'foo'),
                ('--upstream foo: is not ADDR:PORT', 'relay', '--upstream', 'foo'),
                ('--udp a: is not ADDR:PORT', 'relay', '--udp', 'a=b'),
                ('--listen foo: is not ADDR:PORT', 'swarm', 'seed', '--listen', 'foo'),
                ('--peer must be HOST:PORT, not [::1]:0 (', 'swarm', 'seed', '--peer', '[::1]:0'),
                ('--listen foo: is not ADDR:PORT', 'stat', '--listen', 'foo'),
                ('one side must be HOST:PATH, and this is not: a (', 'cp', 'a', 'b'),
                ('a value is missing after --days', 'cert', *out, '--days'),
                ('--days must be 1 to 36500, not 0', 'cert', *out, '--days', '0'),
                ('--days must be 1 to 36500, not -1', 'cert', *out, '--days', '-1'),
                ('--days must be 1 to 36500, not 3x', 'cert', *out, '--days', '3x'),
                ('--days must be 1 to 36500, not 36501', 'cert', *out, '--days', '36501'),
                ('--handshake-timeout must be 1 to 3600, not 0', 'serve', '--handshake-timeout',
                 '0'),
                ('--type must be p256, ed25519 or rsa, not dsa', 'cert', *out, '--type', 'dsa'),
                ('takes at most 64 names', 'cert', *out, *(['--name', 'a'] * 65))):
            self.expect(2, text, *args)

    def test_what_cannot_be_written_is_named(self):
        self.expect(1, '/no/such/folder/key: No such file or directory', 'cert', '--cert-out',
                    '/dev/null', '--key-out', '/no/such/folder/key')

    def test_two_names_of_one_new_file_are_no_two_files(self):
        """Neither file is there when the command line is read."""
        with tempfile.TemporaryDirectory() as folder:
            os.symlink('to', f'{folder}/link')
            os.symlink('to too', f'{folder}/link too')
            for cert, key in (('a', './a'), ('link', 'to'), ('to too', 'link too')):
                self.expect(2, '--cert-out and --key-out must be two files', 'cert', '--cert-out',
                            f'{folder}/{cert}', '--key-out', f'{folder}/{key}')
                self.assertIn('PRIVATE KEY', pathlib.Path(folder, key).read_text())

    def test_an_ipv6_address_has_brackets(self):
        with tempfile.TemporaryDirectory() as folder:
            self.expect(1, '[::1]:1: ', 'get', '--insecure', '-o', folder, 'https://[::1]:1/x')
            self.expect(1, '[::1]:1: ', 'cp', '--known', f'{folder}/known', '--port', '1',
                        '[::1]:x', folder)

    def test_a_bad_name_is_named(self):
        self.expect(1, "'a b' is neither a DNS name nor an IP address", 'cert', '--cert-out',
                    '/dev/null', '--key-out', '/dev/null', '--name', 'a b')


class Rest(unittest.TestCase):
    def test_version_and_help(self):
        self.assertRegex(run('version').stdout, r'^spate \d+\.\d+\.\d+\n$')
        self.assertIn('usage: spate', run('help').stdout)

    def test_each_command_of_the_help_has_a_help_of_its_own(self):
        commands = re.findall(r'^  spate (\w+)', run('--help').stdout, re.MULTILINE)
        self.assertGreater(len(commands), 10)
        for command in commands:
            said = run(command, '--help').stdout
            self.assertTrue(said.startswith('usage: spate '), f'{command}: {said}')
            self.assertEqual(run('help', command).stdout, said)
            self.assertEqual(run(command, '-h').stdout, said)
            self.assertLess(max(map(len, said.splitlines())), 80, command)
        self.assertEqual(run('-h').stdout, run('--help').stdout)
        self.assertEqual(run('help', '-h').stdout, run('help', '--help').stdout)

    def test_output_that_cannot_be_written_is_a_failure(self):
        for words in (['--help'], ['version'], ['caps'], ['caps', '--help'], ['cp', '--help']):
            with open('/dev/full', 'w') as full:
                done = subprocess.run([SPATE, *words], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=60)
            self.assertEqual(done.returncode, 1, words)
            self.assertRegex(done.stderr, r'^spate \S+: cannot write to stdout.*\n$')

    def test_files_do_not_get_the_numbers_of_closed_streams(self):
        """What is printed would go into a file of ours."""
        with tempfile.TemporaryDirectory() as folder:
            with subprocess.Popen(['sh', '-c', 'exec "$@" <&- 2>&-', 'sh', SPATE, 'serve',
                                   '--listen', '127.0.0.1:0', '--root', folder],
                                  stdout=subprocess.PIPE, text=True) as server:
                self.assertIn('listening at', server.stdout.readline())
                for number in 0, 2:
                    self.assertEqual(os.readlink(f'/proc/{server.pid}/fd/{number}'), '/dev/null')
                server.terminate()
            self.assertEqual(server.returncode, 0)
        done = subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', SPATE, 'version'],
                              stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr),
                         (1, 'spate version: cannot write to stdout: Bad file descriptor\n'))

    def test_help_for_what_is_no_command(self):
        for words in (('help', 'nonsense'), ('help', 'cp', 'sync')):
            done = run(*words)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count('\n')), (2, '', 1))


if __name__ == '__main__':
    unittest.main()
