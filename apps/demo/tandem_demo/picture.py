# SPDX-License-Identifier: BSD-3-Clause
"""The time-sequence picture: the whole session in a strip, and a row for each kill.

A row has sequence numbers each way over the milliseconds around the kill, and beside it, stretched, the takeover itself.
"""

from bisect import bisect_right

from .svg import Drawing
from .wire import ACK, RST, first_from

INK, GREY, FAINT, RED = "#222222", "#8a8f98", "#e4e7eb", "#d40000"
#: What the peer sends; no process of the pair has it.
PEER_COLOUR = "#565d68"

WIDTH, MARGIN = 1400, 40
STRIP_TOP, ROWS_TOP = 96, 268
ROW, LANE, LANE_GAP = 268, 92, 12
PLOT_LEFT, PLOT_RIGHT = 112, 900
ZOOM_LEFT, ZOOM_RIGHT = 968, WIDTH - MARGIN
MOST_ROWS = 10

STEPS = (("noticed", "death noticed"), ("fenced", "fenced"), ("drained", "log drained"), ("adopted", "wire adopted"))


def draw(path, packets, kills, palette, first_pid, peer, device):
    """Writes the picture; returns how many of the kills it shows."""
    shown = kills[:MOST_ROWS]
    picture = _Picture(packets, kills, palette, first_pid, peer.split()[0], len(shown))
    picture.head(peer, device)
    picture.strip()
    before_ms, after_ms = picture.window(shown)
    for row, kill in enumerate(shown):
        picture.row(ROWS_TOP + row * ROW, kill, before_ms, after_ms)
    picture.drawing.save(path)
    return len(shown)


class _Picture:
    def __init__(self, packets, kills, palette, first_pid, peer, rows):
        self.packets = packets
        self.times = [packet.at_ns for packet in packets]
        self.kills = kills
        self.palette = palette
        self.peer = peer
        self.first_pid = first_pid
        self.drawing = Drawing(WIDTH, ROWS_TOP + rows * ROW + 16)

    # What belongs to all of it.

    def head(self, peer, device):
        drawing = self.drawing
        drawing.text(MARGIN, 40, f"One BGP connection, {len(self.kills)} × kill -9", 22, INK, bold=True)
        drawing.text(MARGIN, 62, f"tandem-bgpd on {device}; peer {peer}", 12, GREY)
        drawing.text(MARGIN, 79, "times from the peer's capture, senders from each process's own", 12, GREY)
        x, y = WIDTH - MARGIN - 420, 28
        drawing.line(x, y - 8, x, y + 4, self.palette.colour(self.first_pid), 3)
        drawing.text(x + 10, y + 2, "segment, in the colour of the process that sent it", 11)
        drawing.path([(x - 6, y + 20), (x, y + 20), (x, y + 14), (x + 6, y + 14)], self.palette.colour(self.first_pid), 1.6)
        drawing.text(x + 10, y + 20, "acknowledged so far, by the other side", 11)
        drawing.line(x, y + 28, x, y + 40, RED, 1.6)
        drawing.text(x + 10, y + 38, "SIGKILL", 11, RED)
        drawing.shape([(x + 76, y + 30), (x + 84, y + 30), (x + 80, y + 38)], self.palette.colour(self.kills[0]["primary_pid"]))
        drawing.text(x + 90, y + 38, "first packet of the twin, on the wire", 11)
        drawing.circle(x, y + 52, 2.6, PEER_COLOUR)
        drawing.text(x + 10, y + 56, "at right: a segment, either way", 11)

    def owners(self):
        """[(pid, from, to)] over the session."""
        spans, since, pid = [], self.times[0], self.first_pid
        for kill in self.kills:
            spans.append((pid, since, kill["at_ns"]))
            since, pid = kill["at_ns"], kill["primary_pid"]
        return [*spans, (pid, since, self.times[-1])]

    def strip(self):
        drawing, start = self.drawing, self.times[0]
        span = max(self.times[-1] - start, 1)
        left, right, top = PLOT_LEFT, WIDTH - MARGIN, STRIP_TOP

        def x_of(at_ns):
            return left + (at_ns - start) / span * (right - left)

        drawing.text(left - 12, top + 16, self.peer, 11, PEER_COLOUR, "end", bold=True)
        drawing.rectangle(left, top, right - left, 24, "#e3f4e8", radius=4)
        for packet in self.packets:
            x = x_of(packet.at_ns)
            if packet.from_pair:
                drawing.line(x, top + 56, x, top + 42, self.palette.colour(packet.pid), 0.8)
            else:
                drawing.line(x, top + 28, x, top + 42, PEER_COLOUR, 0.5)
        drawing.text(left - 12, top + 46, "segments", 11, GREY, "end")
        drawing.text(left - 12, top + 76, "tandem-bgpd", 11, INK, "end", bold=True)
        for pid, since, until in self.owners():
            x, width = x_of(since), x_of(until) - x_of(since)
            drawing.rectangle(x, top + 60, width, 24, self.palette.colour(pid), radius=4)
            words = f"process {pid}" if width > 74 else str(pid)
            if width > 20:
                drawing.text(x + width / 2, top + 76, words, 11, "#ffffff", "middle", bold=True)
        for kill in self.kills:
            x = x_of(kill["at_ns"])
            drawing.line(x, top - 4, x, top + 90, RED, 1.6)
            drawing.text(x, top + 104, f"kill {kill['number']}", 11, RED, "middle", bold=True)
        resets = sum(1 for packet in self.packets if packet.flags & RST)
        words = f"one TCP connection, {len(self.packets):,} segments, " + (f"{resets} resets" if resets else "no reset")
        drawing.text((left + right) / 2, top + 16, words, 11, "#1d6b38", "middle", halo="#e3f4e8")
        seconds = span / 1e9
        step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 300, 3600) if seconds / step <= 16 or step == 3600)
        drawing.line(left, top + 112, right, top + 112, GREY, 0.8)
        for tick in range(int(seconds / step) + 1):
            x = x_of(start + tick * step * 1e9)
            drawing.line(x, top + 112, x, top + 117, GREY, 0.8)
            drawing.text(x, top + 130, f"{tick * step:g} s", 10, GREY, "middle")

    # One kill.

    def between(self, since_ns, until_ns):
        return self.packets[bisect_right(self.times, since_ns):bisect_right(self.times, until_ns)]

    def window(self, kills):
        """Milliseconds before and after a kill: few, but so that most rows have packets on both sides."""
        for before_ms, after_ms in ((4, 6), (8, 12), (16, 24), (40, 60), (80, 120), (200, 300), (400, 600)):
            full = sum(1 for kill in kills
                       if len(self.between(kill["at_ns"] - before_ms * 1e6, kill["at_ns"])) >= 4
                       and len(self.between(kill["at_ns"], kill["at_ns"] + after_ms * 1e6)) >= 6)
            if full * 2 >= len(kills):
                break
        return before_ms, after_ms

    def row(self, top, kill, before_ms, after_ms):
        drawing, at_ns = self.drawing, kill["at_ns"]
        first = first_from(self.packets, kill["primary_pid"])
        first_us = (first.at_ns - at_ns) / 1000 if first else None
        drawing.line(MARGIN, top - 4, WIDTH - MARGIN, top - 4, FAINT)
        drawing.text(MARGIN, top + 18, f"Kill {kill['number']}", 15, RED, bold=True)
        drawing.text(PLOT_LEFT, top + 18, f"process {kill['killed_pid']}", 12, self.palette.colour(kill["killed_pid"]), bold=True)
        drawing.text(PLOT_LEFT + 86, top + 18, "is killed,", 12)
        drawing.text(PLOT_LEFT + 146, top + 18, f"process {kill['primary_pid']}", 12, self.palette.colour(kill["primary_pid"]), bold=True)
        silence = f"; first packet on the wire {first_us:,.0f} µs after the kill" if first_us is not None else ""
        drawing.text(PLOT_LEFT + 232, top + 18, f"goes on{silence}", 12)

        def x_of(when_ns):
            share = ((when_ns - at_ns) / 1e6 + before_ms) / (before_ms + after_ms)
            return PLOT_LEFT + share * (PLOT_RIGHT - PLOT_LEFT)

        packets = self.between(at_ns - before_ms * 1e6, at_ns + after_ms * 1e6)
        lanes = (top + 34, top + 34 + LANE + LANE_GAP)
        for lane, from_pair in zip(lanes, (True, False)):
            self._lane(lane, kill, first, packets, from_pair, x_of)
        self._axis(lanes[1] + LANE, x_of, at_ns, before_ms, after_ms)
        kill_x = x_of(at_ns)
        drawing.line(kill_x, lanes[0] - 6, kill_x, lanes[1] + LANE, RED, 1.6)
        self._zoom(top, kill, first_us)

    def _lane(self, top, kill, first, packets, from_pair, x_of):
        drawing, at_ns = self.drawing, kill["at_ns"]
        first_ns = first.at_ns if first else at_ns
        drawing.rectangle(PLOT_LEFT, top, x_of(at_ns) - PLOT_LEFT, LANE, self.palette.colour(kill["killed_pid"]), 0.07)
        drawing.rectangle(x_of(at_ns), top, min(x_of(first_ns), PLOT_RIGHT) - x_of(at_ns), LANE, RED, 0.16)
        if x_of(first_ns) < PLOT_RIGHT:
            drawing.rectangle(x_of(first_ns), top, PLOT_RIGHT - x_of(first_ns), LANE, self.palette.colour(kill["primary_pid"]), 0.07)
        names = ("tandem → " + self.peer, self.peer + " → tandem")
        drawing.text_up(MARGIN + 8, top + LANE / 2, names[0] if from_pair else names[1], 10.5, INK)

        data = [packet for packet in packets if packet.from_pair == from_pair and packet.payload]
        acks = [packet for packet in packets if packet.from_pair != from_pair and packet.flags & ACK]
        numbers = [number for packet in data for number in (packet.seq, packet.end)] + [packet.ack for packet in acks]
        if not numbers:
            drawing.text((PLOT_LEFT + PLOT_RIGHT) / 2, top + LANE / 2, "nothing sent in this time", 10.5, GREY, "middle")
            return
        low, high = min(numbers), max(max(numbers), min(numbers) + 1)

        def y_of(number):
            return top + LANE - 10 - (number - low) / (high - low) * (LANE - 22)

        for number in (low, high):
            drawing.line(PLOT_LEFT - 4, y_of(number), PLOT_LEFT, y_of(number), GREY, 0.8)
            drawing.text(PLOT_LEFT - 7, y_of(number) + 3.5, f"{number:,}", 9.5, GREY, "end")
        self._acknowledged(acks, x_of, y_of)
        for packet in data:
            x, colour = x_of(packet.at_ns), self.palette.colour(packet.pid) if from_pair else PEER_COLOUR
            low_y, high_y = y_of(packet.seq), y_of(packet.end)
            drawing.line(x, low_y, x, high_y, colour, 3)
            for y in (low_y, high_y):
                drawing.line(x - 3.5, y, x + 3.5, y, colour, 1.2)
        if from_pair and first and x_of(first.at_ns) < PLOT_RIGHT:
            x, y = x_of(first.at_ns), y_of(max(first.end, low)) - 5
            drawing.shape([(x - 5, y - 8), (x + 5, y - 8), (x, y)], self.palette.colour(first.pid))

    def _acknowledged(self, acks, x_of, y_of):
        """A step for each ACK, from it to the next, in its sender's colour."""
        previous = None
        for packet in acks:
            x, y = x_of(packet.at_ns), y_of(packet.ack)
            colour = self.palette.colour(packet.pid) if packet.from_pair else PEER_COLOUR
            if previous:
                self.drawing.path([previous[:2], (x, previous[1])], previous[2], 1.3)
                self.drawing.path([(x, previous[1]), (x, y)], colour, 1.3)
            self.drawing.circle(x, y, 2.2, "#ffffff", colour)
            previous = (x, y, colour)
        if previous:
            self.drawing.path([previous[:2], (PLOT_RIGHT, previous[1])], previous[2], 1.3)

    def _axis(self, y, x_of, at_ns, before_ms, after_ms):
        drawing = self.drawing
        drawing.line(PLOT_LEFT, y, PLOT_RIGHT, y, GREY, 0.8)
        step = before_ms // 4
        for tick in range(-before_ms, after_ms + 1, step):
            x = x_of(at_ns + tick * 1e6)
            drawing.line(x, y, x, y + 4, GREY, 0.8)
            words = "0" if tick == 0 else f"{tick:+d} ms".replace("-", "−")
            drawing.text(x, y + 16, words, 10, RED if tick == 0 else GREY, "middle", bold=tick == 0)

    def _zoom(self, top, kill, first_us):
        """The takeover in microseconds: a line with a label for each step."""
        drawing, steps = self.drawing, {name: value / 1000 for name, value in kill["since_kill_ns"].items()}
        marks = [(steps[name], title) for name, title in STEPS if name in steps]
        if first_us is not None:
            marks.append((first_us, "first packet on the wire"))
        answered = steps.get("peer_answered")
        span = max(at for at, _ in marks) * 1.12
        if answered is not None and answered < span * 2:
            marks.append((answered, "peer answered"))
            span = max(span, answered * 1.06)
        marks.sort(key=lambda mark: mark[0])

        def x_of(microseconds):
            return ZOOM_LEFT + microseconds / span * (ZOOM_RIGHT - ZOOM_LEFT)

        drawing.text(ZOOM_LEFT, top + 18, "the takeover, µs since the kill", 12, INK, bold=True)
        bar, colour = top + 40, self.palette.colour(kill["primary_pid"])
        drawing.rectangle(ZOOM_LEFT, bar, ZOOM_RIGHT - ZOOM_LEFT, 14, colour, 0.12)
        drawing.rectangle(ZOOM_LEFT, bar, x_of(steps["noticed"]) - ZOOM_LEFT, 14, RED, 0.25)
        drawing.rectangle(x_of(steps["noticed"]), bar, x_of(steps["adopted"]) - x_of(steps["noticed"]), 14, colour, 0.45)
        if first_us is not None:
            drawing.rectangle(x_of(first_us), bar, ZOOM_RIGHT - x_of(first_us), 14, colour)
        drawing.line(ZOOM_LEFT, bar - 12, ZOOM_LEFT, bar + 20, RED, 1.6)
        for packet in self.between(kill["at_ns"], kill["at_ns"] + span * 1000):
            x = x_of((packet.at_ns - kill["at_ns"]) / 1000)
            drawing.circle(x, bar - 7, 2.6, self.palette.colour(packet.pid) if packet.from_pair else PEER_COLOUR)
        # From the last to the first, each label a line lower.
        places = [(x_of(at), bar + 36 + line * 21, at, title) for line, (at, title) in enumerate(reversed(marks))]
        for x, y, _, title in places:
            is_first = title.startswith("first")
            drawing.line(x, bar - 3, x, y + 2, colour if is_first else GREY, 1.4 if is_first else 0.8)
        for x, y, at, title in places:
            left = x - ZOOM_LEFT < 150
            drawing.text(x + 5 if left else x - 5, y, f"{title}  {at:,.0f}", 11, INK, "start" if left else "end",
                         bold=title.startswith("first"), halo="#ffffff")
        if answered is not None and not any(title == "peer answered" for _, title in marks):
            drawing.text(ZOOM_RIGHT, bar + 36 + len(marks) * 21, f"peer answered  {answered:,.0f}  (its own pace)", 11, GREY, "end")
