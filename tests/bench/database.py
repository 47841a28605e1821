"""The registry in a file beside the registry in PostgreSQL: the same methods, by turns, both with every disk write.

No lab; needs a PostgreSQL server installed. See README.md.

python -m tests.bench.database [--rounds 15] [--vms 1000] [--at-once 16]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.postgres import QUIET, running
from tests.store.test_ledger import changes, life
from vmctl.ledger import Changes
from vmctl.model.audit import Entry
from vmctl.model.records import Event, HostRecord, LoadMean, Task, VMRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.store.opening import open_store
from vmctl.store.sql import SqlStore

Ask = Callable[[SqlStore, int], Awaitable[Any]]


async def fill(store: SqlStore, vms: int) -> None:
    """Hosts and VMs."""
    for number in range(20):
        await store.put(HostRecord(f"kvm{number}", f"10.0.0.{number}", "k", "f", 1.0))
    for number in range(vms):
        spec = Spec(f"u{number:05}", f"web{number:05}", 2, 2048)
        await store.add_vm(VMRecord(spec, 1.0, host=f"kvm{number % 20}", power=PowerState.RUNNING))


async def _accept(store: SqlStore, number: int) -> None:
    await store.accept(Task(0, "stop", "x", 1.0, who="anna"), Entry(1.0, "anna", "stop", "x", "accepted"))


async def _lease(store: SqlStore, number: int) -> None:
    vm = await store.vm(f"web{number % 100:05}")
    await store.lease(vm, vm.host, PowerState.RUNNING, told=[Event("moved", vm.name, "m", 2.0)])


async def _lives(store: SqlStore, number: int) -> None:
    some = [life(1000 + n + 2000 * (number % 5), cpu=0.1 * number) for n in range(2000)]
    await store.ledger.write(changes(*some) if number % 5 else Changes(lives={one.incarnation: one for one in some}))


async def _means(store: SqlStore, number: int) -> None:
    await store.add_means([LoadMean(f"vm/u{n:05}", 60, 60.0 * number, {"cpu": 0.5, "mem": 0.5}) for n in range(1000)])


# What is asked, and how often in one go
WAYS: dict[str, tuple[Ask, int]] = {
    "a record by its key": (lambda store, n: store.find(HostRecord, f"kvm{n % 20}"), 100),
    "all hosts, VMs and storages": (lambda store, n: store.inventory(), 3),
    "a command accepted, with its audit": (_accept, 50),
    "a lease, with its event": (_lease, 50),
    "1,000 means": (_means, 2),
    "2,000 lives of processes": (_lives, 2),
}


async def measure(store: SqlStore, ask: Ask, count: int, at_once: int, first: int) -> tuple[float, float]:
    """Milliseconds of wall and of our CPU for each; `at_once` at a time."""
    began, cpu = time.perf_counter(), time.process_time()
    for some in range(0, count, at_once):
        await asyncio.gather(*(ask(store, first + n) for n in range(some, min(count, some + at_once))))
    return (time.perf_counter() - began) / count * 1e3, (time.process_time() - cpu) / count * 1e3


async def rounds(stores: dict[str, SqlStore], args: argparse.Namespace, draw: random.Random) -> dict[Any, list[Any]]:
    """All ways on all stores, in an order that is drawn anew each time."""
    found: dict[Any, list[Any]] = {}
    for number in range(args.rounds + 1):
        tries = [(way, where, many) for way in WAYS for where in stores for many in (1, args.at_once)]
        draw.shuffle(tries)
        for way, where, many in tries:
            ask, count = WAYS[way]
            took = await measure(stores[where], ask, count, many, number * 1000)
            if number:  # the first one warms up
                found.setdefault((way, many, where), []).append(took)
    return found


async def main(args: argparse.Namespace) -> None:
    """Both, side by side."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}; medians of {args.rounds} rounds, ms for each: wall (our CPU)")
    with tempfile.TemporaryDirectory() as folder, running(QUIET) as server:
        stores = {
            "SQLite": open_store("", Path(folder) / "registry.db"),
            "PostgreSQL": open_store(server.create("bench"), Path("/none")),
        }
        for store in stores.values():
            await fill(store, args.vms)
        found = await rounds(stores, args, random.Random(seed))
        for way in WAYS:
            for many in (1, args.at_once):
                told = {}
                for where in stores:
                    wall, cpu = zip(*found[way, many, where], strict=True)
                    told[where] = statistics.median(wall), statistics.median(cpu)
                texts = [f"{where} {wall:.2f} ({cpu:.2f})" for where, (wall, cpu) in told.items()]
                ratio = told["PostgreSQL"][0] / told["SQLite"][0]
                print(f"{way}, {many} at once: {', '.join(texts)}: {ratio:.2f} x")
        for store in stores.values():
            await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--vms", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    asyncio.run(main(parser.parse_args()))
