"""Our agent beside others that tell of a guest, all in one Debian guest of the lab, over the same minutes.

python -m tests.bench.agent_peers [--processes 100,500] [--minutes 5] [--lab q]

Each is asked every 5 s: our agent by the controller, qemu-ga through libvirt, node_exporter over HTTP as by Prometheus;
collectd writes files. Needs root and gcc; the guest's image is built first if there is none.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from guest_agent import wire
from tests.bench.migrate import virsh
from tests.lab.pool import Pool, wait_for
from tests.lab.test_agent_port import Stream
from tests.lab.test_health import heard

VM = "peers"
PERIOD_S = 5.0
SETTLE_S = 45.0  # our agent looks at young processes more closely
OURS = "vmctl-agent"
UNITS = {
    OURS: "vmctl-agent",
    "qemu-ga": "qemu-guest-agent",
    "node_exporter": "prometheus-node-exporter",
    "node_exporter, processes and systemd on": "prometheus-node-exporter-all",
    "collectd": "collectd",
    "dbus-daemon, for all of them": "dbus",
}
SYSTEMD = "systemd (pid 1), for all of them"
EXPORTERS = {"node_exporter": 9100, "node_exporter, processes and systemd on": 9101}
SHARED = ("dbus-daemon, for all of them", SYSTEMD)  # whoever asks for services makes these work
QUIET_S = 60.0
DELTAS = 24
GUEST_AGENT_PORT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
QUESTIONS = (
    "guest-get-cpustats", "guest-get-memory-blocks", "guest-get-diskstats", "guest-get-fsinfo", "guest-get-vcpus",
    "guest-network-get-interfaces",
)  # fmt: skip
MEMORY = ("Rss", "Pss", "Private_Dirty")
# sleepers COUNT: so many processes; each tenth works for up to 8 ms of each second and keeps up to 1 MiB
SLEEPERS = r"""
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static double used_ms(void) { return clock() * 1e3 / CLOCKS_PER_SEC; }
static void work(void) {
    static char *kept; double until = used_ms() + rand() % 8; size_t size = 131072 + rand() % 1000000;
    free(kept); kept = malloc(size); memset(kept, 1, size);
    while (used_ms() < until);
}
int main(int argc, char **argv) {
    srand(getpid());
    if (!strcmp(argv[1], "busy")) for (;; sleep(1)) work();
    for (int i = 0; i < atoi(argv[1]); i++)
        if (!fork()) execl("/proc/self/exe", "sleeper", i % 10 ? "idle" : "busy", (char *)0);
    for (;;) sleep(3600);
}
"""


@dataclass(frozen=True)
class Reading:
    """One process at one moment."""

    at: float  # the guest's seconds since boot
    cpu_s: float  # with that of its children that have ended
    children_s: float
    memory: dict[str, int]  # KiB
    written: int  # bytes


@dataclass
class Asked:
    """What the answers were."""

    sizes: dict[str, list[int]] = field(default_factory=dict)
    packed: dict[str, list[int]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


class Bench:
    """The guest and how to reach it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.host = pool.vm(VM)["host"]
        self.address = pool.address(VM)

    def run(self, command: str) -> str:
        """In the guest."""
        return self.pool.ssh(self.address, command)

    def begin(self) -> None:
        """Everything runs."""
        wait_for(lambda: self.pool("health", VM, "-o", "json").json["processes"], 180, "our agent speaks")
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(GUEST_AGENT_PORT)
            file.flush()
            virsh(self.host, "attach-device", VM, file.name, "--live")
        units = " ".join(unit for name, unit in UNITS.items() if name != "qemu-ga")
        self.run(f"systemctl start {units}")
        wait_for(lambda: self.pids()["qemu-ga"], 60, "qemu-ga runs")

    def pids(self) -> dict[str, int]:
        """Whom we compare."""
        found = self.run(f"systemctl show --property=MainPID --value {' '.join(UNITS.values())}").split()
        return dict(zip(UNITS, map(int, found), strict=True)) | {SYSTEMD: 1}

    def read(self) -> dict[str, Reading]:
        """All of them now."""
        pids = self.pids()
        each = "cat /proc/uptime /proc/$pid/stat /proc/$pid/smaps_rollup /proc/$pid/io; echo ==;"
        texts = self.run(f"for pid in {' '.join(map(str, pids.values()))}; do {each} done").split("==\n")
        return {name: reading(text) for name, text in zip(pids, texts, strict=False)}

    # -- asking

    def ask(self, asked: Asked) -> None:
        """One round."""
        for name, port in EXPORTERS.items():
            request = urllib.request.Request(f"http://{self.address}:{port}/metrics")
            request.add_header("Accept-Encoding", "gzip")
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = answer.read()
            asked.packed.setdefault(name, []).append(len(body))
            asked.sizes.setdefault(name, []).append(len(gzip.decompress(body)))
        size = 0
        for question in QUESTIONS:
            try:
                size += len(virsh(self.host, "qemu-agent-command", VM, json.dumps({"execute": question})))
            except subprocess.CalledProcessError as err:
                asked.refused.add(f"{question}: {err.stderr.strip()[-80:]}")
        asked.sizes.setdefault("qemu-ga", []).append(size)

    def ask_for(self, seconds: float) -> Asked:
        """Every 5 s for so long."""
        asked, ends = Asked(), time.monotonic() + seconds
        while (began := time.monotonic()) < ends:
            self.ask(asked)
            time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began)))
        return asked

    def own_sizes(self) -> tuple[int, list[int]]:
        """Of our full picture and deltas, bytes on the port; the controller does not listen meanwhile."""
        stream = Stream(self.pool, VM)
        try:
            stream.say("hello", {})
            stream.wait("full", 60)
            for _ in range(DELTAS):
                stream.wait("delta", 60)
            sizes = {kind: [_size(one) for one in stream.got if one.type == kind] for kind in ("full", "delta")}
            return sizes["full"][-1], sizes["delta"]
        finally:
            stream.close()

    @contextmanager
    def sleepers(self, count: int) -> Iterator[int]:
        """So many more processes in the guest; gives how many there are, without the kernel's own."""
        self.run(f"systemd-run --quiet --unit=sleepers --property=TasksMax=infinity /root/sleepers {count}")
        time.sleep(SETTLE_S)
        try:
            yield int(self.run("ps --ppid 2 -p 2 --deselect -o pid= | wc -l"))
        finally:
            self.run("systemctl stop sleepers")


def _size(message: wire.Message) -> int:
    return sum(map(len, wire.encode(message.type, message.number, message.body)))


def reading(text: str) -> Reading:
    """From /proc/uptime, and a process's stat, smaps_rollup and io."""
    uptime, stat, rest = text.split("\n", 2)
    words = stat.rpartition(") ")[2].split()
    values = dict(line.split(":", 1) for line in rest.splitlines() if ":" in line and "rollup" not in line)
    return Reading(
        float(uptime.split()[0]),
        sum(map(int, words[11:15])) / 100,
        sum(map(int, words[13:15])) / 100,
        {key: int(values[key].split()[0]) for key in MEMORY},
        int(values["wchar"]),
    )


def share(start: Reading, end: Reading) -> float:
    """CPU used in between, % of one core."""
    return (end.cpu_s - start.cpu_s) / (end.at - start.at) * 100


def show(before: dict[str, Reading], after: dict[str, Reading], asked: Asked) -> None:
    """The table."""
    print("| | RSS KiB | PSS | private dirty | CPU, % of one core | bytes per 5 s |\n|---|---|---|---|---|---|")
    for name, end in after.items():
        start = before[name]
        seconds = end.at - start.at
        cpu = share(start, end)
        size = f"{(end.written - start.written) / seconds * PERIOD_S:.0f}" if name == "collectd" else ""
        if name in asked.sizes:
            size = f"{statistics.median(asked.sizes[name]):.0f}"
        if name in asked.packed:
            size = f"{size} ({statistics.median(asked.packed[name]):.0f} packed)"
        memory = " | ".join(f"{end.memory[key]}" for key in MEMORY)
        print(f"| {name} | {memory} | {cpu:.2f} | {size} |")
    print("at the start:", {name: start.memory["Rss"] for name, start in before.items()})
    for line in sorted(asked.refused):
        print(line)


def measure(bench: Bench, count: int, minutes: float) -> None:
    """All of them with so many processes."""
    with bench.sleepers(count) as there:
        heard(bench.pool, VM)
        before = bench.read()
        asked = bench.ask_for(minutes * 60)
        after = bench.read()
        time.sleep(QUIET_S)
        quiet = bench.read()
        print(f"\n{there} processes, {minutes:g} minutes")
        show(before, after, asked)
        alone = {name: f"{share(after[name], quiet[name]):.2f}" for name in (*SHARED, OURS, "collectd")}
        print("CPU while only our agent and collectd are at work:", alone)
        ours, seconds = (before[OURS], after[OURS]), after[OURS].at - before[OURS].at
        print(
            f"our agent's children (systemctl): {(ours[1].children_s - ours[0].children_s) / seconds:.2%} of one core"
        )
        full, deltas = bench.own_sizes()
        middle, mean = statistics.median(deltas), statistics.mean(deltas)
        print(f"our full picture {full} bytes, {len(deltas)} deltas {middle:.0f} (median), {mean:.0f} (mean)")


def install_sleepers(bench: Bench) -> None:
    """The program into the guest, with all it needs in it."""
    with tempfile.TemporaryDirectory() as place:
        source, program = Path(place) / "sleepers.c", Path(place) / "sleepers"
        source.write_text(SLEEPERS)
        subprocess.run(["gcc", "-O2", "-static", "-o", program, source], check=True)
        options = ["-i", str(bench.pool.key), "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
        target = f"root@{bench.address}:/root/sleepers"
        subprocess.run(["scp", "-q", *options, str(program), target], check=True)


def main() -> None:
    """A lab of our own, one guest, and nothing left of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", default="100,500")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--lab", default="q")
    given = parser.parse_args()
    pool = Pool(1, given.lab)
    try:
        pool.set_up()
        pool.image("debian-peers")
        with pool.vms(VM, image="debian-peers", memory="1G"):
            bench = Bench(pool)
            bench.begin()
            install_sleepers(bench)
            print("our agent, with nothing else there:", bench.read()[OURS].memory)
            for count in given.processes.split(","):
                measure(bench, int(count), given.minutes)
    finally:
        pool.close()


if __name__ == "__main__":
    main()
