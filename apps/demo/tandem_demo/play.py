# SPDX-License-Identifier: BSD-3-Clause
"""The play: two processes, a peer, and a kill after the other."""

import json
import os
import random
import shutil
import sys
import time

from tandem_lab import Group, Network, Process, eventually

from . import peers, picture, wire
from .traffic import Observer, Traffic

#: Below the /run of our own, so that it goes with the namespace.
DIRECTORY = "/run/demo"

#: Of a takeover: name, the two lines above its column, width of the column.
STEPS = (("noticed", "death", "noticed", 8), ("fenced", "", "fenced", 7), ("drained", "log", "drained", 8),
         ("adopted", "wire", "adopted", 8), ("first_packet", "first", "packet", 7), ("peer_answered", "peer", "answered", 9))


class Play:
    def __init__(self, chosen, screen, palette):
        self.chosen = chosen
        self.screen = screen
        self.palette = palette
        self.started = time.monotonic()
        self.kills = []
        self.facts = []
        self.peer = self.group = self.network = self.capture = self.observer = self.traffic = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.observer:
            self.observer.stop()
        if self.traffic:
            self.traffic.stop()
        self.screen.close()
        if kind is not None and issubclass(kind, Exception) and self.peer:
            self.screen.say(f"The end of {self.peer.label}'s log:\n{self.peer.tail()}")
            if self.group:
                self.screen.say(f"The ends of the logs of tandem-bgpd:{self.group.tail()}")
        for part in (self.group, self.peer, self.network):
            if part:
                part.close()
        if self.capture:
            self.capture.end()
        self._keep()

    def _keep(self):
        if self.chosen.keep and os.path.isdir(DIRECTORY):
            shutil.copytree(DIRECTORY, self.chosen.keep, dirs_exist_ok=True, ignore=lambda path, names: [
                name for name in names if not os.path.isfile(os.path.join(path, name)) and not os.path.isdir(os.path.join(path, name))])

    def run(self):
        self._set_up()
        self._kill_again_and_again()
        self._exchange_updates()
        self._stop_watching()
        packets = self._read_captures()
        self._judge(packets)
        self._write(packets)
        return self._sum_up()

    # The stage.

    def _set_up(self):
        os.makedirs(DIRECTORY)
        chosen, say = self.chosen, self.screen.say
        self.network = Network(chosen.device)
        self.peer = peers.KINDS[chosen.peer](self.network, DIRECTORY, chosen.routes)
        self.capture = self._capture()
        self.peer.start()
        pair_capture = os.path.join(DIRECTORY, "pair.pcapng")
        options = ["--as", str(peers.TANDEM_AS), "--router-id", peers.TANDEM, "--capture", pair_capture,
                   "--neighbor", f"{peers.PEER} as={peers.PEER_AS} hold={peers.HOLD_TIME_S}"]
        for network in peers.TANDEM_NETWORKS:
            options += ["--network", network]
        self.group = Group(self.network, DIRECTORY, ["tandem-bgpd"], name="demo", options=options)
        self.pair_capture = pair_capture
        status = self.group.start_pair()
        self.first_pid = status["pid"]
        self.palette.colour(status["pid"])
        self.palette.colour(status["twin"])
        say(f"{self.screen.bold('Tandem')} on {status['device']}, process {self.screen.process(status['pid'])} "
            f"with process {self.screen.process(status['twin'])} as its twin")
        eventually(self._is_settled, f"{self.peer.label} and tandem-bgpd have each other's routes", timeout=30, interval=0.02)
        say(f"{self.screen.bold(self.peer.label + ' ' + self.peer.version)} in a namespace of its own: session established, "
            f"{chosen.routes:,} routes sent, {len(peers.TANDEM_NETWORKS)} held; hold time {peers.HOLD_TIME_S} s")
        say()
        self.observer = Observer(self.peer, self.group, self._draw_present)
        self.observer.start()

    def _capture(self):
        """What the peer's interface sees."""
        capture = Process([sys.executable, os.path.join(os.path.dirname(__file__), "sniff.py"), "p0", os.path.join(DIRECTORY, "peer.pcap")],
                          os.path.join(DIRECTORY, "sniff.log"), namespace=self.network.peer)
        eventually(lambda: capture.output() or not capture.is_running(), "the peer's interface is captured")
        if not capture.is_running():
            raise RuntimeError(f"the capture at the peer has ended: {capture.output()}")
        return capture

    def _is_settled(self):
        seen, routes = self.peer.snapshot(), self.group.ask("routes")
        return (seen and routes and seen["state"] == "Established" and seen["held"] == len(peers.TANDEM_NETWORKS)
                and routes["received"]["ipv4"] == self.chosen.routes)

    def _draw_present(self, seen, status, routes):
        if not self.screen.is_terminal:
            return
        screen = self.screen
        lines = [screen.faint("─" * 100)]
        if seen:
            state = screen.good(seen["state"]) if seen["state"] == "Established" else screen.bad(seen["state"])
            lines.append(f"{self.peer.label:9} {state}, up {seen['uptime_s']:.1f} s, {seen['announced']:,} routes sent, "
                         f"{seen['held']} of tandem's held")
        if status:
            twin = screen.process(status["twin"]) + " is the twin" if status["twin"] else "no twin yet"
            received = f", {routes['received']['ipv4']:,} routes received" if routes and "received" in routes else ""
            lines.append(f"{'tandem':9} process {screen.process(status['pid'])} speaks, {twin}{received}, "
                         f"takeovers {status['takeovers']}")
        screen.show(lines)

    # The kills.

    def _kill_again_and_again(self):
        self.traffic = Traffic(self.peer)
        self.traffic.start()
        self.screen.say(f"SIGKILL for the process that speaks, {self.chosen.kills} times; in microseconds since each kill:")
        self.screen.say()
        for left, which, right in (("", 1, "session at"), (f"{'':3}{'killed':>7}{'now':>5}", 2, self.peer.label)):
            titles = "".join(f"{step[which]:>{step[3]}}" for step in STEPS)
            self.screen.say(self.screen.bold(f"{left:15}{titles}  {right}"))
        for number in range(1, self.chosen.kills + 1):
            self._kill(number)
        self.traffic.stop()
        self.traffic = None

    def _kill(self, number):
        status = self.group.wait_protected()
        # Time to look at, and a moment that nothing else decides.
        time.sleep(self.chosen.pause * random.uniform(0.7, 1.3))
        with self.observer.quiet():
            killed, at_ns = self.group.kill_primary(status=status)
            taken = eventually(lambda: self._timeline_after(killed), "the twin has taken over, and the peer has answered it",
                               timeout=10, interval=0.01)
        self.group.process_of(killed).wait(10)
        seen = self.peer.snapshot() or {"state": "no answer", "uptime_s": 0.0}
        timeline = taken["timeline"]
        noticed = timeline["noticed_at"] - at_ns
        since_kill = {"noticed": noticed}
        for step in ("fenced", "drained", "adopted", "promoted", "first_packet", "peer_answered"):
            if step in timeline:
                since_kill[step] = noticed + timeline[step]
        kill = {"number": number, "killed_pid": killed, "primary_pid": taken["pid"], "at_ns": at_ns, "since_kill_ns": since_kill,
                "timeline": timeline, "peer": seen}
        self.kills.append(kill)
        cells = "".join(f"{since_kill[name] / 1000:>{width},.0f}" if name in since_kill else f"{'-':>{width}}"
                        for name, _, _, width in STEPS)
        self.screen.say(f"{number:>3}{self.screen.process(killed, 7)}{self.screen.process(taken['pid'], 5)}{cells}  "
                        f"{seen['state']} {seen['uptime_s']:.1f}s")
        twin = self.group.start()
        self.palette.colour(twin.pid)
        kill["new_twin_pid"] = twin.pid
        self.group.wait_protected()

    def _timeline_after(self, killed):
        status = self.group.status(1)
        if status and status["pid"] != killed and "peer_answered" in status["timeline"]:
            return status
        return None

    # After the last kill.

    def _exchange_updates(self):
        screen, steady = self.screen, self.chosen.routes
        screen.say()
        self._wait_received(steady)
        screen.say(f"After the last kill: {self.peer.label} announces {peers.PARTING} ...")
        self.peer.announce([peers.PARTING])
        seconds = self._wait_received(steady + 1)
        screen.say(f"  tandem-bgpd has {steady + 1:,} routes after {seconds * 1000:.0f} ms; {self.peer.label} withdraws it ...")
        self.peer.withdraw([peers.PARTING])
        seconds = self._wait_received(steady)
        screen.say(f"  tandem-bgpd has {steady:,} routes after {seconds * 1000:.0f} ms")
        self._add_fact("Updates after the last kill", "peer's route seen, and its withdrawal",
                       f"{steady:,} → {steady + 1:,} → {steady:,}", True)
        if self.peer.can_refresh:
            before = self.peer.counters()["updates"]
            self.peer.refresh()
            eventually(lambda: self.peer.counters()["updates"] > before, f"{self.peer.label} gets tandem's routes again", interval=0.02)
            more = self.peer.counters()["updates"] - before
            screen.say(f"  {self.peer.label} asks for tandem's routes again, and has counted {more} more updates from it")
            self._add_fact("Updates after the last kill", "tandem's updates counted by the peer", f"{more}", more > 0)

    def _wait_received(self, count):
        start = time.monotonic()
        eventually(lambda: (self.group.ask("routes") or {}).get("received", {}).get("ipv4") == count,
                   f"tandem-bgpd has {count} routes from {self.peer.label}")
        return time.monotonic() - start

    def _stop_watching(self):
        # One look more, so that the last word is the peer's after everything.
        self.last_seen = self.peer.snapshot()
        self.last_counters = self.peer.counters()
        self.since_first_kill_s = (time.monotonic_ns() - self.kills[0]["at_ns"]) / 1e9
        self.last_status = self.group.status()
        self.last_routes = self.group.ask("routes")
        self.observer.stop()
        self.screen.close()
        self.capture.end()
        self.capture = None

    # The facts.

    def _read_captures(self):
        packets = wire.read(os.path.join(DIRECTORY, "peer.pcap"), self.pair_capture, peers.TANDEM, self.first_pid,
                            wire.realtime_offset_ns())
        owners = [(0, self.first_pid)]
        for kill in self.kills:
            owners.append((kill["at_ns"] + kill["since_kill_ns"]["drained"], kill["primary_pid"]))
        wire.name_senders(packets, owners)
        wire.number_from_start(packets)
        for kill in self.kills:
            first = wire.first_from(packets, kill["primary_pid"])
            if first:
                kill["since_kill_ns"]["first_packet_on_wire"] = first.at_ns - kill["at_ns"]
        return packets

    def _add_fact(self, source, name, seen, holds, promised=None):
        self.facts.append({"source": source, "name": name, "promised": promised, "seen": seen, "holds": holds})

    def _judge(self, packets):
        counters, seen = self.last_counters, self.last_seen
        at_the_peer = f"{self.peer.label} says"

        def equal(source, name, promised, value):
            self._add_fact(source, name, value, value == promised, promised)

        equal(at_the_peer, "session", "Established", seen["state"])
        looks = len(self.observer.samples)
        bad_looks = sum(1 for _, sample in self.observer.samples if sample["state"] != "Established")
        equal(at_the_peer, f"session not established, of {looks} looks", 0, bad_looks)
        equal(at_the_peer, "session resets", 0, counters["resets"])
        equal(at_the_peer, "routes withdrawn by tandem", 0, counters["withdrawn"])
        equal(at_the_peer, "tandem's routes held", len(peers.TANDEM_NETWORKS), seen["held"])
        # Some daemons count whole seconds, so that up to one is missing.
        self._add_fact(at_the_peer, "session uptime, s", round(seen["uptime_s"], 1),
                       seen["uptime_s"] + self.peer.uptime_resolution_s > self.since_first_kill_s,
                       f"> {self.since_first_kill_s:.1f} since the first kill")
        self.wire_facts = on_the_wire = wire.facts(packets)
        equal("On the wire at the peer", "TCP connections", 1, on_the_wire["connections"])
        equal("On the wire at the peer", "RST or FIN segments", 0, on_the_wire["resets"] + on_the_wire["fins"])
        equal("On the wire at the peer", "prefixes withdrawn by tandem", 0, on_the_wire["pair"]["withdrawn"])
        equal("Tandem says", "takeovers", self.chosen.kills, self.last_status["takeovers"])
        equal("Tandem says", "routes received", self.chosen.routes, self.last_routes["received"]["ipv4"])
        equal("Tandem says", "times that the session came up", 1, self.last_routes["neighbors"][0]["times_established"])

    def _write(self, packets):
        waits = [kill["since_kill_ns"]["first_packet_on_wire"] / 1000 for kill in self.kills if "first_packet_on_wire" in kill["since_kill_ns"]]
        if waits:
            self.screen.say(f"The twin's first packet was on the wire {min(waits):,.0f} to {max(waits):,.0f} µs after the kill.")
        shown = picture.draw(self.chosen.picture, packets, self.kills, self.palette, self.first_pid,
                             f"{self.peer.label} {self.peer.version}", self.last_status["device"])
        self.screen.say(f"Picture: {self.chosen.picture}" + (f" (the first {shown} kills)" if shown < len(self.kills) else ""))
        if self.chosen.json:
            answer = {"ok": all(fact["holds"] for fact in self.facts), "peer": self.chosen.peer, "peer_version": self.peer.version,
                      "device": self.chosen.device, "device_description": self.last_status["device"],
                      "user_namespace": self.chosen.as_user, "routes": self.chosen.routes, "hold_time_s": peers.HOLD_TIME_S,
                      "kills": self.kills, "facts": self.facts, "peer_counters": self.last_counters, "peer_session": self.last_seen,
                      "wire": self.wire_facts, "picture": self.chosen.picture,
                      "seconds": round(time.monotonic() - self.started, 1)}
            text = json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
            if self.chosen.json == "-":
                sys.stdout.write(text)
            else:
                with open(self.chosen.json, "w", encoding="utf-8") as file:
                    file.write(text)

    def _sum_up(self):
        screen = self.screen
        source = None
        for fact in self.facts:
            if fact["source"] != source:
                source = fact["source"]
                note = f" ({self.last_counters['source']})" if source.startswith(self.peer.label) else ""
                screen.say()
                screen.say(screen.bold(source) + screen.faint(note))
            mark = screen.good("✓") if fact["holds"] else screen.bad("✗")
            promised = f"   promised: {fact['promised']}" if fact["promised"] is not None else ""
            screen.say(f"  {mark} {fact['name']:<42}{_number(fact['seen']):>22}{promised if not fact['holds'] or '>' in promised else ''}")
        broken = [fact["name"] for fact in self.facts if not fact["holds"]]
        screen.say()
        seconds = time.monotonic() - self.started
        if broken:
            screen.say(screen.bad(f"NOT as promised: {', '.join(broken)}."))
        else:
            screen.say(screen.good(f"{self.chosen.kills} kills, and {self.peer.label} has noticed none of them.") + f" {seconds:.0f} s in all.")
        return not broken


def _number(value):
    return f"{value:,}" if isinstance(value, int) else str(value)
