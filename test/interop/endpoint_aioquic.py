#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""aioquic as an endpoint of the interop runner's cases: the environment of endpoint.sh.

Debian 13 has it (python3-aioquic), Debian 12 has not: so no test runs it, and a hand does:

    cases.py CASE --relay PROGRAM --spate PROGRAM --client test/interop/endpoint_aioquic.py

It may be a script that runs this file in another root with the same /tmp."""
import asyncio
import os
import pathlib
import sys
import urllib.parse

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h0.connection import H0_ALPN, H0Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite

CASE = os.environ['TESTCASE']
IS_SERVER = os.environ['ROLE'] == 'server'
UNSUPPORTED = 127
AT_ONCE = 30  # requests
CASES = {'handshake', 'transfer', 'chacha20', 'retry', 'resumption', 'zerortt', 'multiconnect',
         'v2', 'rebind-port', 'rebind-addr'} | (set() if IS_SERVER else {'keyupdate'})


def folder(name):
    return pathlib.Path(os.environ[name])


def configuration():
    made = QuicConfiguration(alpn_protocols=H0_ALPN, is_client=not IS_SERVER)
    if os.environ.get('SSLKEYLOGFILE'):
        made.secrets_log_file = open(os.environ['SSLKEYLOGFILE'], 'a', encoding='ascii')
    if CASE == 'chacha20':
        made.cipher_suites = [CipherSuite.CHACHA20_POLY1305_SHA256]
    if CASE == 'v2':
        made.original_version = QuicProtocolVersion.VERSION_1
        made.supported_versions = [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1]
    return made


class Server(QuicConnectionProtocol):
    http = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H0Connection(self._quic)
        for request in self.http.handle_event(event) if self.http else ():
            if isinstance(request, HeadersReceived):
                path = dict(request.headers)[b':path'].decode().lstrip('/')
                self.http.send_data(request.stream_id, (folder('WWW') / path).read_bytes(), True)
                self.transmit()


class Client(QuicConnectionProtocol):
    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        self.http = H0Connection(self._quic)
        self.answers = {}  # by stream: a future, and what has come

    def quic_event_received(self, event):
        for part in self.http.handle_event(event):
            if not isinstance(part, DataReceived):
                continue
            future, data = self.answers[part.stream_id]
            data += part.data
            if part.stream_ended:
                future.set_result(bytes(data))

    async def get(self, path):
        stream_id = self._quic.get_next_available_stream_id()
        future = asyncio.get_running_loop().create_future()
        self.answers[stream_id] = (future, bytearray())
        self.http.send_headers(stream_id, [(b':method', b'GET'), (b':path', path.encode())], True)
        self.transmit()
        return await future


async def run_server():
    made = configuration()
    made.load_cert_chain(folder('CERTS') / 'cert.pem', folder('CERTS') / 'priv.key')
    tickets = {}
    await serve(os.environ['ADDRESS'].strip('[]'), int(os.environ['PORT']), configuration=made,
                create_protocol=Server, retry=CASE == 'retry',
                session_ticket_fetcher=lambda label: tickets.pop(label, None),
                session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}))
    await asyncio.Future()


async def fetch(urls, ticket=None, on_ticket=None):
    """All URLs over one connection."""
    made = configuration()
    made.load_verify_locations(str(folder('CERTS') / 'ca.pem'))
    made.server_name = 'localhost'
    made.session_ticket = ticket
    where = urllib.parse.urlparse(urls[0])
    turns = asyncio.Semaphore(AT_ONCE)
    async with connect(where.hostname, where.port, configuration=made, create_protocol=Client,
                       session_ticket_handler=on_ticket,
                       wait_connected=CASE != 'zerortt' or ticket is None) as client:
        if CASE == 'keyupdate':
            await client.ping()  # the handshake is confirmed after it
            client.request_key_update()

        async def get(url):
            path = urllib.parse.urlparse(url).path
            async with turns:
                data = await client.get(path)
            (folder('DOWNLOADS') / pathlib.Path(path).name).write_bytes(data)

        await asyncio.gather(*map(get, urls))
        await client.ping()


async def run_client():
    urls = os.environ['REQUESTS'].split()
    if CASE in ('resumption', 'zerortt'):
        tickets = []
        await fetch(urls[:1], on_ticket=tickets.append)
        await fetch(urls[1:], ticket=tickets[0])
    elif CASE == 'multiconnect':
        for url in urls:
            await fetch([url])
    else:
        await fetch(urls)


if __name__ == '__main__':
    if CASE not in CASES:
        sys.exit(UNSUPPORTED)
    asyncio.run(run_server() if IS_SERVER else run_client())
