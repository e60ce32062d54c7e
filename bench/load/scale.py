#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How a server scales with its shards: requests and bulk of 1, 2, 4 and 8 of them.

    bench/load/scale.py SPATE_BENCH [--shards 1,2,4,8] [--runs 3] [--seconds 2] [--json FILE]
                        [--only rr|bulk] [--backend B]

Each shard has a CPU, and each client, of which there is one per shard, another.  The CPUs are
taken in an order that begins with one of each core, so that two threads share a core no sooner
than they must.  All clients measure at the same time; what is printed is their sum and the
server's CPU time for a packet, medians of the runs.  Each client has 96 connections from 48
sockets, so that the kernel spreads them evenly.  "share" is the busiest shard's part of the
packets, times the number of shards: 1.00 is an even spread.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys

LOADS = {
    'rr': ['--conns', '96', '--sockets', '48', '--inflight', '2'],
    'bulk': ['--conns', '96', '--sockets', '48'],
}


def first_of_its_core(cpu):
    try:
        with open(f'/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list',
                  encoding='ascii') as file:
            return int(re.match(r'\d+', file.read())[0]) == cpu
    except OSError:
        return True


def cpus_in_order():
    cpus = sorted(os.sched_getaffinity(0))
    return sorted(cpus, key=lambda cpu: not first_of_its_core(cpu))


class Server:
    def __init__(self, program, shards, cpus, options):
        self.process = subprocess.Popen(
            [program, 'serve', '--listen', '127.0.0.1:0', '--shards', str(shards), '--json', '-',
             *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        line = self.process.stderr.readline()
        where = re.match(r'listening at (\S+) ', line)
        if not where:
            self.process.kill()
            sys.exit(f'the server says: {line.strip()}')
        self.address = where[1]

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        if self.process.returncode != 0:
            sys.exit(f'the server ended with {self.process.returncode}: {err.strip()}')
        return json.loads(out)


def run(program, load, shards, arguments):
    order = cpus_in_order()
    if len(order) < 2 * shards:
        sys.exit(f'{shards} shards and as many clients need {2 * shards} CPUs, not {len(order)}')
    options = ['--backend', arguments.backend]
    server = Server(program, shards, set(order[:shards]), options)
    clients = [
        subprocess.Popen([program, load, '--connect', server.address, '--insecure',
                          '--seconds', str(arguments.seconds), '--client-cpu', str(cpu),
                          '--json', '-', *LOADS[load], *options],
                         stdout=subprocess.PIPE, text=True)
        for cpu in order[shards:2 * shards]]
    outs = [client.communicate()[0] for client in clients]
    served = server.stop()['server']
    for client in clients:
        if client.returncode != 0:
            sys.exit(f'a client ended with {client.returncode}')
    results = [json.loads(out) for out in outs]
    packets = served['packets_in'] + served['packets_out']
    busiest = max(shard['packets_in'] + shard['packets_out'] for shard in served['shards'])
    rate = 'requests_per_s' if load == 'rr' else 'gbps'
    return {
        'rate': sum(result[rate] for result in results),
        'p50_us': statistics.median(r['p50_us'] for r in results) if load == 'rr' else None,
        'p99_us': max(r['p99_us'] for r in results) if load == 'rr' else None,
        'cpu_us_per_packet': 1e6 * (served['cpu_user_s'] + served['cpu_sys_s']) / packets,
        'share': busiest * shards / packets,
        'strays': served['strays_in'],
        'lost': served['packets_lost'],
        'machine': results[0]['machine'],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program')
    parser.add_argument('--shards', default='1,2,4,8')
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=2)
    parser.add_argument('--only', choices=LOADS)
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--json')
    arguments = parser.parse_args()
    loads = [arguments.only] if arguments.only else list(LOADS)
    counts = [int(number) for number in arguments.shards.split(',')]

    cells = {(load, shards): [] for load in loads for shards in counts}
    for _ in range(arguments.runs):
        for (load, shards), results in cells.items():
            results.append(run(arguments.program, load, shards, arguments))

    for load in loads:
        unit = 'requests/s' if load == 'rr' else 'Gbit/s'
        print(f'{load:<8}{unit:>12}   times   p50 us   p99 us  CPU us/packet   share'
              '  strays   lost')
        first = None
        for shards in counts:
            results = cells[load, shards]
            middle = {key: statistics.median(r[key] for r in results)
                      for key in ('rate', 'cpu_us_per_packet', 'share', 'strays', 'lost')}
            late = ['' if results[0][key] is None else
                    f'{statistics.median(r[key] for r in results):.0f}'
                    for key in ('p50_us', 'p99_us')]
            first = first or middle['rate']
            rate = f'{middle["rate"]:,.0f}' if load == 'rr' else f'{middle["rate"]:.2f}'
            print(f'{shards:<8}{rate:>12}{middle["rate"] / first:>8.2f}{late[0]:>9}{late[1]:>9}'
                  f'{middle["cpu_us_per_packet"]:>15.3f}{middle["share"]:>8.2f}'
                  f'{middle["strays"]:>8.0f}{middle["lost"]:>7.0f}')

    if arguments.json:
        with open(arguments.json, 'w', encoding='ascii') as file:
            json.dump([{'load': load, 'shards': shards, 'runs': results}
                       for (load, shards), results in cells.items()], file)


if __name__ == '__main__':
    main()
