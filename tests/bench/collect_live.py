"""Many live connections in one controller: a round, the memory, a cold start, one frozen host (goals B3, B4, B5)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import time
from pathlib import Path

from tests.bench.collect_worker import SETTLE_S
from tests.bench.meter import Meter
from tests.hosts.sshd import PrivateSshd
from vmctl.errors import HostError
from vmctl.hosts.collect import Collector
from vmctl.hosts.ssh import HostSSH, Target
from vmctl.local.config import Timeouts

LOGINS_AT_ONCE = 32  # more only lets each wait for the processor until it times out
ROUNDS = 20


class Fleet:
    """The hosts, as a controller holds them."""

    def __init__(self, count: int, sshds: list[PrivateSshd]) -> None:
        timeouts = Timeouts(ssh_connect_s=30, ssh_keepalive_s=60)
        self.hosts = [
            HostSSH(
                Target(f"kvm{n}", "127.0.0.1", sshds[n % len(sshds)].port, host_key=sshds[0].host_key),
                [sshds[0].key],
                timeouts,
            )
            for n in range(count)
        ]
        self.collectors = [Collector(host) for host in self.hosts]

    async def start(self) -> None:
        """Connect to all and take a first sample of each."""
        slots = asyncio.Semaphore(LOGINS_AT_ONCE)

        async def one(host: HostSSH, collector: Collector) -> None:
            async with slots:
                await host.connect()
                await collector.sample(30)

        await asyncio.gather(
            *(one(host, collector) for host, collector in zip(self.hosts, self.collectors, strict=True))
        )

    async def round(self, leave_out: int = -1) -> tuple[float, list[float]]:
        """Sample all at once: the wall time in seconds, and each sample's own."""

        async def one(collector: Collector) -> float:
            begin = time.perf_counter()
            await collector.sample(30)
            return time.perf_counter() - begin

        begin = time.perf_counter()
        each = await asyncio.gather(*(one(c) for n, c in enumerate(self.collectors) if n != leave_out))
        return time.perf_counter() - begin, each


def resident_kib() -> int:
    """Our own resident memory."""
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("VmRSS:") + 1])


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


def say(goal: str, text: str, met: bool) -> None:
    """One line of the result."""
    print(f"  {goal} {text} {'met' if met else 'NOT met'}", flush=True)


async def frozen(fleet: Fleet, sshds: list[PrivateSshd]) -> None:
    """B5: rounds with one host frozen, by turns with rounds in which the same host is only left out."""
    before = set(sshds[0].children())
    victim = HostSSH(fleet.hosts[0].target, [sshds[0].key], Timeouts(ssh_connect_s=30, ssh_keepalive_s=60))
    await victim.connect()
    ill = Collector(victim)
    await ill.sample(30)
    (child,) = set(sshds[0].children()) - before
    calm: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        calm += (await fleet.round())[1]
        os.kill(child, signal.SIGSTOP)
        asking = asyncio.create_task(ill.sample(0.5))
        beside += (await fleet.round())[1]
        os.kill(child, signal.SIGCONT)
        await asyncio.gather(asking, return_exceptions=True)
    ratio = p99(beside) / p99(calm)
    say(
        "B5",
        f"one frozen host: p99 of the others {p99(beside) * 1000:.0f} ms, {ratio:.2f} x (goal 1.2 x)",
        ratio <= 1.2,
    )
    await victim.close()


async def cold_start(fleet: Fleet, sshds: list[PrivateSshd], meters: list[Meter]) -> None:
    """B4: every connection is lost at once, then all hosts come back."""
    for sshd in sshds:
        sshd.stop()
    lost = await asyncio.gather(*(host.wait_closed() for host in fleet.hosts))
    assert len(lost) == len(fleet.hosts)
    for sshd in sshds:
        await asyncio.to_thread(sshd.start)
        if sshd.process:
            meters[1].join(sshd.process.pid)
    begin, early = time.perf_counter(), [meter.cpu_s() for meter in meters]
    await fleet.start()
    wall = time.perf_counter() - begin
    each, there = [(meter.cpu_s() - cpu) * 1000 / len(fleet.hosts) for meter, cpu in zip(meters, early, strict=True)]
    text = f"all connections lost, all sampled again after {wall:.1f} s (goal 10 s; {there:.1f} ms host CPU each)"
    say("B4", text, wall <= 10)
    say("B4", f"controller CPU {each:.1f} ms per host (goal 8 ms)", each <= 8)


async def measure(count: int, sshds: list[PrivateSshd], meters: list[Meter]) -> None:
    """The whole."""
    fleet = Fleet(1, sshds)
    await fleet.start()  # what the first connection loads is not any connection's cost
    small, fleet = resident_kib(), Fleet(count, sshds)
    await fleet.start()
    await asyncio.sleep(SETTLE_S)
    await fleet.round()
    rss = (resident_kib() - small) / count
    cpu = meters[0].cpu_s(), meters[1].cpu_s()
    walls = [(await fleet.round())[0] for _ in range(ROUNDS)]
    used = [(meter.cpu_s() - early) * 1000 / ROUNDS / count for meter, early in zip(meters, cpu, strict=True)]
    wall = statistics.median(walls)
    print(f"\n{count} live connections: {used[0]:.3f} ms controller CPU, {used[1]:.3f} ms host CPU per sample")
    say("B3", f"a round of {count}: {wall * 1000:.0f} ms, best {min(walls) * 1000:.0f} (goal 150)", wall <= 0.15)
    say("B3", f"{rss:.0f} KiB resident per connection (goal 60)", rss <= 60)
    await frozen(fleet, sshds)
    await cold_start(fleet, sshds, meters)
    for host in random.sample(fleet.hosts, len(fleet.hosts)):
        await host.close()


def live(count: int, sshds: list[PrivateSshd], meters: list[Meter]) -> None:
    """Measure with `count` connections, in this process."""
    meters[0].join()
    try:
        asyncio.run(measure(count, sshds, meters))
    except HostError as err:
        print(f"failed: {err.message}")
    finally:
        (meters[0].path.parent / "cgroup.procs").write_text("0")
