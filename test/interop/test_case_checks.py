#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every criterion of the interop cases accepts a good capture and finds what is wrong in a bad one.
The captures are made here, datagram by datagram."""
import types
import unittest

import case_checks as checks
import case_trace as trace

CLIENT, SERVER = ('10.0.0.1', 1000), ('10.0.0.2', 443)


def datagram(*packets, up=False, source=None, target=None, time=0.0, size=1200, ecn=0, frames=(),
             scids=(), hellos=(), ciphers=(), token=0, streams=None):
    packets = [p if isinstance(p, trace.Packet) else trace.Packet(p, size) for p in packets]
    ends = (CLIENT, SERVER) if up else (SERVER, CLIENT)
    return trace.Datagram(
        time=time, source=source or ends[0], target=target or ends[1], size=size, ecn=ecn,
        from_server=not up, packets=packets, frames=set(frames), scids=set(scids),
        hellos=list(hellos), ciphers=list(ciphers), token_size=token, streams_bidi=streams)


def short(phase=0, **more):
    return datagram(trace.Packet(trace.ONE_RTT, more.get('size', 1200), key_phase=phase), **more)


class Checks(unittest.TestCase):
    def judge(self, check, left, right=None, names=()):
        run = types.SimpleNamespace(left=left, right=left if right is None else right,
                                    names=list(names))
        return list(check(run))

    def assert_good(self, check, *traces, **more):
        self.assertEqual(self.judge(check, *traces, **more), [])

    def assert_bad(self, check, *traces, **more):
        self.assertNotEqual(self.judge(check, *traces, **more), [])

    def test_handshakes_are_counted_by_the_ids_of_the_server(self):
        one = [datagram(trace.INITIAL, up=True, scids=['c1']),
               datagram(trace.INITIAL, trace.HANDSHAKE, scids=['s1']),
               datagram(trace.INITIAL, scids=['s1'])]
        two = [*one, datagram(trace.INITIAL, scids=['s2'])]
        self.assert_good(checks.handshakes(1), one)
        self.assert_good(checks.handshakes(2), two)
        self.assert_bad(checks.handshakes(1), two)
        self.assert_bad(checks.handshakes(1), [])

    def test_retries(self):
        asked = datagram(trace.RETRY, time=1)
        proved = datagram(trace.INITIAL, up=True, token=16, time=2)
        bare = datagram(trace.INITIAL, up=True, time=2)
        early = datagram(trace.INITIAL, time=0.5)
        self.assert_good(checks.retry, [asked, proved])
        self.assert_bad(checks.retry, [asked, bare])
        self.assert_bad(checks.retry, [proved])
        self.assert_bad(checks.retry, [early, asked, proved])
        self.assert_good(checks.no_retry, [proved])
        self.assert_bad(checks.no_retry, [asked])

    def test_chacha20_alone(self):
        def hellos(offered, chosen):
            return [datagram(trace.INITIAL, up=True, hellos=[1], ciphers=offered),
                    datagram(trace.INITIAL, hellos=[2], ciphers=chosen)]
        self.assert_good(checks.chacha20, hellos([0x1303], [0x1303]))
        self.assert_bad(checks.chacha20, hellos([0x1301, 0x1303], [0x1303]))
        self.assert_bad(checks.chacha20, hellos([0x1303], [0x1301]))
        self.assert_bad(checks.chacha20, hellos([0x1303], [])[:1])

    def test_the_limit_of_streams(self):
        self.assert_good(checks.few_streams, [datagram(trace.HANDSHAKE, streams=100)])
        self.assert_bad(checks.few_streams, [datagram(trace.HANDSHAKE, streams=1001)])
        self.assert_bad(checks.few_streams, [datagram(trace.HANDSHAKE)])

    def test_a_long_round_trip_needs_a_second_hello(self):
        hello, answer = (datagram(trace.INITIAL, up=up, time=time) for up, time in
                         ((True, 0), (False, 2)))
        late = datagram(trace.INITIAL, up=True, time=3)
        self.assert_good(checks.repeated_hello, [hello, hello, answer])
        self.assert_bad(checks.repeated_hello, [hello, answer, late])

    def test_amplification_counts_until_the_address_is_proved(self):
        hello = datagram(trace.INITIAL, up=True)
        proof = datagram(trace.HANDSHAKE, up=True)
        left = [hello, hello, proof]
        three, four = ([hello] + [datagram(trace.INITIAL)] * count for count in (3, 4))
        self.assert_good(checks.amplification, left, [*three, proof, *three[1:]])
        self.assert_bad(checks.amplification, left, [*four, proof])
        self.assert_bad(checks.amplification, [hello, proof], [*three, proof])  # nothing was lost

    def test_key_updates_of_both_sides(self):
        both = [short(phase, up=up) for phase in (0, 1) for up in (True, False)]
        self.assert_good(checks.key_update, both)
        for missing in range(4):
            self.assert_bad(checks.key_update, both[:missing] + both[missing + 1:])

    def test_ecn_of_both_sides(self):
        good = [short(up=up, ecn=2, frames=[trace.ACK_ECN]) for up in (True, False)]
        self.assert_good(checks.ecn, good)
        for number in (0, 1):
            for change in ({'ecn': 0}, {'ecn': 3}, {'frames': {2}}):
                bad = list(good)
                bad[number] = short(up=not number, **{'ecn': 2, 'frames': [3], **change})
                self.assert_bad(checks.ecn, bad)

    def rebound(self, new, challenge=trace.PATH_CHALLENGE, response=trace.PATH_RESPONSE):
        return [short(up=True), short(), short(up=True, source=new),
                short(target=new, frames=[challenge]), short(up=True, source=new,
                                                             frames=[response])]

    def test_rebinding_is_seen_and_validated(self):
        port, address = ('10.0.0.1', 1001), ('10.0.0.9', 1002)
        self.assert_good(checks.rebound_port, self.rebound(port))
        self.assert_good(checks.rebound_address, self.rebound(address))
        self.assert_bad(checks.rebound_address, self.rebound(port))
        for check, new in ((checks.rebound_port, port), (checks.rebound_address, address)):
            self.assert_bad(check, self.rebound(CLIENT))
            self.assert_bad(check, self.rebound(new, challenge=1))
            self.assert_bad(check, self.rebound(new, response=1))

    def test_the_end_of_a_run_may_meet_the_last_rebinding_and_no_other(self):
        first, last = ('10.0.0.1', 1001), ('10.0.0.1', 1002)
        proven = self.rebound(first)
        self.assert_good(checks.rebound_port, [*proven, short(up=True, source=last, time=0.1)])
        late = [short(up=True, source=last, time=0.1), short(time=9)]
        self.assert_bad(checks.rebound_port, [*proven, *late])
        self.assert_bad(checks.rebound_port, self.rebound(first, response=1) + late[:1])

    def test_only_v6(self):
        v6 = [short(up=True, source=('::1', 1)), short(source=('::1', 443))]
        self.assert_good(checks.only_v6, v6)
        self.assert_bad(checks.only_v6, [*v6, short()])

    def test_version_2_of_both_sides_after_1(self):
        def versions(first, client, server):
            return [datagram(trace.Packet(trace.INITIAL, 1200, first), up=True),
                    datagram(trace.Packet(trace.HANDSHAKE, 1200, server)),
                    datagram(trace.Packet(trace.HANDSHAKE, 1200, client), up=True)]
        self.assert_good(checks.version_2, versions(trace.V1, trace.V2, trace.V2))
        self.assert_bad(checks.version_2, versions(trace.V2, trace.V2, trace.V2))
        self.assert_bad(checks.version_2, versions(trace.V1, trace.V1, trace.V2))
        self.assert_bad(checks.version_2, versions(trace.V1, trace.V2, trace.V1))

    def test_version_negotiation_ends_it(self):
        negotiation = datagram(trace.VERSION_NEGOTIATION)
        self.assert_good(checks.version_negotiation, [negotiation])
        self.assert_bad(checks.version_negotiation, [datagram(trace.INITIAL)])
        self.assert_bad(checks.version_negotiation, [negotiation, datagram(trace.HANDSHAKE)])

    def two_connections(self, second, early=100, late=0):
        again = ('10.0.0.1', 2000)
        return [datagram(trace.INITIAL, up=True), datagram(trace.HANDSHAKE, hellos=[11]),
                datagram(trace.INITIAL, up=True, source=again),
                datagram(trace.Packet(trace.ZERO_RTT, early), up=True, source=again),
                datagram(trace.HANDSHAKE, target=again, hellos=second),
                short(up=True, source=again, size=late)]

    def test_resumption_needs_no_second_certificate(self):
        self.assert_good(checks.resumed, self.two_connections([8, 20]))
        self.assert_bad(checks.resumed, self.two_connections([8, 11, 20]))
        self.assert_bad(checks.resumed, self.two_connections([8])[:2])

    def test_requests_go_into_early_data(self):
        names = ['x' * 250] * 40
        good, none, late = (self.two_connections([8], *sizes) for sizes in
                            ((10000, 100), (0, 100), (10000, 5001)))
        good_result = self.judge(checks.early_data, good, names=names)
        self.assertEqual(good_result, [])
        self.assert_bad(checks.early_data, [d for d in none if not d.has(trace.ZERO_RTT)],
                        names=names)
        self.assert_bad(checks.early_data, late, names=names)

    def migrated(self, challenge=trace.PATH_CHALLENGE, response=trace.PATH_RESPONSE):
        new = ('10.0.0.3', 443)
        return [short(up=True), short(), short(up=True, target=new, frames=[challenge]),
                short(source=new, frames=[response])]

    def test_migration_to_the_preferred_address(self):
        self.assert_good(checks.migrated, self.migrated())
        self.assert_bad(checks.migrated, self.migrated()[:2])
        self.assert_bad(checks.migrated, self.migrated(challenge=1))
        self.assert_bad(checks.migrated, self.migrated(response=1))


class Reading(unittest.TestCase):
    def test_packets_of_a_datagram_are_told_apart(self):
        row = dict.fromkeys(trace.FIELDS, '')
        row.update({'quic.header_form': '1,1,0', 'quic.long.packet_type': '0,2',
                    'quic.version': '0x00000001,0x00000001', 'quic.packet_length': '100,200,300'})
        for phase in ('1', 'True'):
            row['quic.key_phase'] = phase
            packets = list(trace.packets_of(row))
            self.assertEqual([(p.kind, p.size, p.key_phase) for p in packets],
                             [(trace.INITIAL, 100, None), (trace.HANDSHAKE, 200, None),
                              (trace.ONE_RTT, 300, 1)])

    def test_version_2_has_types_of_its_own(self):
        row = dict.fromkeys(trace.FIELDS, '')
        row.update({'quic.header_form': '1,1', 'quic.long.packet_type_v2': '1,3',
                    'quic.version': '0x6b3343cf,0x6b3343cf', 'quic.packet_length': '1,2'})
        self.assertEqual([p.kind for p in trace.packets_of(row)],
                         [trace.INITIAL, trace.HANDSHAKE])


if __name__ == '__main__':
    unittest.main()
