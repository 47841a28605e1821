"""What the log lines of a piece of work are about: a request, a task, a VM, a host.

It goes with the work: whatever a request or a task awaits or begins is about the same. What begins within one and
outlives it, as the link to a host that was just added, says with `only` what it is about itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})
_about: ContextVar[Mapping[str, str]] = ContextVar("what log lines are about", default=NOTHING)


def now() -> Mapping[str, str]:
    """What lines are about that are logged here: its kind (request, task, vm, host), and which one."""
    return _about.get()


@contextmanager
def within(**more: str) -> Iterator[None]:
    """They are about that, too, inside."""
    before = _about.set({**_about.get(), **more})
    try:
        yield
    finally:
        _about.reset(before)


def add(**more: str) -> None:
    """They are about that, too, to the end of the asyncio task that this is called in."""
    _about.set({**_about.get(), **more})


def only(**these: str) -> None:
    """They are about that, and nothing else, to the end of the asyncio task that this is called in."""
    _about.set(these)
