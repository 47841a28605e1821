"""What watching costs: many simulated hosts, sampled over real SSH connections by one controller or by several.

    python -m tests.bench.cluster.hosts [--hosts 1000] [--vms 20] [--period 10] [--seconds 120] [--replicas 1,2,2c,4]
                                        [--seed 0] [--profile FILE]

Each controller is a process with the real member, watcher, links and loads (`replica.py`); the hosts are one process
more (`sshhosts.py`), whose CPU is none of ours. One way is measured after another, in an order that is drawn: a
registry in a file with one controller, and PostgreSQL with as many as are asked for (2c: two, with memcached). With
--profile nothing of the table is true: it tells what the time is spent on, in FILE.NAME for each controller.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.cluster.replica import Given
from tests.bench.cluster.simhosts import address_of, name_of, uuid_of
from tests.memcached import Memcached
from tests.postgres import QUIET, Postgres, running
from vmctl.hosts.ssh import ensure_key
from vmctl.model.records import HostRecord
from vmctl.store.opening import open_store

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
READY_S, SETTLE_PERIODS = 300.0, 3
CACHED = "c"  # at the end of a way
AIM_CPU, AIM_MIB, AIM_CAPACITY = 0.25, 500.0, 0.9


@dataclass(frozen=True)
class Asked:
    """What was given on the command line."""

    hosts: int
    vms: int
    period_s: float
    seconds: float
    seed: int
    profile: str


@dataclass(frozen=True)
class Row:
    """One controller of one way. Of one that does not lead nothing is known of ages."""

    way: str
    leads: bool
    held: int
    cpu: float  # of a core
    peak_mib: float
    mib: float
    samples_s: float
    garbage: float  # of a core, to collect it
    stood_s: float  # the longest time in which nothing else had its turn
    ages: dict[str, float]

    @property
    def each(self) -> float:
        """Part of a core for each host that it watches."""
        return self.cpu / self.held if self.held else 0.0


class Process:
    """A child that is told words and answers in lines."""

    def __init__(self, module: str, *words: str) -> None:
        command = [sys.executable, "-m", f"tests.bench.cluster.{module}", *words]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._child.pid

    def line(self) -> str:
        """What it says next."""
        assert self._child.stdout is not None
        said = self._child.stdout.readline()
        assert said, f"{self._child.args!r} has ended"
        return said

    def tell(self, word: str) -> None:
        """Say what it is to do."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n")
        self._child.stdin.flush()

    def ask(self, word: str) -> dict[str, Any]:
        """Say it, and wait for the answer."""
        self.tell(word)
        found: dict[str, Any] = json.loads(self.line())
        return found

    def end(self) -> None:
        """It ends with its input; one that does not is killed."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children, of which those that have ended count as well."""
    used = 0.0
    for folder in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(folder.name) == pid:
                used += sum(int(word) for word in words[11:15]) * TICK_S
            elif int(words[1]) == pid:
                used += sum(int(word) for word in words[11:13]) * TICK_S
    return used


def mib(pid: int, field: str) -> float:
    """MiB resident: VmRSS now, VmHWM at most."""
    words = Path(f"/proc/{pid}/status").read_text().partition(f"{field}:")[2].split()
    return int(words[0]) / 1024


async def register(dsn: str, folder: Path, asked: Asked, port: int, host_key: str) -> None:
    """Make the registry, with all hosts."""
    store = open_store(dsn, folder / "registry.db")
    for number in range(asked.hosts):
        about = {"host_uuid": uuid_of(number)}
        record = HostRecord(name_of(number), address_of(number), host_key, "bench", 1.0, port=port, about=about)
        await store.put(record)
    await store.close()


@contextlib.contextmanager
def caching(wanted: bool) -> Iterator[Memcached | None]:
    """A cache, or none."""
    if not wanted:
        yield None
        return
    made = Memcached()
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def processes(
    folder: Path, dsn: str, cache: str, replicas: int, asked: Asked
) -> Iterator[tuple[Process, list[Process]]]:
    """The hosts, and the controllers, which have not joined yet."""
    (folder / "client.pub").write_text(ensure_key(folder / "client") + "\n")
    (folder / "given.json").write_text(
        json.dumps(asdict(Given(dsn, asked.hosts, asked.vms, asked.period_s, cache=cache)))
    )
    with contextlib.ExitStack() as ends:
        server = Process("sshhosts", str(folder), str(asked.hosts), str(asked.vms), str(asked.seed))
        ends.callback(server.end)
        port, host_key = server.line().split(None, 1)
        asyncio.run(register(dsn, folder, asked, int(port), host_key.strip()))
        made = []
        for number in range(replicas):
            file = [f"{asked.profile}.ctl{number}"] if asked.profile else []
            made.append(Process("replica", str(folder), f"ctl{number}", *file))
            ends.callback(made[-1].end)
        yield server, made


def warm_up(made: list[Process], asked: Asked) -> float:
    """All join, the first one leads and acts; seconds until each host had a load there, and its ledger a keeper."""
    leads = [one.ask("join")["leads"] for one in made]
    assert leads == [True, *[False] * (len(made) - 1)], leads
    began = time.monotonic()
    made[0].ask("act")
    took_s = 0.0
    for one in made:
        while (told := one.ask("ready"))["ready"] < (asked.hosts if one is made[0] else told["held"]):
            took_s = time.monotonic() - began
            assert took_s < READY_S, f"{told} after {took_s:.0f} s"
            time.sleep(1.0)
    time.sleep(SETTLE_PERIODS * asked.period_s)
    return took_s


def measure(way: str, replicas: int, server: Postgres | None, asked: Asked) -> list[Row]:
    """One way, from its beginning to its end."""
    with tempfile.TemporaryDirectory() as name, caching(way.endswith(CACHED)) as kept:
        dsn = server.create(way.replace(" ", "")) if server is not None else ""
        cache = f"memcached://{kept.place}" if kept is not None else ""
        with processes(Path(name), dsn, cache, replicas, asked) as (ssh, made):
            took_s = warm_up(made, asked)
            servers = [one.process for one in (server, kept) if one is not None]
            others = [ssh.pid, *(one.pid for one in servers if one is not None)]
            pids = [*(one.pid for one in made), *others]
            stood_s = max(one.ask("begin")["stood"] for one in made)
            began, before = time.monotonic(), [cpu_s(pid) for pid in pids]
            time.sleep(asked.seconds)
            wall_s, after = time.monotonic() - began, [cpu_s(pid) for pid in pids]
            told = [one.ask("end") for one in made]
            used = [(late - early) / wall_s for early, late in zip(before, after, strict=True)]
            names = ("hosts", "database", "cache")
            rest = "  ".join(f"{what} {of:.3f}" for what, of in zip(names, used[len(made) :], strict=False))
            print(
                f"{way}: all had a load after {took_s:.0f} s, meanwhile an event loop stood still for {stood_s:.1f} s "
                f"at most; CPU of others, of a core: {rest}",
                flush=True,
            )
            return [
                row(way, number == 0, found, used[number], made[number].pid, wall_s)
                for number, found in enumerate(told)
            ]


def row(way: str, leads: bool, told: dict[str, Any], cpu: float, pid: int, wall_s: float) -> Row:
    """What one controller has used."""
    ages: dict[str, float] = {key: float(told[key]) for key in ("median", "p99", "most", "missed") if key in told}
    sizes = mib(pid, "VmHWM"), mib(pid, "VmRSS")
    return Row(
        way,
        leads,
        int(told["held"]),
        cpu,
        *sizes,
        told["samples"] / wall_s,
        told["cleaned"] / wall_s,
        told["stood"],
        ages,
    )


def table(rows: list[Row], asked: Asked) -> None:
    """All controllers, and what they cost beside the single one on PostgreSQL."""
    single = next((one for one in rows if one.way == "postgres x 1"), None)
    print(f"\n{asked.hosts} hosts of {asked.vms} VMs, a sample each {asked.period_s:g} s, {asked.seconds:g} s measured")
    print(
        "| way | | watches | core | of it garbage | ratio | ms of CPU a second for 1,000 watched | capacity "
        "| MiB, most (at the end) | samples/s | loop stood still, most | age median, p99, most | missed |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for one in rows:
        print(line(one, single))
    if single is not None:
        aims(rows, single, asked)


def line(one: Row, single: Row | None) -> str:
    """A controller's line of the table."""
    ages = ", ".join(f"{one.ages[key]:.1f}" for key in ("median", "p99", "most") if key in one.ages)
    ratio = f"{one.cpu / single.cpu:.2f}" if single is not None else ""
    capacity = f"{single.each / one.each:.2f}" if single is not None and one.each else ""
    return (
        f"| {one.way} | {'leads' if one.leads else ''} | {one.held} | {one.cpu:.3f} | {one.garbage:.3f} | "
        f"{ratio} | {one.each * 1e6:.0f} | {capacity} | {one.peak_mib:.0f} ({one.mib:.0f}) | "
        f"{one.samples_s:.1f} | {one.stood_s:.2f} s | {ages} | {one.ages.get('missed', 0):.0f} |"
    )


def aims(rows: list[Row], single: Row, asked: Asked) -> None:
    """What was aimed at, as it came out."""
    most_age_s = 1.2 * asked.period_s
    p99 = single.ages.get("p99", 0.0)
    told = [
        (f"{single.way}: {single.cpu:.3f} of a core (aim {AIM_CPU})", single.cpu <= AIM_CPU),
        (f"{single.way}: {single.peak_mib:.0f} MiB (aim {AIM_MIB:g})", single.peak_mib <= AIM_MIB),
        (f"{single.way}: p99 of the age {p99:.1f} s (aim {most_age_s:g})", p99 <= most_age_s),
    ]
    for way in sorted({one.way for one in rows if not one.leads}):
        follow = [one for one in rows if one.way == way and not one.leads]
        each = sum(one.cpu for one in follow) / max(1, sum(one.held for one in follow))
        part = single.each / each if each else 0.0
        text = f"{way}: capacity of one that does not lead {part:.2f} (aim {AIM_CAPACITY})"
        told.append((text, part >= AIM_CAPACITY))
    for text, met in told:
        print(f"  {'met   ' if met else 'MISSED'} {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (
        ("hosts", int, 1000), ("vms", int, 20), ("period", float, 10.0), ("seconds", float, 120.0), ("seed", int, 0)
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--replicas", default="1,2,4")
    parser.add_argument("--no-sqlite", action="store_true")
    parser.add_argument("--profile", default="")
    given = parser.parse_args()
    asked = Asked(given.hosts, given.vms, given.period, given.seconds, given.seed, given.profile)
    ways = [] if given.no_sqlite else [("SQLite", 1)]
    ways += [(f"postgres x {word}", int(word.rstrip(CACHED))) for word in given.replicas.split(",") if word]
    random.Random(given.seed).shuffle(ways)
    rows: list[Row] = []
    with running(QUIET) as server:
        for way, replicas in ways:
            try:
                found = measure(way, replicas, None if way == "SQLite" else server, asked)
                print(*(line(one, None) for one in found), sep="\n", flush=True)
                rows += found
            except AssertionError as err:
                print(f"{way}: not measured: {err}", flush=True)
    order = ["SQLite", *(f"postgres x {word}" for word in given.replicas.split(","))]
    table(sorted(rows, key=lambda one: (order.index(one.way), not one.leads)), asked)


if __name__ == "__main__":
    main()
