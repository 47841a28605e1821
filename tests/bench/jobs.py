"""A command on all hosts, and what one job costs, beside the usual ways. Needs root; see README.md.

    python -m tests.bench.jobs [--hosts 64] [--rounds 7] [--seed 0] [--part all,overhead] [--no-peers]

all: `vmctl run --all -- true` beside ansible's raw, parallel-ssh and ssh(1). overhead: `vmctl run --on HOST -- true`
beside `ssh HOST true`. The ways come in an order that is drawn anew in each round, against the same sshds.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.cluster.simhosts import name_of
from tests.bench.collect import PEERS, install_peers
from tests.bench.collect_worker import ansible_command, ssh_options
from tests.bench.jobs_hosts import VMCTL, Meters, all_sshds, controller, metered
from tests.bench.meter import Meter
from tests.hosts.sshd import PrivateSshd

LIMIT_S = 120.0
AFTER_S = 0.3  # what ends on the hosts, and in the controller, after a command, is counted, too
OVERHEAD_TIMES = 4  # as many rounds, as one command is quick
RUN_ALL, RUN_ONE, LIST, VERSION = "vmctl run --all", "vmctl run --on HOST", "vmctl list", "vmctl --version"
ANSIBLE, FRESH, KEPT = "ansible raw, connections kept", "parallel-ssh", "parallel-ssh, connections kept"
LOOP, XARGS, SSH = "ssh, one after the other", "ssh, xargs -P", "ssh HOST true"
AIM_ANSIBLE, AIM_CPU, AIM_OVERHEAD_MS = 5.0, 1.5, 60.0


@dataclass(frozen=True)
class Cost:
    """One time, in milliseconds: wall, and CPU of the command with all its processes, of the controller, of hosts."""

    wall: float
    client: float
    controller: float
    hosts: float
    rest: float = 0.0  # what the controller uses in that time when it has nothing to do

    @property
    def cpu(self) -> float:
        """All that it costs on this side."""
        return self.client + self.controller

    @property
    def job(self) -> float:
        """The same, without what the controller needs in that time to watch its hosts."""
        return self.cpu - self.rest


Way = Callable[[], None]
COLUMNS: dict[str, Callable[[Cost], float]] = {
    "wall ms": lambda one: one.wall,
    "CPU ms": lambda one: one.cpu,
    "of the controller": lambda one: one.controller,
    "of that at rest": lambda one: one.rest,
    "hosts' CPU ms": lambda one: one.hosts,
}


def command(words: Sequence[str], environment: dict[str, str], meter: Meter) -> Way:
    """A way that is one command, in that group from its first moment on; it must succeed."""
    inside = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(meter.path / "cgroup.procs"), *words]

    def once() -> None:
        done = subprocess.run(inside, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, (words[:6], done.returncode, (done.stdout + done.stderr)[-2000:])

    return once


def ssh_words(sshd: PrivateSshd, key: Path) -> list[str]:
    """`ssh HOST true`, without what a user's files may say."""
    return ["ssh", *ssh_options(str(key)), "-p", str(sshd.port), "root@127.0.0.1", "true"]


@contextmanager
def kept_connections(words: Sequence[str], meter: Meter) -> Iterator[Way]:
    """A way that is a program which stays: a line begins a round, a line ends it."""
    inside = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(meter.path / "cgroup.procs"), *words]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None and child.stdout is not None
        said, told = child.stdin, child.stdout

        def once() -> None:
            said.write("go\n")
            said.flush()
            assert told.readline() == "done\n"

        yield once
        said.close()


def peers(sshds: Sequence[PrivateSshd], home: Path, meter: Meter) -> dict[str, Way]:
    """Other ways to run `true` on all hosts."""
    programs, key = install_peers(), sshds[0].key
    (home / "ansible").mkdir()
    ports = [sshd.port for sshd in sshds]
    words, environment = ansible_command(programs / "ansible", home / "ansible", str(key), ports, "true")
    # Kept for as long as the bench takes: a first time, and its log-ins, are ansible's warm-up as the link is ours.
    environment["ANSIBLE_SSH_ARGS"] = environment["ANSIBLE_SSH_ARGS"].replace("Persist=30s", "Persist=3600s")
    each = [shlex.join(ssh_words(sshd, key)) for sshd in sshds]
    (home / "loop").write_text("set -e\n" + "\n".join(each) + "\n")
    (home / "lines").write_text("".join(f"{port}\n" for port in ports))
    one = shlex.join(["ssh", *ssh_options(str(key)), "root@127.0.0.1", "-p", "{}", "true"])
    many = f"xargs -P {len(ports)} -I {{}} {one} <{home}/lines"
    return {
        ANSIBLE: command(words, environment, meter),
        FRESH: command(parallel_ssh("once", sshds), dict(os.environ), meter),
        LOOP: command(["sh", str(home / "loop")], dict(os.environ), meter),
        XARGS: command(["sh", "-c", many], dict(os.environ), meter),
    }


def parallel_ssh(how: str, sshds: Sequence[PrivateSshd]) -> list[str]:
    """The words of parallel-ssh's part."""
    program = str(Path(__file__).with_name("jobs_parallel_ssh.py"))
    return [str(PEERS / "bin" / "python"), program, str(sshds[0].key), how, *(str(sshd.port) for sshd in sshds)]


def measure(ways: dict[str, Way], rounds: int, draw: random.Random, meters: Meters) -> dict[str, list[Cost]]:
    """All ways in each round, in an order that is drawn; the first round fills caches and is not counted."""
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(-1, rounds):
        for name in draw.sample(list(ways), len(ways)):
            cost = once(ways[name], meters)
            if number >= 0:
                found[name].append(cost)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return told_apart(found)


def told_apart(found: dict[str, list[Cost]]) -> dict[str, list[Cost]]:
    """While others are measured the controller is at rest: what it does then is not theirs, and tells what of its CPU
    at other times is no job's."""
    others = [one for name, costs in found.items() if not name.startswith("vmctl") for one in costs]
    lasted = sum(one.wall + 1000 * AFTER_S for one in others)
    rest = sum(one.controller for one in others) / lasted if others else 0.0
    return {
        name: [
            replace(one, rest=rest * (one.wall + 1000 * AFTER_S))
            if name.startswith("vmctl")
            else replace(one, controller=0.0)
            for one in costs
        ]
        for name, costs in found.items()
    }


def once(way: Way, meters: Meters) -> Cost:
    """One time."""
    every = (meters.client, meters.controller, meters.hosts)
    before, began = [one.cpu_s() for one in every], time.perf_counter()
    way()
    wall = time.perf_counter() - began
    time.sleep(AFTER_S)
    client, of_controller, hosts = (one.cpu_s() - early for one, early in zip(every, before, strict=True))
    return Cost(1000 * wall, 1000 * client, 1000 * of_controller, 1000 * hosts)


def table(found: dict[str, list[Cost]], title: str) -> None:
    """Medians, with the lowest and highest wall time, and ratios to ours."""
    first = next(iter(found))
    print(f"\n| {title} | {' | '.join(COLUMNS)} | wall x ours | CPU x ours |\n|---|{'---|' * (len(COLUMNS) + 2)}")
    for name, costs in found.items():
        numbers = [f"{median(costs, of):.0f}" for of in COLUMNS.values()]
        walls = [one.wall for one in costs]
        numbers[0] += f" ({min(walls):.0f}..{max(walls):.0f})"
        ratios = [
            f"{median(costs, of) / median(found[first], of):.2f}" for of in (COLUMNS["wall ms"], COLUMNS["CPU ms"])
        ]
        print(f"| {name} | {' | '.join(numbers + ratios)} |")


def median(costs: list[Cost], of: Callable[[Cost], float]) -> float:
    """Of all rounds."""
    return statistics.median(of(one) for one in costs)


def verdict(text: str, met: bool) -> None:
    """A goal, as it came out."""
    print(f"  {'met   ' if met else 'MISSED'} {text}", flush=True)


def run_on_all(
    sshds: Sequence[PrivateSshd], home: Path, ours: dict[str, str], meters: Meters, given: argparse.Namespace
) -> None:
    """The first part."""
    ways = {RUN_ALL: command([VMCTL, "run", "--all", "--", "true"], ours, meters.client)}
    draw = random.Random(given.seed)
    if not given.peers:
        table(measure(ways, given.rounds, draw, meters), f"{len(sshds)} hosts")
        return
    ways |= peers(sshds, home, meters.client)
    with kept_connections(parallel_ssh("kept", sshds), meters.client) as kept:
        found = measure(ways | {KEPT: kept}, given.rounds, draw, meters)
    table(found, f"{len(sshds)} hosts")
    wall, cpu = COLUMNS["wall ms"], COLUMNS["CPU ms"]
    faster = median(found[ANSIBLE], wall) / median(found[RUN_ALL], wall)
    verdict(f"{faster:.1f} x faster than ansible raw (goal {AIM_ANSIBLE:g})", faster >= AIM_ANSIBLE)
    dearer = median(found[RUN_ALL], cpu) / median(found[FRESH], cpu)
    alone = median(found[RUN_ALL], lambda one: one.job) / median(found[FRESH], cpu)
    text = f"{dearer:.2f} x the CPU of parallel-ssh, {alone:.2f} x without that at rest (goal {AIM_CPU:g})"
    verdict(text, dearer <= AIM_CPU)


def overhead(sshds: Sequence[PrivateSshd], ours: dict[str, str], meters: Meters, given: argparse.Namespace) -> None:
    """The second part."""
    ways = {
        RUN_ONE: command([VMCTL, "run", "--on", name_of(0), "--", "true"], ours, meters.client),
        SSH: command(ssh_words(sshds[0], sshds[0].key), dict(os.environ), meters.client),
        LIST: command([VMCTL, "list"], ours, meters.client),
        VERSION: command([VMCTL, "--version"], ours, meters.client),
    }
    found = measure(ways, OVERHEAD_TIMES * given.rounds, random.Random(given.seed), meters)
    table(found, "one host")
    more = median(found[RUN_ONE], COLUMNS["wall ms"]) - median(found[SSH], COLUMNS["wall ms"])
    verdict(f"{more:.0f} ms more than ssh (goal {AIM_OVERHEAD_MS:g})", more <= AIM_OVERHEAD_MS)


def main() -> None:
    """Hosts and a controller of our own, all ways by turns, and nothing left of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default=64, type=int)
    parser.add_argument("--rounds", default=7, type=int)
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--part", default="all,overhead", type=lambda text: text.split(","))
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmctl-bench-", ignore_cleanup_errors=True) as name, metered() as meters:
        home = Path(name)
        with (
            all_sshds(home, given.hosts, meters.hosts) as sshds,
            controller(home / "controller", sshds, meters.controller) as ours,
        ):
            print(f"{given.hosts} hosts, load {os.getloadavg()[0]:.1f}", flush=True)
            if "all" in given.part:
                run_on_all(sshds, home, ours, meters, given)
            if "overhead" in given.part:
                overhead(sshds, ours, meters, given)


if __name__ == "__main__":
    main()
