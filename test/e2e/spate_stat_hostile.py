#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate stat among strangers: forged and cut files, scrapers that say nothing or are many, an
engine that starts again, terminals with little room.

usage: spate_stat_hostile.py SPATE SPATE-BENCH
"""
import fcntl
import json
import mmap
import os
import pathlib
import pty
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

from killed import Killed
from processes import cpu_s
from slower import SLOWER

SPATE, BENCH = sys.argv[1:3]
PATIENCE_S = 20 * SLOWER
FIELD = struct.Struct('<40s12sIII')
FIELD_COUNT_AT, FIELDS_AT = 84, 88  # in the head
PID_AT, STARTED_AT, LIBRARY_AT, CONNS_AT, FLAGS_AT = 24, 32, 48, 112, 132
LOCKED = 1  # enum spate_stat_flag
HISTOGRAM = 3  # enum spate_stat_kind


def run(*command, status=0):
    done = subprocess.run([SPATE, 'stat', *map(str, command)], capture_output=True, check=False,
                          timeout=PATIENCE_S)
    assert done.returncode == status, (command, done.returncode, done.stderr)
    return done.stdout if status == 0 else done.stderr


def until(is_done, what=''):
    end = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def read_until(process, wanted):
    text = b''
    end = time.monotonic() + PATIENCE_S
    while wanted.encode() not in text:
        assert time.monotonic() < end, text[-2000:]
        text += os.read(process.stdout.fileno(), 65536)


class Engine:
    """A server whose counters are in a file of its own."""

    def __init__(self, folder, port=0):
        self.process = subprocess.Popen([BENCH, 'serve', '--listen', f'127.0.0.1:{port}'],
                                        env={**os.environ, 'SPATE_STAT_DIR': str(folder)},
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        assert self.process.stdout.readline().startswith('listening at')
        self.file, = pathlib.Path(folder).glob(f'spate-{self.process.pid}*.stat')

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


class Exporter(Killed):
    """spate stat --listen."""

    def __init__(self, file, **more):
        self.process = subprocess.Popen([SPATE, 'stat', file, '--listen', '127.0.0.1:0'],
                                        stdout=subprocess.PIPE, text=True, **more)
        line = self.process.stdout.readline()
        self.address = ('127.0.0.1', int(line.rsplit(':', 1)[1]))

    def connect(self):
        return socket.create_connection(self.address, PATIENCE_S)

    def get(self, path='/metrics'):
        """Status and body."""
        with self.connect() as conn:
            conn.sendall(f'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
            answer = b''
            while more := conn.recv(65536):
                answer += more
        head, body = answer.split(b'\r\n\r\n', 1)
        assert int(re.search(rb'Content-Length: (\d+)', head)[1]) == len(body), head
        return int(head.split()[1]), body


def is_up(exporter):
    """Whether a scraper is told that the engine runs.  It gets counters then, and only then."""
    status, body = exporter.get()
    up = re.search(rb'^spate_up ([01])$', body, re.M)[1] == b'1'
    assert status == 200 and (b'spate_turns_total{' in body) == up, (status, body[-500:])
    assert up or float(re.search(rb'^spate_published_age_seconds (.*)$', body, re.M)[1]) >= 0
    return up


def without_age(exporter):
    status, body = exporter.get()
    assert status == 200
    return re.sub(r'(?m)^spate_published_age_seconds .*', '', body.decode())


def patched(good, at, data):
    return good[:at] + data + good[at + len(data):]


def names_that_are_none_are_refused(folder, engine):
    """A name with a quote would break JSON, one with an escape the terminal of who looks at it."""
    good = engine.file.read_bytes()
    fields_at, = struct.unpack_from('<Q', good, FIELDS_AT)
    file = folder / 'forged'
    file.write_bytes(good)
    json.loads(run(file, '--json'))
    for name in b'a"b', b'a\\b', b'a\x1b[2Jb', b'a{b="c"}', b'a b', b'', b'\xff', b'n' * 40:
        file.write_bytes(patched(good, fields_at, name.ljust(40, b'\0')))
        assert b'a name in it is none' in run(file, '--json', status=1), name
    for unit in b'n"', b'\x1b[m', b'u' * 12:
        file.write_bytes(patched(good, fields_at + 40, unit.ljust(12, b'\0')))
        assert b'a name in it is none' in run(file, '--json', status=1), unit
    for library in b'1\x1b]0;x\x07', b'v' * 32:
        file.write_bytes(patched(good, LIBRARY_AT, library.ljust(32, b'\0')))
        assert b'a name in it is none' in run(file, '--once', status=1), library


def every_field_may_be_forged(folder, engine):
    """Each number of each field: the file is refused, or read; nothing crashes."""
    good = engine.file.read_bytes()
    fields_at, = struct.unpack_from('<Q', good, FIELDS_AT)
    count, = struct.unpack_from('<I', good, FIELD_COUNT_AT)
    file = folder / 'forged'
    seen = set()
    for index in range(0, count, 7):
        at = fields_at + index * FIELD.size
        assert good[at:at + 1].isalpha()
        for place in 52, 56, 60:
            for value in 0, 3, 0xfffffff8:
                file.write_bytes(patched(good, at + place, struct.pack('<I', value)))
                done = subprocess.run([SPATE, 'stat', file, '--prometheus'], capture_output=True,
                                      check=False, timeout=PATIENCE_S)
                assert done.returncode in (0, 1), (index, place, value, done)
                seen.add(done.returncode)
    assert seen == {0, 1}


def no_field_lies_in_the_head_of_a_shard(folder, engine):
    """What is copied of a shard ends where its first histogram begins: it has the head."""
    good = engine.file.read_bytes()
    fields_at, = struct.unpack_from('<Q', good, FIELDS_AT)
    count, = struct.unpack_from('<I', good, FIELD_COUNT_AT)
    histograms = (at for at in range(fields_at, fields_at + count * FIELD.size, FIELD.size)
                  if FIELD.unpack_from(good, at)[2] == HISTOGRAM)
    at = next(histograms)
    alone = patched(good, FIELD_COUNT_AT, struct.pack('<IQ', 1, at))
    alone = patched(alone, CONNS_AT, struct.pack('<II', 0, 0))
    file = folder / 'forged'
    file.write_bytes(alone)
    run(file, '--json')
    for offset in 0, 8, 24:
        file.write_bytes(patched(alone, at + 60, struct.pack('<I', offset)))
        assert b'a field of it lies outside' in run(file, '--json', status=1), offset


def what_a_process_has_mapped_is_not_waited_for(folder, _):
    """The kernel calls a mapped file that was removed "x (deleted)": that may be a FIFO."""
    name = folder / 'mapped'
    with open(name, 'w+b') as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096):
            name.unlink()
            os.mkfifo(f'{name} (deleted)')
            assert b'has no file of counters' in run(os.getpid(), status=1)


def a_sparse_file_is_not_copied(folder, engine):
    """One shard of a terabyte without a histogram: refused at once."""
    good = engine.file.read_bytes()
    shards_at, = struct.unpack_from('<Q', good, 96)
    file = folder / 'huge'
    head = patched(good[:shards_at], FIELD_COUNT_AT, struct.pack('<I', 0))
    file.write_bytes(patched(head, 104, struct.pack('<Q', 1 << 40)))
    os.truncate(file, shards_at + (1 << 40))
    started = time.monotonic()
    assert b'its head is broken' in run(file, '--json', status=1)
    assert time.monotonic() - started < 2 * SLOWER
    file.unlink()


def a_file_that_is_cut_off_ends_the_reader(folder, engine):
    """It says so, and does not die by a signal."""
    file = folder / 'cut'
    file.write_bytes(engine.file.read_bytes())
    with subprocess.Popen([SPATE, 'stat', file, '--interval', '100'], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as reader:
        assert reader.stdout.readline()
        os.truncate(file, 4096)
        _, errors = reader.communicate(timeout=PATIENCE_S)
    assert reader.returncode == 1 and b'was cut off' in errors, (reader.returncode, errors)


def fields_are_not_read_again(folder, engine):
    """What was checked is what is used: offsets that change afterwards do nothing."""
    file = folder / 'changed'
    good = patched(engine.file.read_bytes(), FLAGS_AT, bytes(4))  # nobody has locked the copy
    file.write_bytes(good)
    fields_at, = struct.unpack_from('<Q', good, FIELDS_AT)
    count, = struct.unpack_from('<I', good, FIELD_COUNT_AT)
    with Exporter(file) as exporter:
        before = without_age(exporter)
        assert 'spate_turns_total' in before
        with open(file, 'r+b') as out:
            for index in range(count):
                out.seek(fields_at + index * FIELD.size + 60)
                out.write(struct.pack('<I', 0xfffffff8))
        assert without_age(exporter) == before


def silent_scrapers_delay_nobody_for_long(_, engine):
    """400 connect and say nothing or drip; an honest one is answered long before they give up."""
    with Exporter(engine.file) as exporter:
        silent = [exporter.connect() for _ in range(400)]
        try:
            for conn in silent[:200]:
                conn.sendall(b'GET /met')
            started = time.monotonic()
            status, body = exporter.get()
            took = time.monotonic() - started
            assert status == 200 and b'spate_turns_total' in body
            assert took < 3 * SLOWER, took
        finally:
            for conn in silent:
                conn.close()


def too_few_descriptors_make_no_busy_loop(_, engine):
    """More clients than the process may have files: they take turns, and it sleeps in between."""
    with Exporter(engine.file, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (12, 12))) as exporter:
        silent = [exporter.connect() for _ in range(40)]
        try:
            time.sleep(0.5)
            before = cpu_s(exporter.process.pid)
            status, _ = exporter.get()
            time.sleep(0.5)
            assert status == 200
            assert cpu_s(exporter.process.pid) - before < 0.2 * SLOWER
        finally:
            for conn in silent:
                conn.close()


def a_drip_is_cut_off(_, engine):
    """A byte now and then does not keep a place for ever."""
    with Exporter(engine.file) as exporter, exporter.connect() as conn:
        started = time.monotonic()
        try:
            while time.monotonic() - started < PATIENCE_S:
                conn.sendall(b'G')
                time.sleep(0.1)
                if select.select([conn], [], [], 0)[0]:
                    assert conn.recv(1) == b''
                    break
        except ConnectionError:
            pass
        assert time.monotonic() - started < 10 * SLOWER
        assert exporter.get()[0] == 200


def a_thousand_scrapers_are_answered(_, engine):
    with Exporter(engine.file) as exporter:
        results, lock = [], threading.Lock()

        def scrape(times):
            for _ in range(times):
                result = exporter.get()[0]
                with lock:
                    results.append(result)
        threads = [threading.Thread(target=scrape, args=(20,)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [200] * 1000, len(results)


def requests_that_are_none_are_answered_or_closed(_, engine):
    with Exporter(engine.file) as exporter:
        assert exporter.get('/metrics?format=text')[0] == 200
        for path in '/', '/metricsx', '/metrics/../x':
            assert exporter.get(path)[0] == 404, path
        for request in b'\0' * 5000, b'GET ' + b'/' * 5000, b'\r\n\r\n':
            with exporter.connect() as conn:
                try:
                    conn.sendall(request)
                    answer = conn.recv(100)
                except ConnectionError:
                    answer = b''
                assert answer == b'' or b' 404 ' in answer, request
        assert exporter.get()[0] == 200


def an_engine_that_starts_again_is_followed(folder, _):
    """The same path, a new file: a scraper and a screen see the new engine; between the two it is
    said that the old one has ended, and its values are not given."""
    where = folder / 'again'
    where.mkdir()
    first = Engine(where)
    second = None
    path = folder / 'fixed.stat'
    os.link(first.file, path)
    with Exporter(path) as exporter, subprocess.Popen(
            [SPATE, 'stat', path, '--interval', '100'], stdout=subprocess.PIPE) as screen:
        try:
            assert is_up(exporter)
            first.end()
            until(lambda: not is_up(exporter), 'it has ended')
            read_until(screen, f'process {first.process.pid} (ended)')
            second = Engine(where)
            os.link(second.file, folder / 'next')
            os.replace(folder / 'next', path)
            assert is_up(exporter)
            read_until(screen, f'process {second.process.pid},')
            second.end()
        finally:
            screen.kill()
            for left in filter(None, (first, second)):
                left.process.kill()


def an_engine_that_is_killed_is_not_up(folder, _):
    """Its file stays, and says nothing of its end.  One that starts again in that folder is found
    there, and the file of the killed one, which is copied to a newer one, is not taken for it."""
    where = folder / 'killed'
    where.mkdir()
    first = Engine(where)
    second = None
    with Exporter(where) as exporter, Exporter(first.file) as of_file, subprocess.Popen(
            [SPATE, 'stat', where, '--interval', '100'], stdout=subprocess.PIPE) as screen:
        try:
            assert is_up(exporter) and is_up(of_file)
            assert json.loads(run(where, '--json'))['state'] == 'running'
            first.end(signal.SIGKILL)
            assert not is_up(exporter) and not is_up(of_file)
            assert json.loads(run(first.file, '--json'))['state'] == 'gone'
            assert b'\nspate_up 0\n' in run(first.file, '--prometheus')
            assert b' (gone), ' in run(where, '--once', '--interval', 100)
            read_until(screen, f'process {first.process.pid} (gone)')
            second = Engine(where)
            later = struct.pack('<Q', time.time_ns() + 10**12)
            (where / 'copy.stat').write_bytes(patched(first.file.read_bytes(), STARTED_AT, later))
            assert is_up(exporter) and not is_up(of_file)
            assert json.loads(run(where, '--json'))['pid'] == second.process.pid
            read_until(screen, f'process {second.process.pid},')
        finally:
            screen.kill()
            for left in filter(None, (first, second)):
                left.process.kill()
                left.process.wait()
    empty = folder / 'empty'
    empty.mkdir()
    assert b'that folder has no file of counters' in run(empty, '--once', status=1)
    assert b'there is no such process' in run(99999999, status=1)


def a_process_whose_number_was_taken_is_gone(folder, engine):
    """The lock tells, and not the number, which another process may have by now.  Of a file system
    without locks the number tells."""
    good = engine.file.read_bytes()
    file = folder / 'copy'
    for flags, pid, state in ((LOCKED, os.getpid(), 'gone'), (0, os.getpid(), 'running'),
                              (0, 1 << 30, 'gone')):
        data = patched(good, PID_AT, struct.pack('<Q', pid))
        file.write_bytes(patched(data, FLAGS_AT, struct.pack('<I', flags)))
        found = json.loads(run(file, '--json'))['state']
        assert found == state, (flags, pid, found)
    assert struct.unpack_from('<I', good, FLAGS_AT)[0] == LOCKED
    assert json.loads(run(engine.file, '--json'))['state'] == 'running'


def a_small_terminal_shows_what_fits(_, engine):
    """20 columns and 8 rows: no line is broken, and no row is too many."""
    for rows, columns in (8, 20), (2, 1), (24, 80), (0, 0):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('<HHHH', rows, columns, 0, 0))
        with subprocess.Popen([SPATE, 'stat', engine.file, '--interval', '100'], stdout=slave,
                              stdin=slave) as reader:
            os.close(slave)
            text = b''
            end = time.monotonic() + PATIENCE_S
            while text.count(b'\x1b[H\x1b[2J') < 3:
                assert time.monotonic() < end, text
                text += os.read(master, 65536)
            reader.terminate()
            reader.wait(PATIENCE_S)
        os.close(master)
        screen = text.split(b'\x1b[H\x1b[2J')[1].replace(b'\r', b'')
        lines = screen.split(b'\n')
        assert lines[-1] == b'' and lines[0].startswith(b'process '[:columns or 8]), screen
        if rows:
            assert len(lines) == min(rows, len(lines)) and len(lines) >= 2, (rows, screen)
            assert max(map(len, lines)) <= columns, (columns, screen)
        else:
            assert b'longest turn' in screen


def another_user_s_process_is_not_gone(folder, engine):
    """A process to which no signal may be sent: the first one, for who is not root."""
    if os.geteuid() == 0:
        as_other = {'user': 65534, 'group': 65534, 'extra_groups': []}
        os.chmod(folder, 0o755)
    else:
        as_other = {}
    file = folder / 'other'
    unlocked = patched(engine.file.read_bytes(), FLAGS_AT, bytes(4))
    file.write_bytes(patched(unlocked, PID_AT, struct.pack('<Q', 1)))
    os.chmod(file, 0o644)
    try:
        done = subprocess.run([SPATE, 'stat', file, '--once', '--interval', '100'],
                              capture_output=True, check=True, timeout=PATIENCE_S, **as_other)
    except PermissionError:  # the program lies where nobody else may look
        return
    assert b'process 1, ' in done.stdout, done.stdout


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        engine = Engine(folder)
        for test in (names_that_are_none_are_refused, every_field_may_be_forged,
                     no_field_lies_in_the_head_of_a_shard,
                     what_a_process_has_mapped_is_not_waited_for,
                     a_sparse_file_is_not_copied, a_file_that_is_cut_off_ends_the_reader,
                     fields_are_not_read_again, silent_scrapers_delay_nobody_for_long,
                     too_few_descriptors_make_no_busy_loop,
                     a_drip_is_cut_off, a_thousand_scrapers_are_answered,
                     requests_that_are_none_are_answered_or_closed,
                     an_engine_that_starts_again_is_followed,
                     an_engine_that_is_killed_is_not_up,
                     a_process_whose_number_was_taken_is_gone, a_small_terminal_shows_what_fits,
                     another_user_s_process_is_not_gone):
            try:
                test(folder, engine)
                print(f'ok - {test.__name__}')
            except (AssertionError, OSError, ValueError, KeyError,
                    subprocess.TimeoutExpired) as error:
                print(f'not ok - {test.__name__}: {error!r}')
                failed += 1
        engine.end(signal.SIGKILL)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
