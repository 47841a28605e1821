"""Faults put into the controller, one at a time: does anything that needs no lab find them?

A mutant is named by the symbol that it replaces, so that it stays where it is when the code around it changes. One that
survives shows what nobody looks at.
"""

from __future__ import annotations

from contextlib import ExitStack

from tests.mutants.faults import Mutant, put_in
from tests.mutants.house import HOUSE
from tests.mutants.known import KNOWN
from tests.mutants.own import OWN

GROUPS: dict[str, tuple[Mutant, ...]] = {"house": HOUSE, "own": OWN, "known": KNOWN}
VARIABLE = "VMCTL_MUTANT"  # of the environment: tests/conftest.py puts in the mutant of that name
_for_good = ExitStack()


def named(name: str) -> Mutant:
    """The mutant of that name. Raises StopIteration."""
    return next(one for group in GROUPS.values() for one in group if one.name == name)


def put_in_for_good(name: str) -> None:
    """Put it in, and leave it: for a process of its own."""
    _for_good.enter_context(put_in(named(name)))
