"""The files below a disk that does not run: its definition names none of them, the disk itself does."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vmctl.hosts.facts import Fact, Unreadable

# Where there is no qemu-img, nothing is known; a file that cannot be read says nothing of the others.
LOOK = 'for f; do qemu-img info -U --backing-chain --output=json -- "$f"; done 2>/dev/null; :'


def parse(text: str) -> frozenset[str]:
    """The names in what qemu-img prints for each disk: a list of all in its chain."""
    found: set[str] = set()
    decoder, at = json.JSONDecoder(), 0
    try:
        while rest := text[at:].lstrip():
            at = len(text) - len(rest)
            one, end = decoder.raw_decode(rest)
            at += end
            for each in one:
                found |= {str(each[key]) for key in ("filename", "full-backing-filename") if each.get(key)}
    except (ValueError, TypeError, AttributeError) as err:
        raise Unreadable(f"qemu-img says what cannot be read: {err}") from err
    return frozenset(found)


def chains(paths: Sequence[str]) -> Fact[frozenset[str]]:
    """Ask for every file in the chains of these disks."""
    return Fact(("sh", "-c", LOOK, "sh", *paths), parse)
