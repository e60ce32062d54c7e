#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate-bench --qlog: files of real connections, held against the CDDL of the drafts.

usage: bench_qlog.py SPATE-BENCH CHECKER-FOLDER
"""
import json
import pathlib
import subprocess
import sys
import tempfile

bench, folder = sys.argv[1:3]
sys.path.insert(0, folder)
import qlog_check  # noqa: E402
from slower import SLOWER  # noqa: E402


def run(where, *args):
    done = subprocess.run([bench, *args, '--qlog', where, '--json', '-'], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def requests_of_two_connections():
    with tempfile.TemporaryDirectory() as where:
        run(where, 'rr', '--seconds', f'{0.1 * SLOWER}', '--warmup', '0', '--conns', '2',
            '--inflight', '2')
        files = sorted(pathlib.Path(where).glob('*.sqlog'))
        assert len(files) == 4, files
        sides = {}
        for file in files:
            errors, records = qlog_check.check(file.read_bytes())
            assert not errors, errors[:3]
            head = records[0]['trace']
            reference = head['common_fields']['reference_time']
            assert reference['wall_clock_time'].startswith('20'), reference
            sides.setdefault(file.name.split('_')[0], set()).add(head['vantage_point']['type'])
            events = {}
            for event in records[1:]:
                events.setdefault(event['name'], []).append(event['data'])
            for name in ('connection_started', 'parameters_set', 'alpn_information', 'packet_sent',
                         'packet_received', 'key_updated', 'recovery_metrics_updated',
                         'stream_state_updated', 'connection_state_updated'):
                assert f'quic:{name}' in events, (file.name, name)
            started = events['quic:connection_started'][0]
            assert started['remote']['ip_v4'] == '127.0.0.1', started
            assert events['quic:alpn_information'][0]['chosen_alpn']['string_value'], events
            assert len(events['quic:packet_sent']) > 20, len(events['quic:packet_sent'])
        assert all(both == {'client', 'server'} for both in sides.values()), sides
    print('ok - each side of each connection has a file of the draft\'s form')


def a_folder_that_does_not_exist():
    done = subprocess.run([bench, 'rr', '--seconds', '0.1', '--qlog', '/no/such/folder'],
                          capture_output=True, text=True)
    assert done.returncode != 0 and 'qlog.dir: /no/such/folder' in done.stderr, done
    print('ok - a folder that does not exist is named')


requests_of_two_connections()
a_folder_that_does_not_exist()
