"""Pieces of uploads that are in the controller's memory at once: few of one user, and not many in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from vmctl.errors import TooManyRequests

MOST_OF_ONE, MOST = 4, 32


class Pieces:
    """Counts them. Whoever sends too many at once is told so, and waits for nobody."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    @contextmanager
    def one_more(self, who: str) -> Iterator[None]:
        """While a piece of his is received and written. Raises TooManyRequests."""
        if self._of[who] >= MOST_OF_ONE or self._of.total() >= MOST:
            raise TooManyRequests("too many pieces are on their way at once", hint="send this one again in a moment")
        self._of[who] += 1
        try:
            yield
        finally:
            self._of[who] -= 1
            self._of += Counter()  # forgets who has none
