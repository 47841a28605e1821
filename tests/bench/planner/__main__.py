"""python -m tests.bench.planner --all | PART... [--sizes 20x200] [--seeds 1,2,3] [--cache FOLDER] [--roadef FOLDER]"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench.planner import tables
from tests.bench.roadef import __main__ as roadef


def main() -> None:
    """Run the parts that were named."""
    about = "\n".join(f"{name:9} {part.__doc__}" for name, part in tables.PARTS.items())
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(tables.PARTS))
    parser.add_argument("--all", action="store_true", help="all parts")
    parser.add_argument("--sizes", default="", help="HOSTSxVMS, with commas; else each part's own")
    parser.add_argument("--seeds", default="1,2,3", help="1,2,3")
    parser.add_argument("--rounds", type=int, default=5, help="runs of ours, of which the median counts")
    parser.add_argument("--cache", type=Path, help="a folder that keeps hbal's plans between runs")
    parser.add_argument("--solve", type=float, default=120.0, help="seconds for the exact solver")
    parser.add_argument("--roadef", type=Path, help="the folder of the challenge's instances, for a table of them too")
    parser.add_argument("--dump", type=Path, nargs="+", default=[], help="dumps of real clusters instead")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(tables.PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    sizes = tuple((int(hosts), int(vms)) for hosts, vms in (size.split("x") for size in given.sizes.split(",") if size))
    seeds = tuple(int(seed) for seed in given.seeds.split(","))
    setting = tables.ClusterValue(sizes, seeds, given.rounds, given.cache, given.solve, tuple(given.dump))
    chosen = tables.PARTS if given.all else given.parts
    if not chosen:
        parser.error("name a part, or --all")
    for name in chosen:
        print(f"\n## {name}: {tables.PARTS[name].__doc__}")
        tables.PARTS[name](setting)
    if given.roadef:
        print("\n## roadef: the challenge's instances, 60 s each on two cores")
        roadef.table(given.roadef)


if __name__ == "__main__":
    main()
