#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/deps.sh and a mirror in motion: which sources it takes, and what it says of the others."""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess

import setup_support
from setup_support import (HANG_S, Archive, Key, Server, SetupTest, source_package, tar,
                           upstream_files)

V1, V2, V3 = '3.5.7-1~deb13u2', '3.5.7-1~deb13u3', '3.5.9-1~deb13u1'  # rising


class MirrorInMotion(SetupTest):
    def setUp(self):
        super().setUp()
        self.add_liburing()
        for suite, version in (('trixie', V1), ('trixie', V3)):
            self.main.add(suite, 'openssl', version)
        self.security.add('trixie-security', 'openssl', V2)

    def test_a_whole_mirror_gives_the_newest(self):
        self.main.publish()
        self.security.publish()
        self.assert_built(self.run_deps(), liburing='2.9-1', openssl=V3)

    def test_newest_missing(self):
        self.main.publish()
        self.security.publish()
        self.main.remove('openssl', V3)
        done = self.run_deps()
        self.assert_built(done, liburing='2.9-1', openssl=V2)
        self.assert_failed_line(done, f'openssl {V3} (trixie): ', 'File not found')

    def test_only_the_third_one_there(self):
        self.main.publish()
        self.security.publish()
        self.main.remove('openssl', V3)
        self.security.remove('openssl', V2)
        done = self.run_deps()
        self.assert_built(done, liburing='2.9-1', openssl=V1)
        self.assert_failed_line(done, f'openssl {V3} (trixie): ')
        self.assert_failed_line(done, f'openssl {V2} (trixie-security): ')

    def spoil(self, kind, change):
        self.main.publish()
        self.security.publish()
        file = next(self.main.folder('openssl', V3).glob(f'*{kind}'))
        file.write_bytes(change(file.read_bytes()))

    def assert_not_taken(self):
        done = self.run_deps()
        self.assert_built(done, openssl=V2)
        self.assert_failed_line(done, f'openssl {V3} (trixie): ')
        self.assertEqual([p.name for p in (self.cache / 'download').glob(f'*{V3}*')], [])
        self.assertEqual(list((self.cache / 'download').glob('openssl_3.5.9*')), [])

    def test_a_truncated_file(self):
        for kind in ('.dsc', '.orig.tar.gz', '.debian.tar.xz'):
            with self.subTest(kind):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.spoil(kind, lambda data: data[:len(data) // 2])
                self.assert_not_taken()

    def test_a_wrong_checksum(self):
        for kind in ('.dsc', '.orig.tar.gz', '.debian.tar.xz'):
            with self.subTest(kind):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.spoil(kind, lambda data: bytes([data[0] ^ 1]) + data[1:])
                self.assert_not_taken()

    def test_a_wrong_file_of_a_server_is_not_taken(self):
        server = Server(self.root / 'www')
        self.addCleanup(server.end)
        self.use_mirror(server.address())
        for change in (lambda data: data[:-1], lambda data: data[:-1] + b'x'):
            with self.subTest(change):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.spoil('.orig.tar.gz', change)
                self.assert_not_taken()

    def test_none_at_all(self):
        self.main.publish()
        self.security.publish()
        for archive, version in ((self.main, V1), (self.main, V3), (self.security, V2)):
            archive.remove('openssl', version)
        done = self.run_deps()
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        _, _, message = done.stderr.partition('cannot get openssl >= 3.5.2.  Tried:')
        for version in (V1, V2, V3):
            self.assertIn(f'openssl {version} (', message)
        for suite in ('trixie-updates', 'trixie-backports', 'forky', 'sid'):
            self.assertIn(f'  {suite} at file:{self.main.root}: ', message)
        self.assertIn(f'into\n{self.cache}/sources', message)
        self.assertIn('openssl-3.5.*.tar.gz', message)

    def test_no_library_is_lost_when_the_other_fails_and_the_next_run_goes_on(self):
        self.main.publish()
        self.security.publish()
        away = self.root / 'away'
        for archive, version in ((self.main, V1), (self.main, V3), (self.security, V2)):
            away.mkdir(exist_ok=True)
            shutil.move(archive.folder('openssl', version), away / version)
        self.assertEqual(self.run_deps().returncode, 1)
        inode = next(self.cache.glob('r*/liburing/built-from')).stat().st_ino
        self.main.remove('liburing', '2.9-1')
        shutil.move(away / V1, self.main.folder('openssl', V1))
        self.assert_built(self.run_deps(), liburing='2.9-1', openssl=V1)
        self.assertEqual(next(self.cache.glob('r*/liburing/built-from')).stat().st_ino, inode)

    def test_second_run_from_the_cache_without_network(self):
        self.main.publish()
        self.security.publish()
        first = self.run_deps()
        self.assert_built(first, openssl=V3)
        shutil.rmtree(self.root / 'www')
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        second = self.run_deps()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # CPU time, which other work on the machine does not change much.
        self.assertLess(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
        self.assertEqual((second.returncode, second.stdout, second.stderr), (0, first.stdout, ''))
        # A change of the recipe builds again: from the sources that are here.
        for folder in self.cache.glob('r*'):
            shutil.rmtree(folder)
        self.assert_built(self.run_deps(), liburing='2.9-1', openssl=V3)

    def test_a_relative_cache_is_the_folder_that_it_names_here(self):
        self.main.publish()
        self.security.publish()
        done = subprocess.run(self.command(), env={**self.env, 'SPATE_CACHE': 'cache'}, text=True,
                              cwd=self.root, capture_output=True, timeout=HANG_S, check=False)
        self.assert_built(done, openssl=V3)
        self.assertTrue(done.stdout.startswith(f'{self.cache}/'), done.stdout)

    def test_a_cache_whose_name_would_be_cut_is_refused(self):
        for name in ('a cache', 'a:cache', 'a\ncache'):
            with self.subTest(name):
                done = self.run_deps(SPATE_CACHE=str(self.root / name))
                self.assertEqual((done.returncode, done.stdout), (1, ''))
                self.assertRegex(done.stderr, r"^deps\.sh: SPATE_CACHE must name a folder without "
                                 r"white space and ':', not '")
                self.assertFalse((self.root / name).exists())

    def test_a_file_of_two_versions_is_fetched_once(self):
        server = Server(self.root / 'www')
        self.addCleanup(server.end)
        self.use_mirror(server.address())
        # The security archive has the upstream archive already, and not yet the patches.
        orig = 'openssl_3.5.7.orig.tar.gz'
        shutil.copy(self.main.folder('openssl', V1) / orig, self.security.folder('openssl', V2))
        source_package(self.security.folder('openssl', V2), 'openssl', V2)
        self.main.publish()
        self.security.publish()
        self.main.remove('openssl', V3)
        next(self.security.folder('openssl', V2).glob('*.debian.tar.xz')).unlink()
        self.assert_built(self.run_deps(), openssl=V1)
        self.assertEqual([path for path, _ in server.requests if path.endswith(orig)],
                         [f'/debian-security/pool/openssl/{V2}/{orig}'.replace('~', '%7e')])

    def test_a_damaged_download_is_fetched_again(self):
        self.main.publish()
        self.security.publish()
        self.run_deps()
        for folder in self.cache.glob('r*'):
            shutil.rmtree(folder)
        file = self.cache / 'download/openssl_3.5.9.orig.tar.gz'
        file.write_bytes(file.read_bytes()[:100])
        done = self.run_deps()
        self.assert_built(done, openssl=V3)
        self.assert_failed_line(done, f'openssl {V3}', 'damaged')


class Refresh(SetupTest):
    """The cache has V1, and a mirror may have more."""

    def setUp(self):
        super().setUp()
        self.add_liburing()
        self.main.add('trixie', 'openssl', V1)
        self.security.add('trixie-security', 'openssl', V1)
        self.publish()
        self.assert_built(self.run_deps(), openssl=V1)
        self.inode = self.openssl_inode()

    def publish(self):
        self.main.publish()
        self.security.publish()

    def openssl_inode(self):
        return next(self.cache.glob('r*/openssl/built-from')).stat().st_ino

    def refresh(self, status, line, **names):
        """Refreshes; the line is what it reports of OpenSSL, and the libraries stay usable."""
        done = self.run_deps('--refresh')
        lines = [text for text in done.stderr.splitlines()
                 if text.startswith('deps.sh: openssl: ')]
        self.assertEqual((done.returncode, lines), (status, [f'deps.sh: openssl: {line}']),
                         done.stderr)
        done.returncode = 0
        self.assert_built(done, **names)
        return done

    def test_a_newer_version_is_taken(self):
        self.security.add('trixie-security', 'openssl', V2)
        self.publish()
        done = self.refresh(0, f'was {V1}, is now {V2}', liburing='2.9-1', openssl=V2)
        self.assertIn('deps.sh: liburing: unchanged, 2.9-1\n', done.stderr)
        self.assertEqual(list((self.cache / 'download').glob(f'openssl_{V1}*')), [])
        self.assert_built(self.run_deps(), openssl=V2)

    def test_what_the_cache_has_is_not_built_again(self):
        done = self.refresh(0, f'unchanged, {V1}', openssl=V1)
        self.assertNotIn('building', done.stderr)
        self.assertEqual(self.openssl_inode(), self.inode)

    def test_no_mirror_is_a_failure(self):
        shutil.rmtree(self.root / 'www')
        self.refresh(1, f'unchanged, {V1}; no mirror was read', openssl=V1)
        self.assertEqual(self.openssl_inode(), self.inode)
        (self.etc / 'sources.list').write_text('')
        self.refresh(1, f"unchanged, {V1}; no mirror was read: apt's lists on this machine name "
                     'none of Debian', openssl=V1)

    def test_a_version_that_is_named_and_not_delivered_is_a_failure(self):
        self.main.add('trixie', 'openssl', V3)
        self.publish()
        self.main.remove('openssl', V3)
        rest = f'{V3} is named but not delivered, or does not build: run again later'
        self.refresh(1, f'unchanged, {V1}; {rest}', openssl=V1)
        self.security.add('trixie-security', 'openssl', V2)
        self.security.publish()
        self.refresh(1, f'was {V1}, is now {V2}; {rest}', openssl=V2)

    def test_a_security_archive_that_cannot_be_read_is_a_failure(self):
        shutil.rmtree(self.security.root)
        self.refresh(1, f'unchanged, {V1}; trixie-security was not read', openssl=V1)

    def test_no_security_archive_in_the_lists_is_reported(self):
        text = (self.etc / 'sources.list').read_text()
        (self.etc / 'sources.list').write_text(
            ''.join(line for line in text.splitlines(True) if 'security' not in line))
        done = self.refresh(0, f'unchanged, {V1}', openssl=V1)
        self.assertIn("no security archive in apt's lists: trixie-security was not looked at\n",
                      done.stderr)

    def test_a_later_debian_gives_way_and_is_no_way_out(self):
        self.main.add('sid', 'openssl', '3.6.3-1')
        self.publish()
        away = self.root / 'away'
        shutil.move(self.main.root / 'dists/trixie', away)
        self.refresh(1, f'unchanged, {V1}; trixie was not read', openssl=V1)
        for folder in self.cache.glob('*/openssl*'):
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        shutil.move(self.security.root, self.root / 'away-too')
        self.assert_built(self.run_deps(), openssl='3.6.3-1')
        shutil.move(self.root / 'away-too', self.security.root)
        shutil.move(away, self.main.root / 'dists/trixie')
        self.refresh(0, f'was 3.6.3-1, is now {V1}', openssl=V1)

    def test_a_newer_one_that_a_person_has_put_there_is_taken_and_stays(self):
        (self.cache / 'sources').mkdir()
        source_package(self.cache / 'sources', 'openssl', V2)
        self.refresh(0, f'was {V1}, is now {V2}', openssl=V2)
        self.refresh(0, f'unchanged, {V2}', openssl=V2)


class Suites(SetupTest):
    def test_debian_13_comes_first_and_old_versions_never(self):
        self.add_liburing()
        versions = {'trixie': '3.5.4-1', 'trixie-updates': '3.5.6-1',
                    'trixie-backports': '3.5.5-1~', 'forky': '3.6.3-1', 'sid': '3.6.5-1'}
        for suite, version in versions.items():
            self.main.add(suite, 'openssl', version)
        self.main.add('trixie', 'openssl', '3.5.1-1')
        self.main.add('sid', 'openssl', '3.6.10~rc1-1')
        self.security.add('trixie-security', 'openssl', '3.5.4-1~deb13u9')
        self.main.publish()
        self.security.publish()
        for folder in (self.root / 'www').glob('*/pool/openssl'):
            shutil.rmtree(folder)
        done = self.run_deps()
        self.assertEqual(done.returncode, 1)
        _, _, message = done.stderr.partition('Tried:')
        self.assertEqual(re.findall(r'^  openssl (\S+) \((\S+)\)', message, re.MULTILINE), [
            ('3.5.6-1', 'trixie-updates'), ('3.5.5-1~', 'trixie-backports'), ('3.5.4-1', 'trixie'),
            ('3.5.4-1~deb13u9', 'trixie-security'),
            ('3.6.10~rc1-1', 'sid'), ('3.6.5-1', 'sid'), ('3.6.3-1', 'forky')])

    def test_a_later_suite_helps_when_debian_13_has_nothing(self):
        self.add_liburing()
        self.main.add('trixie', 'openssl', V3)
        self.main.add('sid', 'openssl', '3.6.3-1')
        self.main.publish()
        self.main.remove('openssl', V3)
        self.assert_built(self.run_deps(), openssl='3.6.3-1')

    def test_a_suite_whose_signature_does_not_verify_is_not_used(self):
        other = Key(self.root, 'other')
        self.addCleanup(other.end)
        self.add_liburing()
        self.main.add('sid', 'openssl', '3.6.3-1')
        self.main.publish()
        forged = Archive(self.root / 'forged', other)
        forged.add('trixie-updates', 'openssl', V3)
        forged.add('forky', 'openssl', '3.6.5-1')
        forged.publish()
        shutil.copytree(forged.root, self.main.root, dirs_exist_ok=True)
        done = self.run_deps()
        self.assert_built(done, openssl='3.6.3-1')
        for suite in ('trixie-updates', 'forky'):
            self.assert_failed_line(done, f'{suite} at ', ' signature')

    def test_a_suite_with_half_new_indices_does_not_stop_the_others(self):
        self.add_liburing()
        self.main.add('trixie-updates', 'openssl', V3)
        self.main.add('trixie', 'openssl', V1)
        self.main.publish()
        index = self.main.root / 'dists/trixie-updates/main/source/Sources'
        index.write_text(index.read_text() + '\n')
        done = self.run_deps()
        self.assert_built(done, openssl=V1)
        self.assert_failed_line(done, 'trixie-updates at ')

    def test_a_mirror_that_hangs_ends(self):
        server = Server(self.root / 'www')
        self.addCleanup(server.end)
        self.use_mirror(server.address())
        self.add_liburing()
        self.main.add('trixie', 'openssl', V1)
        self.main.add('trixie', 'openssl', V3)
        self.main.publish()
        server.hang = '/debian-security/dists/'
        server.stall = 'openssl_3.5.9.orig.tar.gz'
        done = self.run_deps()
        self.assert_built(done, openssl=V1)
        self.assert_failed_line(done, 'trixie-security at ')
        self.assert_failed_line(done, f'openssl {V3} (trixie): ')


def limit_files():
    """Lets writes fail in what is executed next, where a file gets larger than 40 MB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000_000, 40_000_000))


class Builds(SetupTest):
    def setUp(self):
        super().setUp()
        self.add_liburing()

    def test_a_source_that_does_not_build_is_followed_by_the_next(self):
        self.main.add('trixie', 'openssl', V3, compile_step='echo d.c: error: no such flag; false')
        self.main.add('trixie', 'openssl', V1)
        self.main.publish()
        done = self.run_deps()
        self.assert_built(done, openssl=V1)
        self.assert_failed_line(done, f'openssl_{V3}.dsc does not build: ', 'no such flag')

    def test_a_source_that_lies_about_its_version_is_followed_by_the_next(self):
        dsc = self.main.add('trixie', 'openssl', V3)
        tar(dsc.parent / 'openssl_3.5.9.orig.tar.gz', 'openssl-3.5.9',
            upstream_files('openssl', '3.0.1', 'true'))
        source_package(dsc.parent, 'openssl', V3)
        self.main.add('trixie', 'openssl', V1)
        self.main.publish()
        self.assert_built(self.run_deps(), openssl=V1)

    def test_a_build_that_failed_does_not_lock_the_user_in(self):
        trouble = self.root / 'trouble'
        trouble.touch()
        self.main.add('trixie', 'openssl', V3, compile_step=f'test ! -e {trouble}')
        self.main.publish()
        done = self.run_deps()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f'  openssl_{V3}.dsc does not build: ', done.stderr)
        # The next run begins with what is here, and does not build it twice.
        done = self.run_deps()
        self.assertEqual(done.returncode, 1)
        self.assert_failed_line(done, f'openssl_{V3}.dsc does not build: ')
        self.main.add('trixie', 'openssl', V1)
        self.main.publish()
        self.assert_built(self.run_deps(), openssl=V1)
        trouble.unlink()
        self.security.suites['trixie-security'] = []
        self.security.publish()
        self.assert_built(self.run_deps('--refresh'), openssl=V3)

    def path_with_df(self, first, later):
        """A PATH whose df says how many MB are free: `first` when asked once, then `later`."""
        df = self.root / 'programs/df'
        df.parent.mkdir()
        df.write_text(f'#!/bin/sh\necho Avail\necho {first}\nsed -i s/{first}/{later}/ "$0"\n')
        df.chmod(0o755)
        return f'{df.parent}:{self.env["PATH"]}'

    def test_a_disk_that_is_full_before_is_named_at_once(self):
        done = self.run_deps(PATH=self.path_with_df(17, 17))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (
            1, '', f'deps.sh: only 17 MB are free in {self.cache}: a build needs 500 MB\n'))

    def test_a_cache_that_cannot_be_written_is_named(self):
        self.cache.write_text('a file')
        done = self.run_deps()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (
            1, '', f'deps.sh: cannot write to {self.cache}: set SPATE_CACHE to a folder of '
            'yours\n'))

    def test_a_full_disk_is_named_and_does_not_lock_the_user_in(self):
        dsc = self.main.add('trixie', 'openssl', V3)
        tar(dsc.parent / 'openssl_3.5.9.orig.tar.gz', 'openssl-3.5.9',
            {**upstream_files('openssl', '3.5.9', 'true'), 'filler': '0' * 60_000_000})
        source_package(dsc.parent, 'openssl', V3)
        self.main.publish()
        # A limit of each file stands for the end of the disk, and df says later that it is near.
        done = subprocess.run(self.command(), text=True, capture_output=True, timeout=HANG_S,
                              env={**self.env, 'PATH': self.path_with_df(900, 17)},
                              preexec_fn=limit_files, check=False)
        self.assertEqual(done.returncode, 1)
        self.assert_failed_line(done, f'openssl_{V3}.dsc does not build: ')
        self.assertIn(f'only 17 MB are free in {self.cache}', done.stderr)
        shutil.rmtree(self.root / 'www')
        self.assert_built(self.run_deps(), openssl=V3)


class ByHand(SetupTest):
    def setUp(self):
        super().setUp()
        self.sources = self.cache / 'sources'
        self.sources.mkdir(parents=True)
        (self.etc / 'sources.list').write_text('')

    def test_source_packages_and_archives_need_no_mirror(self):
        source_package(self.sources, 'liburing', '2.9-1')
        source_package(self.sources, 'openssl', V1)
        self.assert_built(self.run_deps(), liburing='2.9-1', openssl=V1)

    def test_upstream_archives_need_no_mirror(self):
        for name, version in (('liburing', '2.11'), ('openssl', '3.5.4')):
            files = {**upstream_files(name, version, 'true'), 'patched': 'nobody'}
            tar(self.sources / f'{name}-{version}.tar.gz', f'{name}-x', files)
        self.assert_built(self.run_deps())
        self.assertEqual(self.built_from('openssl'), 'openssl-3.5.4.tar.gz')

    def without_apt(self):
        """A PATH with all programs of this machine, except those of Debian."""
        programs = self.root / 'programs'
        programs.mkdir()
        for folder in os.environ['PATH'].split(':'):
            for file in pathlib.Path(folder).glob('*'):
                link = programs / file.name
                if not file.name.startswith(('apt', 'dpkg')) and not link.is_symlink():
                    link.symlink_to(file)
        return {'PATH': str(programs)}

    def test_a_machine_without_apt_builds_upstream_archives(self):
        env = self.without_apt()
        done = self.run_deps(**env)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('there is no apt on this machine', done.stderr)
        self.assertIn(f'into\n{self.sources}\n', done.stderr)
        for name, version in (('liburing', '2.9'), ('openssl', '3.5.10'), ('openssl', '3.5.4')):
            files = {**upstream_files(name, version, 'true'), 'patched': 'nobody'}
            tar(self.sources / f'{name}-{version}.tar.gz', f'{name}-x', files)
        self.assert_built(self.run_deps(**env))
        self.assertEqual(self.built_from('openssl'), 'openssl-3.5.10.tar.gz')

    def test_a_damaged_one_is_named_and_the_next_one_taken(self):
        source_package(self.sources, 'liburing', '2.9-1')
        for version in (V1, V3):
            source_package(self.sources, 'openssl', version)
        file = self.sources / 'openssl_3.5.9.orig.tar.gz'
        file.write_bytes(file.read_bytes()[:-1])
        done = self.run_deps()
        self.assert_built(done, openssl=V1)
        self.assert_failed_line(done, f'openssl_{V3}.dsc: ', 'wrong beside it: ' + file.name)
        self.assertTrue(file.exists(), 'what a person put there stays')

    def test_one_that_is_too_old_is_named(self):
        source_package(self.sources, 'liburing', '2.9-1')
        source_package(self.sources, 'openssl', '3.4.0-1')
        done = self.run_deps()
        self.assertEqual(done.returncode, 1)
        self.assert_failed_line(done, 'openssl_3.4.0-1.dsc', 'older than 3.5.2')

    def test_without_a_mirror_the_message_says_what_to_do(self):
        done = self.run_deps()
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('no Debian mirror', done.stderr)
        self.assertIn(f'into\n{self.sources}\n', done.stderr)


class AptConfiguration(SetupTest):
    """However the machine names its mirror."""

    def setUp(self):
        super().setUp()
        self.add_liburing()
        self.main.add('trixie', 'openssl', V1)
        self.security.add('trixie-security', 'openssl', V3)
        self.main.publish()
        self.security.publish()
        (self.etc / 'sources.list').write_text('')
        self.list = self.etc / 'sources.list.d/debian.sources'

    def stanzas(self, main, security, signed_by):
        return ''.join(
            f'# {suites}\nTypes: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main contrib\n'
            f'{signed}\n' for uri, suites, signed in (
                ('https://example.org/other', 'stable-other', 'Signed-By: /no/such/key\n'),
                (main, 'bookworm bookworm-updates', signed_by),
                (security, 'bookworm-security', signed_by)))

    def test_deb822(self):
        self.list.write_text(self.stanzas(f'file:{self.main.root}/', f'file:{self.security.root}',
                                          f'Signed-By: {self.key.public}\n'))
        self.assert_built(self.run_deps(), openssl=V3)

    def test_a_key_inside_the_list(self):
        key = ''.join(f' {line or "."}\n' for line in self.key.public.read_text().splitlines())
        self.list.write_text(self.stanzas(f'file:{self.main.root}', f'file:{self.security.root}',
                                          f'Signed-By:\n{key}'))
        self.assert_built(self.run_deps(), openssl=V3)

    def test_a_key_that_is_trusted_for_everything(self):
        shutil.copy(self.key.public, self.etc / 'trusted.gpg.d/archive.asc')
        (self.etc / 'sources.list').write_text(
            f'deb [arch=amd64] file:{self.main.root} stable main\n'
            f'deb-src file:{self.main.root} stable main\n'
            f'deb file:{self.security.root} stable-security main\n')
        self.assert_built(self.run_deps(), openssl=V3)

    def test_a_list_of_mirrors(self):
        for archive in (self.main, self.security):
            (self.root / f'{archive.root.name}.list').write_text(f'file:{archive.root}\n')
        self.list.write_text(self.stanzas(
            f'mirror+file:{self.root}/debian.list', f'mirror+file:{self.root}/debian-security.list',
            f'Signed-By: {self.key.public}\n'))
        self.assert_built(self.run_deps(), openssl=V3)

    def test_a_proxy(self):
        server = Server(self.root / 'www')
        self.addCleanup(server.end)
        # A proxy is asked for whole addresses.
        (self.root / 'www/http:').mkdir()
        (self.root / 'www/http:/mirror.invalid').symlink_to(self.root / 'www')
        self.configure_apt(f'Acquire::http::Proxy "{server.address()}";')
        self.use_mirror('http://mirror.invalid')
        self.assert_built(self.run_deps(), openssl=V3)

    def test_the_state_of_the_machine_is_left_alone(self):
        self.use_mirror(f'file:{self.root}/www')
        before = self.tree()
        self.assert_built(self.run_deps(), openssl=V3)
        self.assertEqual(self.tree(), before)

    def tree(self):
        return sorted((str(path), path.stat().st_mtime_ns)
                      for folder in ('etc', 'state', 'www')
                      for path in pathlib.Path(self.root / folder).rglob('*') if path.is_file())


if __name__ == '__main__':
    setup_support.main()
