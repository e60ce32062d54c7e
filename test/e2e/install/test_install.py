#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the library and uses it as a stranger would: outside the tree, by pkg-config.

usage: test_install.py MESON BUILD-DIR SOURCE-DIR CC...
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MESON, BUILD, SOURCE, *CC = sys.argv[1:]
HERE = pathlib.Path(__file__).resolve().parent
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']
# meson lets tests find the tree's own library: here it must be the installed one.
os.environ.pop('LD_LIBRARY_PATH', None)


def run(command, **options):
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **options)
    assert done.returncode == 0, f'{" ".join(map(str, command))}\n{done.stdout}'
    return done.stdout


class Installed:
    """The library in a prefix of its own, away from the tree."""

    def __init__(self, root):
        stage = root / 'stage'
        run([MESON, 'install', '-C', BUILD, '--no-rebuild', '--destdir', stage])
        pcs = list(stage.rglob('spate.pc'))
        assert len(pcs) == 1, f'spate.pc: {pcs}'
        # It was staged for some prefix and is used where it lies.
        text = pcs[0].read_text()
        prefix = pathlib.Path(str(stage) + re.search(r'^prefix=(.*)$', text, re.MULTILINE)[1])
        pcs[0].write_text(re.sub(r'^prefix=.*$', f'prefix={prefix}', text, flags=re.MULTILINE))
        self.lib = pcs[0].parent.parent
        self.include = prefix / 'include'
        self.work = root
        self.environment = dict(os.environ)
        self.environment['PKG_CONFIG_PATH'] = ':'.join(
            [str(pcs[0].parent), os.environ.get('SPATE_PKG_CONFIG_PATH', '')])

    def pkg_config(self, *args, packages=('spate',)):
        return run(['pkg-config', *args, *packages], env=self.environment).split()


def symbols(path, *flags):
    """The names that `path` gives to others."""
    lines = run(['nm', '--defined-only', *flags, path]).splitlines()
    # The name of a version is a symbol too, an absolute one.
    return {line.split()[2].split('@')[0] for line in lines
            if re.match(r'^[0-9a-f]+ [B-Zu-w] ', line)}


def the_package_says_its_version_and_needs(installed):
    version = run([MESON, 'introspect', '--projectinfo', BUILD])
    assert f'"version": "{installed.pkg_config("--modversion")[0]}"' in version
    assert '-lspate' in installed.pkg_config('--libs')
    assert '-lssl' not in installed.pkg_config('--libs')
    private = installed.pkg_config('--static', '--libs')
    for name in ('-lspate', '-lssl', '-lcrypto', '-luring'):
        assert name in private, (name, private)


def all_public_headers_are_installed_and_no_other(installed):
    public = {path.name.removesuffix('.in')
              for path in (pathlib.Path(SOURCE) / 'engine/include/spate').glob('*.h*')}
    given = {str(path.relative_to(installed.include)) for path in installed.include.rglob('*.h')}
    assert given == {f'spate/{name}' for name in public}, given ^ public


def only_public_symbols_are_visible(installed):
    headers = ''.join(path.read_text() for path in installed.include.rglob('*.h'))
    declared = set(re.findall(r'^SPATE_API [^;(]*?\b(spate_\w+)\(', headers, re.MULTILINE))
    assert len(declared) > 20, declared
    shared = symbols(installed.lib / 'libspate.so', '--dynamic')
    static = symbols(installed.lib / 'libspate.a', '--extern-only')
    assert shared == declared, f'libspate.so: {sorted(shared ^ declared)}'
    assert static == declared, f'libspate.a: {sorted(static ^ declared)}'


def headers_compile_alone_in_c_and_cpp(installed):
    flags = [*WARNINGS, '-fsyntax-only', *installed.pkg_config('--cflags')]
    for header in sorted(installed.include.rglob('*.h')):
        name = header.relative_to(installed.include)
        for suffix, compiler, standards in (('c', CC, ('c99', 'c11')),
                                            ('cc', ['g++'], ('c++11', 'c++17', 'c++20'))):
            source = installed.work / f'alone.{suffix}'
            source.write_text(f'#include <{name}>\n#include <{name}>\nextern int x;\n')
            for standard in standards:
                run([*compiler, f'-std={standard}', *flags, source])


def a_cpp_program_links_and_runs(installed):
    source = installed.work / 'version.cc'
    source.write_text('#include <spate/spate.h>\n#include <cstdio>\n'
                      'int main() { return std::puts(spate_version()) < 0; }\n')
    program = installed.work / 'version'
    run(['g++', *WARNINGS, source, '-o', program, *installed.pkg_config('--cflags', '--libs'),
         f'-Wl,-rpath,{installed.lib}'])
    assert run([program]).strip() == installed.pkg_config('--modversion')[0]


def build_echo(installed, name, flags):
    program = installed.work / name
    shutil.copy(HERE / 'echo.c', installed.work)
    # Not in the tree, and with nothing of it.
    run([*CC, '-std=c11', *WARNINGS, 'echo.c', '-o', program, *installed.pkg_config('--cflags'),
         *flags], cwd=installed.work)
    return program


def a_c_program_links_to_the_shared_library_and_runs(installed):
    program = build_echo(installed, 'echo-shared', [*installed.pkg_config('--libs'),
                                                    f'-Wl,-rpath,{installed.lib}'])
    assert 'libspate.so' in run(['readelf', '-d', program])
    shown = run([program], timeout=60)
    assert 'good morning' in shown, shown


def a_c_program_links_to_the_static_library_and_runs(installed):
    # Not --static: that is for programs that take everything from archives, libz too.
    flags = [flag.replace('-lspate', '-l:libspate.a') for flag in installed.pkg_config(
        '--libs', packages=('spate', 'openssl', 'liburing'))]
    program = build_echo(installed, 'echo-static', flags)
    assert 'libspate.so' not in run(['readelf', '-d', program])
    shown = run([program], timeout=60)
    assert 'good morning' in shown, shown


def main():
    tests = [
        the_package_says_its_version_and_needs,
        all_public_headers_are_installed_and_no_other,
        only_public_symbols_are_visible,
        headers_compile_alone_in_c_and_cpp,
        a_cpp_program_links_and_runs,
        a_c_program_links_to_the_shared_library_and_runs,
        a_c_program_links_to_the_static_library_and_runs,
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(pathlib.Path(folder))
        for test in tests:
            try:
                test(installed)
                print(f'ok - {test.__name__}')
            except (AssertionError, subprocess.TimeoutExpired) as error:
                print(f'not ok - {test.__name__}: {error}')
                failed += 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
