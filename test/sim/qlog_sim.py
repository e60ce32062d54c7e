#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The qlog of simulated connections: against the CDDL of the drafts, and against each other: what
one side has sent the other one has received, dropped or lost.

usage: qlog_sim.py SIM CHECKER-FOLDER
"""
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

sim, folder = sys.argv[1:3]
sys.path.insert(0, folder)
import qlog_check  # noqa: E402

# Scenario -> events that its files must have beside those of every connection.
SCENARIOS = {
    'clean': [],
    'loss-both': ['packet_lost', 'timer_updated', 'connection_data_blocked_updated'],
    'reorder': [],
    'corrupt': ['packet_dropped'],
    'duplicate': ['packet_dropped'],
    'late-keys': ['packet_buffered'],
    'key-update': ['key_updated'],
    'migration': ['tuple_assigned', 'migration_state_updated', 'connection_id_updated'],
    'mtu-hole': ['mtu_updated'],
    'ecn-bleached': ['ecn_state_updated'],
    'close-both': [],
    'idle': [],
    'stateless-reset': [],
    'version-negotiation': [],
    'retry': [],
    'early-accepted': ['parameters_restored', 'stream_data_moved'],
    'early-held': ['parameters_restored', 'stream_data_blocked_updated'],
    'small-windows': ['stream_data_blocked_updated', 'stream_data_moved'],
    'messages': ['datagram_data_moved'],
    'reset-at': [],
    'ack-frequency': [],
    'lent-memory': [],
}
ALWAYS = ['connection_started', 'version_information', 'parameters_set', 'packet_sent',
          'packet_received', 'recovery_parameters_set', 'recovery_metrics_updated',
          'connection_state_updated', 'key_updated', 'congestion_state_updated', 'packets_acked',
          'udp_datagrams_sent', 'udp_datagrams_received']
SPACES = {'initial': 0, 'handshake': 1, '0RTT': 2, '1RTT': 2}


def files_of(where, *args):
    subprocess.run([sim, *args, '--qlog', where], check=True, stdout=subprocess.DEVNULL)
    return sorted(pathlib.Path(where).glob('*.sqlog'))


def check_all(files):
    """All events of the files, which must be right."""
    events = collections.defaultdict(list)
    for file in files:
        errors, records = qlog_check.check(file.read_bytes())
        assert not errors, (file.name, errors[:3])
        side = records[0]['trace']['vantage_point']['type']
        assert file.name == f'{records[0]["trace"]["common_fields"]["group_id"]}_{side}.sqlog'
        events[file.name[:-6]] += records[1:]
    return events


def numbers(events, name, of=lambda data: True):
    """The numbers of packets: (space, number)."""
    found = []
    for event in events:
        header = event['data'].get('header', {})
        if event['name'] == name and 'packet_number' in header and of(event['data']):
            found.append((SPACES[header['packet_type']], header['packet_number']))
    return found


def scenarios():
    for scenario, wanted in SCENARIOS.items():
        with tempfile.TemporaryDirectory() as where:
            events = check_all(files_of(where, '--scenario', scenario, '--seed', '5'))
            names = {event['name'] for one in events.values() for event in one}
            missing = {f'quic:{name}' for name in ALWAYS + wanted} - names
            if scenario == 'version-negotiation':  # some seeds end before a packet comes
                missing -= {'quic:packet_received', 'quic:packets_acked'}
            assert not missing, (scenario, missing)
        print(f'ok - {scenario}: every record is of the draft')


def both_sides():
    """Over a path that loses nothing each packet and its frames are on both sides."""
    with tempfile.TemporaryDirectory() as where:
        events = check_all(files_of(where, '--scenario', 'clean', '--seed', '3'))
        pairs = 0
        for name, client in events.items():
            if not name.endswith('_client'):
                continue
            server = events[name.replace('_client', '_server')]
            for one, other in (client, server), (server, client):
                sent, received = (numbers(one, 'quic:packet_sent'),
                                  numbers(other, 'quic:packet_received'))
                assert len(set(sent)) == len(sent) and len(sent) > 5, sent
                assert set(received) <= set(sent), set(received) - set(sent)
                late = set(sent) - set(received)
                assert len(late) <= 4, late  # on their way at the end, or after the keys
                frames = {number: event['data']['frames']
                          for event, number in with_numbers(one, 'quic:packet_sent')}
                for event, number in with_numbers(other, 'quic:packet_received'):
                    assert event['data']['frames'] == frames[number], (number, event)
                pairs += 1
        assert pairs >= 2, pairs
    print('ok - both sides have the same packets with the same frames')


def with_numbers(events, name):
    for event in events:
        header = event['data'].get('header', {})
        if event['name'] == name and 'packet_number' in header:
            yield event, (SPACES[header['packet_type']], header['packet_number'])


def losses():
    """What is lost was sent before, and is not lost twice."""
    with tempfile.TemporaryDirectory() as where:
        events = check_all(files_of(where, '--scenario', 'loss-both', '--seed', '11'))
        count = 0
        for one in events.values():
            sent, lost = numbers(one, 'quic:packet_sent'), numbers(one, 'quic:packet_lost')
            assert set(lost) <= set(sent), set(lost) - set(sent)
            assert len(set(lost)) == len(lost), lost
            count += len(lost)
        assert count > 5, count
    print('ok - what is lost was sent')


def states():
    """The handshake's states come in their order, and the end has its reason."""
    with tempfile.TemporaryDirectory() as where:
        events = check_all(files_of(where, '--scenario', 'clean', '--seed', '4'))
        for name, one in events.items():
            new = [e['data']['new'] for e in one if e['name'] == 'quic:connection_state_updated']
            assert new[:4] == ['attempted', 'handshake_started', 'handshake_complete',
                               'handshake_confirmed'], (name, new)
            closed = [e['data'] for e in one if e['name'] == 'quic:connection_closed']
            assert len(closed) == 1 and closed[0]['trigger'] == 'application', (name, closed)
    print('ok - states come in order, and each connection is closed once')


def acknowledgments():
    """Each packet is acknowledged once, after it was sent, and no other one is."""
    spaces = {'initial': 0, 'handshake': 1, 'application_data': 2}
    with tempfile.TemporaryDirectory() as where:
        events = check_all(files_of(where, '--scenario', 'reorder', '--seed', '2'))
        count = 0
        for name, one in events.items():
            sent, acked, in_frames = set(), [], set()
            for event in one:
                data = event['data']
                if event['name'] == 'quic:packet_sent':
                    sent.update(numbers([event], 'quic:packet_sent'))
                elif event['name'] == 'quic:packet_received':
                    for frame in data.get('frames', []):
                        if frame['frame_type'] == 'ack':
                            space = SPACES[data['header']['packet_type']]
                            in_frames.update((space, pn) for r in frame['acked_ranges']
                                             for pn in range(r[0], r[-1] + 1))
                elif event['name'] == 'quic:packets_acked':
                    new = [(spaces[data['packet_number_space']], pn)
                           for pn in data['packet_numbers']]
                    assert set(new) <= sent and set(new) <= in_frames, (name, new)
                    acked += new
            assert len(set(acked)) == len(acked), name
            assert set(acked) >= {one for one in in_frames if one[0] == 2} & sent, name
            count += len(acked)
        assert count > 20, count
    print('ok - each packet is acknowledged once')


def unnumbered():
    """A client's Retry and Version Negotiation packets are in its file."""
    for scenario, kind in ('retry', 'retry'), ('version-negotiation', 'version_negotiation'):
        found = []
        with tempfile.TemporaryDirectory() as where:
            for seed in '1', '2', '3':
                events = check_all(files_of(where, '--scenario', scenario, '--seed', seed))
                for name, one in events.items():
                    found += [event['data'] for event in one
                              if event['name'] == 'quic:packet_received' and
                              event['data']['header']['packet_type'] == kind]
        assert found, scenario
        for data in found:
            if kind == 'retry':
                assert data['header']['token']['raw']['length'] > 0, data
                assert data['header']['scid'], data
            else:
                assert len(data['supported_versions']) >= 1, data
    print('ok - Retry and Version Negotiation packets are recorded')


def datagrams():
    """The datagrams of UDP: what both sides count over a path that loses nothing, and their packets
    fit into them."""
    with tempfile.TemporaryDirectory() as where:
        events = check_all(files_of(where, '--scenario', 'clean', '--seed', '3'))
        for name, one in events.items():
            other = events[name.replace('_client', '_?').replace('_server', '_client')
                           .replace('_?', '_server')]
            sent = [raw['length'] for e in one if e['name'] == 'quic:udp_datagrams_sent'
                    for raw in e['data']['raw']]
            received = [raw['length'] for e in other if e['name'] == 'quic:udp_datagrams_received'
                        for raw in e['data']['raw']]
            assert len(received) > 5, received
            assert not collections.Counter(received) - collections.Counter(sent), name
            packets = sum(e['data']['raw']['length'] for e in one
                          if e['name'] == 'quic:packet_sent')
            assert packets <= sum(sent) <= packets + 64 * len(sent), (name, packets, sum(sent))
            for event in one:
                if event['name'].startswith('quic:udp_datagrams'):
                    data = event['data']
                    assert data['count'] == len(data['raw']) == len(data['ecn']), data
    print('ok - datagrams of UDP are those of the other side')


def blocked():
    """Blocked and unblocked come in turns, each with the state before."""
    reasons = set()
    for scenario in 'loss-both', 'clean', 'mtu-hole':
        with tempfile.TemporaryDirectory() as where:
            for name, one in check_all(files_of(where, '--scenario', scenario, '--seed',
                                                '5')).items():
                now = ('unblocked', None)
                for event in one:
                    if event['name'] == 'quic:connection_data_blocked_updated':
                        data = event['data']
                        by = event.get('blocked', {}).get('by')
                        new = (data['new'], data.get('reason') or by)
                        assert data['old'] == now[0] and new != now, (name, data, now)
                        assert (new[0] == 'blocked') == (new[1] is not None), data
                        now = new
                        reasons.add(new[1])
    assert {'congestion_control', 'amplification_protection'} & reasons, reasons
    print('ok - what a connection waits for:', ', '.join(sorted(filter(None, reasons))))


def blocked_streams():
    """Of each stream too.  Without credit a stream sends again what was lost, and nothing new."""
    reasons = collections.Counter()
    for scenario in 'small-windows', 'early-held':
        with tempfile.TemporaryDirectory() as where:
            for name, one in check_all(files_of(where, '--scenario', scenario, '--seed',
                                                '5')).items():
                now, ends, limits = {}, collections.Counter(), {}
                fresh, time = set(), 0  # blocked at this time: their last packet is recorded after
                for event in one:
                    data = event['data']
                    if event['time'] > time:
                        limits.update({stream: ends[stream] for stream in fresh})
                        fresh, time = set(), event['time']
                    for frame in data.get('frames', []):
                        stream = frame.get('stream_id')
                        if frame['frame_type'] == 'max_stream_data':
                            if event['name'] == 'quic:packet_received':
                                limits.pop(stream, None)
                        elif (frame['frame_type'] == 'stream' and
                              event['name'] == 'quic:packet_sent'):
                            end = frame.get('offset', 0) + frame['raw']['length']
                            assert end <= limits.get(stream, end), (name, event)
                            ends[stream] = max(ends[stream], end)
                    if event['name'] == 'quic:parameters_set' and data['initiator'] == 'remote':
                        limits.clear()
                    if event['name'] != 'quic:stream_data_blocked_updated':
                        continue
                    stream, new = data['stream_id'], data.get('reason')
                    before = now.get(stream)
                    assert data['old'] == ('blocked' if before else 'unblocked'), (name, data)
                    assert data['new'] == ('blocked' if new else 'unblocked'), (name, data)
                    assert before != new, (name, data)
                    fresh.discard(stream)
                    if new == 'stream_flow_control':
                        fresh.add(stream)
                    now[stream] = new
                    reasons[new] += 1
    assert {'stream_flow_control', 'connection_flow_control', 'stream_id'} <= set(reasons), reasons
    print('ok - what streams wait for:', dict(reasons))


def moved():
    """What an application hands to its connection its peer gets, byte for byte and in order."""
    streams = messages = 0
    for scenario in 'clean', 'loss-both', 'batches', 'lent-memory', 'messages':
        with tempfile.TemporaryDirectory() as where:
            ends = collections.defaultdict(lambda: (0, False))  # offset, has ended
            sizes = collections.defaultdict(collections.Counter)
            for name, one in check_all(files_of(where, '--scenario', scenario, '--seed',
                                                '4')).items():
                group, side = name.rsplit('_', 1)
                for event in one:
                    data = event['data']
                    if event['name'] not in ('quic:stream_data_moved', 'quic:datagram_data_moved'):
                        continue
                    is_given = data['to'] == 'transport'
                    sender = 'client' if is_given == (side == 'client') else 'server'
                    assert {data['from'], data['to']} == {'application', 'transport'}, data
                    key = (group, sender, data['to'], data.get('stream_id'))
                    size = data['raw']['length']
                    if 'stream_id' not in data:
                        sizes[key][size] += 1
                        continue
                    offset, has_ended = ends[key]
                    assert data['offset'] == offset and not has_ended, (name, data, offset)
                    ends[key] = (offset + size, data.get('additional_info') == 'fin_set')
            for (group, sender, to, stream), end in list(ends.items()):
                if to == 'application':
                    given = ends[group, sender, 'transport', stream]
                    assert end[0] <= given[0], (scenario, stream, end, given)
                    assert not end[1] or end == given, (scenario, stream, end, given)
                    streams += end[1]
            for (group, sender, to, stream), end in list(sizes.items()):
                if to == 'application':
                    assert not end - sizes[group, sender, 'transport', stream], (scenario, end)
                    messages += sum(end.values())
    assert streams > 20 and messages > 100, (streams, messages)
    print(f'ok - {streams} streams and {messages} messages reach the other application')


def restored():
    """The limits of 0-RTT are those of the server before."""
    fields = {'initial_max_data', 'initial_max_streams_bidi', 'initial_max_streams_uni',
              'initial_max_stream_data_bidi_local', 'initial_max_stream_data_bidi_remote',
              'initial_max_stream_data_uni'}
    count = 0
    with tempfile.TemporaryDirectory() as where:
        for name, one in check_all(files_of(where, '--scenario', 'early-accepted', '--seed',
                                            '5')).items():
            found = [e['data'] for e in one if e['name'] == 'quic:parameters_restored']
            count += len(found)
            assert len(found) <= ('client' in name), name
            after = [e['data'] for e in one if e['name'] == 'quic:parameters_set' and
                     e['data']['initiator'] == 'remote']
            for data in found:
                assert set(data) == fields, data
                assert all(data[field] <= after[0][field] for field in fields), (data, after)
    assert count > 0
    print('ok - what 0-RTT begins with')


def spin():
    """The spin bit changes in turns."""
    changes = 0
    with tempfile.TemporaryDirectory() as where:
        for name, one in check_all(files_of(where, '--scenario', 'clean', '--seed', '3')).items():
            states = [e['data']['state'] for e in one if e['name'] == 'quic:spin_bit_updated']
            assert states == [i % 2 == 0 for i in range(len(states))], (name, states)
            changes += len(states)
    assert changes > 2, changes
    print('ok - the spin bit changes')


def swarm():
    with tempfile.TemporaryDirectory() as where:
        events = check_all(files_of(where, '--swarm', '10', '--first-seed', '1'))
        assert len(events) > 20, len(events)
    print('ok - the files of ten seeds of the swarm')


def same_run():
    """A sink changes nothing: the hash of a run is the same with and without."""
    args = ['--scenario', 'loss-both', '--seed', '9', '--hash']
    plain = subprocess.run([sim, *args], check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory() as where:
        logged = subprocess.run([sim, *args, '--qlog', where], check=True, capture_output=True,
                                text=True).stdout
    assert plain == logged and plain != '', (plain, logged)
    print('ok - qlog does not change the run')


def canary():
    """The check sees what is wrong."""
    with tempfile.TemporaryDirectory() as where:
        file = files_of(where, '--scenario', 'clean', '--seed', '3')[0]
        data = file.read_bytes()
    for before, after in ((b'"1RTT"', b'"2RTT"'), (b'"packet_number":', b'"packet_nummer":'),
                          (b'"quic:packet_sent"', b'"quic:packet_mailed"'),
                          (b'"stream_id":', b'"stream_id":-1'),
                          (b'"new":"attempted"', b'"old":"attempted"'),
                          (b'"acked_ranges":[[', b'"acked_ranges":[[1,1,'),
                          (b'"server_initial_secret"', b'"server_secret"'),
                          (b'"file_schema"', b'"schema"'), (b'"key_phase":', b'"key_phase":0.5')):
        assert before in data, before
        errors, _ = qlog_check.check(data.replace(before, after, 1))
        assert errors, (before, after)
    for broken in data[1:], data.replace(b'\n', b'', 1), data.replace(b'\x1e', b'', 2):
        try:
            qlog_check.check(broken)
        except (AssertionError, json.JSONDecodeError):
            continue
        raise AssertionError('a broken sequence was not seen')
    print('ok - what is wrong is seen')


for one in (scenarios, both_sides, losses, states, acknowledgments, unnumbered, datagrams, blocked,
            blocked_streams, moved, restored, spin, swarm, same_run, canary):
    one()
