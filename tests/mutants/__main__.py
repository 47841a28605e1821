"""Puts in each mutant, and looks for what kills it: python -m tests.mutants [--group house] [NAME...].

Stories come first, then seeds, then places of the sweeps, and last the tests of the folders that belong to its module.
A story kills it by an untruth, and also by telling what it tells in no world without the mutant, however long things
take there. What takes too long is killed, too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, reduce
from itertools import islice
from operator import and_, or_
from pathlib import Path
from typing import Any, NamedTuple

from tests.mutants import GROUPS, VARIABLE, named
from tests.mutants.faults import Mutant, put_in
from tests.sim import cluster, sweep
from tests.sim.explore import compose, untrue
from tests.sim.told import UNTRUE, parse, told_by

ROOT = Path(__file__).parents[2]
STORY_S, TESTS_S = 20.0, 400.0  # of real time, that one story may take; and all tests of some folders
# Module -> the folders whose tests are about it; the first that fits.
FOLDERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("vmctl.cluster", ("cluster", "act")),
    ("vmctl.commands", ("tasks", "cluster", "act")),
    ("vmctl.decide", ("decide", "act")),
    ("vmctl.formats", ("formats",)),
    ("vmctl.guests", ("guests", "act")),
    ("vmctl.ledger", ("ledger", "guests")),
    ("vmctl.services", ("services", "tasks", "cluster", "act")),
    ("vmctl.storage", ("storage", "act")),
    ("vmctl.store", ("store", "act")),
    ("vmctl.tasks", ("tasks", "cluster", "act")),
    ("vmctl", ("act", "cluster")),
)
STORIES = sorted((ROOT / "tests/stories").glob("*.story"))
WORLDS = (7, 8, 9)  # seeds, by which latencies are drawn
SLOW_S = 0.004  # that each call of the registry takes in one more world
BY_NUMBER = ("killed at", "deposed at", "call ", "commit ")  # elsewhere, as soon as anything takes a step more or less
DRAWN = re.compile(r"[0-9a-f]{8,}")
UNSEEN = ("vmctl.formats", "vmctl.guests.guest", "vmctl.ledger", "vmctl.store.sql")  # by the simulated world
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)(?: - (.*))?", re.MULTILINE)


class Killed(NamedTuple):
    """By what, and what that saw."""

    by: str
    saw: str


class HangsError(KeyboardInterrupt):
    """It takes too long. Of this kind, as asyncio lets nothing else through."""


class Given(NamedTuple):
    """What a mutant must survive to live."""

    seeds: int
    every: int  # one place of so many of each sweep
    tests: bool


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises HangsError when it takes longer."""

    def over(*_: object) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, where somebody has caught it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Usual(NamedTuple):
    """What a story tells in several worlds that differ only in how long things take."""

    at_most: Counter[str]
    at_least: Counter[str]


def _plain(told: list[str]) -> Counter[str]:
    """Lines without their order, and without what is drawn: whatever takes a step more or less changes that."""
    return Counter(DRAWN.sub("X", line.strip()) for line in told if not line.startswith(">"))


@cache
def usual(path: Path) -> Usual:
    """What counts as no difference."""
    story = parse(path.read_text())
    told = [_plain(told_by(story.lines, seed)) for seed in WORLDS] + [_plain(story.told)]
    fast, cluster.STORE_S = cluster.STORE_S, SLOW_S
    told.append(_plain(told_by(story.lines, story.seed)))
    cluster.STORE_S = fast
    return Usual(reduce(or_, told), reduce(and_, told))


def by_a_story(path: Path) -> str:
    """What a story sees: an untruth, or what it never tells else, or tells no more; empty: nothing."""
    story = parse(path.read_text())
    lines = told_by(story.lines, story.seed)
    found = [line for line in lines if line.startswith(UNTRUE)]
    if any(line.startswith(BY_NUMBER) for line in story.lines):
        return next(iter(found), "")
    told, (at_most, at_least) = _plain(lines), usual(path)
    found += [f"tells: {line}" for line in told - at_most] + [f"tells no more: {line}" for line in at_least - told]
    return next(iter(found), "")


def by_lines(lines: list[str], seed: int) -> str:
    """What lines see that are told by a seed: an untruth; empty: nothing."""
    return next(iter(untrue(lines, seed)), "")


def looks(given: Given) -> Iterator[tuple[str, Any]]:
    """All that looks at a mutant in this process: (what it is, what is to be called)."""
    for path in STORIES:
        yield path.stem, lambda path=path: by_a_story(path)
    for seed in range(given.seeds):
        yield f"seed {seed}", lambda seed=seed: by_lines(compose(seed), seed)
    for name, stories in sweep.SWEEPS.items():
        for number, lines in enumerate(islice(stories(), 0, None, given.every)):
            yield f"{name} {number * given.every}", lambda lines=lines: by_lines(lines, 0)


def by_tests(mutant: Mutant) -> Killed | None:
    """The first test that fails with it, in a process of its own."""
    found: list[str] = []
    for symbol in mutant.symbols.split():
        found += next(folders for module, folders in FOLDERS if symbol.startswith(module))
    # Those of its own module come first; pytest runs nothing twice.
    names = [symbol.partition(":")[0].rpartition(".")[2] for symbol in mutant.symbols.split()]
    own = [f"tests/{folder}/test_{name}.py" for folder in dict.fromkeys(found) for name in names]
    first = [path for path in dict.fromkeys(own) if (ROOT / path).exists()]
    folders = [*first, *(f"tests/{name}" for name in dict.fromkeys(found))]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not lab and not nightly", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *folders],
            cwd=ROOT,
            env=os.environ | {VARIABLE: mutant.name},
            capture_output=True,
            text=True,
            timeout=TESTS_S,
        )
    except subprocess.TimeoutExpired:
        return Killed(" ".join(folders), "it takes too long")
    if done.returncode == 0:
        return None
    failed = FAILED.search(done.stdout)
    return Killed(failed[1], failed[2] or "") if failed else Killed("pytest", done.stdout[-200:] + done.stderr[-200:])


def killed_by(mutant: Mutant, given: Given) -> Killed | None:
    """What kills it; None: it survives."""
    if mutant.symbols.startswith(UNSEEN):
        return by_tests(mutant) if given.tests else None
    what = "counting the places of a sweep"
    try:
        with put_in(mutant):
            for what, look in looks(given):
                with limited(STORY_S):
                    if saw := look():
                        return Killed(what, saw)
    except HangsError:
        return Killed(what, "it takes too long")
    except Exception as err:
        return Killed(what, f"{type(err).__name__}: {err}")
    return by_tests(mutant) if given.tests else None


def _one(asked: tuple[str, Given]) -> tuple[Killed | None, float]:
    began = time.monotonic()
    return killed_by(named(asked[0]), asked[1]), time.monotonic() - began


def main() -> None:
    """All of them, a group, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="that each mutant must survive to live")
    parser.add_argument("--every", type=int, default=40, help="one place of so many of each sweep")
    parser.add_argument("--no-tests", action="store_true", help="only the simulated world looks")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--group", choices=tuple(GROUPS), help="only that one")
    parser.add_argument("names", nargs="*", help="parts of their names")
    asked = parser.parse_args()
    given = Given(asked.seeds, asked.every, not asked.no_tests)
    groups = {asked.group: GROUPS[asked.group]} if asked.group else GROUPS
    chosen = [(group, one) for group, mutants in groups.items() for one in mutants]
    chosen = [(group, one) for group, one in chosen if not asked.names or any(n in one.name for n in asked.names)]
    alive = 0
    for path in STORIES:  # before any mutant is put in
        usual(path)
    # A process for each: whatever one leaves behind, the next one begins anew.
    with multiprocessing.get_context("fork").Pool(asked.jobs, maxtasksperchild=1) as pool:
        ends = pool.imap(_one, [(one.name, given) for _, one in chosen])
        for (group, mutant), (killed, took_s) in zip(chosen, ends, strict=True):
            alive += killed is None
            by = f"by {killed.by}: {killed.saw[:100]}" if killed else "SURVIVES"
            print(f"{group:5}  {mutant.name}  [{took_s:.0f} s]\n       {by}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    sys.exit(alive > 0)


if __name__ == "__main__":
    main()
