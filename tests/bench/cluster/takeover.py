"""How long nobody leads: a leader is killed, or stands still, and another one answers in its place.

    python -m tests.bench.cluster.takeover [--rounds 20] [--seed 0]

Three real controllers on one real PostgreSQL server. Each round draws how the leader goes. Told are the seconds until
the database has another leader, and until a follower has answered a question that was asked at that very moment.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.cluster.replicas import Home, replicas, wait_for
from tests.postgres import QUIET, running

LEADS = "SELECT replica.name FROM lead JOIN replica USING (life) WHERE ended_at IS NULL"


def leading(dsn: str) -> str:
    """Who leads, as the database has it; empty where nobody does."""
    with psycopg.connect(dsn) as opened:
        found = opened.execute(LEADS).fetchone()
    return str(found[0]) if found else ""


def takeover(homes: Sequence[Home], how: str) -> tuple[float, float]:
    """Seconds until another one leads, and until a follower has answered."""
    dsn = homes[0].dsn
    name = wait_for(lambda: leading(dsn), "one leads")
    victim = next(home for home in homes if home.folder.name == name)
    follower = next(home for home in homes if home is not victim)
    began = time.monotonic()
    if how == "kill":
        victim.kill()
    else:
        victim.send(signal.SIGSTOP)
    asking = follower.begin_command("project", "list")
    wait_for(lambda: leading(dsn) not in ("", name), "another one leads")
    led_s = time.monotonic() - began
    assert asking.wait(60) == 0
    answered_s = time.monotonic() - began
    victim.kill()
    victim.serve()
    return led_s, answered_s


def told(name: str, seconds: list[float]) -> str:
    """One line of the table."""
    ordered = sorted(seconds)
    return f"{name:28} median {statistics.median(ordered):5.2f} s   most {ordered[-1]:5.2f} s   of {len(ordered)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    led: list[float] = []
    answered: list[float] = []
    with (
        running(QUIET) as server,
        tempfile.TemporaryDirectory() as folder,
        replicas(Path(folder), server.create("takeover"), 3) as homes,
    ):
        for number in range(given.rounds):
            how = draw.choice(("kill", "freeze"))
            one, other = takeover(homes, how)
            led.append(one)
            answered.append(other)
            print(f"{number + 1:3} {how:6} led after {one:5.2f} s, answered after {other:5.2f} s", flush=True)
    print(told("another one leads", led))
    print(told("a follower has answered", answered))


if __name__ == "__main__":
    main()
