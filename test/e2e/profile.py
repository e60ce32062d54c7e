#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/profile.py makes pictures and a table of samples that are known.

usage: profile.py SCRIPT
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

SCRIPT = sys.argv[1]
SAMPLE = """spate-bench  {pid}
\t{leaf}
\t    55550000 spate_shard_turn
\t    55540000 main

"""
# client: three samples of the cipher, one of the kernel; server: two of a stage that is last
SAMPLES = (SAMPLE.format(pid=100, leaf='    55560000 sc_fused_seal<x>') * 3
           + SAMPLE.format(pid=100, leaf='ffffffff81000000 udp_sendmsg')
           + SAMPLE.format(pid=101, leaf='    55570000 answer') * 2)


def share(table, stage):
    row = next(line for line in table.splitlines() if line.startswith(f'| {stage} |'))
    return re.findall(r'[0-9.]+(?= %)', row)


def pictures_and_table():
    with tempfile.TemporaryDirectory() as where:
        subprocess.run([sys.executable, SCRIPT, 'draw', where], input=SAMPLES, text=True,
                       check=True)
        folder = pathlib.Path(where)
        table = (folder / 'stages.md').read_text()
        assert share(table, 'cipher: seal, open') == ['0.0', '75.0'], table
        assert share(table, 'kernel: UDP, IP, socket buffers, io_uring') == ['0.0', '25.0'], table
        assert share(table, 'the application') == ['100.0', '0.0'], table
        folded = (folder / 'client.folded').read_text().splitlines()
        assert 'main;spate_shard_turn;sc_fused_seal<x> 3' in folded, folded
        space = '{http://www.w3.org/2000/svg}'
        root = xml.etree.ElementTree.parse(folder / 'client.svg').getroot()
        boxes = {group.find(f'{space}title').text: group.find(f'{space}rect').attrib
                 for group in root.iter(f'{space}g')}
        assert set(boxes) == {'main: 100.00 %', 'spate_shard_turn: 100.00 %',
                              'sc_fused_seal<x>: 75.00 %', 'udp_sendmsg: 25.00 %'}, boxes
        wide, narrow = (float(boxes[name]['width']) for name in
                        ('sc_fused_seal<x>: 75.00 %', 'udp_sendmsg: 25.00 %'))
        assert 2.9 < wide / narrow < 3.1, boxes
        main, leaf = (float(boxes[name]['y']) for name in
                      ('main: 100.00 %', 'udp_sendmsg: 25.00 %'))
        assert leaf < main, boxes  # callers stand below
    print('ok - known samples make the table and the pictures')


def no_samples():
    done = subprocess.run([sys.executable, SCRIPT, 'draw', '.'], input='', text=True,
                          capture_output=True, check=False)
    assert done.returncode != 0 and 'no samples' in done.stderr, done
    print('ok - without samples it says so')


def time_off_the_cpu():
    """A child that sleeps for most of its time."""
    child = 'import time; time.sleep(0.8)'
    with tempfile.TemporaryDirectory() as where:
        file = pathlib.Path(where) / 'waits.md'
        with subprocess.Popen(['sh', '-c', f'{sys.executable} -c "{child}"; true']) as shell:
            watcher = subprocess.Popen([sys.executable, SCRIPT, 'watch', str(shell.pid), file])
            shell.wait()
            time.sleep(0.1)
            assert watcher.wait(timeout=20) == 0
        rows = [re.findall(r'[0-9.]+', line)[-3:] for line in file.read_text().splitlines()
                if re.match(r'[|] client [0-9]', line)]
        assert rows, file.read_text()
        ran, _, asleep = map(float, rows[-1])
        assert asleep > 0.3 and asleep > ran, rows
    print('ok - the time off the CPU is counted')


pictures_and_table()
no_samples()
time_off_the_cpu()
