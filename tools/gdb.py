# SPDX-License-Identifier: MIT
"""Shows connections, spaces, streams and ring operations in gdb.

    (gdb) source tools/gdb.py
    (gdb) spate conns SHARD        the connections of a struct spate_shard, one line each
    (gdb) spate conn CONN          a struct sp_conn or spate_conn with its spaces and streams
    (gdb) spate-conns              all connections of all shards, also in a core file
    (gdb) spate-conn N             the one with this number of spate-conns, or handle of its ID
    (gdb) spate varint POINTER     the variable-length integer at an address, and its size
    (gdb) spate op USER_DATA       the 64 bits of a ring operation (uring/op.h)
    (gdb) print/r VALUE            a value without its printer

A field that is not there any more shows as '?': test/e2e/gdb.py does not accept that.
"""
import gdb
import gdb.printing

NEVER = 2**64 - 1
SPACES = ('Initial', 'Handshake', 'App')


def field(value, path):
    """The field at 'a.b.c', through pointers; None where there is none."""
    try:
        for name in path.split('.'):
            if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
                value = value.dereference()
            value = value[name]
        return value
    except (gdb.error, gdb.MemoryError):
        return None


def number(value, path):
    """A counter or a flag as text."""
    found = field(value, path)
    if found is None:
        return '?'
    return 'never' if int(found) == NEVER else str(int(found))


def constant(value, path, prefix):
    """An enumerator without its prefix."""
    found = field(value, path)
    return '?' if found is None else str(found).removeprefix(prefix)


def milliseconds(value, path):
    found = field(value, path)
    return '?' if found is None else f'{int(found) / 1e6:.3f} ms'


def cid_text(cid):
    size, data = field(cid, 'size'), field(cid, 'bytes')
    if size is None or data is None:
        return '?'
    return ''.join(f'{int(data[i]):02x}' for i in range(int(size))) or '-'


def conn_line(conn):
    flags = [name for name in ('is_pacer_blocked',) if number(conn, name) not in ('0', '?')]
    return (f'{constant(conn, "role", "SP_").lower()} {constant(conn, "state", "SP_CONN_")}'
            f' handshake={constant(conn, "handshake_state", "SP_HANDSHAKE_")}'
            f' streams={number(conn, "streams.count")}'
            f' cwnd={number(conn, "loss.path.cc.cwnd_bytes")}'
            f' in_flight={number(conn, "loss.path.cc.in_flight_bytes")}'
            f' rtt={milliseconds(conn, "loss.path.rtt.smoothed_ns")}'
            f' lost={number(conn, "loss.lost_count")} {" ".join(flags)}').rstrip()


def ranges_text(ack):
    """Received packet numbers, the largest first."""
    count, ranges = field(ack, 'range_count'), field(ack, 'ranges')
    if count is None or ranges is None:
        return '?'
    shown = [f'{number(ranges[i], "smallest")}-{number(ranges[i], "largest")}'
             for i in range(min(int(count), 8))]
    return ', '.join(shown + ['...'] * (int(count) > 8)) or 'none'


def space_line(space):
    return (f'received {ranges_text(field(space, "ack"))};'
            f' ack_pending={number(space, "ack.is_pending")}'
            f' probes={number(space, "probe_count")}')


def sent_line(space):
    return (f'next_pn={number(space, "sent.next_pn")} out={number(space, "sent.out_count")}'
            f' largest_acked={number(space, "largest_acked")}'
            f' loss_at={number(space, "loss_at_ns")}')


def stream_line(stream):
    return (f'{number(stream, "id")}:'
            f' send {constant(stream, "send.state", "SP_SEND_")}'
            f' acked={number(stream, "send.delivery.acked_end")}'
            f' sent={number(stream, "send.delivery.sent_end")}'
            f' queued={number(stream, "send.queued_end")}'
            f' limit={number(stream, "send.max_data")};'
            f' receive {constant(stream, "recv.state", "SP_RECV_")}'
            f' read={number(stream, "recv.reassembly.read_end")}'
            f' received={number(stream, "recv.reassembly.received_bytes")}'
            f' limit={number(stream, "recv.window.limit")};'
            f' refs={number(stream, "sent_refs")}')


def op_line(kind, generation, index):
    names = {value.enumval: name.removeprefix('SU_OP_') for name, value in
             ((one.name, one) for one in gdb.lookup_type('enum su_op_kind').fields())}
    app = next((value for value, name in names.items() if name == 'APP'), 128)
    name = names.get(kind) or (f'APP+{kind - app}' if kind > app else '?')
    return f'{name} index={index} generation={generation}'


def streams_of(conn):
    buckets, mask = field(conn, 'streams.buckets'), field(conn, 'streams.mask')
    if buckets is None or mask is None:
        return
    for i in range(int(mask) + 1):
        stream = buckets[i]
        while int(stream) != 0:
            yield stream.dereference()
            stream = field(stream, 'hash_next')
            if stream is None:
                return


class Line:
    """A printer that makes one line of a struct."""

    def __init__(self, line):
        self.line = line

    def __call__(self, value):
        printer = Line(self.line)
        printer.value = value
        return printer

    def to_string(self):
        return self.line(self.value)


def op_of(value):
    return op_line(*(int(value[name]) for name in ('kind', 'generation', 'index')))


PRINTERS = {
    'sp_cid': cid_text,
    'sp_conn': conn_line,
    'sp_conn_space': space_line,
    'sp_loss_space': sent_line,
    'sp_stream': stream_line,
    'su_completion': lambda value: f'{op_of(value["op"])} result={int(value["result"])}'
                                   f' flags={int(value["flags"]):#x}',
    'su_op': op_of,
}


class Spate(gdb.Command):
    """Commands for a process that runs Spate: help spate."""

    def __init__(self):
        super().__init__('spate', gdb.COMMAND_DATA, prefix=True)


class Varint(gdb.Command):
    """spate varint POINTER: the variable-length integer there.  [RFC9000 16]"""

    def __init__(self):
        super().__init__('spate varint', gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        at = gdb.parse_and_eval(argument).cast(gdb.lookup_type('unsigned char').pointer())
        size = 1 << (int(at[0]) >> 6)
        value = int.from_bytes(bytes(int(at[i]) for i in range(size)), 'big')
        print(f'{value & (1 << 8 * size - 2) - 1} ({size} bytes)')


class Op(gdb.Command):
    """spate op USER_DATA: the ring operation that these 64 bits are."""

    def __init__(self):
        super().__init__('spate op', gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        bits = int(gdb.parse_and_eval(argument)) & NEVER
        print(op_line(bits >> 56, bits >> 32 & 0xffffff, bits & 0xffffffff))


def struct_of(argument):
    value = gdb.parse_and_eval(argument)
    return value.dereference() if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR else value


def conns_of(shard):
    """The connections of a shard, as pointers."""
    conn_type = gdb.lookup_type('struct spate_conn')
    offset = next(one.bitpos // 8 for one in conn_type.fields() if one.name == 'all_link')
    link, head = shard['all']['next'], shard['all'].address
    while link != head:
        start = link.cast(gdb.lookup_type('char').pointer()) - offset
        yield start.cast(conn_type.pointer())
        link = link['next']


class Conns(gdb.Command):
    """spate conns SHARD: the connections of a struct spate_shard, or of a pointer to one."""

    def __init__(self):
        super().__init__('spate conns', gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        for conn in conns_of(struct_of(argument)):
            print(f'#{number(conn, "index")} (struct spate_conn *){int(conn):#x} '
                  f'{conn_line(conn["proto"].dereference())}')


def all_shards():
    """The shards of the process.  The library has no list of its engines that a debugger could
    find; but the stacks of their threads have shards, and each of them leads to its engine."""
    found = {}
    selected, frame_before = gdb.selected_thread(), None
    try:
        frame_before = gdb.selected_frame()
    except gdb.error:
        pass
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        frame = gdb.newest_frame()
        while frame is not None and frame.is_valid():
            for shard in shards_in(frame):
                found.setdefault(int(shard), shard)
            frame = frame.older()
    if selected is not None:
        selected.switch()
    if frame_before is not None and frame_before.is_valid():
        frame_before.select()
    engines = [shard['engine'] for shard in found.values() if int(shard['engine']) != 0]
    for engine in engines:
        for i in range(int(engine['shards_made'])):
            shard = engine['shards'][i]
            found.setdefault(int(shard), shard)
    return sorted(found.values(), key=lambda shard: int(shard['index']))


def shards_in(frame):
    """What arguments and variables of a frame are a struct spate_shard, or point to one."""
    try:
        block = frame.block()
    except RuntimeError:
        return
    while block is not None:
        for symbol in block:
            if not (symbol.is_argument or symbol.is_variable):
                continue
            kind = symbol.type.strip_typedefs()
            if kind.code != gdb.TYPE_CODE_PTR:
                continue
            if kind.target().unqualified().strip_typedefs().tag != 'spate_shard':
                continue
            try:
                value = symbol.value(frame)
                if not value.is_optimized_out and int(value) != 0:
                    value.dereference()['index'].fetch_lazy()
                    yield value.cast(gdb.lookup_type('struct spate_shard').pointer())
            except (gdb.error, gdb.MemoryError):
                continue
        if block.function is not None:
            return
        block = block.superblock


def numbered():
    """Each connection with the number that spate-conns gives it."""
    conns = (conn for shard in all_shards() for conn in conns_of(shard))
    return enumerate(conns)


class AllConns(gdb.Command):
    """spate-conns: the connections of all shards of the process or core file."""

    def __init__(self):
        super().__init__('spate-conns', gdb.COMMAND_DATA)

    def invoke(self, _argument, _from_tty):
        count = 0
        for n, conn in numbered():
            print(f'{n}: shard {number(conn, "shard.index")} #{number(conn, "index")} '
                  f'{conn_line(conn["proto"].dereference())}')
            count += 1
        if count == 0:
            print('no connections: no thread has a shard on its stack, or it has none')


class OneConn(gdb.Command):
    """spate-conn N: the connection with this number of spate-conns, in full."""

    def __init__(self):
        super().__init__('spate-conn', gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        wanted = int(gdb.parse_and_eval(argument))
        for n, conn in numbered():
            if n == wanted or int(conn['id']) == wanted != 0:
                gdb.execute(f'spate conn (struct spate_conn *){int(conn):#x}')
                return
        print(f'no connection {wanted}: see spate-conns')


class Conn(gdb.Command):
    """spate conn CONN: a struct sp_conn or spate_conn, or a pointer to one, in full."""

    def __init__(self):
        super().__init__('spate conn', gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        conn = struct_of(argument)
        if conn.type.strip_typedefs().tag == 'spate_conn':
            conn = conn['proto'].dereference()
        print(conn_line(conn))
        print(f'  idle since {number(conn, "idle_from_ns")} of'
              f' {number(conn, "idle_timeout_ns")} ns,'
              f' PTOs {number(conn, "loss.pto_count")}, datagrams of'
              f' {number(conn, "datagram_size")} bytes')
        print(f'  bytes sent {number(conn, "data_sent")} of {number(conn, "max_data")} allowed,'
              f' received {number(conn, "window.received")} of {number(conn, "window.limit")}')
        spaces, sent = field(conn, 'spaces'), field(conn, 'loss.spaces')
        for i, name in enumerate(SPACES):
            if spaces is None or sent is None:
                print(f'  {name}: ?')
            elif int(spaces[i]) == 0:
                print(f'  {name}: discarded')
            else:
                print(f'  {name}: {space_line(spaces[i].dereference())};'
                      f' {sent_line(sent[i].dereference())}')
        for stream in streams_of(conn):
            print(f'  stream {stream_line(stream)}')


def load():
    printers = gdb.printing.RegexpCollectionPrettyPrinter('spate')
    for name, line in PRINTERS.items():
        printers.add_printer(name, f'^{name}$', Line(line))
    gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
    for command in (Spate, Varint, Op, Conns, Conn, AllConns, OneConn):
        command()


load()
