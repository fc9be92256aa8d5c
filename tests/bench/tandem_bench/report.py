# SPDX-License-Identifier: BSD-3-Clause
"""Figures, tables, and how they are printed: on the terminal, as Markdown and as JSON."""

import json
import os
import platform
import subprocess
import time

from .statistics import median, median_interval, quantile, verdict_of_interval, verdict_of_value

#: A level that a figure is held against: which number of it, and which way.
NOT_HELD = "-"


def shown(value, unit=""):
    """A number with as many digits as say something."""
    if value is None:
        return "none"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    if unit == "ratio":
        digits = 3
    return f"{value:.{digits}f}"


class Figure:
    """One line of a table."""

    def __init__(self, name, unit, measured, numbers, required=None, goal=None, verdicts=None, samples=None):
        self.name = name
        self.unit = unit
        self.measured = measured
        self.numbers = numbers
        self.required = required or NOT_HELD
        self.goal = goal or NOT_HELD
        self.verdicts = verdicts or {}
        self.samples = samples

    def verdict(self):
        if not self.verdicts:
            return NOT_HELD
        return ", ".join(f"{level} {verdict}" for level, verdict in self.verdicts.items())

    def as_json(self):
        return {"name": self.name, "unit": self.unit, **self.numbers, "required": self.required, "goal": self.goal,
                "verdicts": self.verdicts, "samples": self.samples}


def _levels(required, goal):
    return [(name, level) for name, level in (("required", required), ("goal", goal)) if level is not None]


def distribution(name, unit, samples, required=None, goal=None, held="p50"):
    """p50, p99 and max of what was measured. The levels are for one of them, `held`."""
    if not samples:
        return Figure(name, unit, "no sample", {"count": 0}, verdicts={key: "not shown" for key, _ in _levels(required, goal)})
    numbers = {"count": len(samples), "p50": quantile(samples, 0.5), "p99": quantile(samples, 0.99), "max": max(samples)}
    measured = (f"p50 {shown(numbers['p50'])}, p99 {shown(numbers['p99'])}, max {shown(numbers['max'])} {unit} "
                f"({len(samples)})")
    verdicts = {key: verdict_of_value(numbers[held], level) for key, level in _levels(required, goal)}
    texts = {key: f"{held} <= {shown(level)} {unit}" for key, level in _levels(required, goal)}
    return Figure(name, unit, measured, numbers, texts.get("required"), texts.get("goal"), verdicts, samples)


def paired(name, unit, values, required=None, goal=None, at_most=True, allowance_from=0):
    """The median of paired values with its interval. What a level allows is its distance from `allowance_from`."""
    if not values:
        return Figure(name, unit, "no pair", {"count": 0}, verdicts={key: "not shown" for key, _ in _levels(required, goal)})
    interval = median_interval(values)
    numbers = {"count": len(values), "median": median(values), "interval": interval}
    text = f"[{shown(interval[0], unit)}, {shown(interval[1], unit)}]" if interval else "[too few pairs for an interval]"
    measured = f"{shown(numbers['median'], unit)} {text} {'' if unit == 'ratio' else unit + ' '}({len(values)} pairs)"
    sign = "<=" if at_most else ">="
    verdicts = {key: verdict_of_interval(interval, level, at_most, abs(level - allowance_from))
                for key, level in _levels(required, goal)}
    texts = {key: f"{sign} {shown(level, unit)}{'' if unit == 'ratio' else ' ' + unit}" for key, level in _levels(required, goal)}
    return Figure(name, unit, measured, numbers, texts.get("required"), texts.get("goal"), verdicts, values)


def count(name, value, required=None, unit="", observed=True):
    """A number that was counted, over everything that the rows above it describe. `observed`: there was something to count in."""
    verdicts = {"required": verdict_of_value(value, required) if observed else "not shown"} if required is not None else {}
    return Figure(name, unit, f"{shown(value)} {unit}".strip(), {"value": value},
                  shown(required) if required is not None else None, None, verdicts)


class Table:
    """A table with its method, filled while it is measured, so that what was measured is there when the rest fails."""

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.method = []
        self.sections = []
        self.failures = []
        self.seconds = None
        self.load = None

    def section(self, title, *method):
        self.sections.append((title, list(method), []))

    def add(self, *figures):
        self.sections[-1][2].extend(figures)

    def fail(self, text):
        self.failures.append(text)

    def columns(self):
        head = ("figure", "measured", "required", "goal", "verdict")
        for title, method, figures in self.sections:
            yield title, method, [head] + [(f.name, f.measured, f.required, f.goal, f.verdict()) for f in figures]

    def as_text(self):
        lines = [f"== {self.name}: {self.title}"] + [f"   {line}" for line in self.method]
        for title, method, rows in self.columns():
            lines += ["", f"-- {title}"] + [f"   {line}" for line in method]
            widths = [max(len(row[i]) for row in rows) for i in range(5)]
            lines += ["   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        lines += ["", self._footer()] + [f"   FAILED: {text}" for text in self.failures]
        return "\n".join(lines)

    def as_markdown(self):
        lines = [f"## {self.name}: {self.title}", ""] + [f"- {line}" for line in self.method]
        for title, method, rows in self.columns():
            lines += ["", f"### {title}", ""] + [f"- {line}" for line in method] + ([""] if method else [])
            lines += ["| " + " | ".join(rows[0]) + " |", "| " + " | ".join("---" for _ in rows[0]) + " |"]
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows[1:]]
        lines += ["", self._footer().strip()]
        lines += ["", "**Failed:**", ""] + [f"- {text}" for text in self.failures] if self.failures else []
        return "\n".join(lines) + "\n"

    def _footer(self):
        took = "was not run to its end" if self.seconds is None else f"took {self.seconds:.0f} s"
        return f"   The table {took}; runnable processes of the machine, average of a minute, before and after: {self.load}."

    def as_json(self):
        return {"name": self.name, "title": self.title, "method": self.method, "seconds": self.seconds, "load": self.load,
                "failures": self.failures,
                "sections": [{"title": title, "method": method, "figures": [figure.as_json() for figure in figures]}
                             for title, method, figures in self.sections]}


def machine(root):
    """What a reader has to know of the machine."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    commit = subprocess.run(["git", "-c", f"safe.directory={root}", "-C", root, "describe", "--always", "--dirty"],
                            capture_output=True, text=True, check=False).stdout.strip()
    return {"processors": sorted(os.sched_getaffinity(0)), "model": model, "kernel": platform.release(),
            "commit": commit or "unknown", "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def write(directory, facts, tables):
    """Returns the paths of the Markdown and of the JSON report."""
    os.makedirs(directory, exist_ok=True)
    markdown = os.path.join(directory, "report.md")
    with open(markdown, "w", encoding="utf-8") as file:
        file.write("# Figures\n\n")
        file.write(f"{len(facts['processors'])} processors ({facts['model']}), kernel {facts['kernel']}, commit "
                   f"{facts['commit']}, {facts['when']}; arguments: {facts['arguments'] or 'none'}.\n\n"
                   "A distribution is p50, p99 and max by nearest rank, with the number of samples behind it. A paired figure is the "
                   "median with its 95 % interval by order statistics; where that interval is wider than what a level allows, the level "
                   "counts as not shown.\n\n")
        file.write("\n".join(table.as_markdown() for table in tables))
    data = os.path.join(directory, "report.json")
    with open(data, "w", encoding="utf-8") as file:
        json.dump({"machine": facts, "tables": [table.as_json() for table in tables]}, file, indent=1)
    return markdown, data
