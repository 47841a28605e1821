"""Stories by the seed, until one ends in an untruth; that one is made short, and printed as a file to keep.

python -m tests.explore [--among] [--seeds 2000] [--first 0] [--jobs 2] [--sweep] [--tell FILE [--write]]
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.sim import sweep
from tests.sim.explore import compose, compose_among, shorten, told
from tests.sim.told import UNTRUE, parse, told_by, write

Seeded = tuple[list[str], int]  # a story, and the seed of its world
AT_ONCE = 25  # stories that one process tells before it says how far it is


@dataclass
class Figures:
    """What some stories amount to, and those that end in an untruth: (story, seed, what is untrue first)."""

    untruths: list[tuple[list[str], int, str]] = field(default_factory=list)
    lasted_s: float = 0.0
    steps: int = 0
    faults: int = 0

    def add(self, more: Figures) -> None:
        """Count those, too."""
        self.untruths += more.untruths
        self.lasted_s += more.lasted_s
        self.steps += more.steps
        self.faults += more.faults


def figures_of(stories: list[Seeded]) -> Figures:
    """Tell them."""
    found = Figures()
    for lines, seed in stories:
        one = told(lines, seed)
        untruths = [(lines, seed, one.untrue[0])] if one.untrue else []
        found.add(Figures(untruths, one.lasted_s, one.steps, one.faults))
    return found


def explore(given: argparse.Namespace) -> int:
    """Tell them all; the number of untruths."""
    seeds = range(given.first, given.first + given.seeds)
    made = compose_among if given.among else compose
    every: list[Seeded] = [(lines, 0) for lines in sweep.every()] if given.sweep else [(made(s), s) for s in seeds]
    parts, many = [every[first : first + AT_ONCE] for first in range(0, len(every), AT_ONCE)], len(every)
    began, all_, done = time.monotonic(), Figures(), 0
    with ProcessPoolExecutor(given.jobs, initializer=gc.freeze) as pool:
        for found in pool.map(figures_of, parts):
            done = min(done + AT_ONCE, many)
            all_.add(found)
            for lines, seed, wrong in found.untruths:
                short = shorten(lines, seed)
                print(f"\n# seed {seed}: {wrong}\n" + write(short, seed, told_by(short, seed)), flush=True)
            if sys.stderr.isatty():
                print(f"\r{done} of {many}", end="", file=sys.stderr, flush=True)
    took_s = time.monotonic() - began
    print(f"{many} stories, {len(all_.untruths)} untruths, {many / took_s:.0f} stories a second")
    print(f"{all_.lasted_s / 86400:.1f} days, {all_.steps} steps, {all_.faults} faults")
    return len(all_.untruths)


def one(path: Path, *, keep: bool) -> int:
    """Tell the story of a file; `keep` writes down what was told."""
    story = parse(path.read_text())
    told = told_by(story.lines, story.seed)
    print("\n".join(told))
    if keep:
        path.write_text(story.head + write(story.lines, story.seed, told))
    return sum(line.startswith(UNTRUE) for line in told)


def main() -> None:
    """Seeds, a sweep, or one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--among", action="store_true", help="with several controllers")
    parser.add_argument("--sweep", action="store_true", help="every place of every deed, and no seeds")
    parser.add_argument("--tell", type=Path, help="a story's file")
    parser.add_argument("--write", action="store_true", help="write into it what is told now")
    given = parser.parse_args()
    sys.exit(1 if (one(given.tell, keep=given.write) if given.tell else explore(given)) else 0)


if __name__ == "__main__":
    main()
