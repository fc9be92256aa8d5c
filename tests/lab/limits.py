#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What strangers can make the pair say, keep or work has limits, before a takeover and behind it: answers to strange segments, a
flood of SYNs from nobody, thousands of segments behind a hole."""

import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually  # noqa: E402
from tandem_lab.capture import ACK, PSH, RST, SYN, parse_frame  # noqa: E402
from tandem_lab.forge import SYN_OPTIONS, ForgedConnection, Forger  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402
from tandem_lab.talk import ECHO  # noqa: E402

#: An address of the peer's that its kernel uses for nothing.
STRANGER = 66
DISCARD, NOBODY = 9, 9998
#: So many frames are sent before it is looked whether they have arrived: fewer than any queue on the way holds.
CHUNK = 100
STRANGE = 1000
#: Connections that together ask for three times of what all of them may be answered at once.
CROWD = 300
#: Segments that wait behind a hole for what fills it (TANDEM_TCP_OOSEQ_MAX).
MOST_BEHIND_A_HOLE = 4096


def limits_of_the_stack():
    """StackLimits, as the header has them: rates as (at once, nanoseconds for one more), the others as numbers."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "stack", "include", "tandem", "stack.hpp"), encoding="ascii") as file:
        text = file.read().replace("'", "")
    text = text[text.index("struct StackLimits"):]
    text = text[:text.index("\n};\n")]
    rates = re.findall(r"AnswerRate (\w+)\{(\d+), (\d+)\}", text)
    numbers = re.findall(r"(?:size_t|uint32_t) (\w+) = (\d+)", text)
    return {name: (int(at_once), int(interval)) for name, at_once, interval in rates} | {name: int(value) for name, value in numbers}


LIMITS = limits_of_the_stack()


class Flood(threading.Thread):
    """SYNs from hosts that do not exist, for as long as it runs."""

    PIECE, EVERY_S = 20, 0.002

    def __init__(self, forgers, ports, random):
        super().__init__(daemon=True)
        self.wire = forgers[0]
        self.frames = [self._syn(forger, ports, random) for _ in range(4000) for forger in forgers]
        self.sent = 0
        self.over = threading.Event()

    @staticmethod
    def _syn(forger, ports, random):
        number = random.randrange(1 << 16)
        source = f"198.18.{number >> 8}.{number & 255}" if forger.version == 4 else f"2001:db8:bad::{number:x}"
        to = Network.v4(Network.PAIR) if forger.version == 4 else Network.v6(Network.PAIR)
        return forger.segment(SYN, (random.randrange(1024, 65536), random.choice(ports)), to, random.randrange(1 << 32),
                              options=SYN_OPTIONS, source=source)

    def run(self):
        while not self.over.wait(self.EVERY_S):
            at = self.sent % len(self.frames)
            piece = self.frames[at:at + self.PIECE]
            self.wire.send(piece)
            self.sent += len(piece)

    def stop(self):
        self.over.set()
        self.join(10)


class Limits(Scenario):
    extra_peers = (STRANGER,)
    #: As it is by default: work that takes too long is a hang. What is far away is answered through the peer.
    options = ("--detect", "50", "--gateway", Network.v4(Network.PEER), "--gateway", Network.v6(Network.PEER))

    def forger(self, version=4):
        made = Forger(self.network, self.group.ask("device")["mac"], Network.v4(STRANGER) if version == 4 else Network.v6(STRANGER))
        self.addCleanup(made.close)
        return made

    def pair_address(self, version=4):
        return Network.v4(Network.PAIR) if version == 4 else Network.v6(Network.PAIR)

    def send_all(self, forger, frames):
        """None of them is lost on the way to the pair."""
        for at in range(0, len(frames), CHUNK):
            chunk = frames[at:at + CHUNK]
            taken = self.group.metrics()["frames_in_total"]
            forger.send(chunk)
            eventually(lambda: self.group.metrics()["frames_in_total"] >= taken + len(chunk), "the pair takes what is sent", interval=0)

    def answered(self, forger, frames, count, rate, limited, at_least=None):
        """Sends them; each is answered, or held back by the limit and counted. Never more than the limit has."""
        at_once, interval_ns = LIMITS[rate]
        before, started = self.group.metrics()[limited], time.monotonic_ns()
        self.send_all(forger, frames)
        answers = 0

        def all_accounted():
            nonlocal answers
            answers += count()
            return answers + self.group.metrics()[limited] - before >= len(frames)

        eventually(all_accounted, f"each of {len(frames)} segments is answered or held back; {answers} answers", interval=0.02)
        due = at_once + (time.monotonic_ns() - started) // interval_ns + 1
        self.assertLessEqual(answers, due)
        self.assertGreaterEqual(answers, at_once if at_least is None else at_least)
        self.assertEqual(answers + self.group.metrics()[limited] - before, len(frames))

    def strange_segments(self, version, forger, port=1000):
        """All kinds of answers that a stranger can ask for, and each one's limit."""
        to = self.pair_address(version)
        connection = ForgedConnection(forger, to, (port, ECHO))
        strange = [forger.segment(ACK, (port, NOBODY), to, seq=index) for index in range(STRANGE)]
        self.answered(forger, strange, lambda: sum(packet.flags & RST != 0 for packet in forger.segments((port, NOBODY))),
                      "resets", "resets_limited_total")
        # Of a connection: resets that miss their place, SYNs, ACKs far from its numbers. They share a limit.
        for flags, seq in ((RST, 500), (SYN, 5000), (ACK, 1 << 30)):
            strange = [connection.segment(flags, seq)] * STRANGE
            self.answered(forger, strange, lambda: len(connection.take_answers()), "challenge_acks", "challenge_acks_limited_total",
                          at_least=None if flags == RST else 0)
        strange = [forger.datagram((port, NOBODY), to)] * STRANGE
        self.answered(forger, strange, forger.errors, "icmp_errors", "icmp_errors_limited_total")
        return connection

    def say(self, connection, seq, text):
        """The connection of which all that was said has lost nothing by it: it echoes."""
        connection.forger.send([connection.segment(ACK | PSH, seq, seq, text)])
        eventually(lambda: sum(packet.payload for packet in connection.take_answers(0.05)) == len(text), "what was spoken of goes on")
        connection.forger.send([connection.segment(ACK, seq + len(text), seq + len(text))])

    def test_strange_segments_draw_no_more_than_the_limits_of_answers(self):
        self.group.start_pair()
        before = self.strange_segments(4, self.forger(4))
        self.say(before, 1, b"still there")
        # Who takes over has limits of its own, and all of them.
        self.group.replace_primary()
        self.say(before, 12, b"and there")
        self.say(self.strange_segments(6, self.forger(6)), 1, b"still there")
        self.assertEqual(self.group.answered()["takeovers"], 1)

    def test_many_connections_together_draw_no_more_than_the_limit_of_all(self):
        self.group.start_pair()
        forger = self.forger(4)
        to = self.pair_address(4)
        connections = [ForgedConnection(forger, to, (2000 + index, ECHO)) for index in range(CROWD)]
        # None of them asks for more than a connection may have.
        strange = [connection.segment(RST, 500) for connection in connections for _ in range(LIMITS["challenge_acks"][0])]

        def challenges():
            packets = filter(None, (parse_frame(0, frame) for frame in forger.heard()))
            return sum(packet.destination == forger.shown_as and packet.source_port == ECHO for packet in packets)

        self.answered(forger, strange, challenges, "all_challenge_acks", "challenge_acks_limited_total")
        self.group.replace_primary()
        self.say(connections[0], 1, b"still there")
        self.say(connections[-1], 1, b"still there")

    def honest(self, count):
        """Clients that come one after another, over both versions; each is served when it has said its SYN twice at the most."""
        talks = []
        for index in range(count):
            version, source = ((4, Network.v4(Network.PEER)), (6, Network.v6(Network.PEER)))[index % 2]
            talks.append(self.talk(self.pair_address(version), source))
            self.assertLessEqual(talks[-1].retransmissions(), 1)
        return talks

    def assert_flooded(self):
        """Far more has come than may be kept, and no more is kept than may be."""
        def cookies():
            metrics = self.group.metrics()
            self.assertLessEqual(metrics["connections_half_open"], LIMITS["half_open"])
            return metrics["syn_cookies_sent_total"]

        eventually(lambda: cookies() > 3 * LIMITS["half_open"], "more SYNs have come than are kept")

    def test_a_flood_of_syns_from_nobody_costs_no_honest_client_its_connection(self):
        self.group.start_pair()
        stream = self.perf("echo", "--rate", "5M")
        before = self.honest(2)
        flood = Flood([self.forger(version) for version in (4, 6)], (ECHO, DISCARD), self.random)
        flood.start()
        self.addCleanup(flood.stop)
        self.assert_flooded()
        served = self.honest(10)
        self.assertGreaterEqual(self.group.metrics()["syn_cookies_accepted_total"], len(served))
        # In its midst.
        pid, at = self.group.kill_primary()
        served += self.honest(10)
        stream.wait_progress(at)
        self.group.wait_taken_over(pid)
        self.assert_flooded()
        self.group.start()
        status = self.group.wait_protected()
        self.assertGreaterEqual(self.group.metrics()["syn_cookies_accepted_total"], 10)
        for talk in before + served:
            self.assertTrue(talk.once())
        flood.stop()
        result, = self.assert_good(stream)
        # A probe for the loss of a tail is what a busy machine provokes; anything else would have been a loss.
        self.assertLessEqual(result["retransmissions"], self.network.peer.counter("TcpExtTCPLossProbes"))
        self.assertEqual((self.group.answered()["takeovers"], self.group.answered()["pid"]), (1, status["pid"]))
        self.assert_no_frame_lost()

    def fill(self, connection, size, count, shuffled):
        """Sends what lies behind a hole, half of it before a takeover and half behind it, and then what fills the hole."""
        forger, pieces = connection.forger, [(1 + index * size, connection.segment(ACK, 1 + index * size, 1, bytes(size)))
                                             for index in range(count)]
        behind = [piece for _, piece in pieces[1:]]
        if shuffled:
            self.random.shuffle(behind)
        self.send_all(forger, behind[:count // 2])
        self.group.replace_primary()
        self.send_all(forger, behind[count // 2:])
        connection.take_answers()
        self.assertEqual(connection.acknowledged, 1)
        self.send_all(forger, [pieces[0][1]])
        end = 1 + count * size
        if count > MOST_BEHIND_A_HOLE:
            # What was too much is sent again, as every peer does.
            eventually(lambda: connection.take_answers(0.05) and connection.acknowledged > 1, "the hole is filled")
            self.send_all(forger, [piece for seq, piece in pieces if seq >= connection.acknowledged])
        eventually(lambda: connection.take_answers(0.05) is not None and connection.acknowledged == end,
                   f"all {end} bytes are acknowledged; {connection.acknowledged} are")

    def test_thousands_of_segments_behind_a_hole_are_no_hang(self):
        self.group.start_pair()
        forger = self.forger()
        stream = self.perf("echo", "--rate", "2M")
        # As large as they can be, for as much as the window takes; then as small, more than are kept, in an order that is none.
        for port, size, count, shuffled in ((1000, 1460, 2800, False), (1001, 1, 7000, True)):
            self.fill(ForgedConnection(forger, self.pair_address(), (port, DISCARD)), size, count, shuffled)
        status = self.group.status()
        self.assertEqual((status["takeovers"], self.group.metrics()["twins_removed_total"]), (2, 0))
        self.assertEqual(sum("hung" in process.output() for process in self.group.processes), 0, self.group.tail())
        self.assert_good(stream)


class Xdp(Limits):
    kind = "xdp"


class Tap(Limits):
    kind = "tap"


del Limits

if __name__ == "__main__":
    main()
