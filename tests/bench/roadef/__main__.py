"""python -m tests.bench.roadef FOLDER [--seconds 60] [--cores 2] [--only a2_2,a2_5]

FOLDER holds the challenge's public files model_NAME.txt and assignment_NAME.txt; they are not ours to keep here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from tests.bench.roadef.instance import make, read
from tests.bench.roadef.judge import broken, cost
from tests.bench.roadef.search import race

# The winner's figures: published for 300 s, and its program run for 60 s on two processes of this kind of machine.
S41_300 = {"a1_2": 777912030, "a1_4": 262125116, "a2_2": 746097632, "a2_3": 1210644572, "a2_5": 318358949}
S41_60 = {"a1_2": 778166981, "a1_4": 263330189, "a2_2": 762962585, "a2_3": 1219337750, "a2_5": 336934143}


def main() -> None:
    """The table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", default=",".join(S41_60))
    asked = parser.parse_args()
    table(asked.folder, asked.seconds, asked.cores, asked.only.split(","))


def table(folder: Path, seconds: float = 60.0, cores: int = 2, names: Iterable[str] = tuple(S41_60)) -> None:
    """A row for each instance."""
    race(make(4, 12, 1), 0.1, 1)  # compiles
    print("| instance | start | found | S41, 60 s | S41, 300 s | (found - S41 at 60 s) / start |")
    print("|---|---|---|---|---|---|")
    for name in names:
        given = read(*((folder / f"{kind}_{name}.txt").read_text() for kind in ("model", "assignment")))
        at = race(given, seconds, cores)
        assert not broken(given, at), broken(given, at)
        start, found, peer = cost(given, given.start), cost(given, at), S41_60.get(name)
        share = f"{(found - peer) / start:+.4f}" if peer else ""
        print(f"| {name} | {start} | {found} | {peer or ''} | {S41_300.get(name, '')} | {share} |", flush=True)


if __name__ == "__main__":
    main()
