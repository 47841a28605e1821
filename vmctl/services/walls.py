"""One bad thing stops only itself: a wall around each item of a loop over hosts, VMs, tasks or records."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from vmctl.errors import VmctlError


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
