#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scripts install packages from a mirror in motion, into a folder with a dpkg state there;
and they set up build folders.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import setup_support
from setup_support import HANG_S, TOOLS, SetupTest

ARCHITECTURE = subprocess.run(['dpkg', '--print-architecture'], text=True, check=False,
                              stdout=subprocess.PIPE).stdout.strip()


class Packages(SetupTest):
    def setUp(self):
        super().setUp()
        for folder in ('dpkg/info', 'dpkg/updates', 'installed'):
            (self.root / folder).mkdir(parents=True)
        for file in ('dpkg/status', 'dpkg/available'):
            (self.root / file).touch()
        options = (f'--admindir={self.root}/dpkg', f'--instdir={self.root}/installed',
                   '--force-not-root', '--force-script-chrootless', '--force-bad-path',
                   f'--log={self.root}/dpkg.log')
        self.configure_apt(f'Dir::State::status "{self.root}/dpkg/status";',
                           f'Dir::Log "{self.root}";',
                           *(f'DPkg::Options:: "{option}";' for option in options))
        self.env['DPKG_ADMINDIR'] = str(self.root / 'dpkg')
        self.index = self.main.root / f'dists/bookworm/main/binary-{ARCHITECTURE}'
        self.index.mkdir(parents=True)

    def add(self, name, version, depends=''):
        """Puts a package into the pool, and returns its file."""
        folder = self.root / 'build'
        shutil.rmtree(folder, ignore_errors=True)
        (folder / 'DEBIAN').mkdir(parents=True)
        (folder / 'DEBIAN/control').write_text(
            f'Package: {name}\nSource: x\nVersion: {version}\nArchitecture: all\n'
            + (f'Depends: {depends}\n' if depends else '')
            + 'Maintainer: Nobody <nobody@example.org>\nDescription: for a test\n')
        file = self.main.root / f'pool/{name}_{version.rpartition(":")[2]}_all.deb'
        subprocess.run(['dpkg-deb', '--root-owner-group', '--build', folder, file], check=True,
                       stdout=subprocess.DEVNULL)
        return file

    def publish(self):
        """Writes the index of what is in the pool now."""
        (self.index / 'Packages').write_bytes(self.main.run('packages', 'pool'))
        self.main.suites['bookworm'] = []
        self.main.publish()

    def need(self, *names):
        return self.run_as_root(['bash', '-c', '. "$1/common.sh"; shift; need_packages "$@"',
                                 'test.sh', str(TOOLS), *names])

    def run_as_root(self, command):
        if os.getuid() != 0:
            command[:0] = ['unshare', '--map-root-user']
        return subprocess.run(command, env=self.env, text=True, capture_output=True,
                              timeout=HANG_S, check=False)

    def installed(self):
        done = subprocess.run(['dpkg-query', '-W', '-f', '${Package} ${Version}\n'], env=self.env,
                              text=True, capture_output=True, check=False)
        return done.stdout.splitlines()

    def add_three(self):
        """Three versions of a library and of its headers, which ask for exactly that one."""
        return {(name, version): self.add(name, version, depends)
                for version in ('1:3.5.7-1~deb13u2', '1:3.5.7-1~deb13u3', '1:3.5.9-1')
                for name, depends in (('libx', ''), ('libx-dev', f'libx (= {version})'))}

    def test_a_machine_without_lists_gets_the_newest(self):
        self.add_three()
        self.publish()
        done = self.need('libx-dev')
        self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
        self.assertEqual(self.installed(), ['libx 1:3.5.9-1', 'libx-dev 1:3.5.9-1'])
        again = self.need('libx-dev', 'libx')
        self.assertEqual((again.returncode, again.stdout, again.stderr), (0, '', ''))

    def test_the_newest_that_the_mirror_holds_is_installed_with_what_fits_it(self):
        files = self.add_three()
        self.publish()
        files['libx', '1:3.5.9-1'].unlink()
        files['libx-dev', '1:3.5.7-1~deb13u3'].unlink()
        done = self.need('libx-dev')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.installed(),
                         [f'{name} 1:3.5.7-1~deb13u2' for name in ('libx', 'libx-dev')])
        self.assertIn('does not deliver libx 3.5.9-1', done.stderr)
        self.assertIn('does not deliver libx-dev 3.5.7-1~deb13u3', done.stderr)

    def test_a_wrong_file_is_not_installed(self):
        files = self.add_three()
        self.publish()
        wrong = files['libx', '1:3.5.9-1']
        wrong.write_bytes(wrong.read_bytes()[:-1] + b'x')
        self.assertEqual(self.need('libx-dev').returncode, 0)
        self.assertEqual(self.installed()[0], 'libx 1:3.5.7-1~deb13u3')

    def test_old_lists_are_updated(self):
        old = self.add('libx', '1-1')
        self.add('other', '1-1')
        self.publish()
        self.assertEqual(self.need('other').returncode, 0)
        old.unlink()
        self.add('libx', '2-1')
        self.publish()
        done = self.need('libx')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('libx 2-1', self.installed())
        self.assertNotIn('does not deliver', done.stderr)

    def test_pins_of_the_machine_stay_in_force(self):
        (self.etc / 'preferences').write_text(
            'Package: libx*\nPin: version *3.5.9-1\nPin-Priority: -1\n')
        files = self.add_three()
        self.publish()
        files['libx', '1:3.5.7-1~deb13u3'].unlink()
        self.assertEqual(self.need('libx-dev').returncode, 0)
        self.assertEqual(self.installed()[0], 'libx 1:3.5.7-1~deb13u2')

    def test_a_broken_repository_of_another_vendor_does_not_stop_it(self):
        with open(self.etc / 'sources.list', 'a', encoding='utf-8') as file:
            file.write(f'deb file:{self.root}/nowhere stable main\n')
        self.add_three()
        self.publish()
        done = self.need('libx')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.installed(), ['libx 1:3.5.9-1'])

    def test_a_user_gets_the_command_for_root(self):
        for name, version in (('libssl-dev', '3.5.9-1'), ('liburing-dev', '2.9-1'), ('libx', '1')):
            self.add(name, version)
        self.publish()
        self.run_as_root(['apt-get', '-q', 'update'])
        (self.root / 'programs').mkdir()
        (self.root / 'programs/id').write_text('#!/bin/sh\necho 1000\n')
        (self.root / 'programs/id').chmod(0o755)
        self.env['PATH'] = f'{self.root}/programs:{self.env["PATH"]}'
        done = self.need('libx', 'libssl-dev')
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        before, _, names = done.stderr.partition(' --no-install-recommends ')
        self.assertEqual(before,
                         'test.sh: missing packages; as root: apt-get update && apt-get install')
        self.assertEqual(sorted(names.split()), ['libssl-dev', 'liburing-dev', 'libx'])

    def test_nothing_there_is_said_with_what_to_do(self):
        files = self.add_three()
        self.publish()
        for file in files.values():
            file.unlink()
        done = self.need('libx-dev')
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        last = done.stderr.splitlines()[-1]
        self.assertRegex(last, r'^test\.sh: apt-get cannot install libx-dev: E: Failed to fetch '
                         r'.*_3\.5\.9-1_all\.deb.*try again later')
        self.assertEqual(self.installed(), [])

    def install_build_packages(self):
        (self.root / 'dpkg/status').write_text(''.join(
            f'Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n'
            'Maintainer: Nobody <nobody@example.org>\nDescription: for a test\n\n'
            for name in ('build-essential', 'meson', 'ninja-build', 'pkgconf', 'python3', 'perl',
                         'xz-utils')))

    def test_packages_of_the_system_come_before_a_full_cache(self):
        self.install_build_packages()
        self.add_liburing()
        self.main.add('trixie', 'openssl', '3.5.8-1')
        old = [self.add('libssl-dev', '3.0.19-1'), self.add('liburing-dev', '2.3-3')]
        self.publish()
        self.run_as_root(['apt-get', '-q', 'update'])
        self.assert_built(self.run_as_root(self.command()), openssl='3.5.8-1')
        done = self.run_as_root(self.command())
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        for file in old:
            file.unlink()
        self.add('libssl-dev', '3.5.9-1')
        self.add('liburing-dev', '2.9-1')
        self.publish()
        self.run_as_root(['apt-get', '-q', 'update'])
        # It asks again with other lists, or on another release that the cache came to.
        done = self.run_as_root(self.command())
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        (self.cache / 'not-offered').write_text('an older one\n')
        done = self.run_as_root(self.command())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue({'libssl-dev 3.5.9-1', 'liburing-dev 2.9-1'} <= set(self.installed()))

    def test_libraries_that_the_mirror_does_not_deliver_are_built(self):
        self.install_build_packages()
        files = [self.add('libssl-dev', '3.5.9-1'), self.add('liburing-dev', '2.9-1')]
        self.add_liburing()
        self.main.add('trixie', 'openssl', '3.5.8-1')
        self.publish()
        self.assertEqual(self.run_as_root(['apt-get', '-q', 'update']).returncode, 100)
        for file in files:
            file.unlink()
        done = self.run_as_root(self.command())
        self.assert_built(done, liburing='2.9-1', openssl='3.5.8-1')
        self.assertRegex(done.stderr, r'deps\.sh: cannot install .*libssl-dev')

    def test_a_package_that_nobody_has_is_named(self):
        self.publish()
        done = self.need('no-such-package')
        self.assertEqual(done.returncode, 1)
        self.assertIn('Unable to locate package no-such-package', done.stderr)
        self.assertNotIn('try again later', done.stderr, 'that would not help')

    def leave_unpacked(self, name, version, depends=''):
        """Leaves what dpkg leaves when it is interrupted after the unpacking of a package."""
        (self.root / 'dpkg/updates/0000').write_text(
            f'Package: {name}\nStatus: install ok unpacked\nVersion: {version}\n'
            + (f'Depends: {depends}\n' if depends else '') + 'Architecture: all\n'
            'Maintainer: Nobody <nobody@example.org>\nDescription: for a test\n')
        (self.root / f'dpkg/info/{name}.list').write_text('/.\n')

    def states(self):
        return subprocess.run(
            ['dpkg-query', '-W', '-f', '${Package} ${Version} ${db:Status-Status}\n'],
            env=self.env, text=True, capture_output=True, check=True).stdout.splitlines()

    def test_an_interrupted_dpkg_is_finished(self):
        self.add_three()
        self.publish()
        newest = '1:3.5.9-1'
        for name, depends in (('libx', ''), ('libx-dev', f'libx (= {newest})')):
            with self.subTest(name):
                (self.root / 'dpkg/status').write_text('')
                self.leave_unpacked(name, newest, depends)
                done = self.need('libx-dev')
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn('finishing what an interrupted dpkg has left', done.stderr)
                self.assertEqual(self.states(), [f'{name} {newest} installed'
                                                 for name in ('libx', 'libx-dev')])

    def test_packages_without_what_they_depend_on_are_finished(self):
        self.add_three()
        self.add('other', '1-1')
        self.publish()
        self.leave_unpacked('libx-dev', '1:3.5.9-1', 'libx (= 1:3.5.9-1)')
        (self.root / 'dpkg/updates/0000').rename(self.root / 'dpkg/status')
        done = self.need('other')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.states(), ['libx 1:3.5.9-1 installed',
                                         'libx-dev 1:3.5.9-1 installed', 'other 1-1 installed'])


class BuildFolders(unittest.TestCase):
    """A small tree with our tools/, on a machine that has both libraries."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.build = self.root / 'tree/build'
        shutil.copytree(TOOLS, self.root / 'tree/tools')
        (self.root / 'tree/meson.build').write_text("project('small')\n")
        (self.root / 'pc').mkdir()
        for name, version in (('liburing', '2.9'), ('openssl', '3.5.2')):
            (self.root / f'pc/{name}.pc').write_text(
                f'Name: {name}\nDescription: for a test\nVersion: {version}\n')

    def configure(self, *options):
        env = dict(os.environ, SPATE_CACHE=str(self.root / 'cache'), PKG_CONFIG_PATH='',
                   PKG_CONFIG_LIBDIR=str(self.root / 'pc'), CC='')
        return subprocess.run(
            ['bash', '-c', '. "$1/common.sh"; shift; configure "$@"', 'build.sh',
             self.root / 'tree/tools', self.build, *options],
            env=env, text=True, capture_output=True, timeout=HANG_S, check=False)

    def option(self, name):
        values = json.loads((self.build / 'meson-info/intro-buildoptions.json').read_text())
        return next(value['value'] for value in values if value['name'] == name)

    def test_options_of_an_earlier_setup_do_not_stay(self):
        self.assertEqual(self.configure('--prefix=/opt/small').returncode, 0)
        self.assertEqual(self.option('prefix'), '/opt/small')
        done = self.configure('--buildtype=release')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.option('prefix'), self.option('buildtype')),
                         ('/usr/local', 'release'))

    def script(self, name, *words):
        """Runs a script of the tree on a machine that has nothing."""
        env = dict(os.environ, SPATE_CACHE=str(self.root / 'cache'), PKG_CONFIG_PATH='',
                   PKG_CONFIG_LIBDIR=str(self.root))
        return subprocess.run(['bash', self.root / 'tree/tools' / name, *words], env=env,
                              text=True, capture_output=True, timeout=HANG_S, check=False)

    def test_help_of_the_build_is_found_everywhere(self):
        (self.root / 'tree/tools/deps.sh').write_text('#!/bin/sh\necho reached >&2\nexit 3\n')
        for words in (['--help'], ['build2', '--help'], ['build2', '--prefix=/opt', '--help']):
            done = self.script('build.sh', *words)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertTrue(done.stdout.startswith('usage: tools/build.sh'))

    def test_the_demo_looks_at_its_seconds_before_it_builds(self):
        (self.root / 'tree/tools/build.sh').write_text('#!/bin/sh\necho built $1 >&2\nexit 3\n')
        for text in ('abc', '', '0', '-1', '0.001', '86401', '1 2', '5s'):
            done = self.script('demo.sh', '--seconds', text, '--dir', 'b')
            self.assertEqual((done.returncode, done.stderr), (
                1, f"demo.sh: --seconds must be a number from 0.01 to 86400, not '{text}'\n"))
        for text in ('3', '0.5', '.5', '86400'):
            done = self.script('demo.sh', '--seconds', text, '--dir', 'b')
            self.assertEqual((done.returncode, done.stderr), (3, 'built b\n'), text)

    def test_the_same_options_leave_the_folder_alone(self):
        self.assertEqual(self.configure('--prefix=/opt/small').returncode, 0)
        inode = (self.build / 'build.ninja').stat().st_ino
        done = self.configure('--prefix=/opt/small')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual((self.build / 'build.ninja').stat().st_ino, inode)

    def test_a_setup_that_failed_is_begun_again(self):
        self.assertEqual(self.configure('--no-such-option').returncode, 1)
        (self.build / 'rest').touch()
        done = self.configure()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse((self.build / 'rest').exists())

    def test_what_fuzzing_has_found_stays(self):
        self.assertEqual(self.configure().returncode, 0)
        for name in ('corpus', 'findings'):
            (self.build / name).mkdir()
            (self.build / name / 'input').write_text(name)
        self.assertEqual(self.configure('--buildtype=release').returncode, 0)
        for name in ('corpus', 'findings'):
            self.assertEqual((self.build / name / 'input').read_text(), name)

    def test_a_folder_with_other_things_is_left_alone(self):
        self.build.mkdir()
        (self.build / 'thesis').write_text('x')
        done = self.configure()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'^build\.sh: \S+ is not empty, and not a build folder')
        self.assertEqual([path.name for path in self.build.iterdir()], ['thesis'])


if __name__ == '__main__':
    setup_support.main('dpkg-deb', 'unshare', 'meson', 'ninja', 'pkg-config')
