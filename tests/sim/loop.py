"""An event loop whose time jumps to the next thing that somebody waits for. Same work, same order, every time."""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Coroutine
from typing import Any, cast

from tests.sim.life import WHOSE


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


class _Jump:
    """What the loop takes for its selector: instead of waiting, it moves the time on."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nobody will ever wake anybody")
        self._loop.now += max(0.0, timeout)
        return []

    def close(self) -> None:
        """It holds nothing."""


class VirtualLoop(BaseEventLoop):
    """Time is a number. There are no threads, files and sockets to wait for: whoever wants one is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._made = 0
        self._selector = _Jump(self)
        self.set_task_factory(cast(Any, self._new_task))

    def time(self) -> float:
        return self.now

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a system call."""

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("a simulated world has no threads: use the port")

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        self._made += 1
        future._number = self._made
        return future

    @staticmethod
    def _new_task(loop: Any, coro: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        loop._made += 1
        task = _Task(coro, loop=loop, name=f"task {loop._made}", **more)
        task._number = loop._made
        life = WHOSE.get() if "context" not in more else None  # with a context of its own it is nobody's
        if life is not None:
            life.tasks[task] = None
            task.add_done_callback(life.forget)
        return task
