"""Migrating, starting and seeing, beside virsh: the same VM, hosts and lab, by turns. Needs root; see README.md.

python -m tests.bench.migrate [--rounds 20] [--seed N] [--part migrate,start,events] [--memory 512M] [--lab b]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt

from tests.lab.pool import Pool, wait_for
from vmctl import lab
from vmctl.cli.client import Client
from vmctl.commands.tasks import FollowTask, ListTasks
from vmctl.commands.vms import ShowVM, Start
from vmctl.hosts import domainxml
from vmctl.lab import host as lab_host
from vmctl.lab import names

VM = "bench"
VMCTL = Path(sys.executable).with_name("vmctl")
KILL_QUANTUM_MS = 200.0  # libvirt's sleep while it waits for the source's QEMU to go
LOOK_EVERY_S = 0.005
Rows = dict[str, list[dict[str, float]]]


def uri(host: str) -> str:
    """The host's libvirtd by its own socket, past the network."""
    first = lab_host.pid(names.current().find(host))
    return f"qemu+unix:///system?socket=/proc/{first}/root/run/libvirt/libvirt-sock"


def virsh(host: str, *words: str) -> str:
    """Run virsh from this machine; it must succeed."""
    return subprocess.run(["virsh", "-q", "-c", uri(host), *words], capture_output=True, text=True, check=True).stdout


def timed(call: Callable[[], Any]) -> float:
    """Milliseconds that a call took."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def environment() -> dict[str, str]:
    """Ours, but Python may keep its bytecode, as it does on a user's machine."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(Path.home() / ".cache" / "vmctl" / "bench-pycache")}


def vmctl(*words: str) -> None:
    """Run the installed program, as a user does."""
    subprocess.run([VMCTL, *words], capture_output=True, check=True, env=environment())


def seen() -> dict[str, Any]:
    """The VM as the API shows it."""
    found: dict[str, Any] = Client(autostart=False).ask(ShowVM(VM))
    return found


def wait_seen(**wanted: str) -> None:
    """Wait until the API shows these values and no task holds the VM."""
    wait_for(lambda: (vm := seen())["task"] is None and all(vm[k] == v for k, v in wanted.items()), 60, str(wanted))


def last_task(kind: str) -> dict[str, Any]:
    """The newest ended task of a kind."""
    tasks = [task for task in Client(autostart=False).ask(ListTasks()) if task["kind"] == kind and task["ended_at"]]
    return max(tasks, key=lambda task: int(task["id"]))


def task_ms(kind: str) -> float:
    """created_at to ended_at of the newest task of a kind."""
    newest = last_task(kind)
    return float(newest["ended_at"] - newest["created_at"]) * 1000


def median(rows: list[dict[str, float]], column: str) -> float:
    """The median of one column; NaN for a column that these rows lack."""
    values = [row[column] for row in rows if column in row]
    return statistics.median(values) if values else float("nan")


def show(title: str, rows: Rows) -> None:
    """Medians (and lowest..highest) per way and column."""
    print(f"\n{title} ({max(map(len, rows.values()))} rounds, medians, ms; lowest..highest)")
    columns = list(dict.fromkeys(column for some in rows.values() for row in some for column in row))
    for way, some in rows.items():
        cells = []
        for column in columns:
            values = [row[column] for row in some if column in row]
            if values:
                cells.append(f"{column} {statistics.median(values):.0f} ({min(values):.0f}..{max(values):.0f})")
        print(f"  {way:24} " + "   ".join(cells))


def goal(name: str, value: float, limit: float, unit: str = "") -> None:
    """One goal, as it came out."""
    print(f"  {name}: {value:.3g}{unit} (goal {limit:g}{unit})", "met" if value <= limit else "NOT met")


# -- migrating


def completed(host: str) -> dict[str, float]:
    """libvirt's own figures of the last migration, read where the VM arrived (reading clears them)."""
    stats = {}
    for line in virsh(host, "domjobinfo", VM, "--completed").splitlines():
        key, _, value = line.partition(":")
        if key in ("Time elapsed", "Total downtime"):
            stats["elapsed" if key == "Time elapsed" else "downtime"] = float(value.split()[0])
    return stats


def by_vmctl(source: str, target: str) -> dict[str, float]:
    """`vmctl migrate`, as a user types it; the task's own time is the API's."""
    wall = timed(lambda: vmctl("migrate", VM, "--to", target))
    result = last_task("migrate")["result"]  # it has libvirt's figures, read on the target as well
    return {
        "wall": wall,
        "task": task_ms("migrate"),
        "elapsed": result["libvirt_ms"],
        "downtime": result["downtime_ms"],
    }


def by_virsh(source: str, target: str, address: str) -> dict[str, float]:
    """The same move by virsh, managed direct, with the flags that vmctl gives."""
    words = ("migrate", "--live", "--unsafe", "--auto-converge", "--abort-on-error", VM, uri(target))
    wall = timed(lambda: virsh(source, *words, "--migrateuri", f"tcp://{address}"))
    found = {"wall": wall} | completed(target)
    wait_seen(host=target, power="running")
    return found


def migrating(pool: Pool, rounds: int, draw: random.Random) -> None:
    """C1 and C2. Which way comes first in a round, and in which direction, is drawn.

    Two that alternate on two hosts would each always go in one direction, and share whatever alternates with it.
    """
    addresses = {one.name: one.address for one in lab.status().hosts}
    ways: dict[str, Callable[[str, str], dict[str, float]]] = {
        "vmctl migrate": by_vmctl,
        "virsh migrate": lambda source, target: by_virsh(source, target, addresses[target]),
    }
    rows: Rows = {way: [] for way in ways}
    directions: Rows = {}
    for number in range(-1, rounds):  # the first round of each warms up and is not counted
        for way in draw.sample(list(ways), len(ways)):
            if draw.random() < 0.5:
                go_over(pool, addresses)
            source, target = here_and_there(pool)
            found = ways[way](source, target)
            if "task" in found:
                found["own share"] = found["task"] - found["elapsed"] - KILL_QUANTUM_MS
                found["added by the task"] = found["task"] - found["elapsed"]
            found["added"] = found["wall"] - found["elapsed"]
            if number >= 0:
                rows[way].append(found)
                kept = {key: found[key] for key in ("elapsed", "downtime", "added")}
                directions.setdefault(f"{way}, {source} -> {target}", []).append(kept)
            time.sleep(1.0)
    show("live migration", rows)
    show("the same by direction", dict(sorted(directions.items())))
    ours, theirs = rows["vmctl migrate"], rows["virsh migrate"]
    virsh_adds = median(theirs, "added")
    goal("C1 added by the task / by virsh", median(ours, "added by the task") / virsh_adds, 1.10)
    goal("C1 own share (task - libvirt - 200 ms)", median(ours, "own share"), 50, " ms")
    goal(
        "C1 added by the command beyond the task", median(ours, "added") - median(ours, "added by the task"), 80, " ms"
    )
    goal("C2 downtime: vmctl / virsh", median(ours, "downtime") / median(theirs, "downtime"), 1.05)


def here_and_there(pool: Pool) -> tuple[str, str]:
    """The VM's host, and the other one."""
    source = seen()["host"]
    return source, next(host for host in pool.hosts if host != source)


def go_over(pool: Pool, addresses: dict[str, str]) -> None:
    """A move that is not counted, so that the next one has the other direction."""
    source, target = here_and_there(pool)
    by_virsh(source, target, addresses[target])
    time.sleep(1.0)


# -- starting


def start_by_api(host: str) -> dict[str, float]:
    """POST start, then hear of the task until it has ended (asking every few ms would cost what is measured)."""
    client = Client(autostart=False)

    def call() -> None:
        task = client.ask(Start(VM, host))
        for _ in client.lines(FollowTask(task["id"])):
            pass

    return {"wall": timed(call), "task": task_ms("start")}


def start_by_command(host: str) -> dict[str, float]:
    """`vmctl start`."""
    return {"wall": timed(lambda: vmctl("start", VM, "--host", host)), "task": task_ms("start")}


def starting(pool: Pool, rounds: int, draw: random.Random) -> None:
    """E2."""
    host = pool.hosts[0]
    xml = plain_xml(seen()["host"])
    kept = libvirt.open(uri(host))
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(xml)
        file.flush()
        ways: dict[str, Callable[[], dict[str, float]]] = {
            "POST start": lambda: start_by_api(host),
            "createXML, connection kept": lambda: {"wall": timed(lambda: kept.createXML(xml, 0))},
            "vmctl start": lambda: start_by_command(host),
            "virsh create": lambda: {"wall": timed(lambda: virsh(host, "create", file.name))},
            "createXML, validating": lambda: {
                "wall": timed(lambda: kept.createXML(xml, libvirt.VIR_DOMAIN_START_VALIDATE))
            },
        }
        rows: Rows = {way: [] for way in ways}
        for number in range(-1, rounds):
            for way, start in draw.sample(list(ways.items()), len(ways)):
                end()
                time.sleep(0.5)
                found = start()
                if number >= 0:
                    rows[way].append(found)
                wait_seen(power="running")
                time.sleep(0.5)
    kept.close()
    show("starting", rows)
    create = median(rows["createXML, connection kept"], "wall")
    goal("E2 POST start -> running / createXML", median(rows["POST start"], "wall") / create, 1.05)
    goal("E2 the task alone / createXML", median(rows["POST start"], "task") / create, 1.05)
    validating = median(rows["createXML, validating"], "wall")
    goal(
        "E2 controller's share (task - createXML, validating)",
        median(rows["POST start"], "task") - validating,
        20,
        " ms",
    )
    goal("vmctl start / virsh create", median(rows["vmctl start"], "wall") / median(rows["virsh create"], "wall"), 1.05)


def end() -> None:
    """Pull the plug past vmctl, and wait until it knows."""
    vm = seen()
    if vm["power"] != "stopped":
        virsh(vm["host"], "destroy", VM)
    wait_seen(power="stopped")


def plain_xml(host: str) -> str:
    """The XML that vmctl starts the VM with."""
    found = domainxml.read(virsh(host, "dumpxml", VM))
    assert found.spec is not None
    return domainxml.build(found.spec, domainxml.Site(found.definition.accel, "/shared/lockspace"))


# -- seeing


class Events:
    """When libvirt told of the VM's lifecycle, by a callback on a connection of our own."""

    def __init__(self, host: str) -> None:
        self.at: float | None = None
        self._connection = libvirt.open(uri(host))
        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        self._number = self._connection.domainEventRegisterAny(None, kind, self._told, None)

    def _told(self, _conn: Any, _domain: Any, _event: int, _detail: int, _opaque: Any) -> None:
        if self.at is None:
            self.at = time.perf_counter()

    def close(self) -> None:
        """Stop listening."""
        self._connection.domainEventDeregisterAny(self._number)
        self._connection.close()


def event_loop() -> None:
    """libvirt's events, in a thread; before the first connection."""
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, daemon=True).start()


def seeing(rounds: int) -> None:
    """C3: from libvirt's event to the API's answer, for changes made past vmctl."""
    host = seen()["host"]
    xml = plain_xml(host)
    events = Events(host)
    rows: Rows = {"suspend -> paused": [], "resume -> running": [], "destroy -> stopped": []}
    try:
        for _ in range(rounds):
            for way in rows:
                verb, _, state = way.partition(" -> ")
                events.at = None
                doing = subprocess.Popen(["virsh", "-q", "-c", uri(host), verb, VM], stdout=subprocess.DEVNULL)
                while seen()["power"] != state:
                    time.sleep(LOOK_EVERY_S)
                now = time.perf_counter()
                doing.wait()
                wait_for(lambda: events.at is not None, 5, "libvirt's event")
                rows[way].append({"after the event": (now - (events.at or now)) * 1000})
                time.sleep(0.3)
            with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
                file.write(xml)
                file.flush()
                virsh(host, "create", file.name)
            wait_seen(power="running")
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            events.close()
    show("a change past vmctl, until GET /vms/NAME shows it", rows)
    for way, some in rows.items():
        goal(f"C3 {way}", median(some, "after the event"), 50, " ms")


def main() -> None:
    """A lab of our own, the parts, and nothing left of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", default=20, type=int)
    parser.add_argument("--seed", type=int, help="of the order and the directions")
    parser.add_argument("--part", default="migrate,start,events")
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--lab", default="b")
    given = parser.parse_args()
    event_loop()
    pool = Pool(2, given.lab)
    try:
        pool.set_up()
        pool.do("create", VM, "--image", "tiny", "--memory", given.memory)
        pool.counting(VM)
        time.sleep(5)  # the guest and vmctl's look at new processes come to rest
        if "migrate" in given.part:
            migrating(pool, given.rounds, random.Random(given.seed))
        if "start" in given.part:
            starting(pool, given.rounds, random.Random(given.seed))
        if "events" in given.part:
            seeing(given.rounds)
    finally:
        pool.close()


if __name__ == "__main__":
    main()
