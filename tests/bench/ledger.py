"""The ledger at size, by simulation: rows in, file, memory, queries. No root, no lab; see README.md.

python -m tests.bench.ledger [--vms 1000] [--processes 200] [--history 3]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from vmctl.ledger import Changes, Ledger, Life, Picture, ProcessSample
from vmctl.ledger.incarnations import Incarnations
from vmctl.model.policy import LedgerPolicy
from vmctl.model.records import VMRecord
from vmctl.model.vms import Spec
from vmctl.ports.store import Store
from vmctl.store.opening import open_store

PROGRAMS = ("systemd", "sshd", "cron", "rsyslogd", "agetty", "httpd", "java", "postgres", "python3", "kworker")
PERIOD_S = 5.0
CHANGED = 0.2  # the share of processes whose use is another one in each picture
random.seed(7)


def resident_mib() -> float:
    """Our resident memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def guest(vm: int, processes: int, began: float) -> list[ProcessSample]:
    """The processes of a VM: one in ten listens, all have a command line of their own kind."""
    found = []
    for number in range(processes):
        program = PROGRAMS[number % len(PROGRAMS)]
        ports = (1000 + number,) if number % 10 == 1 else ()
        command = f"/usr/sbin/{program} --config /etc/{program}/{program}.conf --instance {number}"
        started = int((began - 86400) * 1e6) + number * 10_000 + vm
        rss = 1000 + 37 * number
        found.append(
            ProcessSample(
                300 + number, 100 + number, started, 1, program, "1.0", command, "root", "S", 0.01, rss, 1, ports
            )
        )
    return found


def work(seen: list[ProcessSample]) -> list[ProcessSample]:
    """Some of them, with another use."""
    some = random.sample(range(len(seen)), int(len(seen) * CHANGED))
    for number in some:
        seen[number] = seen[number]._replace(cpu=random.random(), rss_kib=seen[number].rss_kib + 4)
    return [seen[number] for number in some]


async def timed(what: str, call: Callable[[], Awaitable[Any]], times: int = 15) -> None:
    """How long a query takes; the first time is told apart, for caches."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        found = await call()
        took.append((time.perf_counter() - began) * 1000)
    many = f"{len(found)} rows" if isinstance(found, list) else ""
    print(f"  {what:44} {statistics.median(took[1:]):8.1f} ms  (first {took[0]:.1f}, most {max(took):.1f})  {many}")


def feed(vms: int, processes: int) -> None:
    """Pictures in, without a store: CPU per process, and memory of ten minutes of samples."""
    now, before = time.time(), resident_mib()
    guests = {str(uuid.UUID(int=number)): guest(number, processes, now) for number in range(vms)}
    given = resident_mib()
    ledgers = {name: Ledger(name, LedgerPolicy()) for name in guests}
    began = time.process_time()
    for number, (name, seen) in enumerate(guests.items()):
        ledgers[name].full(Picture(0, f"b{number}", f"10.{number >> 8}.{number & 255}.7", now, 1000.0), seen)
    full_s = time.process_time() - began
    lives = vms * processes
    rounds, delta_s, told = 124, 0.0, 0
    for turn in range(1, rounds + 1):
        for number, (name, seen) in enumerate(guests.items()):
            changed = work(seen)
            told += len(changed)
            picture = Picture(0, f"b{number}", f"10.{number >> 8}.{number & 255}.7", now, 1000.0 + turn * PERIOD_S)
            began = time.process_time()
            ledgers[name].delta(picture, changed, [])
            ledgers[name].changes(picture.monotonic)
            delta_s += time.process_time() - began
    after = resident_mib()
    print(f"pictures of {vms} VMs with {processes} processes ({lives} live ones):")
    print(f"  first, full: {full_s / lives * 1e6:.1f} us of CPU per process")
    print(f"  then {rounds} deltas each, {CHANGED:.0%} changed: {delta_s / told * 1e6:.1f} us per changed process,")
    print(f"  that is {delta_s / rounds / PERIOD_S:.1%} of one core with a picture of all every {PERIOD_S:g} s")
    kept = (after - given) * (1 << 20) / lives
    print(
        f"  memory after 10 min: {after - given:.0f} MiB, {kept:.0f} bytes per process (pictures: {given - before:.0f})"
    )


async def store(path: Path, vms: int, processes: int, history: int) -> None:
    """Rows in, the file, and queries, with `history` ended lives for each live one."""
    registry = open_store("", path)
    names = [str(uuid.UUID(int=number)) for number in range(vms)]
    for number, name in enumerate(names):
        await registry.add_vm(VMRecord(Spec(name, f"vm{number}", 1, 512), 1.0))
    ledger, now = Incarnations(registry, LedgerPolicy()), time.time()
    guests = {name: guest(number, processes, now) for number, name in enumerate(names)}
    rows, began, used = 0, time.perf_counter(), time.process_time()
    for life in range(history + 1):
        for number, (name, seen) in enumerate(guests.items()):
            seen[:] = [one._replace(start_ticks=one.start_ticks + 1000, started_us=one.started_us + 5) for one in seen]
            for _ in range(2):
                ledger.guest_picture(name, f"b{number}", seen, ip=f"10.{number >> 8}.{number & 255}.7")
            rows += processes
            if number % 50 == 49:
                await ledger.flush()
        print(f"  generation {life}: {rows} rows, {time.perf_counter() - began:.0f} s", flush=True)
    await ledger.flush()
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"rows in: {rows} lives ({rows - vms * processes} of them ended) in {wall:.0f} s: {rows / wall:.0f} rows/s,")
    print(f"  {cpu / rows * 1e6:.0f} us of CPU each, pictures and the writing thread included")
    await again(ledger, registry, vms, processes)
    await registry.close()
    size = sum(file.stat().st_size for file in path.parent.iterdir())
    print(f"file: {size / (1 << 20):.0f} MiB, {size / rows:.0f} bytes per row with its indexes")
    await queries(path, names, guests)


async def again(ledger: Incarnations, registry: Store, vms: int, processes: int) -> None:
    """The round that writes what live ones use: all rows once."""
    valid = await registry.ledger.processes(valid=True, most=20_000)
    changes = Changes({life.of: 1.0 for life in valid}, {life.incarnation: life for life in valid})
    began, used = time.perf_counter(), time.process_time()
    await registry.ledger.write(changes)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    each = cpu / len(valid)
    share = each * vms * processes / LedgerPolicy().write_every_s
    print(
        f"written again: {len(valid) / wall:.0f} rows/s, {each * 1e6:.0f} us of CPU each: with all live ones changed,"
    )
    print(f"  every {LedgerPolicy().write_every_s:g} s, that is {share:.1%} of one core")


async def queries(path: Path, names: list[str], guests: dict[str, list[ProcessSample]]) -> None:
    """What commands ask, after a restart of the controller."""
    registry = open_store("", path)
    ledger = Incarnations(registry, LedgerPolicy())
    before, began = resident_mib(), time.perf_counter()
    await ledger.start()
    print(f"start of the next controller: {time.perf_counter() - began:.1f} s, {resident_mib() - before:.0f} MiB")
    name = names[len(names) // 2]
    one: Life = (await ledger.processes(name, "httpd"))[0]
    ip, port = next((life.ip, life.port) for life in await ledger.processes(name, None) if life.port)
    print("queries (median, of 15):")
    await timed("ps VM", lambda: ledger.processes(name, None))
    await timed("ps VM --history", lambda: ledger.processes(name, None, history=True))
    await timed("ps --program httpd --history", lambda: ledger.processes(None, "httpd", history=True))
    await timed("ps (all machines, the busiest 1000)", lambda: ledger.processes(None, None))
    await timed("process show GPID, with previous lives", lambda: ledger.find(str(one.gpid)))
    await timed("process show UUID", lambda: ledger.find(str(one.uuid)))
    await timed("process show with 12 digits of a UUID", lambda: ledger.find(one.uuid.hex[:12]))
    await timed("who IP:PORT", lambda: ledger.who(ip, port, None))
    await timed("who IP:PORT --at", lambda: ledger.who(ip, port, time.time()))
    began = time.perf_counter()
    gone = await registry.ledger.prune(time.time(), LedgerPolicy(rows_per_machine=len(guests[name])))
    print(f"prune: {gone} rows in {time.perf_counter() - began:.1f} s")
    await registry.close()


def main() -> None:
    """Everything in a directory that goes away."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vms", default=1000, type=int)
    parser.add_argument("--processes", default=200, type=int)
    parser.add_argument("--history", default=3, type=int)
    parser.add_argument("--part", default="feed,store")
    given = parser.parse_args()
    if "feed" in given.part:
        feed(given.vms, given.processes)
    if "store" in given.part:
        with tempfile.TemporaryDirectory(prefix="vmctl-bench-") as place:
            asyncio.run(store(Path(place) / "registry.db", given.vms, given.processes, given.history))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
