"""Stories by the seed, until one ends in an untruth; that one is made short, and printed as a file to keep.

python -m tests.explore [--seeds 2000] [--first 0] [--jobs 2] [--sweep] [--tell FILE [--write]]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

from tests.sim import sweep
from tests.sim.explore import compose, shorten, untrue
from tests.sim.story import tell
from tests.sim.told import parse, told_by, write

AT_ONCE = 25  # stories that one process tells before it says how far it is


def some(numbers: range) -> list[tuple[list[str], int, list[str]]]:
    """(story, seed, what is untrue) of those seeds that end in an untruth."""
    found = [(compose(seed), seed) for seed in numbers]
    return [(lines, seed, wrong) for lines, seed in found if (wrong := untrue(lines, seed))]


def swept(stories: list[list[str]]) -> list[tuple[list[str], int, list[str]]]:
    """The same of given stories."""
    return [(lines, 0, wrong) for lines in stories if (wrong := untrue(lines, 0))]


def explore(given: argparse.Namespace) -> int:
    """Tell them all; the number of untruths."""
    work: Callable[..., list[tuple[list[str], int, list[str]]]] = some
    if given.sweep:
        work, every = swept, list(chain(sweep.deaths(), sweep.faults(), sweep.moments()))
        parts: list[object] = [every[first : first + AT_ONCE] for first in range(0, len(every), AT_ONCE)]
        many = len(every)
    else:
        last, many = given.first + given.seeds, given.seeds
        parts = [range(first, min(first + AT_ONCE, last)) for first in range(given.first, last, AT_ONCE)]
    began, untruths, done = time.monotonic(), 0, 0
    with ProcessPoolExecutor(given.jobs) as pool:
        for found in pool.map(work, parts):
            done = min(done + AT_ONCE, many)
            for lines, seed, wrong in found:
                untruths += 1
                short = shorten(lines, seed)
                print(f"\n# seed {seed}: {wrong[0]}\n" + write(short, seed, told_by(short, seed)), flush=True)
            if sys.stderr.isatty():
                print(f"\r{done} of {many}", end="", file=sys.stderr, flush=True)
    took_s = time.monotonic() - began
    print(f"{many} stories, {untruths} untruths, {many / took_s:.0f} stories a second")
    return untruths


def one(path: Path, *, keep: bool) -> int:
    """Tell the story of a file; `keep` writes down what was told."""
    story = parse(path.read_text())
    wrong, _ = tell(story.lines, story.seed)
    told = told_by(story.lines, story.seed)
    print("\n".join([*told, *(f"UNTRUE {text}" for text in wrong)]))
    if keep:
        path.write_text(story.head + write(story.lines, story.seed, told))
    return len(wrong)


def main() -> None:
    """Seeds, a sweep, or one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sweep", action="store_true", help="every place of every deed, and no seeds")
    parser.add_argument("--tell", type=Path, help="a story's file")
    parser.add_argument("--write", action="store_true", help="write into it what is told now")
    given = parser.parse_args()
    sys.exit(1 if (one(given.tell, keep=given.write) if given.tell else explore(given)) else 0)


if __name__ == "__main__":
    main()
