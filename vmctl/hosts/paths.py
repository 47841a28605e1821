"""What stands at the paths that a start opens: asked in one command, as each start waits for the answer."""

from __future__ import annotations

from typing import NamedTuple

from vmctl.hosts.facts import Fact

GONE, ODD = "gone", "odd"
# Prints the files that are surely not there (a user who may not look into a folder says nothing of it), and what stands
# in a file's place and is none: QEMU would wait for ever for a pipe's other end.
LOOK = """for f; do
  if test -e "$f"; then test -f "$f" || test -b "$f" || echo "odd $f"; continue; fi
  test "$(id -u)" = 0 || test -x "$(dirname -- "$f")" || continue
  echo "gone $f"
done; :"""


class Unusable(NamedTuple):
    """A path that cannot be opened as a disk: GONE or ODD."""

    what: str
    path: str


def unusable(paths: tuple[str, ...]) -> Fact[tuple[Unusable, ...]]:
    """Ask which of these are no files, and no disks."""
    return Fact(("sh", "-c", LOOK, "sh", *paths), parse)


def parse(text: str) -> tuple[Unusable, ...]:
    """What the script prints."""
    return tuple(Unusable(what, path) for what, _, path in (line.partition(" ") for line in text.splitlines()))
