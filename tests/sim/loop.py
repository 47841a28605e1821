"""An event loop whose time jumps to the next thing that somebody waits for. Same work, same order, every time.

A run of the world is little else than turns of this loop. So it has a turn of its own, without what asyncio's keeps for
sockets, threads and debugging.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.sim.life import WHOSE, Life

NOBODY = contextvars.Context()  # whose is what hosts do, and the network, whoever asked for it


class Stuck(Exception):
    """Everybody waits, and nothing will ever come."""


class _Numbered:
    """Its place in a set follows from when it was made, and not from where it lies in memory."""

    _number = 0

    def __hash__(self) -> int:
        return self._number


class _Task(_Numbered, asyncio.Task[Any]):
    pass


class _Future(_Numbered, asyncio.Future[Any]):
    pass


class _Due(float):
    """Something to be done at that time, which may be called off: asyncio's handle, as far as it is used.

    As a float it is compared without a line of Python.
    """

    __slots__ = ("args", "call", "context", "off")
    call: Callable[..., Any]
    args: tuple[Any, ...]
    context: contextvars.Context
    off: bool

    def cancel(self) -> None:
        self.off = True

    def cancelled(self) -> bool:
        return self.off

    def when(self) -> float:
        return float(self)


def _due(when: float, call: Any, args: tuple[Any, ...], context: contextvars.Context | None) -> _Due:
    due = _Due(when)
    due.call, due.args, due.off = call, args, False
    due.context = contextvars.copy_context() if context is None else context
    return due


class VirtualLoop(BaseEventLoop):
    """Time is a number. There are no threads, files and sockets to wait for: whoever wants one is told so."""

    _ready: deque[_Due]
    _scheduled: list[_Due]  # a heap

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._made = 0
        self._frozen: set[Life] = set()

    def time(self) -> float:
        return self.now

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        due = _due(self.now, callback, args, context)
        self._ready.append(due)
        return due

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        due = _due(when, callback, args, context)
        heapq.heappush(self._scheduled, due)
        return due

    def freeze(self, life: Life) -> None:
        """A process stands still: what it waits for happens, and it does nothing."""
        self._frozen.add(life)

    def thaw(self, life: Life) -> None:
        """It goes on, with all that has become due meanwhile, and does not know."""
        self._frozen.discard(life)
        held, life.held = life.held, []
        self._ready.extend(held)

    def by(self, whose: contextvars.Context, call: Callable[..., Any], *args: Any) -> None:
        """Somebody's process hears of something: at once, or when it goes on."""
        life = whose.get(WHOSE)
        if life is not None and life in self._frozen:
            life.held.append(_due(self.now, call, args, whose))
        else:
            whose.run(call, *args)

    async def heard(self, answer: asyncio.Future[Any], until: float, silent: Callable[[], Exception]) -> Any:
        """The answer; raises `silent` where none has come by then."""
        giving_up = self.call_at(until, lambda: fail(answer, silent()))
        try:
            return await answer
        finally:
            giving_up.cancel()

    def _run_once(self) -> None:
        """One turn: what is due by now, and what was ready before it began."""
        ready, scheduled = self._ready, self._scheduled
        while scheduled and (scheduled[0].off or scheduled[0] <= self.now or not ready):
            due = heapq.heappop(scheduled)
            if not due.off:
                self.now = max(self.now, due.when())
                ready.append(due)
        if not ready:
            raise Stuck("nobody will ever wake anybody")
        for _ in range(len(ready)):
            due = ready.popleft()
            if self._frozen and (life := due.context.get(WHOSE)) in self._frozen:
                life.held.append(due)
            elif not due.off:
                try:
                    due.context.run(due.call, *due.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as err:
                    self.call_exception_handler({"message": f"{due.call} broke", "exception": err})

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("a simulated world has no threads: use the port")

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        self._made += 1
        future._number = self._made
        return future

    def create_task(self, coro: Any, *, name: Any = None, context: contextvars.Context | None = None) -> Any:
        self._made += 1
        task = _Task(coro, loop=self, name=name or f"task {self._made}", context=context)
        task._number = self._made
        life = WHOSE.get() if context is None else None  # with a context of its own it is nobody's
        if life is not None:
            life.tasks.append(task)
        return task


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Whoever still waits for that hears an error."""
    if not future.done():
        future.set_exception(error)
