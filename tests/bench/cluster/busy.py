"""A whole controller of many hosts: at rest, and with a plan a minute and many requests a second beside.

    python -m tests.bench.cluster.busy [--hosts 1000] [--vms 20] [--period 10] [--seconds 180] [--requests 100]
                                       [--seed 0]

The controller is `vmctl serve` on PostgreSQL (`whole.py`); its hosts are one process more (`sshhosts.py`), sampled over
real SSH connections; libvirt is a stand-in, and nobody reads guests' ports. Requests come by its socket at fixed times,
whether those before were answered or not; each is as old, when it is answered, as it was since it was to be sent. Which
of the two ways comes first is drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import orm

from tests.bench.cluster.hosts import Process, cpu_s, mib
from tests.bench.cluster.replica import LATE
from tests.bench.cluster.simhosts import address_of, name_of, spec_of, uuid_of
from tests.cluster.replicas import wait_for
from tests.postgres import QUIET, Postgres, running
from vmctl.cli.client import UnixConnection
from vmctl.hosts.ssh import ensure_key
from vmctl.model.records import HostRecord, VMRecord
from vmctl.model.vms import PowerState
from vmctl.store import rows
from vmctl.store.opening import open_store
from vmctl.store.tables import HostRow, VMRow

READY_S, SETTLE_S, PATIENCE_S = 300.0, 90.0, 60.0
CLIENTS, PLAN_EVERY_S, LOOK_EVERY_S = 8, 60.0, 10.0
SETTINGS = 'database = "{dsn}"\nsample_period_s = {period_s}\nread_guests = false\n[api]\nrequests_per_s = 100000\n'


@dataclass
class Home:
    """A controller's folders, and what is asked there."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "s"

    def environment(self, vms: int) -> dict[str, str]:
        xdg = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        return os.environ | xdg | {"VMCTL_SOCKET": str(self.socket), "HOME": str(self.folder), "BENCH_VMS": str(vms)}

    def listens(self) -> bool:
        """Whether it does: the socket's file is there a moment before."""
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(self.socket))
            return True
        return False

    def get(self, path: str) -> Any:
        """What it answers; it must."""
        wire = UnixConnection(self.socket, PATIENCE_S)
        try:
            wire.request("GET", f"/api/v1/{path}")
            answer = wire.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return json.loads(body)
        finally:
            wire.close()


@dataclass
class Found:
    """What was seen of one way."""

    cpu: float = 0.0  # of a core
    peak_mib: float = 0.0
    ages: list[float] = field(default_factory=list)  # seconds
    missed: int = 0
    plans: list[float] = field(default_factory=list)  # seconds each took
    answers: list[float] = field(default_factory=list)  # seconds
    failed: list[str] = field(default_factory=list)


async def fill(dsn: str, asked: argparse.Namespace, port: int, host_key: str) -> None:
    """The registry: all hosts, and all VMs that they show."""
    store = open_store(dsn, Path("/none"))

    def write(db: orm.Session) -> None:
        for number in range(asked.hosts):
            about = {"host_uuid": uuid_of(number)}
            host = HostRecord(name_of(number), address_of(number), host_key, "bench", 1.0, port=port, about=about)
            db.add(rows.to_row(HostRow, host))
            for vm in range(asked.vms):
                spec = spec_of(uuid_of(number, vm), f"web{number}-{vm}")
                record = VMRecord(spec, 1.0, host=host.name, power=PowerState.RUNNING)
                there, files = {host.name: uuid_of(number)}, [disk.path for disk in spec.disks]
                db.add(rows.to_row(VMRow, replace(record, may_run_on=there, files=files)))

    await store.database.write(write)
    await store.close()


@contextmanager
def controller(server: Postgres, name: str, asked: argparse.Namespace) -> Iterator[tuple[Home, int]]:
    """One that has a load of every host; its process."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        home, dsn = Home(folder), server.create(name)
        (folder / "client.pub").write_text(ensure_key(folder / "client") + "\n")
        ssh = Process("sshhosts", str(folder), str(asked.hosts), str(asked.vms), str(asked.seed))
        ends.callback(ssh.end)
        port, host_key = ssh.line().split(None, 1)
        asyncio.run(fill(dsn, asked, int(port), host_key.strip()))
        for part in ("config/vmctl", "data/vmctl/ssh"):
            (folder / part).mkdir(parents=True, mode=0o700)
        shutil.copy(folder / "client", folder / "data" / "vmctl" / "ssh" / "id_ed25519")
        shutil.copy(folder / "client.pub", folder / "data" / "vmctl" / "ssh" / "id_ed25519.pub")
        (folder / "config" / "vmctl" / "vmctl.toml").write_text(SETTINGS.format(dsn=dsn, period_s=asked.period))
        command = [sys.executable, "-m", "tests.bench.cluster.whole", "serve"]
        with (folder / "log").open("w") as log:
            child = subprocess.Popen(command, env=home.environment(asked.vms), stdout=log, stderr=log)
        ends.callback(child.wait)
        ends.callback(child.kill)
        wait_for(home.listens, "it answers", READY_S)
        began = time.monotonic()
        wait_for(lambda: len(loads(home)) == asked.hosts, "all hosts have a load", READY_S)
        print(f"{name}: all hosts had a load after {time.monotonic() - began:.0f} s", flush=True)
        time.sleep(SETTLE_S)
        yield home, child.pid


def loads(home: Home) -> dict[str, float]:
    """How old each host's load is, in seconds."""
    time.sleep(0.5)
    return {host["name"]: host["load"]["age_s"] for host in home.get("hosts") if host["load"] is not None}


class Requests:
    """So many a second, of what people and programs ask for."""

    def __init__(self, home: Home, asked: argparse.Namespace, found: Found) -> None:
        self._home, self._asked, self._found = home, asked, found
        self._random, self._wires = random.Random(asked.seed), threading.local()

    def run(self, seconds: float) -> None:
        """All of them."""
        began, number = time.monotonic(), 0
        with ThreadPoolExecutor(CLIENTS) as clients:
            while (due := number / self._asked.requests) < seconds:
                time.sleep(max(0.0, began + due - time.monotonic()))
                clients.submit(self._one, began + due, self._path())
                number += 1

    def _path(self) -> str:
        host, vm = self._random.randrange(self._asked.hosts), self._random.randrange(self._asked.vms)
        kinds = ("vms?limit=100", f"vms/web{host}-{vm}", f"hosts/{name_of(host)}", "tasks", "events")
        return str(self._random.choices(kinds, (40, 30, 20, 5, 5))[0])

    def _one(self, due: float, path: str) -> None:
        wire = getattr(self._wires, "one", None) or UnixConnection(self._home.socket, PATIENCE_S)
        self._wires.one = wire
        try:
            wire.request("GET", f"/api/v1/{path}")
            answer = wire.getresponse()
            body = answer.read()
            if answer.status != 200:
                self._found.failed.append(f"{answer.status} {path} {body[:200]!r}")
        except (OSError, http.client.HTTPException) as err:
            self._found.failed.append(f"{path}: {err!r}")
            wire.close()
        self._found.answers.append(time.monotonic() - due)


def plans(home: Home, until: float, found: Found) -> None:
    """One a minute."""
    while (began := time.monotonic()) < until:
        home.get("rebalance")
        found.plans.append(time.monotonic() - began)
        time.sleep(max(0.0, min(until, began + PLAN_EVERY_S) - time.monotonic()))


def watch(home: Home, until: float, found: Found, late_s: float) -> None:
    """How old the loads are."""
    before: set[str] = set()
    while time.monotonic() < until:
        now = loads(home)
        late = {name for name, age_s in now.items() if age_s > late_s}
        found.ages += now.values()
        found.missed += len(late - before)
        before = late
        time.sleep(LOOK_EVERY_S)


def measure(way: str, server: Postgres, asked: argparse.Namespace) -> Found:
    """One way, from its beginning to its end."""
    found = Found()
    with controller(server, way, asked) as (home, pid), ThreadPoolExecutor(3) as beside:
        began, before = time.monotonic(), cpu_s(pid)
        until = began + asked.seconds
        work = [beside.submit(watch, home, until, found, LATE * asked.period)]
        if way == "busy":
            work.append(beside.submit(plans, home, until, found))
            work.append(beside.submit(Requests(home, asked, found).run, asked.seconds))
        for one in work:
            one.result()
        found.cpu = (cpu_s(pid) - before) / (time.monotonic() - began)
        found.peak_mib = mib(pid, "VmHWM")
    return found


def part(values: list[float], of: float) -> float:
    """That part of them is not above it."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(of * len(ordered)))] if ordered else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (
        ("hosts", int, 1000), ("vms", int, 20), ("period", float, 10.0), ("seconds", float, 180.0),
        ("requests", float, 100.0), ("seed", int, 0),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, default=default)
    asked = parser.parse_args()
    ways = ["quiet", "busy"]
    random.Random(asked.seed).shuffle(ways)
    with running(QUIET) as server:
        found = {way: measure(way, server, asked) for way in ways}
    print(
        "\n| way | core | MiB, most | age of loads p50, p99, most | missed | requests | failed | ms p50, p99 | plans |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for way, one in sorted(found.items(), reverse=True):
        ages = ", ".join(f"{part(one.ages, of):.1f}" for of in (0.5, 0.99, 1.0))
        answers = ", ".join(f"{1000 * part(one.answers, of):.0f}" for of in (0.5, 0.99))
        took = ", ".join(f"{took:.1f}" for took in one.plans)
        print(
            f"| {way} | {one.cpu:.3f} | {one.peak_mib:.0f} | {ages} s | {one.missed} | {len(one.answers)} | "
            f"{len(one.failed)} | {answers} | {took} s |"
        )
        print(*one.failed[:3], sep="\n", end="")


if __name__ == "__main__":
    main()
