# SPDX-License-Identifier: BSD-3-Clause
"""The BGP daemons at the other end: how each is started, told and asked.

Everything that is claimed about the session comes from here: from the daemon's own counters, and from its log where it
has no counter.
"""

import ipaddress
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time
from datetime import datetime

from tandem_lab import Network, Process, eventually

TANDEM_AS = 65001
PEER_AS = 65002
HOLD_TIME_S = 9

TANDEM = Network.v4(Network.PAIR)
PEER = Network.v4(Network.PEER)

#: What the pair announces.
TANDEM_NETWORKS = tuple(f"100.64.{number}.0/24" for number in range(10))
#: Announced and withdrawn again while the kills happen, so that there is traffic.
FLAPPING = tuple(f"203.0.113.{number * 16}/28" for number in range(8))
#: Announced and withdrawn after the last kill.
PARTING = "192.0.2.0/24"


def steady_routes(count):
    """What the peer announces from beginning to end."""
    first = int(ipaddress.ip_address("10.128.0.0"))
    return [f"{ipaddress.ip_address(first + number * 256)}/24" for number in range(count)]


class Peer:
    """What all daemons have in common. Answers are None as long as the daemon has none."""

    label = None
    programs = ()
    #: Whether it cannot do without changing to a user of its own, which a user namespace of one user does not have.
    needs_root = False
    #: Whether refresh() makes it ask.
    can_refresh = True
    #: Whether a command takes a client's process, and with it tens of milliseconds.
    is_slow = True
    #: How exactly the session's age is told.
    uptime_resolution_s = 1.0

    def __init__(self, network, directory, routes):
        self.namespace = network.peer
        self.directory = os.path.join(directory, "peer")
        os.mkdir(self.directory)
        self.log = os.path.join(directory, "peer.log")
        self.routes = steady_routes(routes)
        self.process = None
        self.version = ""

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def launch(self, *command, **options):
        self.process = Process(list(command), self.log, namespace=self.namespace, **options)

    def ask(self, *command):
        """A command of the daemon's own client; None when it has failed."""
        result = subprocess.run([*self.namespace.enter(), *command], capture_output=True, text=True, timeout=10, check=False,
                                start_new_session=True)
        return result.stdout if result.returncode == 0 else None

    def log_lines(self, pattern):
        """How many lines of the daemon's log match."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return sum(1 for line in file if re.search(pattern, line))
        except FileNotFoundError:
            return 0

    def wait_ready(self):
        def is_ready():
            if not self.process.is_running():
                raise RuntimeError(f"{self.label} ended with exit code {self.process.exit_code()}; its log stands above")
            return self.snapshot() is not None

        eventually(is_ready, f"{self.label} answers", timeout=15, interval=0.05)

    def tail(self, lines=15):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    def close(self):
        if self.process is not None:
            self.process.end(timeout=2)

    # What each daemon does in its own way:

    def start(self):
        raise NotImplementedError

    def snapshot(self):
        """{state, uptime_s, announced, held}: the session's state and age, routes sent to the pair, routes held from it."""
        raise NotImplementedError

    def counters(self):
        """{resets, withdrawn, updates, source}: sessions lost, withdrawals and updates received from the pair."""
        raise NotImplementedError

    def announce(self, prefixes):
        raise NotImplementedError

    def withdraw(self, prefixes):
        raise NotImplementedError

    def refresh(self):
        """Asks the pair to send all of its routes again (RFC 2918)."""
        raise NotImplementedError


class Bird(Peer):
    label = "BIRD"
    uptime_resolution_s = 0.01
    is_slow = False
    programs = ("bird",)

    def start(self):
        self.version = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=False).stderr.split()[-1]

        def static(name, prefixes, state=""):
            return f"protocol static {name} {{ {state} ipv4; " + " ".join(f"route {prefix} blackhole;" for prefix in prefixes) + " }\n"

        configuration = self.write("bird.conf", (
            f'log "{self.log}" all;\nrouter id {PEER};\ntimeformat base iso long us;\ntimeformat log iso long us;\n'
            "timeformat protocol iso long us;\nprotocol device {}\n"
            + static("steady", self.routes) + static("flapping", FLAPPING, "disabled;") + static("parting", (PARTING,), "disabled;")
            + f"protocol bgp tandem {{ local {PEER} as {PEER_AS}; neighbor {TANDEM} as {TANDEM_AS}; passive; hold time {HOLD_TIME_S};"
            " debug { states, events };"
            " ipv4 { import all; export where proto != \"tandem\"; }; }\n"))
        self.launch("bird", "-f", "-c", configuration, "-s", self.path("bird.ctl"), "-P", self.path("bird.pid"))
        self.wait_ready()

    def _command(self, text):
        """One request on BIRD's control socket."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(self.path("bird.ctl"))
                client.sendall(text.encode() + b"\n")
                answer = b""
                # The greeting is one answer, ours the second; an answer ends with a line of four digits and a space.
                while len(re.findall(rb"^\d{4} .*\n", answer, re.MULTILINE)) < 2:
                    piece = client.recv(65536)
                    if not piece:
                        return None
                    answer += piece
                return answer.decode(errors="replace")
        except OSError:
            return None

    def _protocol(self):
        return self._command("show protocols all tandem")

    def snapshot(self):
        text = self._protocol()
        if not text:
            return None
        state = _find(r"BGP state:\s+(\S+)", text, "Idle")
        since = _find(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)", text)
        uptime = (datetime.now() - datetime.fromisoformat(since)).total_seconds() if since and state == "Established" else 0.0
        return {"state": state, "uptime_s": uptime, "announced": int(_find(r"(\d+) exported", text, 0)),
                "held": int(_find(r"(\d+) imported", text, 0))}

    def counters(self):
        text = self._protocol()
        return {"resets": self.log_lines("BGP session established") - 1,
                "withdrawn": int(_find(r"Import withdraws:\s+(\d+)", text)),
                "updates": int(_find(r"Import updates:\s+(\d+)", text)),
                "source": "sessions by BIRD's log, routes by its route change statistics"}

    def announce(self, prefixes):
        self._command("enable " + ("parting" if PARTING in prefixes else "flapping"))

    def withdraw(self, prefixes):
        self._command("disable " + ("parting" if PARTING in prefixes else "flapping"))

    def refresh(self):
        self._command("reload in tandem")


class Frr(Peer):
    label = "FRR"
    programs = ("vtysh",)

    #: Debian keeps the daemons out of the path.
    DAEMON = "/usr/lib/frr/bgpd"

    def start(self):
        networks = "\n".join(f"  network {prefix}" for prefix in self.routes)
        configuration = self.write("bgpd.conf", (
            f"log file {self.log}\nlog timestamp precision 6\ndebug bgp updates in\ndebug bgp neighbor-events\n"
            f"router bgp {PEER_AS}\n bgp router-id {PEER}\n no bgp ebgp-requires-policy\n no bgp network import-check\n"
            f" neighbor {TANDEM} remote-as {TANDEM_AS}\n neighbor {TANDEM} passive\n"
            f" neighbor {TANDEM} timers {HOLD_TIME_S // 3} {HOLD_TIME_S}\n neighbor {TANDEM} advertisement-interval 0\n"
            f" address-family ipv4 unicast\n{networks}\n  neighbor {TANDEM} prefix-list not-theirs out\n exit-address-family\n"
            # Otherwise it sends back what it has from the pair.
            "ip prefix-list not-theirs deny 100.64.0.0/10 le 32\nip prefix-list not-theirs permit any\n"))
        open(self.log, "ab").close()
        for path in (self.directory, configuration, self.log):
            _give_to(path, "frr")
        self.launch(self.DAEMON, "-S", "-Z", "-n", "-f", configuration, "-i", self.path("bgpd.pid"), "--vty_socket", self.directory,
                    "-P", "0", "-l", PEER)
        self.wait_ready()
        self.version = _find(r"FRRouting (\S+)", self._show("show version") or "", "")

    def _show(self, *commands):
        arguments = [argument for command in commands for argument in ("-c", command)]
        return self.ask("vtysh", "--vty_socket", self.directory, "-d", "bgpd", *arguments)

    def _neighbor(self):
        return (_decode(self._show(f"show bgp neighbors {TANDEM} json")) or {}).get(TANDEM)

    def snapshot(self):
        neighbor = self._neighbor()
        if not neighbor:
            return None
        family = neighbor.get("addressFamilyInfo", {}).get("ipv4Unicast", {})
        return {"state": neighbor["bgpState"], "uptime_s": neighbor.get("bgpTimerUpMsec", 0) / 1000,
                "announced": family.get("sentPrefixCounter", 0), "held": family.get("acceptedPrefixCounter", 0)}

    def counters(self):
        neighbor = self._neighbor()
        return {"resets": neighbor["connectionsEstablished"] - 1 + neighbor["connectionsDropped"],
                "withdrawn": self.log_lines(r"rcvd UPDATE.* withdrawn"),
                "updates": neighbor["messageStats"]["updatesRecv"],
                "source": "sessions by FRR's counters, withdrawals by its log of updates"}

    def _networks(self, prefixes, no=""):
        self._show("configure terminal", f"router bgp {PEER_AS}", "address-family ipv4 unicast",
                   *(f"{no}network {prefix}" for prefix in prefixes))

    def announce(self, prefixes):
        self._networks(prefixes)

    def withdraw(self, prefixes):
        self._networks(prefixes, "no ")

    def refresh(self):
        self._show(f"clear bgp {TANDEM} soft in")


class GoBgp(Peer):
    label = "GoBGP"
    programs = ("gobgpd", "gobgp")

    API_PORT = 50051
    #: It keeps all that it ever got, and looks there instead of asking.
    can_refresh = False

    def start(self):
        self.version = subprocess.run(["gobgpd", "--version"], capture_output=True, text=True, check=False).stdout.split()[-1]
        configuration = self.write("gobgpd.toml", (
            f'[global.config]\n  as = {PEER_AS}\n  router-id = "{PEER}"\n'
            f'[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "{TANDEM}"\n    peer-as = {TANDEM_AS}\n'
            f"  [neighbors.transport.config]\n    passive-mode = true\n"
            f"  [neighbors.timers.config]\n    hold-time = {HOLD_TIME_S}\n    keepalive-interval = {HOLD_TIME_S // 3}\n"))
        self.launch("gobgpd", "-f", configuration, "--api-hosts", f"127.0.0.1:{self.API_PORT}", "--pprof-disable")
        self.wait_ready()
        # One call for all routes: its client takes them from a dump in MRT's format. The client ends without having waited for
        # the daemon, so that the last of what it reads may be lost; each route is in the dump twice for that.
        dump = self.path("routes.mrt")
        with open(dump, "wb") as file:
            file.write(mrt_table(self.routes * 2))

        def has_routes():
            self._client("mrt", "inject", "global", dump, "--no-ipv6", "--nexthop", PEER, "--queue-size", "16")
            return self._routes_in_table() >= len(self.routes)

        eventually(has_routes, "GoBGP has the routes", timeout=15)

    def _client(self, *arguments):
        return self.ask("gobgp", "-p", str(self.API_PORT), *arguments)

    def _routes_in_table(self):
        return int(_find(r"Destination: (\d+)", self._client("global", "rib", "summary") or "", 0))

    def _neighbor(self):
        return _decode(self._client("neighbor", TANDEM, "-j"))

    def snapshot(self):
        neighbor = self._neighbor()
        if not neighbor:
            return None
        state = neighbor.get("state", {}).get("session_state", 0)
        since = neighbor.get("timers", {}).get("state", {}).get("uptime", {})
        uptime = time.time() - since.get("seconds", 0) - since.get("nanos", 0) / 1e9 if state == 6 else 0.0
        family = (neighbor.get("afi_safis") or [{}])[0].get("state", {})
        names = ("Unknown", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established")
        return {"state": names[state] if isinstance(state, int) else str(state), "uptime_s": uptime,
                "announced": family.get("advertised", 0), "held": family.get("accepted", 0)}

    def counters(self):
        state = self._neighbor()["state"]
        received = state.get("messages", {}).get("received", {})
        return {"resets": state.get("flops", 0), "withdrawn": received.get("withdraw_prefix", 0),
                "updates": received.get("update", 0), "source": "GoBGP's counters of flaps and of withdrawn prefixes"}

    def announce(self, prefixes):
        for prefix in prefixes:
            self._client("global", "rib", "add", "-a", "ipv4", prefix)

    def withdraw(self, prefixes):
        for prefix in prefixes:
            self._client("global", "rib", "del", "-a", "ipv4", prefix)

    def refresh(self):
        self._client("neighbor", TANDEM, "softresetin")


class OpenBgpd(Peer):
    label = "OpenBGPD"
    programs = ("bgpd", "bgpctl")
    needs_root = True

    def start(self):
        networks = "".join(f"network {prefix}\n" for prefix in self.routes)
        self.control = self.path("bgpd.sock")
        configuration = self.write("bgpd.conf", (
            f'AS {PEER_AS}\nrouter-id {PEER}\nfib-update no\nlisten on {PEER}\nsocket "{self.control}"\n{networks}'
            f"neighbor {TANDEM} {{\n  remote-as {TANDEM_AS}\n  passive\n  holdtime {HOLD_TIME_S}\n  announce IPv4 unicast\n}}\n"
            "allow from any\nallow to any\n"), mode=0o600)
        # Where the daemon changes its root to.
        os.makedirs("/run/openbgpd", mode=0o755, exist_ok=True)
        self.launch("bgpd", "-d", "-f", configuration)
        self.wait_ready()
        self.version = _find(r"(\d[\d.]+)", subprocess.run(["bgpd", "-V"], capture_output=True, text=True, check=False).stderr, "")

    def _client(self, *arguments):
        return self.ask("bgpctl", "-s", self.control, *arguments)

    def _neighbor(self):
        answer = _decode(self._client("-j", "show", "neighbor", TANDEM)) or {}
        return (answer.get("neighbors") or [None])[0]

    def snapshot(self):
        neighbor = self._neighbor()
        if not neighbor:
            return None
        prefixes = neighbor.get("stats", {}).get("prefixes", {})
        return {"state": neighbor["state"], "uptime_s": float(neighbor.get("last_updown_sec", 0)),
                "announced": prefixes.get("sent", 0), "held": prefixes.get("received", 0)}

    def counters(self):
        update = self._neighbor()["stats"]["update"]["received"]
        return {"resets": self.log_lines(r"state change OpenConfirm -> Established") - 1, "withdrawn": update["withdraws"],
                "updates": update["updates"], "source": "sessions by OpenBGPD's log, routes by its counters"}

    def announce(self, prefixes):
        for prefix in prefixes:
            self._client("network", "add", prefix)

    def withdraw(self, prefixes):
        for prefix in prefixes:
            self._client("network", "delete", prefix)

    def refresh(self):
        self._client("neighbor", TANDEM, "refresh")


KINDS = {"bird": Bird, "frr": Frr, "gobgp": GoBgp, "openbgpd": OpenBgpd}


def missing_programs(name):
    """Those of the daemon's programs that are not installed."""
    kind = KINDS[name]
    missing = [program for program in kind.programs if shutil.which(program) is None]
    if kind is Frr and not os.access(Frr.DAEMON, os.X_OK):
        missing.append(Frr.DAEMON)
    return missing


def mrt_table(prefixes):
    """A table of IPv4 routes, all from one peer, in MRT's format (RFC 6396, TABLE_DUMP_V2)."""
    at = int(time.time())

    def record(subtype, body):
        return struct.pack(">IHHI", at, 13, subtype, len(body)) + body

    address = socket.inet_aton(PEER)
    # One peer with an IPv4 address and an AS number of four octets.
    text = record(1, address + struct.pack(">HH", 0, 1) + b"\x02" + address + address + struct.pack(">I", PEER_AS))
    attributes = b"\x40\x01\x01\x00" + b"\x40\x02\x00" + b"\x40\x03\x04" + address
    for number, prefix in enumerate(prefixes):
        network = ipaddress.ip_network(prefix)
        octets = network.network_address.packed[:(network.prefixlen + 7) // 8]
        text += record(2, struct.pack(">IB", number, network.prefixlen) + octets + struct.pack(">HHIH", 1, 0, at, len(attributes))
                       + attributes)
    return text


def _find(pattern, text, default=None):
    match = re.search(pattern, text)
    return match.group(1) if match else default


def _decode(text):
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _give_to(path, user):
    """Owned by a user of the daemon's package; in a user namespace, which has but one user, left as it is."""
    try:
        shutil.chown(path, user, user)
    except (LookupError, OSError):
        pass
