# SPDX-License-Identifier: BSD-3-Clause
"""What bad input gets: a message that says what to do, an exit code of its own, and nobody else is disturbed."""

import fcntl
import json
import os
import re
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from tandem_lab import Network, eventually, exit_code  # noqa: E402
from tandem_lab.network import program  # noqa: E402
from tandem_lab.process import Process  # noqa: E402
from tandem_lab.scenario import Scenario, main  # noqa: E402


class BadInput(Scenario):
    def refused(self, arguments, code, *words, environment=None, name="tandem-inetd", prefix=()):
        """Runs a program that is to refuse; returns what it said."""
        log = os.path.join(self.directory, f"refused-{len(os.listdir(self.directory))}.log")
        process = Process([*prefix, program(name), *arguments], log, namespace=self.network.box, environment=environment)
        self.addCleanup(process.end)
        self.assertEqual(process.wait(20), code, process.output())
        said = process.output()
        for word in words:
            self.assertIn(word, said)
        return said

    def node_options(self, **changes):
        """Options of a node, with some of them changed; None leaves one out."""
        values = {"device": self.network.device, "address": f"{Network.v4(1)}/24", "group": "other",
                  "runtime-dir": self.group.runtime_dir, **{key.replace("_", "-"): value for key, value in changes.items()}}
        return [part for key, value in values.items() if value is not None for part in (f"--{key}", value)]

    def test_malformed_options(self):
        for changes, word in [({"device": "eth0"}, "device"), ({"address": "10.77.0.1"}, "--address"),
                              ({"address": None}, "--address"), ({"device": None}, "--device"),
                              ({"detect": "soon"}, "--detect"), ({"log_size": "3M"}, "--log-size"),
                              ({"gateway": "fd77::2"}, "--gateway"), ({"mac": "ff:ff:ff:ff:ff:ff"}, "--mac"),
                              ({"config": "/nonexistent.conf"}, "/nonexistent.conf"), ({"group": "../x"}, "--group")]:
            with self.subTest(str(changes)):
                self.refused(self.node_options(**changes), exit_code.USAGE, word)
        self.refused(["--no-such-option"], exit_code.USAGE, "no-such-option")
        self.refused(["--group", "lab"], exit_code.USAGE, "command", name="tandemctl")
        self.refused(["rr", "--kernel"], exit_code.USAGE, "--connect", name="tandem-perf")

    def test_an_interface_that_is_not_there_or_is_down(self):
        kind = self.kind
        if kind == "xdp":
            self.refused(self.node_options(device="xdp:nowhere0"), exit_code.NO_INTERFACE, "nowhere0")
            self.network.box.run("ip", "link", "set", "t0", "down")
            self.refused(self.node_options(), exit_code.NO_INTERFACE, "t0")
        else:
            # An interface that is no TAP.
            self.refused(self.node_options(device="tap:t0"), exit_code.USAGE, "t0")

    def test_missing_privilege(self):
        # Whoever may use /dev/net/tun may use a TAP that is there; making one takes a privilege.
        device = self.network.device if self.kind == "xdp" else "tap:new0"
        self.refused(self.node_options(device=device), exit_code.PRIVILEGE, "CAP_NET_ADMIN",
                     prefix=["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"])

    def test_an_address_that_the_kernel_has(self):
        self.refused(self.node_options(address=f"{Network.v4(Network.HOST)}/24"), exit_code.BUSY, Network.v4(Network.HOST))

    def test_a_device_that_another_group_uses(self):
        self.group.start_pair()
        stream = self.perf("echo", "--rate", "5M")
        self.refused(self.node_options(address=f"{Network.v4(7)}/24"), exit_code.BUSY)
        at, _ = self.group.replace_primary()
        stream.wait_progress(at)
        self.assert_good(stream)

    def test_a_second_twin_and_twins_that_do_not_fit(self):
        self.group.start_pair()
        before = self.group.status()
        stream = self.perf("echo", "--rate", "5M")
        second = self.group.start()
        self.assertEqual(second.wait(20), exit_code.TWIN_ATTACHED)
        self.assertIn(str(before["twin"]), second.output())
        # The twin makes room, so that the next ones are looked at.
        self.group.process_of(before["twin"]).kill()
        eventually(lambda: self.group.answered()["twin"] is None, "the twin's death is noticed")
        for extra, word in [(["--address", f"{Network.v4(9)}/24"], "address"), (["--send-queue", "1M"], "send-queue"),
                            (["--receive-window", "1M"], "receive-window"), (["--gateway", Network.v4(2)], "gateway")]:
            with self.subTest(word):
                misfit = self.group.start(extra=extra)
                self.assertEqual(misfit.wait(20), exit_code.MISMATCH, misfit.output())
                self.assertIn(word, misfit.output())
        after = self.group.status()
        self.assertEqual((after["pid"], after["epoch"], after["takeovers"]), (before["pid"], before["epoch"], 0))
        self.group.start()
        self.group.wait_protected()
        at, _ = self.group.replace_primary()
        stream.wait_progress(at)
        self.assert_good(stream)

    def say(self, path, data, kind=socket.SOCK_STREAM):
        client = socket.socket(socket.AF_UNIX, kind)
        client.settimeout(20)
        client.connect(path)
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
            return answer
        except (BrokenPipeError, ConnectionResetError):
            return b""
        finally:
            client.close()

    FIRST_MAGIC, MAGIC = 0x31546474, 0x32546474
    HELLO, REFUSAL = 1, 2

    @classmethod
    def attach_message(cls, kind, fields):
        """A message of the attach protocol (ha/src/channel/attach_protocol.hpp)."""
        return struct.pack("<2I", cls.MAGIC, kind) + b"".join(struct.pack("<2HI", tag, 0, len(value)) + value for tag, value in fields)

    @classmethod
    def attach_fields(cls, message):
        """Kind, and the fields by tag."""
        magic, kind = struct.unpack_from("<2I", message)
        assert magic == cls.MAGIC, message
        fields, at = {}, 8
        while at < len(message):
            tag, _, length = struct.unpack_from("<2HI", message, at)
            fields[tag] = message[at + 8:at + 8 + length]
            at += 8 + length
        return kind, fields

    @classmethod
    def hello(cls, log_formats, layouts):
        return cls.attach_message(cls.HELLO, [(1, struct.pack("<2I", *log_formats)), (2, struct.pack("<2I", *layouts)),
                                              (3, bytes(8)), (12, struct.pack("<Q", 1)), (13, struct.pack("<I", 1))])

    @classmethod
    def first_message(cls, kind, *numbers):
        """One of the protocol's first version: plain numbers."""
        return struct.pack(f"<{2 + len(numbers)}I", cls.FIRST_MAGIC, kind, *numbers)

    def test_a_twin_of_another_version(self):
        self.group.start_primary()
        stream = self.perf("echo", "--rate", "5M")
        path = os.path.join(self.group.runtime_dir, self.group.name, "attach.sock")

        def refusal(message):
            kind, fields = self.attach_fields(self.say(path, message, socket.SOCK_SEQPACKET))
            self.assertEqual((kind, struct.unpack("<i", fields[5])[0]), (self.REFUSAL, exit_code.PROTOCOL))
            return fields[6].decode()

        newer = refusal(self.hello((90, 91), (92, 92)))
        self.assertRegex(newer, r"log format 90 to 91 and group layout 92, the primary \d.* and \d")
        self.assertIn("Install versions on both sides", newer)
        formats, layout = re.search(r"the primary (\d+)(?: to \d+)? and (\d+)\.", newer).groups()
        # Each of the two alone is a reason.
        for hello, words in ((self.hello((90, 91), (int(layout),) * 2), "log format 90 to 91"),
                             (self.hello((int(formats),) * 2, (92, 92)), "group layout 92")):
            self.assertIn(words, refusal(hello))
        # What cannot be understood at all, and a twin from before messages could grow, which hears it in its own words.
        self.say(path, self.attach_message(self.HELLO, [(77, b"new")]), socket.SOCK_SEQPACKET)
        answer = self.say(path, self.first_message(self.HELLO, 1, 2, 0), socket.SOCK_SEQPACKET)
        magic, kind, code, length = struct.unpack_from("<4I", answer)
        self.assertEqual((magic, kind, code), (self.FIRST_MAGIC, self.REFUSAL, exit_code.PROTOCOL))
        self.assertIn("same version on both sides", answer[16:16 + length].decode())
        # The primary is as ready for a twin of its own version as before.
        self.group.start()
        self.group.wait_protected()
        self.assert_good(stream)

    def test_a_primary_of_another_version(self):
        directory = os.path.join(self.group.runtime_dir, self.group.name)
        os.makedirs(directory, mode=0o700)
        refusal = "the twin speaks log format 1, the primary 7. Install the same version on both sides."
        newer = self.attach_message(self.REFUSAL, [(5, struct.pack("<i", exit_code.PROTOCOL)), (6, refusal.encode())])
        first = self.first_message(self.REFUSAL, exit_code.PROTOCOL, len(refusal)) + refusal.encode()
        for answer, code, word in ((newer, exit_code.PROTOCOL, refusal), (first, exit_code.PROTOCOL, refusal),
                                   (b"of quite another kind", exit_code.PROTOCOL, "same version on both sides")):
            with open(os.path.join(directory, "lock"), "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                path = os.path.join(directory, "attach.sock")
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                    listener.bind(path)
                    listener.listen()
                    listener.settimeout(20)
                    log = os.path.join(self.directory, f"twin-{len(os.listdir(self.directory))}.log")
                    twin = Process([program("tandem-inetd"), *self.node_options(group=self.group.name)], log, namespace=self.network.box)
                    self.addCleanup(twin.end)
                    client, _ = listener.accept()
                    with client:
                        client.settimeout(20)
                        self.assertEqual(client.recv(4096)[:8], struct.pack("<2I", self.MAGIC, self.HELLO))
                        client.send(answer)
                        self.assertEqual(twin.wait(20), code, twin.output())
                os.unlink(path)
            self.assertIn(word, twin.output())

    def test_garbage_on_the_sockets_of_a_group(self):
        self.group.start_pair()
        before = self.group.status()
        stream = self.perf("echo", "--rate", "5M")
        directory = os.path.join(self.group.runtime_dir, self.group.name)
        garbage = [b"", b"\n", b"\0" * 5000 + b"\n", b"{}\n", b"[1,2]\n", b'{"command":7}\n', b'{"command":"fly"}\n',
                   b"x" * (1 << 20), b'{"command":"status"', self.random.randbytes(10000)]
        for data in garbage:
            answer = self.say(os.path.join(directory, "control.sock"), data)
            if answer:
                self.assertEqual(json.loads(answer)["code"], exit_code.USAGE)
            self.say(os.path.join(directory, "attach.sock"), data[:60000], socket.SOCK_SEQPACKET)
        # Clients that connect and say nothing do not keep others out.
        silent = []
        for _ in range(10):
            client = socket.socket(socket.AF_UNIX)
            client.connect(os.path.join(directory, "control.sock"))
            silent.append(client)
        after = self.group.status()
        for client in silent:
            client.close()
        self.assertEqual((after["pid"], after["twin"], after["takeovers"]), (before["pid"], before["twin"], 0))
        self.assertGreaterEqual(self.group.metrics()["control_malformed_total"], 5)
        at, _ = self.group.replace_primary()
        stream.wait_progress(at)
        self.assert_good(stream)

    def test_tandemctl_without_a_group(self):
        self.refused(["--runtime-dir", self.directory, "--group", "nobody", "status"], exit_code.NO_GROUP,
                     "nobody", name="tandemctl")

    def test_malformed_frames_are_counted_and_nothing_else(self):
        self.group.start_pair()
        stream = self.perf("echo", "--rate", "5M")
        raw = self.network.peer.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind(("p0", 0))
        box = bytes.fromhex(self.pair_mac().replace(":", ""))
        ours, theirs = socket.inet_aton(Network.v4(1)), socket.inet_aton(Network.v4(2))
        header = box + b"\x02\0\0\0\0\x0b"
        for size in range(0, 60):
            # IPv4 headers that announce more than there is, TCP headers that are cut short, and noise.
            ip = bytes([0x45, 0]) + (1000).to_bytes(2, "big") + bytes([0, 1, 0, 0, 64, 6, 0, 0]) + theirs + ours
            raw.send(header + b"\x08\x00" + (ip + self.random.randbytes(40))[:size])
            raw.send(header + b"\x86\xdd" + b"\x60" + self.random.randbytes(size))
            raw.send(header + b"\x08\x06" + self.random.randbytes(size))
            raw.send(header + b"\x08\x00" + b"\x45" + self.random.randbytes(size))
        raw.close()
        eventually(lambda: sum(value for name, value in self.group.metrics().items() if "malformed" in name) > 10,
                   "malformed packets are counted")
        at, _ = self.group.replace_primary()
        stream.wait_progress(at)
        self.assert_good(stream)

    def pair_mac(self):
        for line in self.network.peer.run("ip", "neigh", "show", Network.v4(1)).splitlines():
            if "lladdr" in line:
                return line.split("lladdr ")[1].split()[0]
        self.fail("the peer does not know the pair's link address")


class Xdp(BadInput):
    kind = "xdp"


class Tap(BadInput):
    kind = "tap"


del BadInput

if __name__ == "__main__":
    main()
