# SPDX-License-Identifier: MIT
"""The part of tidy.py that knows single words: calls with one home, calls that the library must
not make, and names that were replaced.  Each message says what to use instead.
"""
import re

from tidy_names import is_c, split_c

LIBRARY = ('proto/', 'crypto/', 'uring/', 'engine/')

SLEEP = 'a deadline: se_wheel_set(), or sp_conn_deadline_ns() in proto/'

# What one file of the library may call -> that file, and what the others use instead.
# Programs and tests have clocks of their own.
HOMES = {
    'clock_gettime': ('engine/base/clock.c', 'now_ns of the caller, or se_clock_now_ns()'),
    'nanosleep': ('engine/base/clock.c', SLEEP),
    'getrandom': ('engine/base/entropy.c', 'se_entropy_fill()'),
    'pthread_create': ('engine/shard/engine.c or engine/qlog/writer.c',
                       'the threads of spate_engine_start()'),
}

BOUNDED = 'sb_writer, or snprintf() with the size of the array'
READER = 'sb_reader, or spate_config for what the user sets'
RANDOM = 'se_entropy_fill(), or sp_host.random in proto/'
TIME = 'now_ns of the caller, or se_clock_now_ns()'
SILENT = 'an error that is returned: the library does not print'
ASSERT = 'SB_ASSERT(), or an error that is returned'
POOL = 'an array of a constant size, or sb_pool'

# What no file of the library may call -> what it uses instead.
BANNED = {
    'strcpy': BOUNDED,
    'stpcpy': BOUNDED,
    'strncpy': BOUNDED,
    'strcat': BOUNDED,
    'strncat': BOUNDED,
    'sprintf': BOUNDED,
    'vsprintf': BOUNDED,
    'gets': 'fgets()',
    'strtok': READER,
    'strtok_r': READER,
    'atoi': READER,
    'atol': READER,
    'atof': READER,
    'alloca': POOL,
    'realloc': POOL,
    'strdup': 'memory of the caller: sb_memory, or sb_slice',
    'rand': RANDOM,
    'srand': RANDOM,
    'random': RANDOM,
    'rand_r': RANDOM,
    'RAND_bytes': RANDOM,
    'time': TIME,
    'gettimeofday': TIME,
    'sleep': SLEEP,
    'usleep': SLEEP,
    'printf': SILENT,
    'fprintf': SILENT,
    'puts': SILENT,
    'fputs': SILENT,
    'perror': SILENT,
    'assert': ASSERT,
    'abort': ASSERT,
    'exit': ASSERT,
    'setjmp': ASSERT,
    'longjmp': ASSERT,
    'system': 'a system call of the kernel',
    'popen': 'a system call of the kernel',
    'signal': 'sigaction()',
    'select': 'the ring, or poll() in uring/',
    'inet_ntoa': 'su_address_format()',
    'inet_addr': 'su_address_parse()',
    'gethostbyname': 'su_address_parse()',
}

# Names that were replaced, as a pattern for the whole name -> the word that is used now.
REPLACED = {
    r'(\w+_)?news(_\w+)?': 'pending; su_ring_needs_enter() of a ring',
    r'(\w+_)?talking(_\w+)?': 'event_pending',
    r'(\w+_)?dirty(_\w+)?': 'send_pending',
    r'sp_told(_\w+)?|(is|diff)_told|told_(cids|count|end|tokens)': 'announced, or delivered',
    r'(sp|se|on|spate)_strangers?(_\w+)?': 'unmatched',
    r'\w+_judge': 'classify',
    r'(sp|sc)_tls_facts?(_\w+)?|tls_facts': 'event',
    r's[bpeuc]_\w+_(tend|meet)': 'rearm, maintain, or on_attach',
    r'su_bufring_(home|shown)\w*|is_shown': 'free, or provided',
    r'su_zero_copy_way': 'mode',
    r'sp_answer(_\w+)?': 'result',
    r'\w+_for_verb': 'operation',
    r's[bpeuc]_(\w+_)?repeats?(_\w+)?': 'retransmit',
    r'(\w+_)?early_(packets?(_\w+)?|count)|(\w+_)?(keep|drop|receive)_early': 'undecryptable',
    r'threshold_bytes': 'ssthresh_bytes',
    r'(\w+_)?cutter(_\w+)?': 'segments',
    r'(conns|ports|recv)_gone': 'closed',
    r'(\w+_)?calm(_\w+)?': 'in_order',
    r'(\w+_)?holders?(_\w+)?': 'owner, or caller',
    r'(\w+_)?lonely(_\w+)?': 'ack_only',
    r'(?-i:[A-Z0-9_]+_A_[A-Z0-9_]+)': 'PER, as in EVENTS_PER_BATCH',
}
# The same, for the library alone: elsewhere these words are in use.
REPLACED_IN_LIBRARY = {
    r'(\w+_)?told(_\w+)?': 'announced, delivered, or reported',
    r'(\w+_)?strangers?(_\w+)?': 'unmatched',
    r'(\w+_)?judges?(_\w+)?': 'classify',
    r'(\w+_)?shown(_\w+)?': 'provided',
    r'(\w+_)?tend(_\w+)?': 'rearm, or maintain',
    r'(\w+_)?meet(_\w+)?': 'on_attach',
    r'(\w+_)?verbs?(_\w+)?': 'operation',
}
ANY_REPLACED = re.compile('|'.join(f'(?:{old})' for old in REPLACED), re.I)
CALL = re.compile(r'(?<![\w.>])(%s)\s*\(' % '|'.join([*HOMES, *BANNED]))


def check_calls(path, lines):
    if not path.startswith(LIBRARY) or not is_c(path):
        return
    code, _ = split_c('\n'.join(lines))
    for number, line in enumerate(code.split('\n'), 1):
        for call in CALL.findall(line):
            if call in BANNED:
                yield number, f'{call}() is not for the library: use {BANNED[call]}'
            elif path not in HOMES[call][0].split(' or '):
                yield number, f'{call}() belongs to {HOMES[call][0]}: use {HOMES[call][1]}'


def replacement_of(path, name):
    if ANY_REPLACED.fullmatch(name):
        return next(use for old, use in REPLACED.items() if re.fullmatch(old, name, re.I))
    if path.startswith(LIBRARY):
        return next((use for old, use in REPLACED_IN_LIBRARY.items()
                     if re.fullmatch(old, name, re.I)), None)
    return None


def check_replaced(path, lines):
    if not is_c(path):
        return
    code, _ = split_c('\n'.join(lines))
    for number, line in enumerate(code.split('\n'), 1):
        for name in re.findall(r'[A-Za-z_]\w*', line):
            use = replacement_of(path, name)
            if use is not None:
                yield number, f'{name}: the word is {use}'
