#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Debian recipe and the systemd units against what is built: every installed file is in exactly
one package, the symbols are those of the library, and the service's command line serves.

usage: test_packaging.py MESON BUILD-DIR SOURCE-DIR SPATE LIBSPATE
"""
import contextlib
import fnmatch
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

MESON, BUILD, SOURCE, SPATE, LIBSPATE = map(os.path.abspath, sys.argv[1:6])
del sys.argv[1:]
PACKAGING = pathlib.Path(SOURCE, 'tools/packaging')
DEBIAN = PACKAGING / 'debian'
README = PACKAGING / 'README.md'
UNITS = [PACKAGING / 'systemd' / name for name in ('spate.service', 'spate.socket')]
HANG_S = 60
# As systemd does between fork() and exec(): one socket, which is descriptor 3.
ACTIVATE = '''
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
'''


def meson(*words):
    done = subprocess.run([MESON, 'introspect', *words, BUILD], capture_output=True, text=True,
                          check=True, timeout=HANG_S)
    return json.loads(done.stdout)


def installed():
    """The files that "meson install" makes, from the prefix, with any libdir as Debian's."""
    prefix = next(option['value'] for option in meson('--buildoptions')
                  if option['name'] == 'prefix')
    libdir = next(option['value'] for option in meson('--buildoptions')
                  if option['name'] == 'libdir')
    for path in meson('--installed').values():
        path = os.path.relpath(path, prefix)
        yield 'usr/' + re.sub(f'^{re.escape(libdir)}/', 'lib/TRIPLET/', path)


def packages():
    """Package -> what its .install file names."""
    names = re.findall(r'^Package: (\S+)$', (DEBIAN / 'control').read_text(), re.M)
    return {name: (DEBIAN / f'{name}.install').read_text().split() for name in names}


def settings(path):
    """Key -> values of a unit file."""
    found = {}
    for key, value in re.findall(r'^(\w+)=(.*)$', path.read_text(), re.M):
        found.setdefault(key, []).append(value)
    return found


class Debian(unittest.TestCase):
    def test_each_installed_file_is_in_one_package(self):
        patterns = packages()
        used = set()
        for path in installed():
            owners = []
            for name, globs in patterns.items():
                for glob in globs:
                    if fnmatch.fnmatch(path, glob) or fnmatch.fnmatch(path, glob + '/*'):
                        owners.append(name)
                        used.add((name, glob))
            self.assertEqual(len(owners), 1, f'{path}: {owners}')
        unused = {(name, glob) for name, globs in patterns.items() for glob in globs} - used
        self.assertEqual(unused, set())

    def test_the_symbols_are_those_of_the_library(self):
        made = subprocess.run(
            [sys.executable, PACKAGING / 'symbols.py', pathlib.Path(SOURCE, 'engine/spate.map'),
             'libspate.so.0', 'libspate0'], capture_output=True, text=True, check=True).stdout
        first, *lines = made.splitlines()
        self.assertEqual(first, 'libspate.so.0 libspate0 #MINVER#')
        listed = {line.split()[0] for line in lines if line.startswith(' spate_')}
        shown = subprocess.run(['nm', '--dynamic', '--defined-only', '--with-symbol-versions',
                                LIBSPATE], capture_output=True, text=True, check=True).stdout
        exported = {line.split()[-1].replace('@@', '@') for line in shown.splitlines()
                    if ' spate_' in line}
        self.assertGreater(len(exported), 100)
        self.assertEqual(listed, exported)

    def test_the_version_and_the_soname_are_those_of_the_build(self):
        version = meson('--projectinfo')['version']
        newest = (DEBIAN / 'changelog').read_text().split('\n')[0]
        self.assertRegex(newest, rf'^spate \({re.escape(version)}-\d+\) ')
        needed = subprocess.run(['readelf', '-d', LIBSPATE], capture_output=True, text=True,
                                check=True).stdout
        soname = re.search(r'SONAME.*\[(libspate\.so\.\d+)\]', needed)[1]
        self.assertIn(soname, (DEBIAN / 'rules').read_text())
        self.assertIn('lib' + soname[3:].replace('.so.', ''), packages())

    def test_the_options_of_the_build_exist(self):
        known = {option['name'] for option in meson('--buildoptions')}
        used = set(re.findall(r' -D(\w+)=', (DEBIAN / 'rules').read_text()))
        self.assertGreater(len(used), 4)
        self.assertEqual(used - known, set())

    def test_the_licence_is_that_of_the_tree(self):
        def words(text):
            return re.findall(r'[\w"(),]+', text)
        licence = words(pathlib.Path(SOURCE, 'LICENSE').read_text().split('\n\n', 2)[2])
        stated = (DEBIAN / 'copyright').read_text().split('License: Expat\n', 2)[2]
        self.assertEqual(words(stated), licence)


class Units(unittest.TestCase):
    @contextlib.contextmanager
    def service(self, folder, options):
        """Runs the service on a socket, with a file to serve; yields the port."""
        service, unit = map(settings, UNITS)
        root = pathlib.Path(folder, 'root')
        root.mkdir()
        (root / 'file').write_text('served')
        command = service['ExecStart'][0]
        self.assertTrue(command.startswith('/usr/bin/spate '), command)
        command = command.replace('/usr/bin/spate', SPATE, 1).replace('/srv/spate', str(root))
        words = shlex.split(command.replace('$SPATE_OPTIONS', options))
        self.assertIn(str(root), words)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(('127.0.0.1', 0))
            server = subprocess.Popen(
                [sys.executable, '-c', ACTIVATE, str(one.fileno()), unit['FileDescriptorName'][0],
                 *words], pass_fds=[one.fileno()], stdout=subprocess.PIPE, text=True,
                env=dict(os.environ, SPATE_STAT_DIR=folder))
            try:
                line = server.stdout.readline()
                if line.startswith('fingerprint '):
                    line = server.stdout.readline()
                self.assertIn('listening at', line)
                yield one.getsockname()[1]
            finally:
                server.terminate()
                server.communicate(timeout=HANG_S)
        self.assertEqual(server.returncode, 0)

    def test_the_service_serves_from_the_socket_unit(self):
        with tempfile.TemporaryDirectory() as folder:
            got, cert = pathlib.Path(folder, 'got'), f'{folder}/cert.pem'
            with self.service(folder, f'--cert-out {cert}') as port:
                self.assertEqual(len(list(pathlib.Path(folder).glob('spate-*.stat'))), 1)
                subprocess.run([SPATE, 'get', '--ca', cert, '-o', got,
                                f'https://127.0.0.1:{port}/file'], check=True, timeout=HANG_S)
            self.assertEqual((got / 'file').read_text(), 'served')

    def test_the_options_of_the_documents_serve(self):
        state = '/var/lib/' + settings(UNITS[0])['StateDirectory'][0]
        said = re.findall(r'SPATE_OPTIONS=(--cp[^\n\']*)',
                          UNITS[0].read_text() + README.read_text())
        self.assertEqual(len(said), 2)
        for options in said:
            # The service's user can write nowhere else.
            self.assertEqual(re.findall(r'/\S*', options), [f'{state}/id'])
            with tempfile.TemporaryDirectory() as folder:
                got = pathlib.Path(folder, 'got')
                with self.service(folder, options.replace(state, folder)) as port:
                    subprocess.run([SPATE, 'cp', '--port', str(port), '--known', f'{folder}/known',
                                    '127.0.0.1:file', got], check=True, timeout=HANG_S)
                self.assertEqual((got / 'file').read_text(), 'served')

    def test_the_counters_have_a_folder(self):
        service = settings(UNITS[0])
        self.assertIn('SPATE_STAT_DIR=/run/' + service['RuntimeDirectory'][0],
                      service['Environment'])

    def test_systemd_knows_every_setting(self):
        if shutil.which('systemd-analyze') is None:
            print('# not tried, the system lacks systemd-analyze', file=sys.stderr)
            return
        with tempfile.TemporaryDirectory() as folder:
            for path in UNITS:
                text = path.read_text().replace('/usr/bin/spate', SPATE)
                text = re.sub(r'^Documentation=.*\n', '', text, flags=re.M)
                pathlib.Path(folder, path.name).write_text(text)
            drop_in = re.search(r'^    \[Service\]\n(    .*\n)+', README.read_text(), re.M)[0]
            pathlib.Path(folder, 'spate.service.d').mkdir()
            pathlib.Path(folder, 'spate.service.d/tls.conf').write_text(
                re.sub('^    ', '', drop_in, flags=re.M))
            done = subprocess.run(
                ['systemd-analyze', 'verify', *(f'{folder}/{path.name}' for path in UNITS)],
                capture_output=True, text=True, timeout=HANG_S,
                env=dict(os.environ, SYSTEMD_UNIT_PATH=f'{folder}:'))
        said = [line for line in done.stderr.splitlines() if 'spate' in line]
        self.assertEqual((done.returncode, said), (0, []), done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
