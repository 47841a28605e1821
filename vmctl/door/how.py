"""How something is asked, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class How:
    """`key`: whoever repeats a command with it hears of the first, and nothing is done twice.

    `expected`: the version that is to be edited, and no other. `dry`: only say what would be done. `again`: one look of
    many, that were allowed as a whole; it counts as no request, and a refusal of it is told once and not in the audit.
    """

    key: str = ""
    expected: str = ""
    dry: bool = False
    again: bool = False


PLAINLY = How()
AGAIN = How(again=True)
