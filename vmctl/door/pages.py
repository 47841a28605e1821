"""Lists that come page by page, and pages that are kept for a moment: many look at the same ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
KEPT = 32
KEPT_S = 1.0  # what hosts show may be so much older than when it is asked for


class Page(list[Item], Generic[Item]):
    """Some items of a list. `next`: the last one's name, where more come; `body`, `link`: as it was sent before."""

    next = ""
    body = b""
    link: Mapping[str, str] = {}


class Pages:
    """Pages by what was asked for and who may see them: good until the registry is written, or a moment has passed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, tuple[int, float, Page[Any]]] = OrderedDict()

    def get(self, key: object, writes: int, now: float) -> Page[Any] | None:
        """The page of `key`, if it is still good. `now`: monotonic seconds."""
        if key not in self._kept:
            return None
        at_writes, at, page = self._kept[key]
        return page if at_writes == writes and 0 <= now - at < KEPT_S else None

    def put(self, key: object, writes: int, now: float, page: Page[Any]) -> None:
        """Keep a page that was read when the registry had been written so often."""
        self._kept[key] = writes, now, page
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
