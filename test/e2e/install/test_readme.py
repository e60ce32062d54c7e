#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does what the section "Embed it" of the README says, line by line, as a user would.

The lines run in namespaces of their own: /usr/local is empty and /etc a copy, so that nothing of
this machine changes; loopback is their own, so that the port of the README is free; the folder
with the libraries that the build was given is hidden once the installation is done.  The
environment is PATH and HOME.

usage: test_readme.py BUILD-DIR SOURCE-DIR     installs what is built in BUILD-DIR
       test_readme.py --whole SOURCE-DIR       runs the first line too, in a copy of the tree
"""
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
HERE = pathlib.Path(__file__).resolve().parent
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
TOOLS = ('meson', 'ninja', 'pkg-config', 'cc', 'c++', 'ldconfig', 'mount', 'nm', 'python3')
SKIPPED = 77
BUILD_AND_INSTALL = 'tools/build.sh build && meson install -C build'
MAKE_CERTIFICATE = 'spate cert --cert-out cert.pem --key-out key.pem'
RUN = './a.out'
PORT = 4433


def call(*command):
    subprocess.run(command, check=True)


# ---- the namespaces ----

def enter_namespaces():
    """Starts this program again inside, or ends it where that is denied."""
    found = {tool: shutil.which(tool, path=PATH) for tool in TOOLS}
    missing = [tool for tool in TOOLS if not found[tool]]
    local = [tool for tool in TOOLS if (found[tool] or '').startswith('/usr/local/')]
    if missing or local:
        print(f'skipped: missing {missing}, in /usr/local {local}')
        sys.exit(SKIPPED)
    command = ['unshare', '--mount', '--net']
    if os.getuid() != 0:
        command += ['--user', '--map-root-user']
    probe = subprocess.run([*command, 'mount', '-t', 'tmpfs', 'tmpfs', '/usr/local'],
                           capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        print(f'skipped: {probe.stderr.strip()}')
        sys.exit(SKIPPED)
    os.environ['SPATE_README_INSIDE'] = '1'
    python = shutil.which('python3', path=PATH)  # not one from /usr/local
    os.execvp(command[0], [*command, python, __file__, *sys.argv[1:]])


def prepare(work):
    """An empty /usr/local, an /etc that may be written to, loopback that is up."""
    call('mount', '--make-rprivate', '/')
    call('mount', '-t', 'tmpfs', 'tmpfs', '/usr/local')
    etc = work / 'etc'
    etc.mkdir()
    # What we may not read, like passwords, is not needed.
    subprocess.run(['cp', '-a', '/etc/.', etc], stderr=subprocess.DEVNULL, check=False)
    call('mount', '--bind', etc, '/etc')
    if os.path.isdir('/var/cache/ldconfig'):
        call('mount', '-t', 'tmpfs', 'tmpfs', '/var/cache/ldconfig')
    call('ldconfig')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.pack('16sH14x', b'lo', 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, flags)  # SIOCSIFFLAGS


# ---- the README ----

class Readme:
    def __init__(self):
        text = (SOURCE / 'README.md').read_text()
        section = re.search(r'^## Embed it\n(.*?)^## ', text, re.MULTILINE | re.DOTALL)[1]
        self.program = re.search(r'^```c\n(.*?)^```$', section, re.MULTILINE | re.DOTALL)[1]
        rest = re.sub(r'^```c\n.*?^```$', '', section, flags=re.MULTILINE | re.DOTALL)
        self.lines = re.findall(r'^    (\S.*)$', rest, re.MULTILINE)
        self.compilers = [line for line in self.lines if re.match(r'(cc|c\+\+) ', line)]


class World:
    def __init__(self, work):
        self.work = work
        self.home = work / 'home'
        self.user = work / 'user'  # where the program is written and built
        self.home.mkdir()
        self.user.mkdir()

    def sh(self, line, folder=None, home=None):
        """Runs a line in a shell with nothing but PATH and HOME in its environment."""
        done = subprocess.run(['env', '-i', f'PATH={PATH}', f'HOME={home or self.home}', 'sh', '-e',
                               '-c', line], cwd=folder or self.user, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0, f'{line}\n{done.stdout[-3000:]}'
        return done.stdout


# ---- the steps, in their order ----

def the_program_is_server_c_word_for_word(_, readme):
    assert readme.program == (HERE / 'server.c').read_text()


def the_lines_are_those_that_are_tried_here(world, readme):
    assert readme.lines == [BUILD_AND_INSTALL, 'ldconfig', *readme.compilers, MAKE_CERTIFICATE,
                            RUN], readme.lines
    shared, static, cpp = readme.compilers
    assert shared.startswith('cc server.c ') and 'spate-static' not in shared, shared
    assert static.startswith('cc server.c ') and 'spate-static' in static, static
    assert cpp.startswith('c++ server.cc '), cpp
    for name in ('server.c', 'server.cc'):
        (world.user / name).write_text(readme.program)


def it_installs(world, _):
    if BUILD != '--whole':
        # What the first half of the line would have made is there: the build of this test.
        (world.work / 'build').symlink_to(pathlib.Path(BUILD).resolve())
        _, install = BUILD_AND_INSTALL.split(' && ')
        world.sh(install, folder=world.work, home=os.environ.get('HOME', '/root'))
    else:
        tree = world.work / 'tree'
        shutil.copytree(SOURCE, tree, symlinks=True,
                        ignore=lambda folder, names: [name for name in names if pathlib.Path(
                            folder) == SOURCE and name.startswith(('build', '.git'))])
        shown = world.sh(BUILD_AND_INSTALL, folder=tree, home=os.environ.get('HOME', '/root'))
        assert re.search(r'^build\.sh: spate \S+ is built in ', shown, re.MULTILINE), shown
        print(re.search(r'^build\.sh: .* is built in .*$', shown, re.MULTILINE)[0])


def nothing_of_the_build_is_needed_from_here_on(world, _):
    cache = os.environ.get('SPATE_CACHE') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or os.path.join(os.environ.get('HOME', '/root'), '.cache'),
        'spate')
    if os.path.isdir(cache):
        call('mount', '-t', 'tmpfs', 'tmpfs', cache)
    if (world.work / 'tree').is_dir():
        shutil.rmtree(world.work / 'tree')


def ldconfig_is_needed_and_enough(world, readme):
    world.sh(readme.compilers[0])
    assert 'libspate.so.0 => not found' in world.sh('ldd a.out')
    world.sh('ldconfig')
    assert 'libspate.so.0 => /usr/local/lib' in world.sh('ldd a.out')
    (world.user / 'a.out').unlink()


def a_certificate_is_made(world, _):
    world.sh(MAKE_CERTIFICATE)
    assert (world.user / 'cert.pem').is_file() and (world.user / 'key.pem').is_file()


def run_client(world, result=0, *words):
    """Greets the server; returns what the client printed."""
    done = subprocess.run(['timeout', '20', world.work / 'client', str(PORT), 'cert.pem', *words],
                          cwd=world.user, env={'PATH': PATH}, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == result, f'{done.returncode}: {done.stdout}'
    return done.stdout


def check_server(world, line, is_shared):
    program = world.user / 'a.out'
    program.unlink(missing_ok=True)
    world.sh(line)
    assert ('libspate.so' in world.sh('ldd a.out')) == is_shared, line
    client = world.work / 'client'
    world.sh(f'cc {HERE}/echo.c -o {client} $(pkg-config --cflags --libs spate)')
    with subprocess.Popen([RUN], cwd=world.user, env={'PATH': PATH},
                          stderr=subprocess.PIPE, text=True) as server:
        try:
            shown = run_client(world)
            assert 'good morning' in shown, shown
            shown = run_client(world, 6, 'reset')
            assert 'the stream was reset' in shown, shown
            assert server.poll() is None, 'the server did not stay'
        finally:
            server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=20)
    assert server.returncode == -signal.SIGTERM, server.returncode
    assert said == '', said


def the_server_with_the_shared_library_serves(world, readme):
    check_server(world, readme.compilers[0], True)


def the_server_with_the_static_library_serves(world, readme):
    check_server(world, readme.compilers[1], False)


def the_server_in_cpp_serves(world, readme):
    check_server(world, readme.compilers[2], True)


def the_server_has_no_warnings(world, _):
    flags = '-fsyntax-only -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags spate)'
    world.sh(f'cc -std=c11 server.c {flags}')
    for standard in ('c++11', 'c++17', 'c++20'):
        world.sh(f'c++ -std={standard} server.cc {flags} -Wno-missing-field-initializers')


# ---- the server without memory ----

def openssl_allocators(world):
    """Where OpenSSL's own allocations are in libspate.so, for fail_malloc.c.

    OpenSSL cannot start without memory: its pthread_once() waits for itself when the third
    allocation fails.  What is tried here is the server, libspate and what they use of libc.
    """
    library = re.search(r'libspate\.so\S* => (\S+)', world.sh('ldd a.out'))[1]
    found = re.findall(r'^(\w+) (\w+) \w CRYPTO_\w*(?:alloc|strn?dup)\w*$',
                       world.sh(f'nm -S {library}'), re.MULTILINE)
    return ','.join(f'{int(at, 16):x}-{int(at, 16) + int(size, 16):x}' for at, size in found)


def is_listening():
    """True if a socket has the server's port."""
    return f':{PORT:04X} ' in pathlib.Path('/proc/net/udp6').read_text()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, 'it takes too long'
        time.sleep(0.001)


class FailingServer:
    """The server, one allocation of which fails."""

    def __init__(self, world, number, **places):
        until(lambda: not is_listening())  # io_uring closes the last one's socket when it likes
        self.pipe, end = os.pipe()
        self.process = subprocess.Popen(
            [RUN], cwd=world.user, stderr=subprocess.PIPE, text=True, pass_fds=[end],
            env={'LD_PRELOAD': str(world.work / 'fail.so'), 'FAIL_AT': str(number),
                 'FAIL_FD': str(end), **places})
        os.close(end)

    def __enter__(self):
        until(lambda: is_listening() or self.process.poll() is not None)
        return self

    def end(self):
        """Returns its exit status, what it said, and whether an allocation failed."""
        self.process.terminate()
        said = self.process.communicate(timeout=20)[1]
        has_failed = os.read(self.pipe, 1) != b''
        return self.process.returncode, said, has_failed

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        os.close(self.pipe)


def make_failing(world):
    world.sh(f'cc -shared -fPIC -O2 -Wall -Wextra -Werror {HERE}/fail_malloc.c '
             f'-o {world.work}/fail.so -ldl')


def a_server_that_cannot_start_without_memory_says_so_and_ends(world, readme):
    world.sh(readme.compilers[0])
    make_failing(world)
    ranges = openssl_allocators(world)
    number = 0
    has_failed = True
    while has_failed:
        number += 1
        with FailingServer(world, number, FAIL_NOT=ranges) as server:
            status, said, has_failed = server.end()
        if status == -signal.SIGTERM:
            assert said == '', f'allocation {number}: {said}'
        else:
            assert status == 1, f'allocation {number}: {status}, {said}'
            assert re.fullmatch(r'spate_\w+: \S.*\n', said), f'allocation {number}: {said!r}'
    # With a shared OpenSSL about 15 are ours; a merged one brings more that are counted.
    assert number > 10, number
    print(f'{number - 1} allocations until it listens')


def an_engine_with_everything_is_made_or_says_why_not(world, _):
    make_failing(world)
    world.sh(f'cc -o engine -Wall -Wextra -Werror {HERE}/engine.c '
             '$(pkg-config --cflags --libs spate)')
    ranges = openssl_allocators(world)
    number = 0
    has_failed = True
    while has_failed:
        number += 1
        pipe, end = os.pipe()
        done = subprocess.run(
            ['./engine', world.work], cwd=world.user, stderr=subprocess.PIPE, text=True,
            check=False, pass_fds=[end], timeout=20,
            env={'LD_PRELOAD': str(world.work / 'fail.so'), 'FAIL_AT': str(number),
                 'FAIL_FD': str(end), 'FAIL_NOT': ranges})
        os.close(end)
        has_failed = os.read(pipe, 1) != b''
        os.close(pipe)
        if done.returncode != 0 or done.stderr != '':
            assert done.returncode == 1, f'allocation {number}: {done.returncode}, {done.stderr}'
            assert re.fullmatch(r'spate_\w+: \S.*\n', done.stderr), f'{number}: {done.stderr!r}'
    assert (done.returncode, done.stderr) == (0, ''), done.stderr
    print(f'{number - 1} allocations of an engine with everything')


def a_server_without_memory_for_an_echo_goes_on(world, _):
    with FailingServer(world, 1, FAIL_IN='a.out') as server:
        shown = run_client(world, 6)
        assert 'the stream was reset' in shown and 'no echo' in shown, shown
        shown = run_client(world)
        assert 'good morning' in shown, shown
        assert server.end() == (-signal.SIGTERM, '', True)


def the_programs_run_from_the_path(world, _):
    shown = world.sh('spate caps')
    assert re.search(r'^OpenSSL: \S+, (shared|inside)$', shown, re.MULTILINE), shown
    print('\n'.join(re.findall(r'^(?:OpenSSL|liburing): .*$', shown, re.MULTILINE)))
    world.sh('spate-bench handshake --seconds 1 --inflight 1')


STEPS = (
    the_program_is_server_c_word_for_word,
    the_lines_are_those_that_are_tried_here,
    it_installs,
    nothing_of_the_build_is_needed_from_here_on,
    ldconfig_is_needed_and_enough,
    a_certificate_is_made,
    the_server_with_the_shared_library_serves,
    the_server_with_the_static_library_serves,
    the_server_in_cpp_serves,
    the_server_has_no_warnings,
    a_server_that_cannot_start_without_memory_says_so_and_ends,
    an_engine_with_everything_is_made_or_says_why_not,
    a_server_without_memory_for_an_echo_goes_on,
    the_programs_run_from_the_path,
)


def main():
    if os.environ.get('SPATE_README_INSIDE') != '1':
        enter_namespaces()
    readme = Readme()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prepare(work)
        world = World(work)
        for step in STEPS:
            try:
                step(world, readme)
                print(f'ok - {step.__name__}')
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                print(f'not ok - {step.__name__}: {error}')
                failed += 1
        call('umount', '/etc')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
