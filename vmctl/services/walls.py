"""One bad thing stops only itself: a wall around each item of a loop over hosts, VMs, tasks or records."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from vmctl.errors import VmctlError

Given = TypeVar("Given")


@contextmanager
def wall(log: logging.Logger, what: str) -> Iterator[None]:
    """What goes wrong inside is logged, and the loop goes on: the next turn finds this item again."""
    try:
        yield
    except VmctlError as err:
        log.info("%s: %s", what, err.message)
    except Exception:
        # A bug, or a value that nobody foresaw: it must not take the other items along.
        log.exception("%s broke", what)


async def attempted(work: Awaitable[Given]) -> tuple[Given | None, str]:
    """What it gives, or why it failed, in words. For what can be done without, and a library that raises anything."""
    try:
        return await work, ""
    except Exception as err:
        return None, f"{type(err).__name__} {err}".strip()
