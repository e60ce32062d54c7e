# SPDX-License-Identifier: MIT
"""What paths.py sends over its paths: spate, kernel TCP, ngtcp2.

A flow is begun, and waited for once all of a run have begun.  Its result is a dict: mbps of payload
in the measured part, seconds of the whole transfer if it has an end, lost and spurious packets;
None where a stack has no such figure."""
import json
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'test' / 'relay'))
import namespaces  # noqa: E402

HANG_S = 60  # beyond what was asked for
CHUNK_BYTES = 1 << 18
SOCKET_BYTES = 400 << 20  # the most that TCP's own buffers grow to
TCP_INFO_BYTES, TCP_INFO_RETRANSMITS = 104, 31  # struct tcp_info up to tcpi_total_retrans


class Failed(Exception):
    """A run that did not work, with what the program said."""


class Work:
    """What one flow has to do: bytes, or seconds after a warm-up."""

    def __init__(self, byte_count=None, seconds=None, warmup=0.0, is_down=False, wait=0.0):
        self.bytes = byte_count
        self.seconds = seconds
        self.warmup = warmup
        self.is_down = is_down  # the right side, which is the server, sends
        self.wait = wait        # begins so much later than the other flow

    def limit_s(self):
        return HANG_S if self.seconds is None else self.seconds + self.warmup + HANG_S

    def words(self):
        """The options that spate-bench and peer-ngtcp2 share."""
        words = ['--direction', 'down' if self.is_down else 'up']
        if self.bytes is not None:
            return words + ['--bytes', str(self.bytes)]
        return words + ['--seconds', str(self.seconds), '--warmup', str(self.warmup)]


def finish(process, limit_s):
    """What the program printed."""
    try:
        out, error = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed('no end') from None
    if process.returncode != 0:
        raise Failed(error.strip().splitlines()[-1] if error.strip() else 'failed')
    return json.loads(out)


class SpateFlow:
    def __init__(self, paths, build, controller, work, port):
        self.work = work
        program = build / 'bench/load/spate-bench'
        more = ['--cc', controller] if controller else []
        self.folder = tempfile.TemporaryDirectory(prefix='spate-paths-')
        self.result_path = pathlib.Path(self.folder.name) / 'server.json'
        self.server = paths.popen(1, [
            program, 'serve', '--listen', f'{namespaces.RIGHT}:{port}', '--server-cpu', 'any',
            '--json', self.result_path, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        line = self.server.stdout.readline()
        if str(port) not in line:
            raise Failed(line.strip() or self.server.communicate()[1].strip())
        time.sleep(work.wait)
        self.client = paths.popen(0, [
            program, 'bulk', '--connect', f'{namespaces.RIGHT}:{port}', '--insecure',
            '--client-cpu', 'any', '--timeout', str(HANG_S / 2), '--json', '-', *work.words(),
            *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self):
        try:
            result = finish(self.client, self.work.limit_s())
        finally:
            self.server.terminate()
            try:
                self.server.communicate(timeout=HANG_S)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.communicate()
        sender = result['client']
        if self.work.is_down:
            sender = json.loads(self.result_path.read_text(encoding='utf-8'))['server']
        self.folder.cleanup()
        conns = sender['conns'] or {}  # a server has none when its client has closed
        return {'mbps': (result['gbps'] or 0) * 1e3, 'seconds': result['seconds'],
                'lost': conns.get('packets_lost'), 'spurious': conns.get('packets_spurious')}


class TcpFlow:
    """Two threads of this process, whose sockets are in the two namespaces."""

    def __init__(self, paths, controller, work, port):
        self.work = work
        self.failure = None
        self.marks = {}
        self.received = 0
        self.retransmits = None
        self.listener = paths.socket(1, socket.AF_INET, socket.SOCK_STREAM)
        self.client = paths.socket(0, socket.AF_INET, socket.SOCK_STREAM)
        for one in (self.listener, self.client):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, controller.encode())
        self.listener.bind((namespaces.RIGHT, port))
        self.listener.listen()
        self.listener.settimeout(work.limit_s())
        self.client.settimeout(work.limit_s())
        self.threads = [threading.Thread(target=self.run, args=(what,), daemon=True)
                        for what in (self.serve, self.drive)]
        for thread in self.threads:
            thread.start()

    def run(self, what):
        try:
            what()
        except OSError as error:
            self.failure = self.failure or f'TCP: {error}'

    def serve(self):
        one, _ = self.listener.accept()
        with one:
            one.settimeout(self.work.limit_s())
            (self.send if self.work.is_down else self.receive)(one)

    def drive(self):
        time.sleep(self.work.wait)
        self.begin = time.monotonic()
        self.client.connect(self.listener.getsockname())
        (self.receive if self.work.is_down else self.send)(self.client)

    def send(self, one):
        data = memoryview(bytes(CHUNK_BYTES))
        left = self.work.bytes
        end = self.begin_s() + self.work.warmup + (self.work.seconds or 0)
        try:
            while left != 0 and (left is not None or time.monotonic() < end):
                size = CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)
                sent = one.send(data[:size])
                left = None if left is None else left - sent
            one.shutdown(socket.SHUT_WR)
        except OSError:
            if left is not None:
                raise  # else the receiver had enough
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        self.retransmits = struct.unpack('8B24I', info)[TCP_INFO_RETRANSMITS]

    def begin_s(self):
        return self.begin

    def receive(self, one):
        buffer = bytearray(1 << 20)
        self.marks['begin'] = (self.begin_s(), 0)
        from_s = self.begin_s() + self.work.warmup
        to_s = from_s + (self.work.seconds or float('inf'))
        while True:
            size = one.recv_into(buffer)
            now = time.monotonic()
            self.received += size
            if self.work.bytes is None and now >= from_s and 'from' not in self.marks:
                self.marks['from'] = (now, self.received)
            if size == 0 or now >= to_s:
                self.marks['to'] = (now, self.received)
                return

    def wait(self):
        for thread in self.threads:
            thread.join(self.work.limit_s())
        alive = any(thread.is_alive() for thread in self.threads)
        self.client.close()
        self.listener.close()
        if alive or self.failure or 'to' not in self.marks:
            raise Failed(self.failure or 'TCP: no end')
        begin = self.marks.get('from', self.marks['begin'])
        seconds, count = (b - a for a, b in zip(begin, self.marks['to']))
        return {'mbps': count * 8 / 1e6 / seconds if seconds > 0 else 0, 'seconds': seconds,
                'lost': self.retransmits, 'spurious': None}


class Ngtcp2Flow:
    def __init__(self, paths, build, work, certificate):
        self.work = work
        cert, key = certificate
        words = work.words()
        if work.bytes is not None:
            words += ['--seconds', str(HANG_S / 2), '--warmup', '0']
        time.sleep(work.wait)
        self.client = paths.popen(0, [
            build / 'bench/peers/peer-ngtcp2', 'bulk', '--cert', cert, '--key', key, '--address',
            namespaces.RIGHT, '--server-netns', f'/proc/{paths.holders[1].pid}/ns/net',
            '--window', str(256 << 20), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)

    def wait(self):
        result = finish(self.client, self.work.limit_s())
        return {'mbps': (result['gbps'] or 0) * 1e3, 'seconds': result['seconds'],
                'lost': None, 'spurious': None}


class Column:
    """A stack with a controller; its name is that of the table's column."""

    def __init__(self, stack, controller):
        self.stack = stack
        self.controller = controller
        self.name = f'{stack}-{controller}' if controller else stack

    def begin(self, setting, work, port):
        if self.stack == 'spate':
            return SpateFlow(setting.paths, setting.build, self.controller, work, port)
        if self.stack == 'tcp':
            return TcpFlow(setting.paths, self.controller, work, port)
        return Ngtcp2Flow(setting.paths, setting.build, work, setting.certificate())


def spate_controllers(build):
    """What --cc of spate-bench takes; [None] if it has no such option.  A fixed rate competes with
    nobody."""
    done = subprocess.run([build / 'bench/load/spate-bench', 'bulk', '--help'],
                          capture_output=True, text=True, check=True)
    match = re.search(r'^ +--cc [^\n]*\n?(?: {20,}[^\n]*\n)*', done.stdout, re.M)
    if match is None:
        return [None]
    return [name for name in ('cubic', 'newreno', 'bbr', 'prague') if name in match[0]]


def tcp_controllers():
    path = pathlib.Path('/proc/sys/net/ipv4/tcp_available_congestion_control')
    available = path.read_text(encoding='ascii').split()
    return [name for name in ('cubic', 'reno', 'bbr') if name in available]


def columns_of(build, file):
    """All that can run here; one line for what cannot."""
    columns = [Column('spate', name) for name in spate_controllers(build)]
    columns += [Column('tcp', name) for name in tcp_controllers()]
    if (build / 'bench/peers/peer-ngtcp2').is_file() and shutil.which('openssl'):
        columns.append(Column('ngtcp2', None))
    else:
        print('skipped: ngtcp2: not built (-Dpeers=auto), or no openssl command', file=file)
    return columns
