"""How something is asked, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class How:
    """`key`: whoever repeats a command with it hears of the first, and nothing is done twice.

    `expected`: the version that is to be edited, and no other. `dry`: only say what would be done.
    """

    key: str = ""
    expected: str = ""
    dry: bool = False


PLAINLY = How()
