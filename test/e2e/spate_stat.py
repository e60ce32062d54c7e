#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate stat: the counters of a server from outside, while it runs and after a SIGKILL.

usage: spate_stat.py SPATE SPATE-BENCH
"""
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from killed import Killed

SPATE, BENCH = sys.argv[1:3]
SIZE = 3_000_000
PATIENCE_S = 20


def run(*command, status=0):
    done = subprocess.run([SPATE, *map(str, command)], capture_output=True, text=True, check=False,
                          timeout=PATIENCE_S)
    assert done.returncode == status, (command, done.returncode, done.stderr)
    return done.stdout if status == 0 else done.stderr


class Server(Killed):
    """A server whose counters are in a file, and a client that has fetched a file from it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.cert, self.key = self.folder / 'cert.pem', self.folder / 'key.pem'
        run('cert', '--cert-out', self.cert, '--key-out', self.key)
        (self.folder / 'root').mkdir()
        (self.folder / 'root/file').write_bytes(bytes(SIZE))
        self.process = subprocess.Popen(
            [SPATE, 'serve', '--root', self.folder / 'root', '--cert', self.cert, '--key', self.key,
             '--listen', '127.0.0.1:0'],
            env={**os.environ, 'SPATE_STAT_DIR': folder}, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.port = re.search(r'127\.0\.0\.1:(\d+)', line)[1]
        self.file, = self.folder.glob('spate-*.stat')

    def get(self):
        out = self.folder / 'out'
        out.mkdir(exist_ok=True)
        run('get', '--ca', self.cert, '-o', out, f'https://127.0.0.1:{self.port}/file')

    def shard(self):
        return json.loads(run('stat', self.file, '--json'))['shards'][0]


def until(is_done):
    end = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.05)


def the_counters_are_those_of_the_transfer(server):
    server.get()
    until(lambda: server.shard()['bytes_out'] > SIZE)
    until(lambda: server.shard()['handshakes_done'] == 1)
    shard = server.shard()
    assert shard['packets_out'] >= SIZE / 65536, shard
    assert shard['conns_accepted'] == 1, shard
    assert shard['train_datagrams']['count'] == shard['sends'], shard
    assert shard['turn_ns']['max'] == shard['turn_longest_ns'], shard
    assert shard['seal_ns']['p50'] <= shard['seal_ns']['p99'] <= shard['seal_ns']['max'], shard


def counters_never_fall_while_connections_come_and_go(server):
    before = server.shard()
    for _ in range(5):
        server.get()
        after = server.shard()
        for name in ('packets_out', 'packets_in', 'bytes_out', 'handshakes_done', 'acks_in'):
            assert after[name] >= before[name], (name, before[name], after[name])
        before = after
    until(lambda: server.shard()['handshakes_done'] == 6)


def a_process_can_be_named_in_place_of_its_file(server):
    found = json.loads(run('stat', server.process.pid, '--json'))
    assert found['pid'] == server.process.pid


def a_screen_has_rates_stages_and_connections(server):
    screen = run('stat', server.file, '--once', '--interval', 100)
    for word in ('datagrams/s', 'ENOBUFS/s', 're-arms/s', 'strays', 'doorbells/s', 'longest turn',
                 'receive slots free', 'seal', 'acknowledge', 'connection', 'waits for',
                 'rates, stages and waits: '):
        assert word in screen, (word, screen)


def prometheus_gets_what_it_can_read(server):
    text = run('stat', server.file, '--prometheus')
    names = {}
    for line in text.splitlines():
        kind = re.fullmatch(r'# TYPE (\w+) (counter|gauge|histogram)', line)
        if kind:
            assert kind[1] not in names, line
            names[kind[1]] = kind[2]
        elif not line.startswith('# HELP '):
            sample = re.fullmatch(r'(\w+)(?:\{[^}]*\})? (\S+)', line)
            name = re.sub(r'_(bucket|sum|count)$', '', sample[1])
            assert name in names or sample[1] in names, line
            float(sample[2])
    assert names['spate_bytes_out_total'] == 'counter'
    assert names['spate_seal_seconds'] == 'histogram'
    assert names['spate_conns_now'] == 'gauge'
    buckets = [int(n) for n in re.findall(r'spate_turn_seconds_bucket\S* (\d+)', text)]
    count = int(re.search(r'spate_turn_seconds_count\S* (\d+)', text)[1])
    assert buckets == sorted(buckets) and buckets[-1] == count > 0, buckets
    promtool = shutil.which('promtool')
    if promtool:
        said = subprocess.run([promtool, 'check', 'metrics'], input=text, capture_output=True,
                              text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


def a_scraper_is_served(server):
    with subprocess.Popen([SPATE, 'stat', server.file, '--listen', '127.0.0.1:0'],
                          stdout=subprocess.PIPE, text=True) as exporter:
        url = 'http://' + exporter.stdout.readline().split()[-1]
        with urllib.request.urlopen(url + '/metrics', timeout=PATIENCE_S) as answer:
            assert answer.headers['Content-Type'].startswith('text/plain; version=0.0.4')
            assert b'spate_bytes_out_total{shard="0"}' in answer.read()
        try:
            with urllib.request.urlopen(url + '/other', timeout=PATIENCE_S):
                raise AssertionError('/other was found')
        except urllib.error.HTTPError as error:
            assert error.code == 404
            error.close()
        exporter.send_signal(signal.SIGINT)
        assert exporter.wait(PATIENCE_S) == 0


def a_broken_file_is_refused(server):
    good = server.file.read_bytes()
    broken = server.folder / 'broken'
    for size in (0, 7, 100, 4096, 20000):
        broken.write_bytes(good[:size])
        assert 'spate stat: ' in run('stat', broken, '--json', status=1)
    for at in range(8, 140, 4):  # each number of the head
        broken.write_bytes(good[:at] + struct.pack('<I', 0xfffffff1) + good[at + 4:])
        done = subprocess.run([SPATE, 'stat', broken, '--json'], capture_output=True, check=False,
                              timeout=PATIENCE_S)
        assert done.returncode in (0, 1), (at, done)
    assert 'no file of counters' in run('stat', os.getpid(), status=1)
    run('stat', status=2)


def what_a_killed_process_has_left_can_be_read(server):
    last = server.shard()
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    shard = server.shard()
    assert shard['bytes_out'] == last['bytes_out'] > SIZE, shard
    assert '(gone)' in run('stat', server.file, '--once', '--interval', 100)


def an_engine_that_ends_removes_its_file(server):
    with tempfile.TemporaryDirectory() as folder, Server(folder) as other:
        other.process.send_signal(signal.SIGTERM)
        other.process.wait(PATIENCE_S)
        assert not other.file.exists()
    assert server.file.exists()


def shards_are_apart_and_add_up(_):
    """An engine of three shards: each has its own figures, and the screen has their sums."""
    shard_count, conns = 3, 24
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [BENCH, 'serve', '--listen', '127.0.0.1:0', '--shards', str(shard_count)],
            env={**os.environ, 'SPATE_STAT_DIR': folder}, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = re.search(r'listening at (\S+)', server.stdout.readline())[1]
            file, = pathlib.Path(folder).glob('spate-*.stat')

            def shards():
                return json.loads(run('stat', file, '--json'))['shards']
            assert len(shards()) == shard_count
            load = subprocess.Popen([BENCH, 'rr', '--connect', address, '--insecure', '--conns',
                                     str(conns), '--seconds', '1', '--warmup', '0'],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(lambda: sum(one['conns_now'] for one in shards()) == conns)
            screen = run('stat', file, '--once', '--interval', 200)
            assert f'{shard_count} shards' in screen, screen
            assert re.search(rf'\n *now +{conns} connections', screen), screen
            assert load.wait(PATIENCE_S) == 0
            until(lambda: sum(one['conns_accepted'] for one in shards()) == conns)
            until(lambda: all(one['conns_now'] == 0 for one in shards()))
            found = shards()
            # The kernel distributes clients by their addresses: chance gives each shard some.
            assert all(one['datagrams_in'] > 0 for one in found if one['conns_accepted']), found
            assert sum(one['conns_accepted'] > 0 for one in found) >= 2, found
            text = run('stat', file, '--prometheus')
            for at, one in enumerate(found):
                said = re.search(rf'spate_conns_accepted_total{{shard="{at}"}} (\d+)', text)
                assert int(said[1]) == one['conns_accepted'], (at, said[0], one['conns_accepted'])
        finally:
            server.kill()
            server.wait()


NAMES = {'waited_shard_ns': 'shard', 'waited_idle_ns': 'nothing to send',
         'waited_application_ns': 'application', 'waited_ack_delay_ns': 'ACK delay',
         'waited_cwnd_ns': 'congestion window', 'waited_pacer_ns': 'pacer',
         'waited_limit_ns': 'rate limit or flow group',
         'waited_amplification_ns': 'amplification limit',
         'waited_conn_credit_ns': 'connection credit',
         'waited_stream_credit_ns': 'stream credit', 'waited_key_ns': 'key',
         'waited_memory_ns': 'memory', 'waited_slot_ns': 'transmit slot',
         'waited_closed_ns': 'closed'}


def waits_are_those_of_the_last_interval(_):
    """A client that stands still for 2 s, and then does not: the screen shows what is slow now."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [BENCH, 'serve', '--listen', '127.0.0.1:0'],
            env={**os.environ, 'SPATE_STAT_DIR': folder}, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True) as server:
        load = None
        try:
            address = re.search(r'listening at (\S+)', server.stdout.readline())[1]
            file, = pathlib.Path(folder).glob('spate-*.stat')

            def longest():
                conn, = json.loads(run('stat', file, '--json'))['shards'][0]['conns']
                return max((name for name in conn if name.startswith('waited_')), key=conn.get)
            load = subprocess.Popen([BENCH, 'bulk', '--connect', address, '--insecure',
                                     '--seconds', '30', '--warmup', '0'],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(lambda: json.loads(run('stat', file, '--json'))['shards'][0]['bytes_out'] > 10**6)
            load.send_signal(signal.SIGSTOP)
            time.sleep(2)
            load.send_signal(signal.SIGCONT)
            time.sleep(0.2)

            def shows_another():
                screen = run('stat', file, '--once', '--interval', 200)
                shown = re.search(r'connection .*waits for\n.* \d+  (.+) \d+ %\n', screen)[1]
                assert shown in NAMES.values(), screen
                return shown != NAMES[longest()]
            until(shows_another)
        finally:
            if load is not None:
                load.kill()
                load.wait()
            server.kill()
            server.wait()


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder, Server(folder) as server:
        for test in (the_counters_are_those_of_the_transfer,
                     counters_never_fall_while_connections_come_and_go,
                     a_process_can_be_named_in_place_of_its_file,
                     a_screen_has_rates_stages_and_connections,
                     prometheus_gets_what_it_can_read,
                     a_scraper_is_served,
                     a_broken_file_is_refused,
                     what_a_killed_process_has_left_can_be_read,
                     an_engine_that_ends_removes_its_file,
                     shards_are_apart_and_add_up,
                     waits_are_those_of_the_last_interval):
            try:
                test(server)
                print(f'ok - {test.__name__}')
            except (AssertionError, OSError, ValueError, KeyError) as error:
                print(f'not ok - {test.__name__}: {error!r}')
                failed += 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
