# SPDX-License-Identifier: BSD-3-Clause
"""Real BGP speakers at the peer's side, all asked the same questions.

Each speaks to the pair over IPv4 (carrying IPv4 routes) and over IPv6 (carrying IPv6 routes), from addresses of its own.
"""

import ipaddress
import json
import os
import pwd
import re
import shutil
import struct
from collections import namedtuple

from .network import Network
from .pair import eventually
from .process import Process, run

PAIR_AS = 65001

#: One session as the peer sees it. `ups`: how often it came up; `withdrawn`: routes that were taken back over it.
Session = namedtuple("Session", "established ups received withdrawn uptime_s")


def feed(number, count, version=4):
    """Prefixes that the peer with that number announces."""
    if version == 4:
        start = int(ipaddress.ip_address(f"20.{number}.0.0"))
        return [f"{ipaddress.ip_address(start + (i << 8))}/24" for i in range(count)]
    return [f"2001:db8:{number:x}{i >> 16:02x}:{i & 0xFFFF:x}::/64" for i in range(count)]


def table_dump(prefixes, router_id, next_hop):
    """Routes of our own as a TABLE_DUMP_V2 of MRT (RFC 6396 section 4.3)."""

    def record(subtype, body):
        return struct.pack(">IHHI", 0, 13, subtype, len(body)) + body

    router = ipaddress.ip_address(router_id).packed
    hop = ipaddress.ip_address(next_hop).packed
    # One peer, ourselves, with an AS number of four octets.
    dump = record(1, router + struct.pack(">HH", 0, 1) + b"\x02" + router + router + struct.pack(">I", 0))
    for index, prefix in enumerate(prefixes):
        network = ipaddress.ip_network(prefix)
        octets = network.network_address.packed[:(network.prefixlen + 7) // 8]
        # ORIGIN IGP, an empty AS_PATH, and NEXT_HOP or a whole MP_REACH_NLRI, as GoBGP reads it.
        attributes = b"\x40\x01\x01\x00" + b"\x40\x02\x00"
        if network.version == 4:
            attributes += b"\x40\x03\x04" + hop
        else:
            reach = b"\x00\x02\x01\x10" + hop + b"\x00" + bytes([network.prefixlen]) + octets
            attributes += b"\x80\x0e" + bytes([len(reach)]) + reach
        entry = struct.pack(">HIH", 0, 0, len(attributes)) + attributes
        body = struct.pack(">IB", index, network.prefixlen) + octets + struct.pack(">H", 1) + entry
        dump += record(2 if network.version == 4 else 4, body)
    # What reads it may be done before its daemon is, and then the tail is lost.
    return dump + record(2 if network.version == 4 else 4, body) * 4096


class Peer:
    """What all speakers have in common."""

    name = None
    #: Last number of the addresses, and of the AS number.
    number = None

    def __init__(self, network, directory, routes=100, hold_s=3, versions=(4, 6)):
        self.network = network
        self.namespace = network.peer
        self.directory = os.path.join(directory, self.name)
        os.makedirs(self.directory)
        self.routes = routes
        self.hold_s = hold_s
        self.versions = versions
        self.extra = []
        self.process = None

    @property
    def as_number(self):
        return 65000 + self.number

    def address(self, version):
        return Network.v4(self.number) if version == 4 else Network.v6(self.number)

    def pair_address(self, version):
        return Network.v4(Network.PAIR) if version == 4 else Network.v6(Network.PAIR)

    def neighbor_options(self):
        """What tandem-bgpd is told about this peer."""
        return [option for version in self.versions for option in
                ("--neighbor", f"{self.address(version)} as={self.as_number} hold={self.hold_s}")]

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def spawn(self, *command, **more):
        self.process = Process(command, self.path("log"), namespace=self.namespace, **more)
        return self

    def ask(self, *command, **more):
        return run(command, namespace=self.namespace, **more)

    def feed(self):
        """Announces its routes, where they are not in its configuration."""

    def established(self):
        sessions = self.sessions()
        return len(sessions) == len(self.versions) and all(session.established for session in sessions.values())

    def close(self):
        if self.process:
            self.process.end()


class Bird(Peer):
    name = "bird"
    number = 2

    def start(self):
        self._write_configuration()
        return self.spawn("bird", "-f", "-c", self.path("bird.conf"), "-s", self.path("ctl"), "-P", self.path("pid"))

    def _write_configuration(self):
        text = f"router id {self.address(4)};\nlog \"{self.path('bird.log')}\" all;\nprotocol device {{}}\n"
        for version in self.versions:
            routes = feed(self.number, self.routes, version) + [p for p in self.extra if (":" in p) == (version == 6)]
            lines = "".join(f"  route {prefix} blackhole;\n" for prefix in routes)
            text += (
                f"protocol static feed{version} {{\n  ipv{version};\n{lines}}}\n"
                f"protocol bgp pair{version} {{\n"
                f"  debug {{ states, events }};\n  strict bind yes;\n"
                f"  local {self.address(version)} as {self.as_number};\n"
                f"  neighbor {self.pair_address(version)} as {PAIR_AS};\n"
                f"  hold time {self.hold_s};\n"
                f"  connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 1;\n"
                f"  ipv{version} {{ import all; export where source = RTS_STATIC; }};\n}}\n")
        self.write("bird.conf", text)

    def control(self, *words):
        return self.ask("birdc", "-s", self.path("ctl"), *words, check=False)

    def sessions(self):
        result = {}
        text = self.control("show", "protocols", "all")
        with open(self.path("bird.log"), encoding="ascii", errors="replace") as file:
            log = file.read()
        for block in re.split(r"\n(?=\w)", text):
            match = re.match(r"pair(\d)\s+BGP", block)
            if not match:
                continue
            version = int(match[1])
            imported = re.search(r"Routes:\s+(\d+) imported", block)
            withdraws = re.search(r"Import withdraws:\s+(\d+)", block)
            result[version] = Session(
                "BGP state:          Established" in block, len(re.findall(rf"pair{version}: State changed to up", log)),
                int(imported[1]) if imported else 0, int(withdraws[1]) if withdraws else 0, None)
        return result

    def announce(self, prefix):
        self.extra.append(prefix)
        self._write_configuration()
        self.control("configure")

    def has_route(self, prefix):
        return f"{prefix} " in self.control("show", "route", "for", prefix) + " "

    def table_changes(self):
        """A number that stays as long as no route that the pair announced is changed or withdrawn."""
        return tuple(session.withdrawn for session in self.sessions().values())


class Frr(Peer):
    name = "frr"
    number = 3

    def start(self):
        owner = pwd.getpwnam("frr")
        text = (f"router bgp {self.as_number}\n bgp router-id {self.address(4)}\n no bgp ebgp-requires-policy\n"
                " no bgp network import-check\n no bgp default ipv4-unicast\n"
                f" timers bgp 1 {self.hold_s}\n timers connect 1\n")
        for version in self.versions:
            text += (f" neighbor {self.pair_address(version)} remote-as {PAIR_AS}\n"
                     f" neighbor {self.pair_address(version)} update-source {self.address(version)}\n"
                     f" neighbor {self.pair_address(version)} timers connect 1\n"
                     f" neighbor {self.pair_address(version)} advertisement-interval 0\n")
        for version in self.versions:
            networks = "".join(f"  network {prefix}\n" for prefix in feed(self.number, self.routes, version))
            text += (f" address-family ipv{version} unicast\n  neighbor {self.pair_address(version)} activate\n"
                     f"{networks} exit-address-family\n")
        self.write("bgpd.conf", text)
        # bgpd gives up its privileges, and its control socket is made by the user that it becomes.
        path = self.directory
        for name in ("", "bgpd.conf"):
            shutil.chown(os.path.join(path, name), owner.pw_uid, owner.pw_gid)
        while path not in ("/", "/tmp"):
            os.chmod(path, os.stat(path).st_mode | 0o055)
            path = os.path.dirname(path)
        return self.spawn("/usr/lib/frr/bgpd", "-S", "-Z", "-n", "-f", self.path("bgpd.conf"), "-i", self.path("pid"),
                          "--vty_socket", self.directory, "-P", "0", *(word for version in self.versions for word in ("-l", self.address(version))))

    def vtysh(self, *commands):
        words = [word for command in commands for word in ("-c", command)]
        return self.ask("vtysh", "--vty_socket", self.directory, *words, check=False)

    def sessions(self):
        text = self.vtysh("show bgp neighbors json")
        try:
            neighbors = json.loads(text)
        except ValueError:
            return {}
        result = {}
        for version in self.versions:
            neighbor = neighbors.get(self.pair_address(version))
            if neighbor is None:
                continue
            family = neighbor.get("addressFamilyInfo", {}).get(f"ipv{version}Unicast", {})
            uptime = neighbor.get("bgpTimerUpMsec")
            result[version] = Session(
                neighbor["bgpState"] == "Established", neighbor["connectionsEstablished"],
                family.get("acceptedPrefixCounter", 0), None, uptime / 1000 if uptime else None)
        return result

    def announce(self, prefix):
        version = 6 if ":" in prefix else 4
        self.vtysh("configure terminal", f"router bgp {self.as_number}", f"address-family ipv{version} unicast",
                   f"network {prefix}")

    def has_route(self, prefix):
        version = 6 if ":" in prefix else 4
        return '"paths"' in self.vtysh(f"show bgp ipv{version} unicast {prefix} json")

    def table_changes(self):
        # The version of the table grows with each change of a best path, a withdrawal included.
        return tuple(json.loads(self.vtysh(f"show bgp ipv{version} unicast summary json"))["tableVersion"]
                     for version in self.versions)


class GoBgp(Peer):
    name = "gobgp"
    number = 4
    api_port = 50051

    def start(self):
        text = f'[global.config]\n  as = {self.as_number}\n  router-id = "{self.address(4)}"\n'
        text += "  local-address-list = [" + ", ".join(f'"{self.address(version)}"' for version in self.versions) + "]\n"
        for version in self.versions:
            text += (f'[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "{self.pair_address(version)}"\n'
                     f'    peer-as = {PAIR_AS}\n'
                     f'  [neighbors.transport.config]\n    local-address = "{self.address(version)}"\n'
                     f'  [neighbors.timers.config]\n    connect-retry = 1\n    idle-hold-time-after-reset = 1\n'
                     f'    hold-time = {self.hold_s}\n    keepalive-interval = 1\n'
                     f'  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n'
                     f'      afi-safi-name = "ipv{version}-unicast"\n')
        self.write("gobgpd.conf", text)
        self.spawn("gobgpd", "-f", self.path("gobgpd.conf"), "--api-hosts", f"127.0.0.1:{self.api_port}")
        return self

    def feed(self):
        """Announces its routes. Once it answers: GoBGP takes routes from its command line, or many from a dump."""
        eventually(self.sessions, "gobgpd answers")
        for version in self.versions:
            path = self.path(f"feed{version}.mrt")
            with open(path, "wb") as file:
                file.write(table_dump(feed(self.number, self.routes, version), self.address(4), self.address(version)))
            eventually(lambda: self._inject(path, version) >= self.routes, "gobgpd has taken its routes", timeout=30)

    def _inject(self, path, version):
        self.gobgp("mrt", "inject", "global", path)
        summary = self.gobgp("global", "rib", "-a", f"ipv{version}", "summary")
        match = re.search(r"Destination: (\d+)", summary)
        return int(match[1]) if match else 0

    def gobgp(self, *words, **more):
        return self.ask("gobgp", "-p", str(self.api_port), *words, check=False, **more)

    def sessions(self):
        result = {}
        for version in self.versions:
            try:
                neighbor = json.loads(self.gobgp("neighbor", self.pair_address(version), "-j"))
            except ValueError:
                return {}
            state, timers = neighbor.get("state", {}), neighbor.get("timers", {}).get("state", {})
            received = sum(family.get("state", {}).get("received", 0) for family in neighbor.get("afi_safis", []))
            messages = state.get("messages", {}).get("received", {})
            # Session state 6 is ESTABLISHED. `flops` counts the sessions that ended.
            established = state.get("session_state") == 6
            ups = int(state.get("flops", 0)) + (1 if established else 0)
            uptime = timers.get("uptime", {}).get("seconds")
            result[version] = Session(established, ups, received, messages.get("withdraw_prefix", 0), uptime)
        return result

    def announce(self, prefix):
        version = 6 if ":" in prefix else 4
        next_hop = ["nexthop", self.address(version)]
        self.gobgp("global", "rib", "-a", f"ipv{version}", "add", prefix, *next_hop)

    def has_route(self, prefix):
        version = 6 if ":" in prefix else 4
        return "Network not in table" not in self.gobgp("global", "rib", "-a", f"ipv{version}", prefix)

    def table_changes(self):
        return tuple(session.withdrawn for session in self.sessions().values())


class OpenBgpd(Peer):
    name = "openbgpd"
    number = 5

    def start(self):
        text = f"AS {self.as_number}\nrouter-id {self.address(4)}\nfib-update no\nholdtime {self.hold_s}\n"
        text += "".join(f"listen on {self.address(version)}\n" for version in self.versions)
        text += "".join(f"network {prefix}\n" for version in self.versions
                        for prefix in feed(self.number, self.routes, version))
        for version in self.versions:
            text += (f"neighbor {self.pair_address(version)} {{\n  remote-as {PAIR_AS}\n"
                     f"  local-address {self.address(version)}\n"
                     f"  announce IPv{10 - version} none\n}}\n")
        text += "allow from any\nallow to any\n"
        self.write("bgpd.conf", text, 0o600)
        os.makedirs("/run/openbgpd", exist_ok=True)
        return self.spawn("/usr/sbin/bgpd", "-d", "-f", self.path("bgpd.conf"))

    def bgpctl(self, *words):
        return self.ask("bgpctl", *words, check=False)

    def sessions(self):
        try:
            neighbors = json.loads(self.bgpctl("-j", "show", "neighbor"))["neighbors"]
        except (ValueError, KeyError):
            return {}
        result = {}
        for version in self.versions:
            wanted = ipaddress.ip_address(self.pair_address(version))
            for neighbor in neighbors:
                if ipaddress.ip_address(neighbor["remote_addr"]) != wanted:
                    continue
                prefixes = neighbor["stats"].get("prefixes", {})
                update = neighbor["stats"].get("update", {})
                result[version] = Session(
                    neighbor["state"] == "Established", None, prefixes.get("received", 0),
                    update.get("received", {}).get("withdraws", 0), neighbor.get("last_updown_sec"))
        return result

    def announce(self, prefix):
        self.bgpctl("network", "add", prefix)

    def has_route(self, prefix):
        return prefix in self.bgpctl("show", "rib", prefix)

    def table_changes(self):
        return tuple(session.withdrawn for session in self.sessions().values())


BY_NAME = {peer.name: peer for peer in (Bird, Frr, GoBgp, OpenBgpd)}
