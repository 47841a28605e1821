"""The ledger at work: pictures of all machines in, rows to the store every few seconds, and answers from both.

What is valid is answered from memory, what has ended from the store. Nothing here waits for a machine. While the store
takes nothing, changes are kept in memory, up to a bound, and written with the next ones.

Of several controllers each keeps the ledgers of some machines, by a row for each: another one goes on with a machine
only when all that this one saw is written, or when its life has ended. What others keep is answered from the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import NamedTuple

from vmctl.errors import NotFound, Refused, Usage
from vmctl.hosts.facts import Daemon, RawSample
from vmctl.hosts.port import Link
from vmctl.hosts.processes import same_processes, seen_of
from vmctl.ledger import Changes, EndReason, Ledger, Life, Picture, ProcessSample, ShortLived, Step
from vmctl.model.identity import Incarnation, parse_gpid, plain_ip, same_name
from vmctl.model.policy import LedgerPolicy
from vmctl.model.records import HostRecord, VMRecord
from vmctl.ports import SYSTEM, Clock
from vmctl.ports.store import Store
from vmctl.store.incarnations import DAY_S, uuid_range

log = logging.getLogger("vmctl.ledger")
HOST_EVERY_S = 10.0
MANY = 10_000  # processes that are looked at in one go
MOST_PENDING = 200_000  # lives that wait for a store that cannot be written


@dataclass(frozen=True, slots=True)
class Besides:
    """What samples of a host do not have: runs of jobs, and the TCP ports on which daemons listen, by process id."""

    boot_id: str = ""
    runs: tuple[ProcessSample, ...] = ()
    ports: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


class Found(NamedTuple):
    """A life, the program's earlier lives on its machine (newest first), and others of the same name."""

    life: Life
    previous: list[Life]
    also: list[Life]


class Incarnations:
    """All machines' ledgers. `start` before the first picture; `flush` every few seconds."""

    def __init__(self, store: Store, policy: LedgerPolicy, clock: Clock = SYSTEM.clock) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._ledgers: dict[str, Ledger] = {}
        self._samples: dict[str, tuple[float, RawSample]] = {}  # host -> the last one that was taken, and when
        self._besides: dict[str, Besides] = {}  # host -> what came with no sample
        self._due: set[str] = set()  # hosts of which that is new
        self._pending = Changes()
        self._writing = asyncio.Lock()
        self.keeper = ""  # the life whose name ledgers are kept in; empty: there is one controller, which keeps all
        self._kept: set[str] = set()  # machines, while there is a keeper
        self._leaving: set[str] = set()  # those that it keeps no more, as soon as all is written
        self._taking = asyncio.Lock()

    async def start(self) -> None:
        """Go on from what is stored. What was valid stays so until a picture says otherwise."""
        if not self.keeper:
            await self._load(None, await self._registered())

    async def _registered(self) -> set[str]:
        vms, hosts = await self._store.all(VMRecord), await self._store.all(HostRecord)
        return {vm.uuid.lower() for vm in vms} | {_host_uuid(record) for record in hosts}

    async def end_of_gone(self) -> None:
        """End the lives of machines that have gone while nobody kept their ledgers."""
        if self.keeper:
            gone = {run.machine for run in await self._store.ledger.runs()} - await self._registered()
            await self.take(gone, there=False)
            await self.leave(gone)

    async def take(self, machines: Iterable[str], *, there: bool = True) -> set[str]:
        """Keep the ledgers of machines (UUIDs) from now on: those that are kept here then.

        One that another controller still keeps is not among them. `there`: they are registered.
        """
        asked = {machine.lower() for machine in machines}
        if not self.keeper:
            return asked
        return await asyncio.shield(self._take(asked, there))  # what is written goes on, whoever stops waiting for it

    async def _take(self, asked: set[str], there: bool) -> set[str]:
        async with self._taking:
            new = asked - self._kept - self._leaving
            try:
                if new:
                    taken = set(await self._store.take_machines(self.keeper, sorted(new)))
                    await self._load(taken, taken if there else set())
                    self._kept |= taken
            except BaseException:
                self._leaving |= new  # they may be ours by now: with the next flush they are nobody's
                raise
            return asked & self._kept

    async def leave(self, machines: Iterable[str]) -> None:
        """Keep their ledgers no more: at once, or as soon as the store takes what was seen of them."""
        async with self._taking:  # one whose asker is gone ends first
            gone = {machine.lower() for machine in machines} & self._kept
            self._kept -= gone
            self._leaving |= gone
        if gone:
            await self.flush()

    def _keeps(self, machine: str) -> bool:
        return not self.keeper or machine in self._kept

    async def _load(self, machines: Collection[str] | None, registered: Collection[str]) -> None:
        """Go on with the ledgers of these machines (None: of all)."""
        hosts = {_host_uuid(record) for record in await self._store.all(HostRecord)}
        now, monotonic = self._clock.now(), self._clock.monotonic()
        runs = await self._store.ledger.runs(machines)
        newest = {run.machine: run for run in sorted(runs, key=lambda run: runs[run])}
        every = await self._store.ledger.open_ports() if machines is None else None
        async for run, lives in self._store.ledger.valid(machines):
            seen_at = runs[run]
            listens = [life.uuid for life in lives if life.port]
            ports = every if every is not None else await self._store.ledger.open_ports(listens)
            ledger = self._ledger(run.machine, host=run.machine in hosts)
            if run.machine in registered and newest[run.machine] == run:
                loaded = ((life, ports.get(life.uuid, ()) if life.port else ()) for life in lives)
                ledger.load(run, seen_at, loaded, monotonic - max(0.0, now - seen_at))
            else:  # its machine has gone, or was seen in a later boot
                for life in lives:
                    last = life._replace(last_seen=max(life.last_seen, seen_at))
                    ledger.end_stored(last, ports.get(life.uuid, ()), now)

    def _ledger(self, machine: str, *, host: bool = False) -> Ledger:
        found = self._ledgers.get(machine)
        if found is None:
            policy, why = self._policy, EndReason.VM_REBOOTED
            if host:  # QEMU processes are few, and each is worth a row
                policy, why = replace(policy, short_s=0.0, short_pictures=0), EndReason.HOST_REBOOTED
            found = self._ledgers[machine] = Ledger(machine, policy, why)
        return found

    # -- pictures

    def guest_picture(
        self,
        vm: str,
        boot_id: str,
        seen: Iterable[ProcessSample],
        *,
        run: int = 0,
        ip: str = "",
        gone: Iterable[tuple[int, int]] | None = None,
    ) -> Step:
        """A guest (its VM's UUID) has told its processes: all of them, or with `gone` what changed and what ended."""
        if not self._keeps(vm.lower()):
            return Step([], [])
        picture = Picture(run, boot_id, plain_ip(ip), self._clock.now(), self._clock.monotonic())
        ledger = self._ledger(vm.lower())
        return ledger.full(picture, seen) if gone is None else ledger.delta(picture, seen, gone)

    def host_sample(self, link: Link, sample: RawSample) -> None:
        """A host's sample has come: now and then, and whenever something of it began or ended, it is a picture."""
        now = self._clock.monotonic()
        at, before = self._samples.get(link.name, (0.0, None))
        machine = next(iter(self.machine_of(link)), "")
        if (
            not machine
            or not self._keeps(machine)
            or (
                before is not None
                and now - at < HOST_EVERY_S
                and same_processes(before, sample)
                and link.name not in self._due
            )
        ):
            return
        self._due.discard(link.name)
        self._samples[link.name] = (now, sample._replace(cpu_lines=""))
        picture = Picture(
            0, sample.boot_id, plain_ip(link.ssh.peer) or plain_ip(link.record.address), self._clock.now(), now
        )
        seen = seen_of(before, sample, link.about.qemu if link.about else "")
        besides = self._besides.get(link.name)
        if besides is not None and besides.boot_id == sample.boot_id:
            seen = [one._replace(ports=besides.ports.get(one.pid)) for one in seen] + list(besides.runs)
        self._ledger(machine, host=True).full(picture, seen)

    def host_besides(self, link: Link, found: Besides) -> None:
        """What else was seen on a host: the next sample's picture has it."""
        self._besides[link.name] = found
        self._due.add(link.name)

    def daemons(self, link: Link) -> list[Daemon]:
        """The daemons of a host's last picture."""
        at_and_sample = self._samples.get(link.name)
        return list(at_and_sample[1].daemons) if at_and_sample is not None else []

    async def past(self, link: Link, boot_id: str, one: ProcessSample, began: float, ended_at: float) -> None:
        """A process of a host that ended before any picture could show it."""
        machine = next(iter(self.machine_of(link)), "")
        name = Incarnation(machine, 0, boot_id, one.pid, one.start_ticks).uuid
        if machine and self._keeps(machine) and not await self._store.ledger.find(str(name)):
            ledger = self._ledger(machine, host=True)
            ledger.past(one, Picture(0, boot_id, ledger.ip, began, self._clock.monotonic()), ended_at)

    # -- what others know of machines

    def vm_stopped(self, vm: str) -> Step:
        """Everything in the VM has ended with it."""
        return self._end(vm, EndReason.VM_STOPPED)

    def machine_of(self, link: Link) -> set[str]:
        """The machine that a host is, as far as it is known."""
        return {_host_uuid(link.record) or (link.about.host_uuid.lower() if link.about else "")} - {""}

    def host_removed(self, link: Link) -> Step:
        """A host has left the pool: nothing is known of its processes any more."""
        for kept in (self._samples, self._besides):
            kept.pop(link.name, None)
        self._due.discard(link.name)
        return self._end(_host_uuid(link.record), EndReason.HOST_REMOVED)

    def _end(self, machine: str, why: EndReason) -> Step:
        ledger = self._ledgers.get(machine.lower()) if self._keeps(machine.lower()) else None
        return ledger.end(why, self._clock.now()) if ledger is not None else Step([], [])

    # -- the store

    async def flush(self) -> None:
        """Write what has changed since the last time."""
        async with self._writing:
            monotonic, leaving = self._clock.monotonic(), set(self._leaving)
            for name, ledger in self._ledgers.items():
                changes = ledger.last_changes(monotonic) if name in leaving else ledger.changes(monotonic)
                self._pending.merge(changes)
            writing, self._pending = self._pending, Changes()
            try:
                if writing:
                    await self._store.ledger.write(writing)
            except BaseException:
                writing.merge(self._pending)
                if len(writing.lives) > MOST_PENDING:
                    log.error("%s lives could not be written and are given up", len(writing.lives))
                    writing = Changes()
                self._pending = writing
                raise
            if leaving:
                await self._store.leave_machines(self.keeper, sorted(leaving))
                self._leaving -= leaving
                for name in leaving:
                    self._ledgers.pop(name, None)

    async def prune(self, now: float) -> int:
        """Forget what is older than kept, and machines in which nothing runs."""
        await self.flush()
        self._ledgers = {name: ledger for name, ledger in self._ledgers.items() if len(ledger)}
        return await self._store.ledger.prune(now, self._policy)

    # -- answers

    async def processes(
        self, machine: str | None, program: str | None, *, history: bool = False, most: int = 1000
    ) -> list[Life]:
        """Valid lives, the busiest first, and with `history` the ended ones, the newest first; `most` of each."""
        busiest: list[tuple[tuple[float, int, int], str]] = []
        least = (-1.0, 0, 0)
        for name in [machine] if machine is not None else list(self._ledgers):
            if name in self._ledgers:
                busiest += ((use, name) for use in self._ledgers[name].uses(program) if use > least)
            if len(busiest) > 2 * most + MANY:  # many machines: choose in between, and let others have their turn
                busiest = nlargest(most, busiest)
                least = busiest[-1][0]
                await asyncio.sleep(0)
        lives = (self._ledgers[name].life(use[2]) for use, name in nlargest(most, busiest) if name in self._ledgers)
        found = [life for life in lives if life is not None]
        if self.keeper and machine not in self._kept:
            others = await self._store.ledger.processes(machine, program, valid=True, most=most, but=self.keeper)
            found = nlargest(most, found + others, key=lambda life: (life.cpu, life.rss_kib, life.pid))
        if history:
            await self.flush()
            found += await self._store.ledger.processes(machine, program, valid=False, most=most)
        return found

    async def find(self, name: str) -> Found:
        """The incarnation of a gpid, a UUID or its beginning. Raises Usage, NotFound, Refused (it could be several)."""
        await self.flush()
        try:
            stored = await self._store.ledger.find(name)
            young = [life for life in self._young(name) if life.uuid not in {one.uuid for one in stored}]
        except ValueError as err:
            raise Usage(str(err), hint="vmctl ps -o name") from err
        found = [self._now(life) for life in (*young, *stored)]
        if not found:
            raise NotFound(f"no process is or was called {name!r}", lines=await self._near(name), hint="vmctl ps")
        if ":" not in name and len(found) > 1:
            lines = tuple(f"{life.uuid}  {life.program!r}" for life in found[:10])
            raise Refused(f"{len(found)} processes' UUIDs begin with {name!r}", lines=lines)
        first, *also = sorted(found, key=lambda life: (life.ended_at is not None, -life.first_seen))
        return Found(first, await self._store.ledger.previous_lives(first), also)

    def _young(self, name: str) -> Iterator[Life]:
        """Those that are not stored yet, by name. Raises ValueError."""
        asked = parse_gpid(name) if ":" in name else None
        low, high = uuid_range(name) if asked is None else (b"", b"")
        for life in (life for ledger in self._ledgers.values() for life in ledger.young()):
            if same_name(asked, life.gpid) if asked is not None else low <= life.uuid.bytes <= high:
                yield life

    def _now(self, life: Life) -> Life:
        """A stored life as it is now, if it is valid; its name stays as it was stored."""
        ledger = self._ledgers.get(life.machine)
        live = ledger.life(life.pid, self._clock.monotonic()) if ledger is not None and life.ended_at is None else None
        if live is None or live.incarnation != life.incarnation:
            return life
        return live._replace(
            started_us=life.started_us, ip=life.ip or live.ip, port=life.port or live.port, first_seen=life.first_seen
        )

    async def _near(self, name: str) -> tuple[str, ...]:
        """Names that differ in one part: the same process started at another time, another one on that port."""
        if ":" not in name:
            return ()
        asked = parse_gpid(name)
        live = (life for ledger in self._ledgers.values() if ledger.ip == asked.ip for life in ledger.lives())
        alike = nlargest(3, live, key=lambda life: (life.pid == asked.pid, life.port == asked.port, life.cpu))
        return tuple(f"near: {life.gpid}  {life.program!r}" for life in alike)

    async def who(self, ip: str, port: int, at: float | None) -> list[Life]:
        """Who listens on IP:PORT, or listened at a time (UTC seconds). Raises NotFound."""
        if at is None:
            here = [ledger for ledger in self._ledgers.values() if ledger.ip == ip]
            found = [life for ledger in here for life in ledger.listening(ip, port)]
            if self.keeper:
                stored = await self._store.ledger.listening(ip, port, self._clock.now())
                found += [life for life in stored if life.ended_at is None and not self._keeps(life.machine)]
        else:
            await self.flush()
            found = [self._now(life) for life in await self._store.ledger.listening(ip, port, at)]
        if not found:
            raise NotFound(f"no process is known to {'listen' if at is None else 'have listened'} there: {ip}:{port}")
        return sorted(found, key=lambda life: life.first_seen)

    async def short_lived(self, machine: str | None, days: float) -> list[ShortLived]:
        """What was too short-lived for a row, per program and day."""
        await self.flush()
        return await self._store.ledger.short_lived(machine, int((self._clock.now() - days * DAY_S) // DAY_S))

    def programs(self, near: str) -> list[str]:
        """Names of programs that run and begin like that, for completion."""
        live = set[str]().union(*(ledger.programs() for ledger in self._ledgers.values()))
        return sorted(name for name in live if name.startswith(near))

    def left_out(self, machine: str) -> int:
        """How many processes of a machine's last picture were too many to keep."""
        return self._ledgers[machine].left_out if machine in self._ledgers else 0


def _host_uuid(record: HostRecord) -> str:
    return str(record.about.get("host_uuid") or "").lower()
