"""What somebody looks at, told again whenever it changes: views, not a log of everything.

Each look asks at the door anew, so that it shows what its asker may see now. What is told is the state that there is:
who was away is told all of his views, and of events just those that he missed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmctl.errors import NotAllowed, NotFound, error_to_json
from vmctl.formats.plain import plain
from vmctl.ports import Clock

LOOK_S = 1.0
REST = 40.0  # as many times as long as a look took: who looks at much looks less often, and takes no more
QUIET_S = 15.0  # after which something is said, so that nothing in between takes the connection for dead
KEYS = ("uuid", "id", "name", "vm", "of")  # of an item of a list; the first that it has
EVENTS_AT_ONCE = 500
AGES = ("age_s", "heard_s", "for_s", "at")  # they change with each look, and are no change
Ask = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Told:
    """One message. `last`: the number of the newest event that was told or left out; `kind` empty: nothing is new."""

    kind: str
    last: int
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """Something looked at: its name as the asker gave it, what it asks, and what was told of it: item -> as it was."""

    name: str
    asked: Any
    told: dict[str, str] | None = None
    gone: bool = False

    def changes(self, answer: Any) -> dict[str, Any] | None:
        """What is new since the last look; None: nothing."""
        value = plain(answer)
        items = {_key(one): one for one in value} if isinstance(value, list) else {"": value}
        now = {key: _compared(one) for key, one in items.items()}
        before, self.told, self.gone = self.told, now, False
        new = [items[key] for key, text in now.items() if before is None or before.get(key) != text]
        gone = [key for key in before or () if key not in now]
        if before is not None and not (new or gone):
            return None
        if not isinstance(value, list):
            return {"view": self.name, "value": value}
        return {"view": self.name, "whole": before is None, "items": new, "gone": gone}


def _key(item: Any) -> str:
    return next((str(item[name]) for name in KEYS if item.get(name) is not None), json.dumps(item))


def _compared(value: Any) -> str:
    return json.dumps(_without_ages(value), sort_keys=True)


def _without_ages(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ages(item) for key, item in value.items() if key not in AGES}
    return [_without_ages(item) for item in value] if isinstance(value, list) else value


async def feed(
    ask: Ask, views: Sequence[View], events: Callable[[int], Awaitable[list[Any]]] | None, last: int, clock: Clock
) -> AsyncGenerator[Told]:
    """What changes in the views, and the events after `last`, for as long as somebody listens.

    `events` gives the next ones after a number; None: they are not looked at.
    """
    quiet_s = 0.0
    while True:
        quiet, began = True, clock.monotonic()
        async for told in _look(ask, views, events, last):
            last, quiet = told.last, False
            yield told
        quiet_s = quiet_s + LOOK_S if quiet else 0.0
        if quiet_s >= QUIET_S:
            yield Told("", last)
            quiet_s = 0.0
        took_s = clock.monotonic() - began
        await asyncio.sleep(max(LOOK_S, REST * took_s))


async def _look(
    ask: Ask, views: Sequence[View], events: Callable[[int], Awaitable[list[Any]]] | None, last: int
) -> AsyncIterator[Told]:
    for view in views:
        try:
            changes = view.changes(await ask(view.asked))
        except (NotFound, NotAllowed) as err:  # it is gone, or no longer for this asker's eyes
            changes = _gone(view, error_to_json(err))
        if changes is not None:
            yield Told("change", last, changes)
    for event in await events(last) if events is not None else ():
        last = event.id
        yield Told("event", last, plain(event))


def _gone(view: View, why: Mapping[str, Any]) -> dict[str, Any] | None:
    """That it can be looked at no more, once; if it can be again, it is told whole."""
    before, view.gone, view.told = view.gone, True, None
    return None if before else {"view": view.name, "gone": True, "why": why["message"]}
