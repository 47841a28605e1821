"""Hostile guests beside well ones, read through a real sshd: what the well ones and the controller feel of it.

python -m tests.bench.hostile [--well 30] [--hostile 20] [--seconds 30]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.guests.agents import HELLO, Agent, process, report
from tests.hosts.sshd import PrivateSshd
from vmctl.guests.guest import Guest, Heard
from vmctl.guests.port import read
from vmctl.hosts.link import HostLink
from vmctl.hosts.ssh import HostSSH, Target
from vmctl.local.config import Timeouts
from vmctl.ports import SYSTEM

PERIOD_S = 1.0
PROCESSES = 100


# -- the guests, in a process of their own


def flood() -> Iterator[bytes]:
    """Noise without an end."""
    return itertools.repeat(b"\x00" * 65536)


def endless_line() -> Iterator[bytes]:
    """A frame that never ends."""
    return itertools.chain([b"\x1e"], itertools.repeat(b"x" * 65536))


def many_processes() -> Iterator[bytes]:
    """Full pictures of a million processes, one after the other."""
    agent = Agent()
    yield agent.begin()
    for first in itertools.count(0, 500):
        yield agent.say("delta", report(processes=[{"pid": (first + i) % 1_000_000, "start": 1} for i in range(500)]))


def odd_names() -> Iterator[bytes]:
    """Names with control characters and markup, times from the future, numbers out of range."""
    agent = Agent()
    yield agent.begin()
    odd = process(1, program="\x1b]0;x\x07[bold]", command="\u202e" * 200)
    while True:
        yield agent.say("full", report(1e9, processes=[odd]) | {"at": {"utc_us": 2**53, "up_s": 1e9}})
        yield agent.say("delta", report(processes=[process(2**30, cpu=1e300)]))


def too_often() -> Iterator[bytes]:
    """Valid messages at a hundred times the rate, and faster."""
    agent = Agent()
    yield agent.begin(*(process(pid) for pid in range(PROCESSES)))
    while True:
        yield agent.say("delta", report(processes=[process(pid, rss_kib=agent.number) for pid in range(PROCESSES)]))


HOSTILE: tuple[Callable[[], Iterator[bytes]], ...] = (flood, endless_line, many_processes, odd_names, too_often)


async def serve(directory: Path, well: int, hostile: int) -> None:
    """Sockets as QEMU makes them: well0, well1, ..., hostile0, ..."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agent = Agent()
        hello = agent.say("hello", HELLO | {"period_s": PERIOD_S})
        picture = report(processes=[process(pid) for pid in range(PROCESSES)], os={"boot_id": "b"})
        writer.write(hello + agent.say("full", picture))
        while True:
            await asyncio.sleep(PERIOD_S)
            writer.write(agent.say("delta", report(processes=[process(1, rss_kib=agent.number)])))
            await writer.drain()

    def misbehave(how: Callable[[], Iterator[bytes]]) -> Callable[..., object]:
        async def on(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                for data in how():
                    writer.write(data)
                    await writer.drain()
                    await asyncio.sleep(0)

        return on

    servers = [await asyncio.start_unix_server(behave, directory / f"well{n}") for n in range(well)]
    for number in range(hostile):
        how = HOSTILE[number % len(HOSTILE)]
        servers.append(await asyncio.start_unix_server(misbehave(how), directory / f"hostile{number}"))  # type: ignore[arg-type]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


# -- the reader


@dataclass
class Felt:
    """What came of it: the longest silence of each well guest, in seconds, after its first report; our own use."""

    gaps: list[float] = field(default_factory=list)
    heard: int = 0
    from_hostile: int = 0
    largest_picture: int = 0
    cpu_cores: float = 0.0
    rss_mib: float = 0.0


async def listen(link: HostLink, directory: Path, well: int, hostile: int, seconds: float) -> Felt:
    """Read all of them for a while."""
    felt, last = Felt(), [0.0] * well
    felt.gaps = [0.0] * well

    def tell(number: int) -> Callable[[Heard], None]:
        def heard(_heard: Heard) -> None:
            now = time.monotonic()
            if last[number]:
                felt.gaps[number] = max(felt.gaps[number], now - last[number])
            last[number] = now
            felt.heard += 1

        return heard

    def count(_heard: Heard) -> None:
        felt.from_hostile += 1

    guests = [Guest() for _ in range(well + hostile)]
    tasks = [asyncio.create_task(read(link, str(directory / f"well{n}"), guests[n], tell(n))) for n in range(well)]
    for n in range(hostile):
        tasks.append(asyncio.create_task(read(link, str(directory / f"hostile{n}"), guests[well + n], count)))
    await asyncio.sleep(1.0)
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(seconds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    felt.cpu_cores = (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / (time.monotonic() - began)
    felt.largest_picture = max(len(guest.picture.processes) for guest in guests)
    felt.rss_mib = after.ru_maxrss / 1024
    now = time.monotonic()
    felt.gaps = [max(gap, now - at) for gap, at in zip(felt.gaps, last, strict=True)]  # one never heard: since boot
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return felt


async def measure(well: int, hostile: int, seconds: float) -> Felt:
    """One sshd, one process of guests, one connection."""
    with tempfile.TemporaryDirectory(prefix="vmctl-") as place:
        directory = Path(place)
        sshd = PrivateSshd(directory / "sshd").start()
        words = [sys.executable, "-m", "tests.bench.hostile", "--serve", place, "--well", str(well)]
        guests = await asyncio.create_subprocess_exec(*words, "--hostile", str(hostile), stdout=subprocess.PIPE)
        try:
            assert guests.stdout is not None and await guests.stdout.readline() == b"ready\n"
            target = Target("kvm1", "127.0.0.1", sshd.port, "root", sshd.host_key)
            ssh = HostSSH(target, (sshd.key,), Timeouts())
            await ssh.connect()
            try:
                link = cast(HostLink, type("Link", (), {"ssh": ssh, "clock": SYSTEM.clock}))
                return await listen(link, directory, well, hostile, seconds)
            finally:
                await ssh.close()
        finally:
            guests.kill()
            await guests.wait()
            sshd.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--well", default=30, type=int)
    parser.add_argument("--hostile", default=20, type=int)
    parser.add_argument("--seconds", default=30.0, type=float)
    parser.add_argument("--serve", default="")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(Path(given.serve), given.well, given.hostile))
        return
    if given.json:
        felt = asyncio.run(measure(given.well, given.hostile, given.seconds))
        print(json.dumps(felt.__dict__))
        return
    for hostile in (0, given.hostile):
        words = [sys.executable, "-m", "tests.bench.hostile", "--json", "--well", str(given.well)]
        words += ["--hostile", str(hostile), "--seconds", str(given.seconds)]
        felt = Felt(**json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
        print(
            f"{given.well} well, {hostile} hostile: {felt.heard} reports of the well, longest silence "
            f"{max(felt.gaps):.2f} s (period {PERIOD_S:g} s); {felt.from_hostile} of the hostile believed, largest "
            f"picture {felt.largest_picture}; reader {felt.cpu_cores:.2f} cores, {felt.rss_mib:.0f} MiB"
        )


if __name__ == "__main__":
    main()
