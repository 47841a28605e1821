"""Stories as files: why it is told, its lines, and what comes of it, without what changes from version to version."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.sim.story import tell

MARK, UNTRUE = "== told", "UNTRUE "
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}")
# Measures, which any change of the planner's moves; names drawn at random
MEASURES = re.compile(r": CPU \d+%.*$|\d+(\.\d+)? s\b|(?<=vmctl-)[0-9a-f]{16}|(?<=-big-)[0-9a-f]{16}")


class Story(NamedTuple):
    """One file."""

    head: str  # its comments, which say why it is told
    lines: list[str]
    seed: int
    told: list[str]


def parse(text: str) -> Story:
    """Read a file."""
    story, _, told = text.partition(f"{MARK}\n")
    lines = story.splitlines()
    head = "".join(f"{line}\n" for line in lines if line.startswith("#"))
    seed = next((int(line.split()[1]) for line in lines if line.startswith("seed ")), 0)
    kept = [line for line in lines if line and not line.startswith(("#", "seed "))]
    return Story(head, kept, seed, told.splitlines())


def write(lines: list[str], seed: int, told: list[str]) -> str:
    """The text of a file, below its head."""
    first = [f"seed {seed}"] if seed else []
    return "\n".join([*first, *lines, MARK, *told, ""])


def told_by(lines: list[str], seed: int) -> list[str]:
    """What a story tells: no times, no measures, no names that are drawn at random."""
    wrong, told, *_ = tell(lines, seed)
    plain = [MEASURES.sub("", UUID.sub("UUID", line[10:])) for line in told]
    return [*plain, *(f"{UNTRUE}{text}" for text in wrong)]
