# SPDX-License-Identifier: MIT
"""What the tests of tools/deps.sh share: small signed package repositories, and runs of it.

deps.sh itself runs unchanged.  APT_CONFIG leads its apt to a repository of the test, and the
source packages there build in no time: they only install what pkg-config looks for.
"""
import hashlib
import http.server
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.parse

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'
HANG_S = 60

# Compiles a.o to d.o.  In the middle it waits for a file, if the test names one; for a while, as
# nobody ends it when the test runner is killed.
MAKEFILE = r'''
.RECIPEPREFIX = >
objects = a.o b.o c.o d.o
build_libs all: $(objects)
a.o:
> touch $@
b.o:
> touch $@
c.o: a.o b.o
> test -z "$$STANDIN_PID" || echo $$PPID >"$$STANDIN_PID"
> end=$$(($$(date +%%s) + %(hang_s)d)); \
>     while [ -n "$$STANDIN_GATE" ] && [ ! -e "$$STANDIN_GATE" ]; do \
>         [ "$$(date +%%s)" -lt "$$end" ] || exit 1; sleep 0.05; done
> touch $@
d.o: c.o
> %(compile)s
> touch $@
install install_dev:
> mkdir -p "$(DESTDIR)@prefix@/lib/pkgconfig"
> sed 's|@by@|'"$$(cat patched)"'|' %(top)s%(name)s.pc \
>     >"$(DESTDIR)@prefix@/lib/pkgconfig/%(name)s.pc"
'''
CONFIGURE = r'''#!/bin/sh
for word; do
    case $word in --prefix=*) prefix=${word#*=} ;; esac
done
for file in %(files)s; do
    sed "s|@prefix@|$prefix|" $file.in >$file
done
'''
PC = 'Name: %(name)s\nDescription: patched by @by@\nVersion: %(upstream)s\n'
PATCH = '--- /dev/null\n+++ b/patched\n@@ -0,0 +1 @@\n+Debian\n'


def tar(path, top, files):
    """Writes the texts `files` into an archive, below folder `top`."""
    with tarfile.open(path, 'w:' + path.suffix[1:]) as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f'{top}/{name}')
            entry.size = len(text.encode())
            entry.mode = 0o755 if text.startswith('#!') else 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))


def upstream_files(name, upstream, compile_step):
    words = {'name': name, 'upstream': upstream, 'compile': compile_step, 'hang_s': HANG_S}
    if name == 'openssl':
        return {'config': CONFIGURE % {'files': 'Makefile'}, 'openssl.pc': PC % words,
                'Makefile.in': MAKEFILE % {**words, 'top': ''}}
    return {'configure': CONFIGURE % {'files': 'Makefile src/Makefile'},
            'liburing.pc': PC % words,
            'src/Makefile.in': MAKEFILE % {**words, 'top': '../'},
            'Makefile.in': 'install:\n\tcp patched src/patched\n\t$(MAKE) -C src install\n'}


def source_package(folder, name, version, compile_step='true'):
    """Makes a source package as Debian's are: .dsc, upstream archive and Debian's patches."""
    upstream, _, _ = version.rpartition('-')
    folder.mkdir(parents=True, exist_ok=True)
    orig = folder / f'{name}_{upstream}.orig.tar.gz'
    if not orig.exists():
        tar(orig, f'{name}-{upstream}', upstream_files(name, upstream, compile_step))
    debian = folder / f'{name}_{version}.debian.tar.xz'
    tar(debian, 'debian', {'source/format': '3.0 (quilt)\n', 'patches/series': 'by\n',
                           'patches/by': PATCH})
    dsc = folder / f'{name}_{version}.dsc'
    lines = ['Format: 3.0 (quilt)', f'Source: {name}', f'Version: {version}',
             f'Binary: {name}', 'Architecture: any',
             'Maintainer: Nobody <nobody@example.org>', 'Standards-Version: 4.7.0']
    for field, kind in (('Checksums-Sha256', 'sha256'), ('Files', 'md5')):
        lines.append(f'{field}:')
        for path in (orig, debian):
            data = path.read_bytes()
            lines.append(f' {hashlib.new(kind, data).hexdigest()} {len(data)} {path.name}')
    dsc.write_text('\n'.join(lines) + '\n')
    return dsc


class Key:
    """A key that signs a repository."""

    def __init__(self, root, name):
        self.home = root / f'gpg-{name}'
        self.home.mkdir(mode=0o700)
        self.gpg = ['gpg', '--homedir', str(self.home), '--batch', '--quiet', '--yes']
        subprocess.run([*self.gpg, '--passphrase', '', '--quick-gen-key', f'{name}@example.org',
                        'ed25519', 'sign', 'never'], check=True, capture_output=True)
        self.public = root / f'{name}.asc'
        subprocess.run([*self.gpg, '--armor', '--export', '--output', self.public], check=True)

    def sign(self, release):
        subprocess.run([*self.gpg, '--clearsign', '--output', release.parent / 'InRelease',
                        release], check=True, capture_output=True)

    def end(self):
        subprocess.run(['gpgconf', '--homedir', str(self.home), '--kill', 'gpg-agent'],
                       check=False, capture_output=True)


class Archive:
    """A repository in a folder: suites that name versions, and a pool that may lack them."""

    def __init__(self, root, key):
        self.root = root
        self.key = key
        self.suites = {}
        (root / 'pool').mkdir(parents=True)

    def folder(self, name, version):
        return self.root / 'pool' / name / version

    def add(self, suite, name, version, **how):
        """Names `version` in the index of `suite`, and puts its files into the pool."""
        dsc = source_package(self.folder(name, version), name, version, **how)
        self.suites.setdefault(suite, []).append(dsc.parent)
        return dsc

    def publish(self):
        """Writes the signed indices."""
        for suite, folders in self.suites.items():
            dists = self.root / 'dists' / suite
            index = dists / 'main/source/Sources'
            index.parent.mkdir(parents=True, exist_ok=True)
            index.write_bytes(b''.join(self.run('sources', str(folder.relative_to(self.root)))
                                       for folder in folders))
            release = dists / 'Release'
            words = [f'-oAPT::FTPArchive::Release::{field}={value}' for field, value in (
                ('Suite', suite), ('Codename', suite), ('Origin', 'Debian'),
                ('Components', 'main'), ('Architectures', 'amd64'))]
            release.unlink(missing_ok=True)
            release.write_bytes(self.run(*words, 'release', str(dists.relative_to(self.root))))
            self.key.sign(release)

    def run(self, *words):
        return subprocess.run(['apt-ftparchive', *words], cwd=self.root, check=True,
                              capture_output=True).stdout

    def remove(self, name, version):
        """Takes the files of a version away: the index still names it."""
        shutil.rmtree(self.folder(name, version))


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder.  `stall` is the end of a path: half of such a file is sent, then nothing."""
    daemon_threads = True
    block_on_close = False

    def __init__(self, root):
        outer = self
        self.stall = None
        self.hang = None
        self.requests = []
        self.stalled = threading.Event()
        self.released = threading.Event()

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def __init__(self, *args):
                super().__init__(*args, directory=str(root))

            def do_GET(self):
                outer.requests.append((self.path, self.headers.get('Range')))
                if outer.hang and outer.hang in self.path:
                    outer.released.wait(HANG_S)
                elif outer.stall and self.path.endswith(outer.stall):
                    data = (root / urllib.parse.unquote(self.path[1:])).read_bytes()
                    self.send_response(200)
                    self.send_header('Content-Length', str(len(data)))
                    self.end_headers()
                    self.wfile.write(data[:len(data) // 2])
                    self.wfile.flush()
                    outer.stalled.set()
                    outer.released.wait(HANG_S)
                    self.close_connection = True
                elif self.headers.get('Range'):
                    self.send_rest(int(self.headers['Range'].removeprefix('bytes=').rstrip('-')))
                else:
                    super().do_GET()

            def send_rest(self, begin):
                data = (root / urllib.parse.unquote(self.path[1:])).read_bytes()
                self.send_response(206)
                self.send_header('Content-Range', f'bytes {begin}-{len(data) - 1}/{len(data)}')
                self.send_header('Content-Length', str(len(data) - begin))
                self.end_headers()
                self.wfile.write(data[begin:])

            def log_message(self, *args):
                pass

        super().__init__(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def address(self):
        return f'http://127.0.0.1:{self.server_address[1]}'

    def end(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class SetupTest(unittest.TestCase):
    """A machine whose apt knows two archives of ours, with empty lists, and an empty cache."""

    @classmethod
    def setUpClass(cls):
        # Under nohup what a test starts would ignore it, as it should.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        cls.keys = tempfile.TemporaryDirectory()
        cls.key = Key(pathlib.Path(cls.keys.name), 'archive')
        cls.addClassCleanup(cls.keys.cleanup)
        cls.addClassCleanup(cls.key.end)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.main = Archive(self.root / 'www/debian', self.key)
        self.security = Archive(self.root / 'www/debian-security', self.key)
        self.cache = self.root / 'cache'
        self.etc = self.root / 'etc'
        self.env = dict(os.environ, SPATE_CACHE=str(self.cache), PKG_CONFIG_PATH='',
                        PKG_CONFIG_LIBDIR=str(self.root / 'no-system-libraries'),
                        APT_CONFIG=str(self.root / 'apt.conf'), TMPDIR=str(self.root))
        for path in ('etc/sources.list.d', 'etc/apt.conf.d', 'etc/preferences.d',
                     'etc/trusted.gpg.d', 'state/lists/partial', 'cache-of-apt/archives/partial'):
            (self.root / path).mkdir(parents=True)
        (self.root / 'status').touch()
        self.configure_apt()
        self.use_mirror(f'file:{self.root}/www')

    def configure_apt(self, *lines):
        (self.root / 'apt.conf').write_text('\n'.join((
            f'Dir::Etc "{self.etc}";', f'Dir::State "{self.root}/state";',
            f'Dir::State::status "{self.root}/status";', f'Dir::Cache "{self.root}/cache-of-apt";',
            'Acquire::http::Timeout "2";', 'Acquire::Retries "0";',
            'Acquire::http::Proxy "DIRECT";', *lines)) + '\n')

    def use_mirror(self, base):
        signed = f'[signed-by={self.key.public}]'
        (self.etc / 'sources.list').write_text(
            f'deb {signed} {base}/debian bookworm main\n'
            f'deb {signed} {base}/debian bookworm-updates main\n'
            f'deb {signed} {base}/debian-security bookworm-security main\n')

    def add_liburing(self):
        self.main.add('trixie', 'liburing', '2.9-1')

    def command(self, *words):
        return ['bash', str(TOOLS / 'deps.sh'), *words]

    def run_deps(self, *words, **env):
        return subprocess.run(self.command(*words), env={**self.env, **env}, text=True,
                              capture_output=True, timeout=HANG_S, check=False)

    def start_deps(self, **env):
        """Starts deps.sh in a session of its own.  It ends with the test, or when it hangs."""
        process = subprocess.Popen(self.command(), env={**self.env, **env}, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True)
        timer = threading.Timer(HANG_S, kill_session, [process.pid])
        timer.start()
        self.addCleanup(process.communicate)
        self.addCleanup(kill_session, process.pid)
        self.addCleanup(timer.cancel)
        return process

    def built_from(self, name):
        (path,) = self.cache.glob(f'r*/{name}/built-from')
        return path.read_text().strip()

    def log(self):
        return (self.cache / 'build.log').read_text()

    def assert_built(self, done, **names):
        """deps.sh has printed where both libraries are, built from these sources."""
        self.assertEqual(done.returncode, 0, done.stderr)
        folders = done.stdout.strip().split(':')
        self.assertEqual([pathlib.Path(f).parts[-3] for f in folders], ['liburing', 'openssl'])
        for folder in folders:
            name = pathlib.Path(folder).parts[-3]
            pc = (pathlib.Path(folder) / f'{name}.pc').read_text()
            if name in names:
                self.assertEqual(self.built_from(name), f'{name}_{names[name]}.dsc')
                self.assertIn('patched by Debian', pc)
        self.assertEqual(list(self.cache.glob('work.*')), [])

    def assert_failed_line(self, done, *parts):
        """One line on stderr, and the same one in the log, says all these things."""
        for text in (done.stderr, self.log()):
            lines = [line for line in text.splitlines()
                     if line.startswith('deps.sh: ') and all(part in line for part in parts)]
            self.assertEqual(len(lines), 1, f'{parts}\n{text}')


def session_processes(session):
    """The living processes of a session, however they are parted into groups: (id, group)."""
    found = []
    for entry in pathlib.Path('/proc').iterdir():
        try:
            fields = (entry / 'stat').read_text().rpartition(')')[2].split()
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and int(fields[3]) == session and fields[0] not in 'ZX':
            found.append((int(entry.name), int(fields[2])))
    return found


def kill_session(session):
    for pid, _ in session_processes(session):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def wait_for(condition, what):
    end = time.monotonic() + HANG_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {HANG_S} s')
        time.sleep(0.02)


class TapResult(unittest.TextTestResult):
    """One line per test, which tools/test_report.py counts."""

    def line(self, verdict, test):
        print(f'{verdict} - {type(test).__name__}.{test._testMethodName}', flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line('ok', test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line('not ok', test)

    def addError(self, test, err):
        super().addError(test, err)
        self.line('not ok', test)


def main(*programs):
    """Runs the tests of the calling file; 77 if the machine lacks a program that they need."""
    missing = [name for name in ('apt-get', 'apt-ftparchive', 'gpg', 'dpkg-source', *programs)
               if shutil.which(name) is None]
    if missing:
        print(f'missing: {" ".join(missing)}', file=sys.stderr)
        sys.exit(77)
    runner = unittest.TextTestRunner(resultclass=TapResult, stream=sys.stderr)
    unittest.main(testRunner=runner)
