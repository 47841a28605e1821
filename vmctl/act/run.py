"""Run a command on hosts: each run is begun once, found again whatever happens, and told with the truth.

What a host is asked for is journalled before. A host that does not answer is waited for: its run goes on there. The
beginning is asked for again after a lost answer, as it begins nothing twice; not after a reboot or half a day, when
the host may have forgotten it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from typing import Any

from vmctl.act import runplaces
from vmctl.act.runend import as_seen, outcome
from vmctl.commands.jobs import MOST_RUNS, RunJob
from vmctl.errors import Cancelled, HostError, NoHostFits, NotAllowed, NotFound, OverLimit, VmctlError
from vmctl.hosts import runs as on_host
from vmctl.hosts.port import Link, Shell
from vmctl.hosts.runs import From, Seen
from vmctl.model.access import login_on
from vmctl.model.jobs import JobRun, RunState, called, run_of
from vmctl.services import Services
from vmctl.services.claims import handle
from vmctl.tasks import Job
from vmctl.tasks.journals import RunningJob

Running = Job[RunJob, RunningJob]
AWAY_S = 1.0  # until a host that did not answer is asked again
AGAIN_WITHIN_S = 12 * 3600.0  # of the first time that a host was asked: it keeps what ended for a day
MOST_UNDECIDED = 5  # times that a host is asked to begin one, and neither does nor refuses
KILL_AFTER_S = 10.0
BEGIN_LIMIT_S = 30.0
HOSTS_AT_ONCE = 64


async def run(services: Services, job: Running) -> dict[str, Any]:
    """Task: run it, and wait for its end. The result tells how each run ended, good or not."""
    return await _Carrier(services, job).carry_out()


def _who(one: JobRun) -> tuple[str, str]:
    return one.host, one.login


class _Carrier:
    """One job. Its runs are in the journal, each change before what follows from it."""

    def __init__(self, services: Services, job: Running) -> None:
        self._services, self._job, self._asked = services, job, job.args
        self._runs = [run_of(raw) for raw in job.journal.runs]
        self._changed = self._written = 0
        self._writing = asyncio.Lock()
        self._resumed = bool(self._runs)  # of a controller before
        self._turns = asyncio.Semaphore(job.args.at_once or (MOST_RUNS if job.args.placed else HOSTS_AT_ONCE))
        self._steps: dict[RunState, Callable[[JobRun], Awaitable[None]]] = {
            RunState.WAITING: self._turn,
            RunState.BEGINNING: self._begin,
            RunState.RUNNING: self._follow,
        }

    async def carry_out(self) -> dict[str, Any]:
        try:
            if not self._runs:
                await self._draw()
            for one in self._runs:
                if one.host and one.state is not RunState.ENDED:  # an earlier controller promised it
                    self._services.promises.give(one.id, runplaces.promise(one.host, self._asked))
            await self._all()
            await self._save("ended")
        finally:
            for one in self._runs:
                self._services.promises.end(one.id)
        return self._result()

    async def _draw(self) -> None:
        """Say which runs there are: with their hosts where these are named, and with their places where none is waited
        for. Raises NotFound, NoHostFits, OverLimit."""
        asked = self._asked
        hosts = await runplaces.meant(self._services.store, asked)
        self._runs = [
            JobRun(number, host, login_on(asked.logins, host), self._new_id())
            for number, host in enumerate(hosts or [""] * asked.count, start=1)
        ]
        placed = asked.placed and not asked.queue
        there = await self._placed(self._runs, None) if placed else [one for one in self._runs if one.host]
        await self._promise(there)

    def _new_id(self) -> str:
        return self._services.ids.uuid().replace("-", "")

    async def _placed(self, runs: list[JobRun], waits: Callable[[str], None] | None) -> list[JobRun]:
        """These with the places that were chosen for them. Raises NoHostFits."""
        named = [(one.id, called(self._job.id, one.number)) for one in runs]
        found = await runplaces.choose(self._services, self._job, self._asked, named, waits)
        logins = self._asked.logins
        return [
            replace(one, host=there.host, why=there.why, login=login_on(logins, there.host))
            for one, there in zip(runs, found, strict=True)
        ]

    async def _promise(self, there: list[JobRun]) -> None:
        """From now on these have their places. Raises OverLimit where that is more than whose it is may have."""
        wanted, new = runplaces.use(self._asked, len(there)), {one.number: one for one in there}
        async with self._writing:
            version, runs = self._changed, [new.get(one.number, one) for one in self._runs]
            await self._job.note_within("running", wanted, runs=[asdict(one) for one in runs])
            self._written = version
        alone = self._changed == version
        for one in there:  # not before: whoever writes meanwhile would write them, too
            self._put(one)
            if one.why:
                self._job.say(f"{self._called(one)}: {one.why}")
        if alone:  # all that has changed is what was written
            self._written = self._changed

    async def _all(self) -> None:
        """Carry each to its end, side by side."""
        await self._save("running")
        work = [asyncio.create_task(self._carry(one.number)) for one in self._runs]
        canceller = asyncio.create_task(self._cancel())
        try:
            for done in asyncio.as_completed(work):
                await done
                self._show()
        finally:
            canceller.cancel()
            for each in work:
                each.cancel()
            await asyncio.gather(canceller, *work, return_exceptions=True)

    async def _carry(self, number: int) -> None:
        """One run, until nothing more comes of it."""
        while True:
            if self._run(number).state is RunState.WAITING:
                await self._find_place(self._run(number))
            async with self._turns:
                while (one := self._run(number)).state is not RunState.ENDED:
                    await self._steps[one.state](one)
            if not self._again(one):
                return

    def _again(self, one: JobRun) -> bool:
        """Try once more what has failed and surely runs no more; whether there is anything left to do."""
        if one.good or one.tries > self._asked.retry or one.unsure or self._job.cancel_asked.is_set():
            return False
        self._job.say(f"{self._called(one)} on {one.host}: {outcome(one)}; it is tried again")
        self._put(JobRun(one.number, id=self._new_id(), tries=one.tries + 1))
        return True

    async def _find_place(self, one: JobRun) -> None:
        """Choose its host, unless that is known."""
        if one.host:
            return
        try:
            await (self._queue(one) if self._asked.queue else self._promise(await self._placed([one], None)))
        except (NoHostFits, OverLimit, Cancelled) as err:
            self._end(one, err.message)

    async def _queue(self, one: JobRun) -> None:
        """Place it once it is first, and there is room. Raises Cancelled."""
        promises, task = self._services.promises, self._job.task
        # Who waits for a limit of his own keeps nobody else waiting.
        async with self._first(promises.turn_of(task.who, task.project)):
            while True:
                try:
                    await self._job.note_within(self._job.step, runplaces.use(self._asked, 1))
                    async with self._first(promises.turn):
                        await self._promise(await self._placed([one], self._hear))
                    return
                except OverLimit as err:
                    promises.end(one.id)
                    self._hear(err.message)
                    await asyncio.sleep(runplaces.LOOK_AGAIN_S)

    @contextlib.asynccontextmanager
    async def _first(self, turn: asyncio.Lock) -> AsyncIterator[None]:
        """Wait for one's turn, and have it. Raises Cancelled."""
        first = asyncio.ensure_future(turn.acquire())
        cancelled = asyncio.ensure_future(self._job.cancel_asked.wait())
        if turn.locked():
            self._job.show(text="waits for its turn")
        try:
            await asyncio.wait({first, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            self._job.check_cancelled()
            yield
        finally:
            cancelled.cancel()
            if not first.cancel():  # it has the turn
                turn.release()

    async def _turn(self, one: JobRun) -> None:
        """It has its place and its turn."""
        link = self._services.links.get(one.host)
        if self._job.cancel_asked.is_set():
            self._end(one, "it was cancelled before it began")
        elif link is None or not link.online:
            self._end(one, f"{one.host} does not answer: {link.why if link is not None else 'it was removed'}")
        else:
            self._services.promises.give(one.id, runplaces.promise(one.host, self._asked))
            now = self._services.clock.now()
            self._set(one, state=RunState.BEGINNING, asked_at=now, boot_id=link.boot_id)
            self._job.show(text="")  # it waits for nothing any more
            await self._save("beginning")

    def _hear(self, why: str) -> None:
        self._job.check_cancelled()
        self._job.show(text=f"waits for room: {why}")

    async def _begin(self, one: JobRun) -> None:
        """Ask its host to begin it, until it says what became of that."""
        assert one.asked_at is not None
        asked_before, undecided = self._resumed, 0
        while (link := await self._answering(one)) is not None:
            same = one.boot_id in ("", link.boot_id)
            again = same and self._services.clock.now() - one.asked_at < AGAIN_WITHIN_S and undecided < MOST_UNDECIDED
            try:
                seen = await (self._asked_for(one) if again else self._decided(one))
            except NotAllowed as err:
                self._end(one, err.message, unsure=asked_before)
                return
            except (HostError, NotFound) as err:
                asked_before = True
                await self._away(one, err)
                continue
            if seen.refused and asked_before:  # what was asked before may be on its way there yet
                self._end(one, f"{seen.why}; whether it began before is not known", unsure=True)
                return
            if seen.fate != "open":
                await self._seen(one, seen)
                return
            undecided += 1
            await asyncio.sleep(AWAY_S)

    async def _decided(self, one: JobRun) -> Seen:
        """What its host has of it; what was not begun until now never will be."""
        seen = await self._services.runs.now(_who(one), From(one.id))
        if seen.fate != "open":
            return seen
        left = await handle(self._services.logins, self._job.claim).ask(*_who(one), on_host.collect([one.id]))
        return seen if left else Seen("never", why="its host did not begin it")

    async def _asked_for(self, one: JobRun) -> Seen:
        asked = self._asked
        words = ("sh", "-c", " ".join(asked.words)) if asked.shell else tuple(asked.words)
        given, files = base64.b64decode(asked.stdin), base64.b64decode(asked.files)
        fact = on_host.begin(
            one.id,
            words,
            f"{called(self._job.id, one.number)} of {self._job.task.who}",
            input_bytes=len(given),
            files_bytes=len(files),
            limit_kib=asked.keep_kib,
            timeout_s=asked.timeout_s,
            mem_mib=asked.mem_mib,
            cpus=asked.cpus,
        )
        async with self._services.runs.beginning(one.host):
            shell = await self._shell(one)
            told = await shell.run(fact.command, stdin=given + files, timeout_s=BEGIN_LIMIT_S, check=False)
        if told.status in on_host.NEVER:
            return Seen("never", why=told.err.strip() or on_host.NEVER[told.status], refused=True)
        seen = fact.read(told.out, one.host)
        self._services.runs.keep(one.id, seen)
        return seen

    async def _shell(self, one: JobRun) -> Shell:
        """Where it runs; for as long as the task is ours."""
        return handle(await self._services.logins.shell(*_who(one)), self._job.claim)

    async def _follow(self, one: JobRun) -> None:
        """Wait for its end."""
        while await self._answering(one) is not None:
            try:
                await self._seen(one, await self._services.runs.follow(_who(one), From(one.id)))
                return
            except (HostError, NotAllowed, NotFound) as err:
                await self._away(one, err)

    async def _answering(self, one: JobRun) -> Link | None:
        """The link to its host, once that answers; None where it left the pool: then nobody knows how it ends."""
        while (link := self._services.links.get(one.host)) is not None:
            if link.online:
                return link
            self._job.show(text=f"{one.host} does not answer: {self._called(one)} is waited for")
            await asyncio.sleep(AWAY_S)
        self._end(one, f"{one.host} was removed from the pool: how it ended is not known", unsure=True)
        await self._save("running")
        return None

    async def _away(self, one: JobRun, err: VmctlError) -> None:
        self._job.show(text=f"{self._called(one)}: {err.message}")
        await asyncio.sleep(AWAY_S)

    async def _seen(self, one: JobRun, seen: Seen) -> None:
        now = self._services.clock.now()
        link = self._services.links.get(one.host)
        machine = self._services.incarnations.machine_of(link) if link is not None else set[str]()
        self._put(as_seen(self._run(one.number), seen, now, next(iter(machine), "")))
        if self._run(one.number).state is RunState.ENDED:
            self._services.promises.end(one.id)
        await self._save("running")

    async def _cancel(self) -> None:
        """Once it is asked for: end what runs, and see that what was not begun never is."""
        await self._job.cancel_asked.wait()
        for name in itertools.chain(("TERM",), itertools.repeat("KILL")):
            there = [one for one in self._runs if one.state.there]
            await asyncio.gather(*(self._signal(one, name) for one in there), return_exceptions=True)
            await asyncio.sleep(KILL_AFTER_S)

    async def _signal(self, one: JobRun, name: str) -> None:
        with contextlib.suppress(HostError, NotAllowed, NotFound):
            await (await self._shell(one)).run(on_host.signal(one.id, name), check=False)

    # -- what is known

    def _run(self, number: int) -> JobRun:
        return self._runs[number - 1]

    def _put(self, one: JobRun) -> None:
        self._runs[one.number - 1] = one
        self._changed += 1
        self._job.touch()

    def _set(self, one: JobRun, **changes: Any) -> None:
        self._put(replace(self._run(one.number), **changes))

    def _end(self, one: JobRun, why: str, *, unsure: bool = False) -> None:
        self._set(one, state=RunState.ENDED, why=why, ended_at=self._services.clock.now(), unsure=unsure)
        self._services.promises.end(one.id)

    async def _save(self, step: str) -> None:
        """Journal what has changed; who comes while that is written is written together with the others."""
        mine = self._changed
        async with self._writing:
            if self._written < mine or not self._job.journal.runs:
                version = self._changed
                await self._job.note(step, runs=[asdict(one) for one in self._runs])
                self._written = version

    def _called(self, one: JobRun) -> str:
        return f"run {one.number}" if len(self._runs) > 1 else "it"

    def _show(self) -> None:
        total = len(self._runs)
        ended = sum(one.state is RunState.ENDED for one in self._runs)
        if total > 1:
            self._job.show(percent=100 * ended / total, text=f"{ended}/{total} ended")

    def _result(self) -> dict[str, Any]:
        bad = [one for one in self._runs if not one.good]
        lines = tuple(f"{one.host or self._called(one)}: {outcome(one)}" for one in self._runs)
        if self._job.cancel_asked.is_set() and bad:
            raise Cancelled(f"job {self._job.id} was cancelled", lines=lines)
        told: dict[str, Any] = {"runs": len(self._runs), "bad": len(bad)}
        if len(self._runs) == 1:
            one = self._runs[0]
            told |= {"host": one.host, "code": one.code, "outcome": outcome(one)}
        return told
