#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the simulator and checks how it fails and whether it repeats itself."""
import re
import subprocess
import sys

sim, what = sys.argv[1:3]


def run(*args):
    done = subprocess.run([sim, *args], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def same_twice():
    """Two processes, which have their memory at other addresses, give the same traces."""
    first = run('--swarm', '150', '--hash')
    second = run('--swarm', '150', '--hash')
    hashes = re.findall(r'^[0-9a-f]{16} ', first[1], re.MULTILINE)
    assert first[0] == 0 and len(hashes) == 150, first
    assert len(set(hashes)) == 150, 'all runs are equal'
    assert first == second, 'the same seeds give other traces'


def canary():
    """A broken simulator is found out, and says how to see that again."""
    for broken, scenario, seed in ('--lie', 'clean', 7), ('--accept-anything', 'corrupt', 8):
        code, _, errors = run('--scenario', scenario, '--seed', str(seed), broken)
        assert code == 1 and 'wrong bytes' in errors, (code, errors)
        replay = f'replay: sim --scenario {scenario} --seed {seed} {broken} --verbose'
        assert replay in errors, errors
        code, text, _ = run(*replay.split()[2:])
        assert code == 1 and 'FAILED' in text and 'STREAM' in text, text
    code, _, errors = run('--scenario', 'clean', '--seed', '7', '--forget-timers')
    assert code == 1, (code, errors)
    assert re.search('waits without a timer|has no timer for its deadline', errors), errors
    for broken in '--lie', '--accept-anything', '--forget-timers':
        code, text, errors = run('--swarm', '20', broken)
        assert code == 1 and '--swarm 1 --first-seed' in errors, (broken, code, text, errors)
        assert broken in errors, errors
        assert not text.endswith(' 0 failed\n'), text


def monkey_canary():
    """Monkeys that change honest packets, and costs beyond the bounds, are found out."""
    code, _, errors = run('--monkey', '20', '--meddle')
    assert code == 1 and 'honest packets are others' in errors, (code, errors)
    assert 'replay: sim --monkey 1 --first-seed' in errors, errors
    code, text, errors = run('--monkey', '20', '--tighten', '100000')
    assert code == 1 and 'pinned by a connection' in errors, (code, errors)
    assert not text.endswith(' 0 failed\n'), text


def counted():
    """The counted build counts: every kind of datagram takes steps in proto/."""
    code, text, errors = run('--monkey', '60')
    assert code == 0, errors
    means = re.findall(r'^([a-z-]+) +(\d+) +(\d+) +\d+ +\d+ +\d+$', text, re.MULTILINE)
    assert len(means) > 15, text
    idle = [kind for kind, count, mean in means if int(count) > 0 and int(mean) == 0]
    assert not idle, text
    code, _, errors = run('--monkey', '20', '--tighten', '3000')
    assert code == 1 and ' steps' in errors, errors


def usage():
    """What it does not understand it does not run."""
    for args in [], ['--nonsense'], ['--swarm', 'x'], ['--monkey', '-'],\
            ['--scenario', 'clean', 'more']:
        code, _, errors = run(*args)
        assert code == 2 and 'usage' in errors, (args, code, errors)
    for args in ['--swarm', '5', '--meddle'], ['--swarm', '5', '--tighten', '100'],\
            ['--scenario', 'clean', '--meddle'], ['--monkey', '5', '--lie'],\
            ['--monkey', '5', '--accept-anything'], ['--monkey', '5', '--forget-timers'],\
            ['--monkey', '5', '--scarce', '--meddle'],\
            ['--monkey', '5', '--real-crypto', '--meddle'],\
            ['--monkey', '5', '--scarce', '--tighten', '100'], ['--swarm', '5', '--scarce'],\
            ['--swarm', '5', '--monkey', '5', '--meddle'], ['--monkey', '5', '--hash'],\
            ['--swarm', '5', '--cc', 'cubic'], ['--swarm', '5', '--flows', '2'],\
            ['--swarm', '5', '--seconds', '2'], ['--transfers', 'loss-5', '--flows', '2'],\
            ['--paths', 'wan', '--seconds', '150'],\
            ['--swarm', '5', '--accept-anything', '--real-crypto']:
        code, text, errors = run(*args)
        assert code == 2 and 'sim: --' in errors and 'usage' in errors, (args, code, errors)
        assert text == '', text  # nothing was run
    code, _, errors = run('--scenario', 'no-such')
    assert code == 1 and 'no-such' in errors, (code, errors)


def scenarios():
    """Each has a test of its own."""
    names = {re.sub(r' .*', '', line) for line in run('--list')[1].splitlines()}
    assert len(names) > 100 and names == set(sys.argv[3:]), names ^ set(sys.argv[3:])


{'same-twice': same_twice, 'canary': canary, 'usage': usage, 'monkey-canary': monkey_canary,
 'counted': counted, 'scenarios': scenarios}[what]()
