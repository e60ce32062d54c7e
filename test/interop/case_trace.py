# SPDX-License-Identifier: MIT
"""Reads with tshark what a capture of one side of a path has, datagram by datagram."""
import dataclasses

INITIAL, ZERO_RTT, HANDSHAKE, RETRY, VERSION_NEGOTIATION, ONE_RTT = range(6)
V1, V2 = 1, 0x6b3343cf
V2_TYPES = {0: RETRY, 1: INITIAL, 2: ZERO_RTT, 3: HANDSHAKE}  # RFC 9369, 3.2
PATH_CHALLENGE, PATH_RESPONSE, ACK_ECN = 0x1a, 0x1b, 0x03
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11
FIELDS = ('frame.time_epoch', 'ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst', 'udp.srcport',
          'udp.dstport', 'udp.length', 'ip.dsfield.ecn', 'ipv6.tclass.ecn', 'quic.header_form',
          'quic.long.packet_type', 'quic.long.packet_type_v2', 'quic.version',
          'quic.packet_length', 'quic.key_phase', 'quic.scid', 'quic.frame_type',
          'tls.handshake.type', 'tls.handshake.ciphersuite', 'quic.token_length',
          'tls.quic.parameter.initial_max_streams_bidi')


@dataclasses.dataclass
class Packet:
    kind: int
    size: int
    version: int = 0
    key_phase: int = None


@dataclasses.dataclass
class Datagram:
    time: float
    source: tuple  # address, port
    target: tuple
    size: int  # UDP payload
    ecn: int
    from_server: bool
    packets: list
    frames: set
    scids: set
    hellos: list   # types of TLS handshake messages that begin in it
    ciphers: list
    token_size: int
    streams_bidi: int  # the transport parameter, or None

    def has(self, kind):
        return any(packet.kind == kind for packet in self.packets)


def number(text):
    """A number; newer versions of tshark print a bit as a word."""
    return {'True': 1, 'False': 0}[text] if text in ('True', 'False') else int(text, 0)


def numbers(text):
    return [number(part) for part in text.split(',') if part]


def packets_of(row):
    """The QUIC packets of a datagram: fields that only some of them have are in lists."""
    types = iter(numbers(row['quic.long.packet_type']))
    types_v2 = iter(numbers(row['quic.long.packet_type_v2']))
    versions = iter(numbers(row['quic.version']))
    phases = iter(numbers(row['quic.key_phase']))
    sizes = iter(numbers(row['quic.packet_length']))
    for form in numbers(row['quic.header_form']):
        size = next(sizes, 0)
        if form == 0:
            yield Packet(ONE_RTT, size, key_phase=next(phases, None))
            continue
        version = next(versions, 0)
        if version == 0:
            yield Packet(VERSION_NEGOTIATION, size)
        elif version == V2:
            yield Packet(V2_TYPES[next(types_v2)], size, version)
        else:
            # The numbers of version 1 are those of the constants above.
            yield Packet(next(types, INITIAL), size, version)


def parse(line, port):
    row = dict(zip(FIELDS, line.split('\t')))
    source = (row['ip.src'] or row['ipv6.src'], int(row['udp.srcport']))
    target = (row['ip.dst'] or row['ipv6.dst'], int(row['udp.dstport']))
    parameter = numbers(row['tls.quic.parameter.initial_max_streams_bidi'])
    return Datagram(
        time=float(row['frame.time_epoch']), source=source, target=target,
        size=int(row['udp.length']) - 8,
        ecn=int(row['ip.dsfield.ecn'] or row['ipv6.tclass.ecn'] or '0', 0),
        from_server=source[1] == port, packets=list(packets_of(row)),
        frames=set(numbers(row['quic.frame_type'])),
        scids=set(filter(None, row['quic.scid'].split(','))),
        hellos=numbers(row['tls.handshake.type']),
        ciphers=numbers(row['tls.handshake.ciphersuite']),
        token_size=max(numbers(row['quic.token_length']), default=0),
        streams_bidi=parameter[0] if parameter else None)


def read(sniffer, keylog):
    """All datagrams of a capture, in order."""
    fields = [word for field in FIELDS for word in ('-e', field)]
    rows = sniffer.tshark(keylog, '-T', 'fields', *fields)
    return [parse(line, sniffer.port) for line in rows.splitlines()]
