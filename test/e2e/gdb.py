#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/gdb.py must show what is in a process, and every field that it names must exist.

usage: gdb.py GDB SCRIPT TARGET       TARGET is built from gdb_target.c
"""
import pathlib
import re
import subprocess
import sys
import tempfile

GDB, SCRIPT, TARGET = sys.argv[1:]
STREAM = (r'0: send (OPEN|READY) acked=0 sent=0 queued=5 limit=[1-9]\d*;'
          r' receive OPEN read=0 received=0 limit=[1-9]\d*; refs=0')
CONN = (r'%s OPEN handshake=CONFIRMED streams=%d cwnd=[1-9]\d* in_flight=\d+'
        r' rtt=\d+\.\d{3} ms lost=0')
SENT = r'next_pn=[1-9]\d* out=\d+ largest_acked=(never|\d+) loss_at=(never|\d+)'
SPACE = r'received 0-\d+; ack_pending=[01] probes=0; ' + SENT
# command -> the lines that it prints, as patterns
TABLE = [
    ('spate varint shown->varints', [r'37 \(1 bytes\)']),
    ('spate varint shown->varints + 1', [r'15293 \(2 bytes\)']),
    ('spate varint &shown->varints[3]', [r'494878333 \(4 bytes\)']),
    ('spate varint &shown->varints[7]', [r'151288809941952652 \(8 bytes\)']),
    ('spate op shown->user_data', ['SEND index=17 generation=3']),
    ('print shown->op', [r'\$1 = SEND index=17 generation=3']),
    ('print shown->completion', [r'\$2 = APP\+2 index=1 generation=0 result=-11 flags=0x2']),
    ('print *shown->client', [r'\$3 = ' + CONN % ('client', 1)]),
    ('print *shown->stream', [r'\$4 = ' + STREAM]),
    ('print shown->client->spaces[0]', [r'\$5 = \(struct sp_conn_space \*\) 0x0']),
    ('print *shown->client->loss.spaces[2]', [r'\$6 = ' + SENT]),
    ('print shown->client->original_dcid', [r'\$7 = [0-9a-f]{16,}']),
    ('spate conns shown->shard', [
        r'#5 \(struct spate_conn \*\)0x[0-9a-f]+ ' + CONN % ('client', 1)]),
    ('spate conn *shown->server', [
        CONN % ('server', 0),
        r'  idle since \d+ of \d+ ns, PTOs 0, datagrams of [1-9]\d* bytes',
        r'  bytes sent 0 of [1-9]\d* allowed, received 0 of [1-9]\d*',
        r'  Initial: discarded',
        r'  Handshake: discarded',
        r'  App: ' + SPACE,
    ]),
    ('spate conn (struct spate_conn *)((char *)shown->shard->all.next'
     ' - (long)&((struct spate_conn *)0)->all_link)', [
         CONN % ('client', 1),
         *[r'  .*'] * 4,
         r'  App: ' + SPACE,
         r'  stream ' + STREAM,
     ]),
]
IN_FULL = [CONN % ('client', 1), *[r'  .*'] * 4, r'  App: ' + SPACE, r'  stream ' + STREAM]
# of the process, and of a core file of it
EVERYWHERE = [
    ('spate-conns', [r'0: shard 0 #5 ' + CONN % ('client', 1)]),
    ('spate-conn 0', IN_FULL),
    ('spate-conn 4711', IN_FULL),
    ('spate-conn 1', ['no connection 1: see spate-conns']),
]


def run(table, first, last, *files):
    commands = ['set pagination off', 'set confirm off', 'set width 0',
                'set debuginfod enabled off', f'source {SCRIPT}', *first]
    for number, (command, _) in enumerate(table):
        commands += [f'echo == {number}\\n', command]
    args = [part for command in [*commands, 'echo == end\\n', *last] for part in ('-ex', command)]
    done = subprocess.run([GDB, '-nx', '-batch', *args, TARGET, *files], capture_output=True,
                          text=True, timeout=60, check=False)
    return done.stdout, done.stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        core = pathlib.Path(folder) / 'core'
        live = TABLE + EVERYWHERE
        output, errors = run(live, ['break show', 'run'],
                             [f'generate-core-file {core}', 'kill'])
        if may_not_trace(errors):
            print('gdb may not trace here')
            return 77
        failed = judge('', live, output, errors)
        failed += judge('core file: ', EVERYWHERE, *run(EVERYWHERE, [], [], str(core)))
        return 1 if failed else 0


def may_not_trace(errors):
    return 'ptrace: Operation not permitted' in errors or 'Could not trace' in errors


def judge(where, table, output, errors):
    """Compares what gdb has printed with a table.  Returns how much is wrong."""
    parts = re.split(r'^== (?:\d+|end)\n', output, flags=re.M)[1:]
    failed = 0
    for (command, want), part in zip(table, parts + [''] * len(table)):
        lines = part.splitlines()
        good = (len(lines) == len(want) and '?' not in part
                and all(re.fullmatch(one, line) for one, line in zip(want, lines)))
        print(f'{"ok" if good else "not ok"} - {where}{command}')
        if not good:
            print(part, 'wanted:', *want, sep='\n')
            failed += 1
    if failed:
        print(errors)
    return failed


if __name__ == '__main__':
    sys.exit(main())
