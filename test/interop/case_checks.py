# SPDX-License-Identifier: MIT
"""What the interop runner wants to see in the captures of each case.  Every check gets a Run and
yields what is wrong.  `left` is what the client's side saw, `right` what the server's side saw."""
import case_trace as trace

AMPLIFICATION = 3
STREAMS_MAX = 1000
CHACHA20 = 0x1303
PROOF_S = 0.25  # several round trips of the cases that rebind


def client_of(side):
    return [datagram for datagram in side if not datagram.from_server]


def server_of(side):
    return [datagram for datagram in side if datagram.from_server]


def handshakes_in(side):
    """Each connection that a server accepts has a source connection ID of its own."""
    return len({scid for datagram in server_of(side) if datagram.has(trace.INITIAL)
                for scid in datagram.scids})


def handshakes(count):
    def check(run):
        seen = handshakes_in(run.right)
        if seen != count:
            yield f'{seen} handshakes, not {count}'
    return check


def no_retry(run):
    if any(datagram.has(trace.RETRY) for datagram in run.left):
        yield 'a Retry'


def retry(run):
    retries = [d for d in server_of(run.left) if d.has(trace.RETRY)]
    if not retries:
        yield 'no Retry'
        return
    if not any(d.has(trace.INITIAL) and d.token_size > 0 and d.time > retries[0].time
               for d in client_of(run.left)):
        yield 'the client does not send the token of the Retry'
    if any(d.packets[0].kind == trace.INITIAL for d in server_of(run.right)
           if d.time < retries[0].time):
        yield 'the server has answered before the Retry'


def chacha20(run):
    for datagram in run.left:
        wanted = trace.SERVER_HELLO if datagram.from_server else trace.CLIENT_HELLO
        if wanted in datagram.hellos and set(datagram.ciphers) - {0x00ff} != {CHACHA20}:
            yield f'ciphers {datagram.ciphers} of the {"server" if wanted == 2 else "client"}'
    if not any(trace.SERVER_HELLO in d.hellos and d.ciphers for d in server_of(run.left)):
        yield 'no ServerHello'


def few_streams(run):
    limits = [d.streams_bidi for d in server_of(run.left) if d.streams_bidi is not None]
    if not limits or max(limits) > STREAMS_MAX:
        yield f'initial_max_streams_bidi of the server: {limits}, not 1 to {STREAMS_MAX}'


def repeated_hello(run):
    answer = server_of(run.left)[0].time
    count = sum(d.has(trace.INITIAL) and d.time < answer for d in client_of(run.left))
    if count < 2:
        yield f'{count} Initials of the client before the answer, not 2 or more'


def amplification(run):
    received = sent = largest = 0
    for datagram in run.right:
        if datagram.from_server:
            sent += datagram.size
            if sent > AMPLIFICATION * received:
                yield f'the server has sent {sent} bytes for {received}'
            largest = max(largest, sent)
        else:
            if datagram.has(trace.HANDSHAKE):
                break
            received += datagram.size
    lost = len(client_of(run.left)) - len(client_of(run.right))
    if largest == 0 or lost < 1:
        yield 'nothing was tried: no bytes before the address was proved, or nothing lost'


def key_update(run):
    for name, side in (('client', client_of(run.left)), ('server', server_of(run.left))):
        phases = {p.key_phase for d in side for p in d.packets if p.kind == trace.ONE_RTT}
        if not {0, 1} <= phases:
            yield f'key phases of the {name}: {sorted(map(str, phases))}'


def ecn(run):
    for name, side in (('client', client_of(run.left)), ('server', server_of(run.right))):
        if not any(d.ecn in (1, 2) for d in side):
            yield f'the {name} marks nothing'
        if any(d.ecn == 3 for d in side):
            yield f'the {name} sends CE'
        if not any(trace.ACK_ECN in d.frames for d in side):
            yield f'no ACK with ECN counts from the {name}'


def is_validated(run, address):
    """The server's first datagram to a new address asks for a proof, which the client gives."""
    answers = [d for d in server_of(run.right) if d.target == address]
    if not answers or trace.PATH_CHALLENGE not in answers[0].frames:
        yield f'no PATH_CHALLENGE in the first datagram to {address}'
    if not any(d.source == address and trace.PATH_RESPONSE in d.frames
               for d in client_of(run.right)):
        yield f'no PATH_RESPONSE from {address}'


def new_sources(run):
    seen = []
    for datagram in client_of(run.right):
        if datagram.source not in seen:
            seen.append(datagram.source)
    return seen


def is_cut_short(run, source):
    """The run was over before the server could prove that address."""
    first = next(d.time for d in client_of(run.right) if d.source == source)
    return run.right[-1].time - first < PROOF_S


def rebound_port(run):
    sources = new_sources(run)
    if len({port for _, port in sources}) < 2:
        yield f'the server saw the client at {sources} only'
    # The first rebinding is far from the end; a slow run may end right after the last one.
    if len(sources) > 2 and is_cut_short(run, sources[-1]):
        sources.pop()
    for source in sources[1:]:
        yield from is_validated(run, source)


def rebound_address(run):
    if len({address for address, _ in new_sources(run)}) < 2:
        yield f'the server saw the client at {new_sources(run)} only'
    yield from rebound_port(run)


def only_v6(run):
    if not all(':' in d.source[0] for d in run.left + run.right):
        yield 'datagrams that are not IPv6'


def version_2(run):
    for name, side in (('client', client_of(run.left)), ('server', server_of(run.left))):
        versions = {p.version for d in side for p in d.packets if p.kind == trace.HANDSHAKE}
        if versions != {trace.V2}:
            yield f'Handshake packets of the {name}: versions {sorted(versions)}'
    first = next(p.version for d in client_of(run.left) for p in d.packets)
    if first != trace.V1:
        yield f'the first packet has version {first:#x}'


def version_negotiation(run):
    if not any(d.has(trace.VERSION_NEGOTIATION) for d in server_of(run.left)):
        yield 'no Version Negotiation packet'
    if any(d.has(trace.HANDSHAKE) for d in run.left):
        yield 'a handshake'


def connections_in(side):
    """Splits a capture into its connections: a client takes a new port for each."""
    ports = []
    for datagram in client_of(side):
        if datagram.source not in ports:
            ports.append(datagram.source)
    return [[d for d in side if port in (d.source, d.target)] for port in ports]


def resumed(run):
    connections = connections_in(run.left)
    certificates = [any(trace.CERTIFICATE in d.hellos for d in server_of(one))
                    for one in connections]
    if certificates != [True, False]:
        yield f'connections with a Certificate: {certificates}, not the first one only'


def early_data(run):
    early = sum(p.size for d in client_of(run.left) for p in d.packets
                if p.kind == trace.ZERO_RTT)
    connections = connections_in(run.left)
    late = sum(p.size for d in client_of(connections[-1]) for p in d.packets
               if p.kind == trace.ONE_RTT)
    names = sum(len(name) for name in run.names)
    if early == 0:
        yield 'no 0-RTT packets'
    if late > names // 2:
        yield f'{late} bytes of the client in 1-RTT packets, for names of {names} bytes'


def migrated(run):
    """To the address that the server prefers, after a proof of the path."""
    servers = []
    for datagram in server_of(run.left):
        if datagram.source not in servers:
            servers.append(datagram.source)
    if len(servers) < 2:
        yield f'the client saw the server at {servers} only'
        return
    to_new = [d for d in client_of(run.left) if d.target == servers[-1]]
    if not to_new or trace.PATH_CHALLENGE not in to_new[0].frames:
        yield f'no PATH_CHALLENGE in the first datagram to {servers[-1]}'
    if not any(trace.PATH_RESPONSE in d.frames for d in server_of(run.left)
               if d.source == servers[-1]):
        yield f'no PATH_RESPONSE from {servers[-1]}'
