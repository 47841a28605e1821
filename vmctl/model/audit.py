"""What somebody asked for and what became of it, each entry bound to the one before it. Pure. Times are UTC seconds.

A hash over the entry and over the hash before it makes a chain, as in a certificate transparency log: who changes an
entry must change all hashes after it, and so the last one, which is written down elsewhere from time to time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

FIRST = "0" * 64  # what the first entry is bound to


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `where`: the address that it came from; empty: the controller's own machine, or itself."""

    at: float
    who: str
    what: str  # the command's kind
    subject: str  # the name of what it is about
    outcome: str  # accepted, done, failed, cancelled, refused
    uuid: str = ""  # of the VM that it is about
    where: str = ""
    token: str = ""  # by which it was asked for
    task: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)  # what was asked for, or why it was refused or failed


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it stands in the registry: its number, its text, and the hash that binds it."""

    id: int
    text: str
    hash: str

    @property
    def entry(self) -> Entry:
        """What it says. Raises ValueError, TypeError for a text that is none."""
        return Entry(**json.loads(self.text))


def text_of(entry: Entry) -> str:
    """The text that is kept and bound: always the same for the same entry."""
    return json.dumps(asdict(entry), sort_keys=True, separators=(",", ":"))


def bound(before: str, number: int, text: str) -> str:
    """The hash of an entry of that number that follows one of that hash."""
    return hashlib.sha256(f"{before}\n{number}\n{text}".encode()).hexdigest()


def following(last: Kept | None, entry: Entry) -> Kept:
    """The next one of the chain."""
    number, text = (last.id if last else 0) + 1, text_of(entry)
    return Kept(number, text, bound(last.hash if last else FIRST, number, text))


def head(last: Kept | None) -> str:
    """What is written down elsewhere: number and hash of the last entry."""
    return f"{last.id}:{last.hash}" if last else f"0:{FIRST}"


class Chain:
    """Reads a chain from its first entry on, and says what is wrong with it.

    `wanted`: a head that was written down earlier. Without one a cut end is not seen.
    """

    def __init__(self, wanted: str = "") -> None:
        self.last: Kept | None = None
        self._wanted, _, self._hash = wanted.partition(":")
        self._found = wanted in ("", head(None))
        self._wrong = ""

    @property
    def number(self) -> int:
        """Of the last entry that was read."""
        return self.last.id if self.last else 0

    @property
    def wrong(self) -> str:
        """In words; empty: nothing."""
        cut = f"the end is cut off: {self.number} entries are left, and there were {self._wanted}"
        return self._wrong or ("" if self._found else cut)

    def read(self, some: Iterable[Kept]) -> None:
        """The next entries."""
        for kept in some:
            self._wrong = self._wrong or self._look(kept)
            self.last = kept

    def _look(self, kept: Kept) -> str:
        if kept.id != self.number + 1:
            return f"entry {self.number + 1} is missing: {kept.id} follows {self.number}"
        if bound(self.last.hash if self.last else FIRST, kept.id, kept.text) != kept.hash:
            return f"entry {kept.id} is not what it was when it was written"
        if str(kept.id) == self._wanted:
            self._found = True
            if kept.hash != self._hash:
                return f"entry {kept.id} has another hash than was written down: the chain was made anew"
        return ""
