"""A task's claim on what it holds, and handles that end with it.

Whoever carries out a task reaches hosts and the registry through handles that belong to its claim. Once it is lost,
because another controller took the task over, each of them raises `Deposed`: nothing more is begun, and nothing that
the other one goes on with is undone. A call that is under way on a host cannot be taken back: the next one looks first.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeVar, cast

T = TypeVar("T")
PARTS = ("ssh", "virt")  # of a host's link, which are reached by handles, too
OWN = ("close",)  # lets go of what is this process's alone, as its end would: that may be done without a claim


class Deposed(BaseException):
    """The claim is lost. No error of the tree, as no handler may catch it: it passes every except, finally and undo."""


class Claim:
    """Held until it is lost, and lost for good."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.lost = False

    def lose(self) -> None:
        """Somebody else has it now."""
        self.lost = True

    def check(self) -> None:
        """Raises Deposed once it is lost."""
        if self.lost:
            raise Deposed(self._what)


Judge = Callable[[Exception], Awaitable[None]]


def handle(target: T, claim: Claim, judge: Judge | None = None) -> T:
    """The same thing for as long as the claim is held. `judge` hears its errors, and may find the claim lost by one."""
    return cast(T, _Handle(target, claim, judge))


class _Handle:
    """Passes everything on; what is awaited is checked before it begins and when it has ended."""

    __slots__ = ("_claim", "_judge", "_target")

    def __init__(self, target: Any, claim: Claim, judge: Judge | None = None) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_claim", claim)
        object.__setattr__(self, "_judge", judge)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name in PARTS:
            return _Handle(found, self._claim)
        if name in OWN or not _waits(found):
            return found
        return _checked(found, self._claim, self._judge)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)


def _waits(found: Any) -> bool:
    """Whether it is a coroutine function. (`inspect` takes ten times as long, and this is asked at every call.)"""
    code = getattr(found, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_COROUTINE)


def _checked(call: Any, claim: Claim, judge: Judge | None) -> Any:
    async def checked(*args: Any, **more: Any) -> Any:
        claim.check()
        try:
            return await call(*args, **more)
        except Exception as err:
            if judge is not None:
                await judge(err)
            raise
        finally:
            claim.check()  # whatever it ended with: nobody may act on that any more

    return checked


class Handles(MutableMapping[str, T]):
    """Named things as handles; the same one each time."""

    def __init__(self, targets: MutableMapping[str, T], claim: Claim) -> None:
        self._targets, self._claim = targets, claim
        self._made: dict[str, tuple[T, T]] = {}  # name -> (thing, its handle)

    def __getitem__(self, name: str) -> T:
        target = self._targets[name]
        if name not in self._made or self._made[name][0] is not target:
            self._made[name] = target, handle(target, self._claim)
        return self._made[name][1]

    def __setitem__(self, name: str, value: T) -> None:
        self._claim.check()
        self._targets[name] = value

    def __delitem__(self, name: str) -> None:
        self._claim.check()
        del self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)
