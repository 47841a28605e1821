"""What hosts show of runs, as it comes: one question at a time for all runs of a host, however many wait for theirs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from vmctl.errors import Unreachable, VmctlError
from vmctl.hosts import runs
from vmctl.hosts.runs import From, Seen
from vmctl.ports import Clock
from vmctl.services.logins import Logins

Who = tuple[str, str]  # a host, and a log-in there
AT_ONCE = 2  # questions at one host: sshd has few sessions, and others need them, too
BEGIN_AT_ONCE = 3
SHORT_S, LONG_S = 0.5, 3.0  # how long a host waits for news: who has just come must not wait behind that for long
YOUNG_S = 5.0  # for so long is a wish a new one
KEPT_S, KEPT_BYTES = 10.0, 4 << 20  # how long, and how much of it, what the beginning showed of one that ended at once


@dataclass(eq=False, slots=True)
class _Wish:
    asked: From
    seen: asyncio.Future[Seen]
    since: float
    asking: bool = False


class RunFeeds:
    """Of all log-ins of all hosts."""

    def __init__(self, logins: Logins, clock: Clock) -> None:
        self._logins, self._clock = logins, clock
        self._wishes: dict[Who, list[_Wish]] = {}
        self._asking: dict[Who, int] = {}
        self._questions: set[asyncio.Task[None]] = set()
        self._beginning: dict[str, asyncio.Semaphore] = {}
        self._shown: dict[str, tuple[float, Seen]] = {}  # by its id: when, and all that there is of it
        self._shown_bytes = 0

    def beginning(self, host: str) -> asyncio.Semaphore:
        """Held while the host is asked to begin a run: few at once."""
        return self._beginning.setdefault(host, asyncio.Semaphore(BEGIN_AT_ONCE))

    def keep(self, run: str, seen: Seen) -> None:
        """It had ended as its host answered, with all of its output: who reads that soon need not ask again."""
        late = self._clock.monotonic() - KEPT_S
        while self._shown and (self._shown_bytes > KEPT_BYTES or next(iter(self._shown.values()))[0] < late):
            self._shown_bytes -= _size(self._shown.pop(next(iter(self._shown)))[1])
        if run not in self._shown and seen.code is not None and _size(seen) == seen.out_bytes + seen.err_bytes:
            self._shown[run] = self._clock.monotonic(), seen
            self._shown_bytes += _size(seen)

    def kept(self, asked: From) -> Seen | None:
        """The same as `follow`, where it is known already."""
        at, seen = self._shown.get(asked.run, (0.0, None))
        if seen is None or at < self._clock.monotonic() - KEPT_S:
            return None
        return replace(seen, out=seen.out[asked.out or 0 :], err=seen.err[asked.err or 0 :])

    async def now(self, who: Who, asked: From) -> Seen:
        """What the host shows of it now. Raises HostError, NotAllowed, NotFound."""
        return (await self._logins.ask(*who, runs.follow([asked])))[0]

    async def follow(self, who: Who, asked: From) -> Seen:
        """The same, once it has ended or has printed more than that. Raises HostError, NotAllowed, NotFound."""
        wish = _Wish(asked, asyncio.get_running_loop().create_future(), self._clock.monotonic())
        self._wishes.setdefault(who, []).append(wish)
        self._go_on(who)
        try:
            return await wish.seen
        finally:
            self._wishes[who].remove(wish)

    def _go_on(self, who: Who) -> None:
        """Ask for all whom no question stands for, unless enough are asked."""
        free = [wish for wish in self._wishes.get(who, ()) if not wish.asking and not wish.seen.done()]
        if not free or self._asking.get(who, 0) >= AT_ONCE:
            return
        for wish in free:
            wish.asking = True
        self._asking[who] = self._asking.get(who, 0) + 1
        question = asyncio.create_task(self._ask(who, free), name=f"runs on {who[0]}")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)

    async def _ask(self, who: Who, wishes: list[_Wish]) -> None:
        late = self._clock.monotonic() - YOUNG_S
        wait_s = SHORT_S if any(wish.since > late for wish in wishes) else LONG_S
        try:
            found = await self._logins.ask(*who, runs.follow([wish.asked for wish in wishes], wait_s))
            for place, seen in found.items():
                _give(wishes[place], seen)
        except VmctlError as err:
            _refuse(wishes, err)
        except asyncio.CancelledError:  # by the link, which is lost
            _refuse(wishes, Unreachable(f"the link to {who[0]} was lost"))
        finally:
            self._asking[who] -= 1
            for wish in wishes:
                wish.asking = False
            self._go_on(who)


def _size(seen: Seen) -> int:
    return len(seen.out) + len(seen.err)


def _give(wish: _Wish, seen: Seen) -> None:
    if not wish.seen.done():
        wish.seen.set_result(seen)


def _refuse(wishes: list[_Wish], err: VmctlError) -> None:
    for wish in wishes:
        if not wish.seen.done():
            wish.seen.set_exception(err)
