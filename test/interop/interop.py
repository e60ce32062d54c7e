#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs one case of the interop tests: a server and its clients, each a program that speaks the
QUIC performance protocol and is called as peer_options.h says.  Checks what both sides print,
computes the hash of every stream by itself, and on a failure shows everything that both sides
said.

    interop.py --list
    interop.py CASE --client PROGRAM --server PROGRAM

Exit codes: 0 passed, 1 failed, 77 this machine cannot run the case (never with CI=true)."""
import argparse
import dataclasses
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

import capture
import pattern

SKIP = 77
PEER_SECONDS = 40  # what the peers are told; the driver itself waits a little longer
MB = 1_000_000
NO_ALPN = 0x178  # CRYPTO_ERROR with the alert no_application_protocol [RFC9001 8.1]
ANY_ALERT = range(0x100, 0x200)


@dataclasses.dataclass
class Case:
    cipher: str = 'aes-128-gcm'
    host: str = '127.0.0.1'
    streams: int = 1
    download: int = 1000
    upload: int = 1000
    clients: int = 1
    client: list = dataclasses.field(default_factory=list)  # more options
    server: list = dataclasses.field(default_factory=list)
    closer: str = 'client'
    code: int = 0
    key: list = dataclasses.field(default_factory=lambda: ['ec', '-pkeyopt',
                                                           'ec_paramgen_curve:P-256'])
    refused: range = None   # the handshake must fail, and both sides must tell one of these codes
    capture: bool = False


CASES = {
    'handshake-aes-128-gcm': Case(),
    'handshake-aes-256-gcm': Case(cipher='aes-256-gcm'),
    'handshake-chacha20-poly1305': Case(cipher='chacha20-poly1305'),
    'handshake-rsa': Case(key=['rsa:2048']),
    'handshake-v6': Case(host='[::1]'),
    'empty': Case(download=0, upload=0),
    'download-1-stream': Case(download=10 * MB, upload=0),
    'upload-1-stream': Case(download=0, upload=10 * MB),
    'both-ways-1-stream': Case(download=10 * MB, upload=10 * MB),
    'both-ways-20-streams': Case(streams=20, download=10 * MB, upload=10 * MB),
    'both-ways-aes-256-gcm': Case(cipher='aes-256-gcm', download=10 * MB, upload=10 * MB),
    'both-ways-chacha20-poly1305': Case(cipher='chacha20-poly1305', download=10 * MB,
                                        upload=10 * MB),
    'both-ways-v6': Case(host='[::1]', streams=20, download=MB // 2, upload=MB // 2),
    'small-windows': Case(streams=4, download=MB, upload=MB, client=['--window', '20000'],
                          server=['--window', '20000']),
    'tiny-windows': Case(streams=2, download=50_000, upload=50_000, client=['--window', '1024'],
                         server=['--window', '1024']),
    'few-streams-at-once': Case(streams=50, download=10_000, upload=10_000,
                                server=['--max-streams', '2']),
    'three-clients': Case(clients=3, streams=3, download=MB, upload=MB),
    'retry': Case(server=['--retry']),
    'retry-v6': Case(host='[::1]', server=['--retry']),
    'retry-three-clients': Case(clients=3, streams=3, download=MB, upload=MB, server=['--retry']),
    'close-by-client': Case(code=4242),
    'close-by-client-large-code': Case(code=2**62 - 1),
    'close-by-server': Case(closer='server', code=77),
    'close-by-server-large-code': Case(closer='server', code=2**40 + 1),
    'untrusted-certificate': Case(client=['--ca', '{other_ca}'], refused=ANY_ALERT),
    'wrong-name': Case(client=['--sni', 'other.example'], refused=ANY_ALERT),
    'wrong-alpn': Case(client=['--alpn', 'other'], refused=range(NO_ALPN, NO_ALPN + 1)),
    'no-common-cipher': Case(client=['--cipher', 'aes-256-gcm'],
                             server=['--cipher', 'chacha20-poly1305'], refused=ANY_ALERT),
    'capture': Case(streams=3, download=MB, upload=MB, client=['--window', '50000'], code=3,
                    capture=True),
}


class Peer:
    """One process, with what it has printed so far."""

    def __init__(self, name, arguments, folder):
        self.name = name
        self.arguments = arguments
        self.files = [folder / f'{name}.{kind}' for kind in ('out', 'err')]
        with open(self.files[0], 'wb') as out, open(self.files[1], 'wb') as err:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err)

    def out(self):
        return self.files[0].read_text(errors='replace')

    def err(self):
        return self.files[1].read_text(errors='replace')

    def wait_listening(self):
        """The port of the server, or None if it has not come up."""
        give_up = time.monotonic() + PEER_SECONDS
        while time.monotonic() < give_up:
            ended = self.process.poll() is not None
            found = re.search(r'^listening \S+:(\d+)$', self.out(), re.M)
            if found:
                return int(found[1])
            if ended:
                return None
            time.sleep(0.01)
        return None

    def wait(self, seconds):
        """The exit code, or None if the process had to be killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.files[1].open('a').write(f'(killed by the driver after {seconds:.0f} s)\n')
            return None

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def lines(self, word):
        return [line.split()[1:] for line in self.out().splitlines() if line.split()[:1] == [word]]

    def show(self):
        print(f'---- {self.name}: exit code {self.process.returncode}')
        print('$', shlex.join(map(str, self.arguments)))
        for title, text in (('stdout', self.out()), ('stderr', self.err())):
            lines = text.splitlines()
            kept = lines if len(lines) <= 120 else lines[:60] + ['...'] + lines[-60:]
            for line in kept:
                print(f'{title}: {line}')


def make_certificate(folder, name, key):
    """A self-signed certificate, which is also the CA file for it."""
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', *key, '-nodes', '-days', '2',
         '-subj', '/CN=spate test',
         '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
         '-keyout', folder / f'{name}.key', '-out', folder / f'{name}.pem'],
        check=True, stdin=subprocess.DEVNULL, capture_output=True)


def expected_streams(case, is_download):
    """The lines that the receiver of this direction has to print, without the first word."""
    size = case.download if is_download else case.upload
    return [[str(4 * i), 'bytes', str(size), 'sha256',
             hashlib.sha256(pattern.payload(is_download, 4 * i, size)).hexdigest(), 'ok']
            for i in range(case.streams)]


def check_transfer(case, server, clients):
    """Yields what is wrong after a run that had to succeed."""
    downloads = sorted(expected_streams(case, True))
    uploads = sorted(expected_streams(case, False) * case.clients)
    code = str(case.code)
    for peer in [server, *clients]:
        count = case.clients if peer is server else 1
        if peer.process.returncode != 0 or peer.err() != '':
            yield f'{peer.name}: exit code {peer.process.returncode}, or a message'
        if peer.lines('cipher') != [[case.cipher]] * count:
            yield f'{peer.name}: the cipher should be {case.cipher}'
        wanted = uploads if peer is server else downloads
        if sorted(peer.lines('stream')) != wanted:
            first = next((line for line in wanted if line not in peer.lines('stream')), None)
            missing = 'others than these' if first is None else ' '.join(first)
            yield (f'{peer.name}: printed {len(peer.lines("stream"))} streams, expected '
                   f'{len(wanted)}; the first one missing: {missing}')
        by = 'local' if peer.name.startswith(case.closer) else 'remote'
        if peer.lines('closed') != [[by, 'application', code]] * count:
            yield f'{peer.name}: expected "closed {by} application {code}"'


def check_refusal(case, server, clients):
    """Yields what is wrong after a run whose handshake had to fail.  The client has to tell the
    code; a server may know nothing of a connection that never was, but if it tells a code, it is
    the same."""
    told = set()
    for peer in [server, *clients]:
        if peer.process.returncode in (0, None) or peer.process.returncode < 0:
            yield f'{peer.name}: exit code {peer.process.returncode}, expected a failure'
        if len(peer.err().splitlines()) != 1:
            yield f'{peer.name}: expected exactly one line on standard error'
        if peer.lines('stream'):
            yield f'{peer.name}: data went through'
        told.update(tuple(line) for line in peer.lines('closed'))
    codes = {int(code) for _, kind, code in told if kind == 'transport'}
    sides = [{by for by, *_ in peer.lines('closed')} for peer in (server, clients[0])]
    if not sides[1] or sides[0] == sides[1] or len(codes) != 1 or not codes <= set(case.refused):
        yield (f'expected one transport code of 0x{case.refused[0]:x} to 0x{case.refused[-1]:x}, '
               f'local at one side and remote at the other; told: {sorted(told)}')


def start_server(case, program, folder):
    arguments = [program, 'server', '--listen', f'{case.host}:0', '--cert', folder / 'own.pem',
                 '--key', folder / 'own.key', '--cipher', case.cipher, '--conns', case.clients,
                 '--seconds', PEER_SECONDS, '--keylog', folder / 'server.keys']
    if case.closer == 'server':
        arguments += ['--close-code', case.code]
    return Peer('server', list(map(str, arguments + case.server)), folder)


def start_client(case, program, folder, name, port):
    arguments = [program, 'client', '--connect', f'{case.host}:{port}', '--sni', 'localhost',
                 '--ca', folder / 'own.pem', '--cipher', case.cipher, '--streams', case.streams,
                 '--download', case.download, '--upload', case.upload,
                 '--seconds', PEER_SECONDS, '--keylog', folder / 'client.keys']
    arguments += ['--wait-close'] if case.closer == 'server' else ['--close-code', case.code]
    more = [option.format(other_ca=folder / 'other.pem') for option in case.client]
    return Peer(name, list(map(str, arguments + more)), folder)


def run(case, client_program, server_program, folder):
    """Runs the case; returns what is wrong, and the processes for the report."""
    make_certificate(folder, 'own', case.key)
    make_certificate(folder, 'other', case.key)
    server = start_server(case, server_program, folder)
    peers = [server]
    sniffer = None
    try:
        port = server.wait_listening()
        if port is None:
            return ['the server does not listen'], peers
        if case.capture:
            sniffer = capture.Sniffer('run', port, folder)
            sniffer.wait()
        for i in range(case.clients):
            name = 'client' if case.clients == 1 else f'client{i + 1}'
            peers.append(start_client(case, client_program, folder, name, port))
        give_up = time.monotonic() + PEER_SECONDS + 5
        for peer in peers[1:] + peers[:1]:
            peer.wait(max(0.1, give_up - time.monotonic()))
    finally:
        for peer in peers:
            peer.stop()
        if sniffer is not None:
            sniffer.stop()
    check = check_transfer if case.refused is None else check_refusal
    problems = list(check(case, server, peers[1:]))
    if sniffer is not None and not problems:
        sent = case.streams * (case.upload + 8)
        problems += sniffer.check(sent, case.streams * case.download)
    return problems, peers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('case', nargs='?', choices=CASES, metavar='CASE')
    parser.add_argument('--list', action='store_true', help='print the names of the cases')
    parser.add_argument('--client', help='the program that is the client')
    parser.add_argument('--server', help='the program that is the server')
    options = parser.parse_args()
    if options.list:
        print('\n'.join(CASES))
        return 0
    if not options.case or not options.client or not options.server:
        parser.error('CASE, --client and --server are needed')
    case = CASES[options.case]
    if case.capture:
        reason = capture.enter_namespace()
        if reason is not None:
            print(f'cannot capture: {reason}')
            return 1 if os.environ.get('CI') == 'true' else SKIP

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='interop-') as folder:
        problems, peers = run(case, options.client, options.server, pathlib.Path(folder))
        if problems:
            for peer in peers:
                peer.show()
            print('----')
            for problem in problems:
                print(f'FAILED {options.case}: {problem}')
            return 1
    print(f'passed {options.case} in {time.monotonic() - start:.2f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
