# SPDX-License-Identifier: BSD-3-Clause
"""What is run in a guest, and what has to come of it: which steps, the kernel's version decides."""

import glob
import json
import os

KILLS = 5

#: What README asks for at the least.
DEBIANS_OWN = (6, 1)
#: Two processes can map the rings of one AF_XDP socket.
XDP_TAKEOVER = (6, 4)
#: io_uring waits for a futex.
FUTEX_WAIT = (6, 7)
#: The driver virtio_net has zero copy.
VIRTIO_ZERO_COPY = (6, 13)


class Step:
    """A command for the guest. `problem` tells what is wrong with how it went, or nothing."""

    def __init__(self, name, title, command, limit_s):
        self.name = name
        self.title = title
        self.command = command
        self.limit_s = limit_s

    def for_guest(self):
        return {"name": self.name, "command": self.command, "limit_s": self.limit_s}

    def log(self, results):
        try:
            with open(os.path.join(results, self.name + ".log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def problem(self, code, _results):
        if code is None:
            return f"not over within {self.limit_s} s"
        return "" if code == 0 else f"exit code {code}"


class Demo(Step):
    """The demonstration's kills, with BIRD as the peer."""

    def __init__(self, device, kernel):
        name = f"demo-{device}"
        # Where there is no choice, nobody has to know.
        self.falls_back = kernel.version < XDP_TAKEOVER
        choice = [] if self.falls_back else ["--device", device]
        super().__init__(name, f"a BGP session with BIRD survives {KILLS} SIGKILLs on {device.upper()}",
                         ["apps/demo/demo", *choice, "--peer", "bird", "--kills", str(KILLS), "--json",
                          f"/srv/{name}.json", "--picture", f"/srv/{name}.svg", "--keep", f"/srv/{name}"], 300)
        self.device = device
        self.waits_in_thread = kernel.version < FUTEX_WAIT

    def problem(self, code, results):
        problem = super().problem(code, results)
        if problem:
            return problem
        with open(os.path.join(results, self.name + ".json"), encoding="utf-8") as file:
            found = json.load(file)
        killed = {kill["killed_pid"] for kill in found["kills"]}
        if not found["ok"] or len(killed) != KILLS or found["device"] != self.device:
            return f"{len(killed)} processes were killed on {found['device']}, ok: {found['ok']}"
        if self.falls_back and "On a TAP device: AF_XDP takes Linux 6.4" not in self.log(results):
            return "it does not say why it runs on TAP"
        return self._problem_of_waiting(results)

    def _problem_of_waiting(self, results):
        """Each twin says what it waits with for the primary's end; which, the kernel decides."""
        logs = []
        for path in glob.glob(os.path.join(results, self.name, "tandem-*.log")):
            with open(path, encoding="utf-8", errors="replace") as file:
                logs.append("a thread waits for the primary's end" in file.read())
        # The first process was never a twin.
        expected = KILLS + 1 if self.waits_in_thread else 0
        if len(logs) != KILLS + 2 or sum(logs) != expected:
            return f"of {len(logs)} processes {sum(logs)} and not {expected} say that a thread waits for the primary's end"
        return ""


class DevSaysWhy(Step):
    def __init__(self, kernel):
        least = "AF_XDP takes Linux 6.4" if kernel.version >= DEBIANS_OWN else "programs on Tandem need Linux 6.1"
        super().__init__("dev-demo", f"./dev demo --device xdp says before it builds: {least}", ["./dev", "demo", "--device", "xdp"], 60)
        self.least = least

    def problem(self, code, results):
        # 3: the machine is not what it takes (toolchain/dev.d/setup.sh).
        return "" if code == 3 and self.least in self.log(results) else f"exit code {code}, or other words"


def steps_for(kernel, is_given):
    """The steps, and what is not run on this kernel, with the reason: ([Step], [text])."""
    steps, left_out = [Demo("tap", kernel)], []
    if kernel.version >= XDP_TAKEOVER:
        steps.append(Demo("xdp", kernel))
    else:
        steps += [DevSaysWhy(kernel), Step("xdp-refused", "AF_XDP ends with code 69, says that it takes Linux 6.4, and leaves the interface alone",
                                     ["python3", "tests/guest/xdp_refused.py"], 200)]
        left_out.append(f"AF_XDP takeover: not run (Linux 6.4 has it, this is {kernel.release}; give a newer one: --kernel FILE)")
    if kernel.version >= VIRTIO_ZERO_COPY:
        steps.append(Step("virtio-net", "streams over virtio-net with zero copy survive the kills of who holds the rings",
                          ["python3", "tests/guest/virtio_net.py"], 300))
    else:
        given = "this is" if is_given else "Debian's own is"
        left_out.append(f"virtio-net zero copy: not run (the driver has it from Linux 6.13 on, {given} {kernel.release}; give a kernel that "
                        "has it, with its modules beside it or in --modules DIR: --kernel FILE)")
    return steps, left_out
