"""A controller's life: it may end between any two things that it does, and nothing of it acts after that."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from typing import Any

WHOSE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("whose", default=None)


class Life:
    """What belongs to one controller's process: its tasks, its connections, and how many steps it has taken.

    A step is a call of a port, counted before it and after it. At one of them something may befall it.
    """

    def __init__(self) -> None:
        self.alive, self.steps = True, 0
        self.befalls: dict[int, Callable[[], None]] = {}  # at which step, and what
        self.tasks: list[asyncio.Task[Any]] = []  # also those that have ended
        self.at_end: list[Callable[[], None]] = []  # what the kernel does for a process that is gone
        self.held: list[Any] = []  # what is due while it stands still

    def step(self) -> None:
        """Count a step. Raises CancelledError where the life is over, which no handler takes for an error."""
        if self.alive:
            self.steps += 1
            if (befalls := self.befalls.pop(self.steps, None)) is not None:
                befalls()
        if not self.alive:
            self.check()

    def after(self, steps: int, befalls: Callable[[], None]) -> None:
        """Let something befall it so many steps from now."""
        self.befalls[self.steps + steps] = befalls

    def check(self) -> None:
        """Raises CancelledError once it is over."""
        if not self.alive:
            raise asyncio.CancelledError("its process was killed")

    def end(self) -> None:
        """kill -9."""
        if self.alive:
            self.alive = False
            for close in self.at_end:
                close()
            for task in self.tasks:
                task.cancel()


class Mortal:
    """A port of a controller: each of its coroutines is two steps, and all of them end with its life."""

    def __init__(
        self,
        target: Any,
        life: Life,
        latency_s: float = 0.0,
        check: Callable[[str], Exception | None] = lambda _name: None,
    ) -> None:
        """`check` hears of each call: it raises what befalls it, or returns what is heard though it is done."""
        self.__dict__.update(_target=target, _life=life, _latency_s=latency_s, _check=check)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not inspect.iscoroutinefunction(found):
            return found
        life, latency_s, check = self._life, self._latency_s, self._check

        async def call(*args: Any, **more: Any) -> Any:
            life.step()
            if latency_s:
                await asyncio.sleep(latency_s)
            life.check()
            lost = check(name)
            try:
                done = await found(*args, **more)
            finally:
                life.step()
            if lost is not None:
                raise lost
            return done

        call.__name__ = name
        self.__dict__[name] = call  # the next one finds it without coming here
        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)
