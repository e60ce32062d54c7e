# SPDX-License-Identifier: MIT
"""What the suite measures: the list of the transport analysis by its names, sizes of responses,
and messages by the message layer.

The figures of write-ups go into WRITE_UP, by line: a number in the line's unit, or a text.  A line
without one has an empty cell.
"""
import dataclasses

# There is no text of the transport analysis in the tree, so no figure of it is known here.  That of
# a peer-to-peer transport cut a message of 1 MB in three ways.
WRITE_UP = {'M cut': '37.7 ms, 13.9 us, 3.4 us'}


@dataclasses.dataclass
class Line:
    name: str      # unique
    what: str
    unit: str
    more_is_better: bool
    words: list    # of spate-bench, or names of spate-micro's benches
    keys: list     # where the figure is in the JSON; several are added up
    is_micro: bool = False
    scale: float = 1.0


def micro(name, what, unit, bench, row, more_is_better=False, scale=1.0):
    return Line(name, what, unit, more_is_better, [bench], [row], is_micro=True, scale=scale)


def bench(name, what, unit, words, *keys, more=False, scale=1.0):
    return Line(name, what, unit, more, words.split(), list(keys), scale=scale)


CPU_GB = ('server.cpu_s_per_gb', 'client.cpu_s_per_gb')


# Sizes, peers, percent of lost packets: what the lines of messages are made of.
PATTERNS = {
    'req': ('a request and its reply', '--inflight 1'),
    'pub': ('a publication to each peer', '--pattern publish'),
    'ord': ('a publication to each peer, in order', '--pattern publish --ordered'),
}
MESSAGES = (
    ('req', 1, 1, 0), ('req', 16, 1, 0), ('req', 64, 1, 0), ('req', 256, 1, 0),
    ('req', 1000, 1, 0), ('req', 1, 10, 0), ('req', 1000, 10, 0), ('req', 1, 100, 0),
    ('req', 1000, 100, 0), ('req', 1, 1, 1), ('req', 1, 1, 5), ('req', 1000, 1, 1),
    ('req', 1000, 1, 5),
    ('pub', 1, 1, 0), ('pub', 64, 1, 0), ('pub', 1000, 1, 0), ('pub', 1, 10, 0),
    ('pub', 64, 10, 0), ('pub', 1000, 10, 0), ('pub', 1, 100, 0), ('pub', 1000, 100, 0),
    ('pub', 1, 10, 1), ('pub', 1, 10, 5), ('pub', 1000, 10, 1), ('pub', 1000, 10, 5),
    ('ord', 1, 10, 0), ('ord', 1000, 10, 0), ('ord', 1, 10, 1), ('ord', 1, 10, 5),
)
QUICK_MESSAGES = (('req', 1, 1, 0), ('req', 1000, 1, 0), ('req', 1, 100, 0), ('pub', 1, 10, 0),
                  ('pub', 1000, 100, 0), ('pub', 1000, 10, 5), ('ord', 1, 10, 1))


def messages(is_quick):
    """Through <spate/message.h>.  Packets are lost on a path of 2 ms.  Where a message of 1 MB
    takes a part of a second, a run is longer and fewer are under way."""
    yield micro('M cut', 'a message of 1 MB into its packets', 'us', 'split',
                '1 MB, a whole message with its header', scale=1e-3)
    for pattern, size, peers, loss in QUICK_MESSAGES if is_quick else MESSAGES:
        what, words = PATTERNS[pattern]
        path = f' --loss {loss} --delay 0.001' if loss else ''
        if size == 1000 and pattern != 'req':
            path += ' --inflight 2'
        if size == 1000 and (loss or peers == 100):
            path += ' --seconds 2 --warmup 0.5'
        name = f'M {pattern} {size}K x{peers}' + (f' {loss}%' if loss else '')
        what = f'{what}, {size} KB, {peers} peer{"s" if peers > 1 else ""}' + \
            (f', {loss} % lost, 2 ms' if loss else '')
        words = f'messages {words} --size {size}K --conns {peers}{path}'
        yield bench(name, what, 'messages/s', words, 'messages_per_s', more=True)
        if size == 1:
            yield bench(f'{name} p99', f'{what}: 99 of 100 are faster', 'us', words, 'p99_us')
        if peers == 100:
            yield bench(f'{name} even', f'{what}: slowest over fastest', '', words,
                        'conns_slowest_over_fastest', more=True)


def lines(is_quick):
    yield micro('P1', 'seal a packet of 1350 bytes', 'ns', 'protect', 'aes-128-gcm seal 1350')
    yield micro('P2', 'open a packet of 1350 bytes', 'ns', 'protect', 'aes-128-gcm open 1350')
    yield micro('P3 write', 'write the head of a packet and of its frame', 'ns', 'heads',
                'short header + STREAM head, write')
    yield micro('P3 read', 'read the head of a packet and of its frame', 'ns', 'heads',
                'short header + STREAM head, read')
    yield micro('P4', 'commands through a channel, answered', 'M/s', 'channel',
                'commands, answered', more_is_better=True)
    yield micro('P5', 'make a nonce from a packet number', 'ns', 'nonce', 'by packet number')
    yield micro('C1', 'one packet of 1200 bytes, from the application into the socket', 'ns',
                'packet',
                '1200 bytes, application to socket')
    yield bench('C2', 'throughput of one stream, server to client', 'Gbit/s',
                'bulk', 'gbps', more=True)
    yield bench('C2 CPU', 'CPU time of both sides for it', 's/GB', 'bulk', *CPU_GB)
    yield micro('C3 sent', 'record a sent packet until it is acknowledged', 'ns', 'trackers',
                'sent packet, 10,000 in flight')
    yield micro('C3 received', 'record a received packet', 'ns', 'trackers',
                'received packet, in order')
    yield micro('C4', 'how far a limiter is off its rate of 30,000 a second', '%', 'pacer',
                'limiter off 30000 a second')
    yield bench('E1 up', 'throughput of one stream, client to server', 'Gbit/s',
                'bulk --direction up', 'gbps',
                more=True)
    yield bench('E2 p50', 'latency of a request of 64 bytes, one at a time: median', 'us',
                'rr', 'p50_us')
    yield bench('E2 p99', 'latency of such a request: 99 of 100 are faster', 'us', 'rr', 'p99_us')
    yield bench('E2 p99.9', 'latency of such a request: 999 of 1000 are faster', 'us',
                'rr', 'p999_us')
    yield bench('E2 CPU', 'CPU time of both sides for such a request', 'us',
                'rr', 'server.cpu_us_per_request',
                'client.cpu_us_per_request')
    yield bench('E3', 'fan-in: 16 connections send to the server', 'Gbit/s',
                'fanin', 'gbps', more=True)
    yield bench('E4', 'fan-out: the server sends to 16 connections', 'Gbit/s',
                'fanout', 'gbps', more=True)
    yield bench('E5', 'throughput both ways at once, in all', 'Gbit/s', 'bidi', 'gbps', more=True)
    yield bench('S1', 'highest rate of packets, 600 bytes each', 'packets/s',
                'pps', 'packets_per_s', more=True)
    yield bench('S2', 'one stream, 1 % of packets lost, round trip of 10 ms', 'Gbit/s',
                'loss', 'gbps', more=True)
    yield bench('S3', '16 connections with hardly any memory', 'Gbit/s',
                'pressure', 'gbps', more=True)
    for kind, option in (('full', ''), ('resumed', '--resume'), ('0-RTT', '--early')):
        yield bench(f'S4 {kind}', f'{kind} handshakes, each with one request', '1/s',
                f'churn {option}',
                    'handshakes_per_s', more=True)
    sizes = (1000, 64000, 1000000) if is_quick else (1000, 4000, 16000, 64000, 256000, 1000000)
    for size in sizes:
        yield bench(f'response {size // 1000} KB', f'responses of {size // 1000} KB, 4 at a time',
                    'Gbit/s', f'rr --inflight 4 --response {size}', 'gbps', more=True)
    for size in (512, 8192) if is_quick else (512, 1024, 2048, 4096, 8192):
        for batch in (1, 500) if is_quick else (1, 10, 100, 500):
            yield bench(f'{size} x {batch}', f'requests of {size} bytes, {batch} at a time', '1/s',
                        f'rr --request {size} --inflight {batch}', 'requests_per_s', more=True)
    yield from messages(is_quick)
