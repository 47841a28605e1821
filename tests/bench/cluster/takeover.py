"""How long nobody leads, and hosts are watched by nobody, when a leader is killed or stands still.

    python -m tests.bench.cluster.takeover [--rounds 20] [--hosts 30] [--seed 0]

Three real controllers on one real PostgreSQL server; the hosts do not answer, and are shared out all the same. Each
round draws how the leader goes. Told are the seconds until the database has another leader, until a living one watches
each host, and until a command, and a question, that were given to another controller at that very moment were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from tests.cluster.replicas import Home, replicas, wait_for
from tests.postgres import QUIET, running
from vmctl.model.records import HostRecord
from vmctl.store.opening import open_store

UNWATCHED = (
    "SELECT count(*) FROM host WHERE name NOT IN"
    " (SELECT host FROM host_watch JOIN replica USING (life) WHERE ended_at IS NULL)"
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB/M/EYCDyQBK9/YtKfN3bhAVMeqNU2++YlRzNlEK7A1"
LEADS = "SELECT replica.name FROM lead JOIN replica USING (life) WHERE ended_at IS NULL"


def leading(dsn: str) -> str:
    """Who leads, as the database has it; empty where nobody does."""
    with psycopg.connect(dsn) as opened:
        found = opened.execute(LEADS).fetchone()
    return str(found[0]) if found else ""


def unwatched(dsn: str) -> int:
    """How many hosts no living controller watches."""
    with psycopg.connect(dsn) as opened:
        found = opened.execute(UNWATCHED).fetchone()
    assert found is not None
    return int(found[0])


def register(dsn: str, hosts: int) -> None:
    """Hosts that do not answer."""

    async def put() -> None:
        store = open_store(dsn, Path("/none"))
        for number in range(hosts):
            name = f"kvm{number}"
            await store.put(HostRecord(name, "127.0.0.1", KEY, "bench", 1.0, port=1, about={"host_uuid": name}))
        await store.close()

    asyncio.run(put())


class Waiting:
    """A command that was given, and when it had its answer."""

    def __init__(self, home: Home, *words: str) -> None:
        self._child, self._began, self.took_s = home.begin_command(*words), time.monotonic(), 0.0

    def ended(self) -> bool:
        """Whether it has."""
        if not self.took_s and self._child.poll() is not None:
            assert self._child.returncode == 0, "it was refused"
            self.took_s = time.monotonic() - self._began
        return bool(self.took_s)


def takeover(homes: Sequence[Home], how: str, number: int) -> dict[str, float]:
    """Seconds until each thing that is told."""
    dsn = homes[0].dsn
    name = wait_for(lambda: leading(dsn), "one leads")
    wait_for(lambda: unwatched(dsn) == 0, "all hosts are watched")
    victim = next(home for home in homes if home.folder.name == name)
    follower = next(home for home in homes if home is not victim)
    began, after = time.monotonic(), dict[str, float]()
    if how == "kill":
        victim.kill()
    else:
        victim.send(signal.SIGSTOP)
    command = Waiting(follower, "project", "create", f"p{number}")
    question = Waiting(follower, "project", "list")
    looks: dict[str, Callable[[], bool]] = {
        "another one leads": lambda: leading(dsn) not in ("", name),
        "all hosts are watched": lambda: leading(dsn) not in ("", name) and unwatched(dsn) == 0,
        "a command is answered": command.ended,
        "a question is answered": question.ended,
    }

    def all_done() -> bool:
        for what, done in looks.items():
            if what not in after and done():
                after[what] = time.monotonic() - began
        return after.keys() == looks.keys()

    wait_for(all_done, f"all of it; so far {after}")
    victim.kill()
    victim.serve()
    return after


def told(name: str, seconds: list[float]) -> str:
    """One line of the table."""
    ordered = sorted(seconds)
    return f"{name:28} median {statistics.median(ordered):5.2f} s   most {ordered[-1]:5.2f} s   of {len(ordered)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--hosts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    found: dict[str, list[float]] = {}
    with (
        running(QUIET) as server,
        tempfile.TemporaryDirectory() as folder,
        replicas(Path(folder), server.create("takeover"), 3) as homes,
    ):
        register(homes[0].dsn, given.hosts)
        for home in homes[::-1]:  # they see the hosts as they begin
            home.kill()
            home.serve()
        for number in range(given.rounds):
            how = draw.choice(("kill", "freeze"))
            after = takeover(homes, how, number)
            for what, seconds in after.items():
                found.setdefault(what, []).append(seconds)
            line = ", ".join(f"{what} {seconds:.2f}" for what, seconds in after.items())
            print(f"{number + 1:3} {how:6} {line}", flush=True)
    for what, all_seconds in found.items():
        print(told(what, all_seconds))


if __name__ == "__main__":
    main()
