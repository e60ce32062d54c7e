#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What can be said of the Containerfiles without building them: stages and files are there,
commands are shell, build options are ours, and programs find what they need in the image.

usage: test_container.py ROOT"""
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop() if len(sys.argv) > 1 else '.')
KNOWN = {'FROM', 'RUN', 'COPY', 'ENTRYPOINT', 'USER', 'EXPOSE', 'CMD'}
# Packages of the image, without those that every Debian has, and what endpoint.sh and the runner's
# own scripts, /setup.sh and /wait-for-it.sh, need of them.
PROGRAMS = {'ip': 'iproute2', 'ethtool': 'ethtool', 'nc': 'netcat-openbsd'}
OF_DEBIAN = {'hostname', 'mktemp', 'rm', 'bash'}
OF_MESON = {'b_lto', 'werror'}
LIBRARIES = {'openssl': 'libssl3t64', 'liburing': 'liburing2'}


def instructions(text):
    """(instruction, rest) of each line, continuations joined, comments left out."""
    text = re.sub(r'^#.*\n', '', text, flags=re.M)
    for line in re.sub(r'\\\n\s*', ' ', text).splitlines():
        if line.strip():
            word, _, rest = line.partition(' ')
            yield word, rest.strip()


def stages(text):
    """The instructions of each stage, by its name; that of the last one is ''."""
    result, name = {}, None
    for word, rest in instructions(text):
        if word == 'FROM':
            found = re.fullmatch(r'(\S+)(?: AS (\S+))?', rest)
            name = found[2] or ''
            result[name] = []
        result[name].append((word, rest))
    return result


def packages(stage):
    """What apt-get installs in a stage."""
    found = set()
    for word, rest in stage:
        for command in re.split(r'&&|;', rest) if word == 'RUN' else []:
            words = shlex.split(command)
            if words[:2] == ['apt-get', 'install']:
                found.update(part for part in words[2:] if not part.startswith('-'))
    return found


class Container:
    """What holds for each of them."""

    def setUp(self):
        self.text = (ROOT / self.file).read_text()
        self.stages = stages(self.text)

    def test_instructions_are_known_and_the_last_stage_is_the_image(self):
        self.assertLessEqual({word for word, _ in instructions(self.text)}, KNOWN)
        self.assertEqual(list(self.stages), self.names)

    def test_commands_are_shell(self):
        for word, rest in instructions(self.text):
            if word == 'RUN':
                done = subprocess.run(['sh', '-n', '-c', rest], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ''), rest)

    def test_copied_files_are_there(self):
        for name, stage in self.stages.items():
            for word, rest in stage:
                if word != 'COPY':
                    continue
                source = re.match(r'--from=(\S+) ', rest)
                *files, target = [part for part in rest.split() if not part.startswith('--')]
                self.assertTrue(target.startswith('/'), rest)
                for file in files:
                    if source:
                        self.assertIn(source[1], self.stages, rest)
                        self.assertNotEqual(source[1], name, rest)
                    else:
                        self.assertTrue((ROOT / file).exists(), rest)

    def test_the_image_has_the_libraries_that_the_program_is_linked_to(self):
        self.assertLessEqual(set(LIBRARIES.values()), packages(self.stages['']))
        built_with = packages(self.stages['build'])
        self.assertLessEqual({'libssl-dev', 'liburing-dev', 'gcc', 'meson', 'ninja-build',
                              'pkg-config', 'binutils', 'python3'}, built_with)
        bases = [stage[0][1].split()[0] for name, stage in self.stages.items()
                 if name != 'endpoint']
        self.assertEqual(len(set(bases)), 1, 'built on another system than it runs on')

    def test_build_options_are_options(self):
        options = re.findall(r"option\('(\w+)'", (ROOT / 'meson_options.txt').read_text())
        used = re.findall(r'-D(\w+)=', self.text)
        self.assertGreater(len(used), 0)
        self.assertLessEqual(set(used), set(options) | OF_MESON)

    def test_builds_of_this_machine_stay_out(self):
        ignored = (ROOT / '.dockerignore').read_text().split('\n')
        self.assertIn('build*', ignored)
        self.assertIn('.git', ignored)


class Endpoint(Container, unittest.TestCase):
    file = 'test/interop/Containerfile'
    names = ['build', 'endpoint', '']

    def test_the_entry_point_can_be_run(self):
        entry = [rest for word, rest in self.stages[''] if word == 'ENTRYPOINT']
        self.assertEqual(entry, ['["/endpoint.sh"]'])
        script = ROOT / 'test/interop/endpoint.sh'
        self.assertTrue(script.stat().st_mode & 0o111)
        self.assertEqual(script.read_text().splitlines()[0], '#!/bin/sh')
        done = subprocess.run(['sh', '-n', script], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_the_image_has_what_its_scripts_call(self):
        script = (ROOT / 'test/interop/endpoint.sh').read_text()
        called = set(re.findall(r'\$\((\w+)', script)) | set(re.findall(r'^ *(rm) ', script, re.M))
        self.assertEqual(called - OF_DEBIAN, set())
        self.assertLessEqual(set(PROGRAMS.values()), packages(self.stages['']))


class Image(Container, unittest.TestCase):
    file = 'tools/packaging/Containerfile'
    names = ['build', '']

    def test_the_entry_point_is_a_program_that_is_installed(self):
        said = {word: rest for word, rest in self.stages['']}
        self.assertEqual(said['ENTRYPOINT'], '["/usr/bin/spate"]')
        self.assertIn("'spate'", (ROOT / 'tools/meson.build').read_text())
        self.assertEqual(said['USER'], 'spate')
        self.assertIn('useradd', ' '.join(rest for _, rest in self.stages['']))
        self.assertIn('ca-certificates', packages(self.stages['']))  # spate get wants them

    def test_it_is_built_as_the_packages_are(self):
        """A compiler that has more to say than ours must not end the build of a release."""
        rules = (ROOT / 'tools/packaging/debian/rules').read_text()
        ours = set(re.findall(r'-(?:D|b)\S+', ' '.join(rest for _, rest in self.stages['build'])))
        of_package = set(re.findall(r'-D\S+', re.search(r'dh_auto_configure -- .*\n.*', rules)[0]))
        self.assertIn('-Dwerror=false', ours)
        self.assertEqual(of_package - ours, {'-Ddebug=true'})

    def test_the_profile_that_it_names_is_there(self):
        for name in re.findall(r'seccomp=(\S+)', self.text):
            self.assertTrue((ROOT / name).exists(), name)


if __name__ == '__main__':
    unittest.main()
