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
NOT_TRIED = 'not tried'  # for what this system cannot have: counts neither as passed nor skipped
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
        pcs = sorted(stage.rglob('*.pc'))
        assert [pc.name for pc in pcs] == ['spate-static.pc', 'spate.pc'], pcs
        # It was staged for some prefix and is used where it lies.
        for pc in pcs:
            text = pc.read_text()
            prefix = pathlib.Path(str(stage) + re.search(r'^prefix=(.*)$', text, re.MULTILINE)[1])
            pc.write_text(re.sub(r'^prefix=.*$', f'prefix={prefix}', text, flags=re.MULTILINE))
        self.lib = pcs[0].parent.parent
        self.include = prefix / 'include'
        self.bin = prefix / 'bin'
        self.work = root
        self.environment = dict(os.environ)
        self.environment['PKG_CONFIG_PATH'] = str(pcs[0].parent)
        self.requires = self.pkg_config('--print-requires-private')

    def pkg_config(self, *args, package='spate'):
        return run(['pkg-config', *args, package], env=self.environment).split()

    def static_flags(self):
        return self.pkg_config('--libs', package='spate-static')


def symbols(path, *flags):
    """The names in `path`, without their versions."""
    lines = run(['nm', *flags, path]).splitlines()
    # The name of a version is a symbol too, an absolute one.
    return {line.split()[-1].split('@')[0] for line in lines
            if re.match(r'^[0-9a-f ]+ [B-Zu-w] ', line)}


def the_package_says_its_version_and_needs(installed):
    version = run([MESON, 'introspect', '--projectinfo', BUILD])
    assert f'"version": "{installed.pkg_config("--modversion")[0]}"' in version
    shared = installed.pkg_config('--libs')
    assert shared[-1] == '-lspate' and len(shared) == 2, shared


def what_is_inside_is_asked_of_nobody_and_what_is_not_is_required(installed):
    needed = run(['readelf', '-d', installed.lib / 'libspate.so'])
    caps = run([installed.bin / 'spate', 'caps'])
    alone = installed.static_flags()
    static = installed.pkg_config('--static', '--libs')
    for package, libraries in (('openssl', ('ssl', 'crypto')), ('liburing', ('uring',))):
        is_shared = package in installed.requires
        shown = re.search(rf'^{package}: .*, (shared|inside)$', caps, re.MULTILINE | re.IGNORECASE)
        assert (shown[1] == 'shared') == is_shared, (caps, needed)
        for library in libraries:
            assert (f'[lib{library}.so' in needed) == is_shared, (library, needed)
            assert (f'-l{library}' in static) == is_shared, (library, static)
            assert (f'-l{library}' in alone) == is_shared, (library, alone)


def what_is_inside_binds_to_itself_and_the_rest_to_the_system(installed):
    """A program's own OpenSSL must not be called by what is inside, nor the other way round."""
    for package, prefixes in (
            ('openssl', ('SSL_', 'EVP_', 'OPENSSL_', 'CRYPTO_', 'X509_', 'BIO_', 'ERR_')),
            ('liburing', ('io_uring_',))):
        for path, flag in (('libspate.so', '--dynamic'), ('libspate.a', '--extern-only')):
            open_ends = [name for name in symbols(installed.lib / path, flag, '--undefined-only')
                         if name.startswith(prefixes)]
            assert bool(open_ends) == (package in installed.requires), (package, path, open_ends)


def the_programs_are_installed_and_run(installed):
    version = installed.pkg_config('--modversion')[0]
    assert run([installed.bin / 'spate', 'version']) == f'spate {version}\n'
    assert version in run([installed.bin / 'spate-bench', '--version'])
    assert 'spate-bench SCENARIO [options]' in run([installed.bin / 'spate-bench', '--help'])
    pages = sorted(path.name for path in (installed.bin.parent / 'share/man').rglob('*.[1-9]'))
    assert pages == ['spate-bench.1', 'spate.1', 'spate.3'], pages


def all_public_headers_are_installed_and_no_other(installed):
    public = {path.name.removesuffix('.in')
              for path in (pathlib.Path(SOURCE) / 'engine/include/spate').glob('*.h*')}
    given = {str(path.relative_to(installed.include)) for path in installed.include.rglob('*.h*')}
    assert given == {f'spate/{name}' for name in public}, given ^ public


def only_public_symbols_are_visible(installed):
    headers = ''.join(path.read_text() for path in installed.include.rglob('*.h'))
    declared = set(re.findall(r'^SPATE_API [^;(]*?\b(spate_\w+)\(', headers, re.MULTILINE))
    assert len(declared) > 20, declared
    shared = symbols(installed.lib / 'libspate.so', '--defined-only', '--dynamic')
    static = symbols(installed.lib / 'libspate.a', '--defined-only', '--extern-only')
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


def build_echo(installed, name, flags, compiler=(*CC, '-std=c11')):
    program = installed.work / name
    shutil.copy(HERE / 'echo.c', installed.work)
    # Not in the tree, and with nothing of it.
    run([*compiler, *WARNINGS, 'echo.c', '-o', program, *installed.pkg_config('--cflags'),
         *flags], cwd=installed.work)
    return program


def check_echo(installed, program, needs_shared):
    needed = run(['readelf', '-d', program])
    assert ('libspate.so' in needed) == needs_shared, needed
    shown = run([program], timeout=60)
    version = installed.pkg_config('--modversion')[0]
    assert f'spate {version}: good morning' in shown, shown
    return shown


def shared_flags(installed):
    return [*installed.pkg_config('--libs'), f'-Wl,-rpath,{installed.lib}']


def a_c_program_links_to_the_shared_library_and_runs(installed):
    program = build_echo(installed, 'echo-shared', shared_flags(installed))
    check_echo(installed, program, True)


def a_c_program_links_to_the_static_library_and_runs(installed):
    program = build_echo(installed, 'echo-static', installed.static_flags())
    check_echo(installed, program, False)


def a_program_that_takes_all_from_archives_links_and_runs(installed):
    # The C library says that its resolver wants shared libraries; nothing here resolves names.
    flags = ['-static', *installed.pkg_config('--static', '--libs')]
    # Where libspate needs the system's OpenSSL, the system must have archives of what that needs.
    nothing = installed.work / 'nothing.c'
    nothing.write_text('int main(void) { return 0; }\n')
    if installed.requires and subprocess.run(
            [*CC, nothing, '-o', '/dev/null', *[flag for flag in flags if flag != '-lspate']],
            capture_output=True, check=False).returncode != 0:
        print('# not tried, the system lacks archives:', *flags)
        return NOT_TRIED
    program = build_echo(installed, 'echo-archives', flags)
    check_echo(installed, program, False)
    return None


def a_cpp_program_links_to_either_and_runs(installed):
    for standard in ('c++11', 'c++17', 'c++20'):
        compiler = ('g++', f'-std={standard}', '-x', 'c++')
        flags = ['-x', 'none', *shared_flags(installed)]
        check_echo(installed, build_echo(installed, 'echo-cpp', flags, compiler), True)
        flags = ['-x', 'none', *installed.static_flags()]
        check_echo(installed, build_echo(installed, 'echo-cpp', flags, compiler), False)


def the_cpp_wrappers_compile_without_exceptions_and_their_echo_runs(installed):
    tried = 0
    for compiler in ('g++', 'clang++'):
        if shutil.which(compiler) is None:
            print(f'# not tried, the system lacks {compiler}')
            continue
        for standard in ('c++17', 'c++20'):
            program = installed.work / f'echo-{compiler}-{standard}'
            shutil.copy(HERE / 'echo.cc', installed.work)
            run([compiler, f'-std={standard}', '-fno-exceptions', '-fno-rtti', *WARNINGS, 'echo.cc',
                 '-o', program, *installed.pkg_config('--cflags'), *shared_flags(installed)],
                cwd=installed.work)
            check_echo(installed, program, True)
            tried += 1
    return None if tried > 0 else NOT_TRIED


CMAKE_PROJECT = '''cmake_minimum_required(VERSION 3.16)
project(embed C)
find_package(spate @VERSION@ REQUIRED)
foreach(kind spate static)
  add_executable(echo-cmake-${kind} echo.c)
  target_link_libraries(echo-cmake-${kind} PRIVATE spate::${kind})
endforeach()
'''


def a_program_of_cmake_links_to_either_and_runs(installed):
    if shutil.which('cmake') is None:
        print('# not tried, the system lacks cmake')
        return NOT_TRIED
    folder = installed.work / 'cmake'
    folder.mkdir()
    shutil.copy(HERE / 'echo.c', folder)
    package = f'-Dspate_DIR={installed.lib / "cmake/spate"}'
    version = installed.pkg_config('--modversion')[0]
    minor = '.'.join(version.split('.')[:2])
    for wanted in ('', minor, version):
        (folder / 'CMakeLists.txt').write_text(CMAKE_PROJECT.replace('@VERSION@', wanted))
        run(['cmake', '-S', folder, '-B', folder / 'build', package,
             f'-DCMAKE_C_COMPILER={shutil.which(CC[-1])}'])
    run(['cmake', '--build', folder / 'build'])
    check_echo(installed, folder / 'build/echo-cmake-spate', True)
    check_echo(installed, folder / 'build/echo-cmake-static', False)
    # A project that only asks for it, and has no compiler.
    (folder / 'CMakeLists.txt').write_text(
        f'cmake_minimum_required(VERSION 3.16)\nproject(asks NONE)\n'
        f'find_package(spate {version} EXACT REQUIRED)\n')
    run(['cmake', '-S', folder, '-B', folder / 'asks', package])
    later = f'{minor}.{int(version.split(".")[2]) + 1}'
    for wanted in (later, '99.0', f'{int(version.split(".")[0]) + 1}.0'):
        (folder / 'CMakeLists.txt').write_text(CMAKE_PROJECT.replace('@VERSION@', wanted))
        refused = subprocess.run(['cmake', '-S', folder, '-B', folder / 'other', package],
                                 capture_output=True, text=True, check=False)
        assert refused.returncode != 0, wanted
        assert 'requested version' in refused.stderr and version in refused.stderr, refused.stderr
    return None


def a_program_may_use_the_libcrypto_of_the_system_beside_it(installed):
    system = ' '.join(run(['openssl', 'version']).split()[:2])
    crypto = installed.work / 'system_crypto.o'
    run([*CC, '-std=c11', *WARNINGS, f'-DSYSTEM_VERSION="{system}"', '-c',
         HERE / 'system_crypto.c', '-o', crypto])
    for flags, needs_shared in ((shared_flags(installed), True),
                                (installed.static_flags(), False)):
        # In both orders: whoever comes first must not answer for the other.
        for order in ([*flags, '-l:libcrypto.so.3'], ['-l:libcrypto.so.3', *flags]):
            program = build_echo(installed, 'echo-both', [crypto, *order])
            shown = check_echo(installed, program, needs_shared)
            assert shown.count(f'main(): {system} ') == 2, shown


def a_program_may_load_the_shared_library_and_close_it(installed):
    program = installed.work / 'plugin'
    shutil.copy(HERE / 'plugin.c', installed.work)
    run([*CC, '-std=c11', *WARNINGS, 'plugin.c', '-o', program, *installed.pkg_config('--cflags'),
         '-ldl'], cwd=installed.work)
    run([program, installed.lib / 'libspate.so'])


def main():
    tests = [
        the_package_says_its_version_and_needs,
        what_is_inside_is_asked_of_nobody_and_what_is_not_is_required,
        what_is_inside_binds_to_itself_and_the_rest_to_the_system,
        the_programs_are_installed_and_run,
        all_public_headers_are_installed_and_no_other,
        only_public_symbols_are_visible,
        headers_compile_alone_in_c_and_cpp,
        a_c_program_links_to_the_shared_library_and_runs,
        a_c_program_links_to_the_static_library_and_runs,
        a_program_that_takes_all_from_archives_links_and_runs,
        a_cpp_program_links_to_either_and_runs,
        the_cpp_wrappers_compile_without_exceptions_and_their_echo_runs,
        a_program_of_cmake_links_to_either_and_runs,
        a_program_may_use_the_libcrypto_of_the_system_beside_it,
        a_program_may_load_the_shared_library_and_close_it,
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(pathlib.Path(folder))
        for test in tests:
            try:
                if test(installed) is not NOT_TRIED:
                    print(f'ok - {test.__name__}')
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                print(f'not ok - {test.__name__}: {error}')
                failed += 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
