"""What a controller is given from outside: time, names drawn at random, threads. `SYSTEM` has the machine's own.

Whoever simulates a cluster gives others, and everything follows: nothing else in the controller reads a clock, draws a
name or starts a thread, and tests/test_architecture.py holds it to that. Waiting is asyncio's, by its loop's own time.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Time. Durations come from `monotonic` alone, as UTC may be set."""

    def now(self) -> float:
        """UTC seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""


class Ids(Protocol):
    """Names that nobody has."""

    def uuid(self) -> str:
        """A UUID."""

    def token(self) -> str:
        """16 hexadecimal digits that nobody can guess."""

    def noise(self, size: int) -> bytes:
        """Bytes that nobody can guess."""

    def mac(self) -> str:
        """A MAC address from QEMU's own range."""


class Threads(Protocol):
    """Work that would keep the loop from everything else."""

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """What the work returns. It touches nothing that the loop touches, too."""

    async def wait(self, work: Callable[..., T], *args: object) -> T:
        """The same for work that mostly waits for somebody else: it keeps no other work from a thread."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All three."""

    clock: Clock
    ids: Ids
    threads: Threads


class _MachineClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class _RandomIds:
    def uuid(self) -> str:
        return str(uuid.uuid4())

    def token(self) -> str:
        return secrets.token_hex(8)

    def noise(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    def mac(self) -> str:
        return "52:54:00:" + ":".join(f"{random.SystemRandom().randrange(256):02x}" for _ in range(3))


# Apart from those of the loop, of which there are few: log-ins, metrics and plans need one of these.
_WAITING = ThreadPoolExecutor(16, "vmctl-waits")


class _LoopThreads:
    async def run(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.to_thread(work, *args)

    async def wait(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(_WAITING, partial(work, *args))


SYSTEM = Parts(_MachineClock(), _RandomIds(), _LoopThreads())
