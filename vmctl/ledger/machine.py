"""The processes of one machine, a VM or a host: what a picture changes, what ended and why. Pure.

The rules: only a picture ends a life, or somebody who knows what became of the machine; silence ends nothing. Identity
never looks at a clock. What is too short-lived for a row is counted under its program, unless it listened on a port:
services matter, however short.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from vmctl.ledger import ring
from vmctl.ledger.process import Process, open_ports, sound, text
from vmctl.ledger.values import Changes, EndReason, Life, Listening, Picture, ProcessSample, Run, ShortLived, Step
from vmctl.model.policy import LedgerPolicy

MOST_PROGRAMS = 200  # names of short-lived programs that are told apart in a day; the rest are counted together
OTHER_PROGRAMS = "(others)"
HOUR_S, DAY_S = 3600.0, 86400.0
LONGEST_AGE_S = 10 * 366 * DAY_S


class Ledger:
    """Feed it with `full` or `delta`; take what must be written with `changes`."""

    def __init__(self, machine: str, policy: LedgerPolicy, rebooted: EndReason = EndReason.VM_REBOOTED) -> None:
        self.machine = machine
        self.ip = ""
        self.run: Run | None = None
        self.seen_at = 0.0  # UTC, of the last picture
        self.left_out = 0  # processes of the last picture that were too many
        self._policy = policy
        self._rebooted = rebooted
        self._processes: dict[int, Process] = {}
        self._young: dict[int, tuple[float, int]] = {}  # pid -> when it began (monotonic), pictures before it
        self._pictures = 0
        self._heard: float | None = None  # monotonic, of the last picture
        self._sampled = float("-inf")
        self._phase = zlib.crc32(machine.encode()) % 1000 / 1000  # so that not all machines are written at once
        self._round = 0
        self._rows = float(policy.rows_per_machine)  # how many more may be begun now: a guest cannot flood the store
        self._moved: set[int] = set()  # use has changed since the last sample
        self._changed: set[int] = set()  # differs from what is written, and can wait
        self._news: set[int] = set()  # differs, and is written next
        self._out = Changes()
        self._short: dict[tuple[str, int], tuple[int, float]] = {}
        self._programs: tuple[int, set[str]] = (0, set())  # the day, and the names that are told apart in it

    # -- pictures

    def full(self, picture: Picture, seen: Iterable[ProcessSample]) -> Step:
        """All processes of the machine: what is not among them has ended."""
        step = Step([], [])
        self._enter(picture, step)
        found = {one.pid: one for one in seen if sound(one)}
        heard = self._heard is not None and picture.monotonic - self._heard <= self._policy.silence_s
        for process in list(self._processes.values()):
            one = found.get(process.pid)
            if one is None or one.start_ticks != process.start_ticks:
                self._end(process, EndReason.EXITED if heard else EndReason.UNSEEN, picture.now, step)
        self.left_out = 0
        for one in found.values():
            self._take(one, picture, step)
        self._leave(picture)
        return step

    def delta(self, picture: Picture, changed: Iterable[ProcessSample], gone: Iterable[tuple[int, int]]) -> Step:
        """What is new or has changed, and (pid, start_ticks) of what is gone; the rest goes on."""
        step = Step([], [])
        self._enter(picture, step)
        for pid, start_ticks in gone:
            process = self._processes.get(pid)
            if process is not None and process.start_ticks == start_ticks:
                self._end(process, EndReason.EXITED, picture.now, step)
        for one in changed:
            if sound(one):
                process = self._processes.get(one.pid)
                if process is not None and process.start_ticks != one.start_ticks:
                    self._end(process, EndReason.EXITED, picture.now, step)  # its pid has come round again
                self._take(one, picture, step)
        self._leave(picture)
        return step

    def past(self, one: ProcessSample, picture: Picture, ended_at: float) -> None:
        """One of that boot that began and ended before a picture could show it; one that is known stays as it is."""
        boot, known = Run(self.machine, picture.run, text(picture.boot_id, 64)), self._processes.get(one.pid)
        there = known is not None and boot == self.run and known.start_ticks == one.start_ticks
        if sound(one) and not there and self._afford():
            life = Process(one, picture.ip, picture).life(boot, ended_at, ended_at, EndReason.EXITED, b"")
            self._out.lives[life.incarnation] = life

    def end(self, why: EndReason, now: float) -> Step:
        """The machine is known to have stopped: everything in it has ended."""
        step = Step([], [])
        for process in list(self._processes.values()):
            self._end(process, why, now, step)
        self._heard = None
        return step

    # -- what is known

    def __len__(self) -> int:
        return len(self._processes)

    def uses(self, program: str | None = None) -> Iterator[tuple[float, int, int]]:
        """(CPU, memory, pid) of the valid ones, or of those of a program: to choose among many."""
        for process in self._processes.values():
            if program is None or process.program == program:
                yield process.cpu, process.rss_kib, process.pid

    def programs(self) -> set[str]:
        """What runs here."""
        return {process.program for process in self._processes.values()}

    def lives(self) -> Iterator[Life]:
        """All that are valid, without their samples."""
        return (self._life(process) for process in self._processes.values())

    def life(self, pid: int, monotonic: float | None = None) -> Life | None:
        """The valid one of that pid; with its samples where the time is given."""
        process = self._processes.get(pid)
        if process is None:
            return None
        return self._life(process, samples=b"" if monotonic is None else self._samples(process, monotonic))

    def young(self) -> Iterator[Life]:
        """Valid ones that are not written yet: they may prove short-lived."""
        return (self._life(self._processes[pid]) for pid in self._young)

    def listening(self, ip: str, port: int) -> Iterator[Life]:
        """Who listens there now."""
        for process in self._processes.values():
            if any(listen[:2] == (ip, port) for listen in process.listens):
                yield self._life(process)

    # -- from and to the store

    def load(
        self, run: Run, seen_at: float, lives: Iterable[tuple[Life, tuple[Listening, ...]]], monotonic: float
    ) -> None:
        """Go on from what was written: these are valid until a picture says otherwise."""
        self.run, self.seen_at, self._heard = run, seen_at, None
        for life, listens in lives:
            process = Process.of(life, monotonic)
            process.listens = tuple((one.ip, one.port, one.since) for one in listens)
            self._processes[life.pid] = process
            self.ip = process.listens[0][0] if process.listens else self.ip or life.ip

    def end_stored(self, life: Life, listens: Iterable[Listening], now: float) -> None:
        """A written life of an earlier boot that nobody saw end."""
        ended = life._replace(ended_at=now, why=str(EndReason.UNSEEN))
        self._out.lives[ended.incarnation] = ended
        for one in listens:
            self._note(one._replace(until=now))

    def changes(self, monotonic: float) -> Changes:
        """What must be written now; it is handed out once. What live ones use follows every few minutes."""
        out, self._out = self._out, Changes()
        news, self._news = self._news, set()
        turn = int(monotonic / self._policy.write_every_s + self._phase)
        if turn != self._round:
            news |= self._changed
            self._round = turn
        self._changed -= news
        for process in (self._processes[pid] for pid in news if pid in self._processes and pid not in self._young):
            life = self._life(process, samples=self._samples(process, monotonic))
            out.lives[life.incarnation] = life.after(out.lives.get(life.incarnation))
        if self.run is not None and any(life.of == self.run for life in out.lives.values()):
            out.seen_at[self.run] = self.seen_at
        for life in out.lives.values():
            out.seen_at.setdefault(life.of, life.last_seen)
        out.short_lived = [ShortLived(self.machine, *key, *value) for key, value in self._short.items()]
        self._short.clear()
        return out

    def last_changes(self, monotonic: float) -> Changes:
        """The same, and all that could wait: somebody else goes on with this machine from what is written."""
        for pid in list(self._young):
            self._keep(pid)
        self._news |= self._changed
        return self.changes(monotonic)

    # -- one step

    def _enter(self, picture: Picture, step: Step) -> None:
        """Another boot or run ends all that was; another address is noted."""
        run = Run(self.machine, picture.run, text(picture.boot_id, 64))
        if self.run is not None and run != self.run:
            why = EndReason.SUPERSEDED if run.run != self.run.run else self._rebooted
            for process in list(self._processes.values()):
                self._end(process, why, picture.now, step)
        self.run = run
        if self._heard is not None:
            most, passed_s = self._policy.rows_per_machine, max(0.0, picture.monotonic - self._heard)
            self._rows = min(float(most), self._rows + passed_s * most / HOUR_S)
        if picture.ip and picture.ip != self.ip:
            self._move_to(picture.ip, picture.now)

    def _move_to(self, ip: str, now: float) -> None:
        self.ip = ip
        for process in self._processes.values():
            if not process.ip:
                process.ip = ip
                self._news.add(process.pid)
            if process.listens:
                self._listen(process, {port for _, port, _ in process.listens}, now)

    def _take(self, one: ProcessSample, picture: Picture, step: Step) -> None:
        """A process that is there: known, new, or one too many."""
        process = self._processes.get(one.pid)
        if process is None:
            if len(self._processes) >= self._policy.most_processes:
                self.left_out += 1
                return
            process = self._begin(one, picture)
            step.began.append(self._life(process))
        else:
            if process.describe(one):
                self._news.add(one.pid)
            if process.measure(one):
                self._moved.add(one.pid)
                self._changed.add(one.pid)
        if one.ports is not None and (one.ports or process.listens):
            self._listen(process, open_ports(one), picture.now)

    def _begin(self, one: ProcessSample, picture: Picture) -> Process:
        process = self._processes[one.pid] = Process(one, self.ip, picture)
        age_s = min(max(0.0, picture.now - process.started_us / 1e6), LONGEST_AGE_S) if process.started_us else 0.0
        self._young[one.pid] = (picture.monotonic - age_s, self._pictures)
        return process

    def _listen(self, process: Process, ports: set[int], now: float) -> None:
        kept = tuple(one for one in process.listens if one[0] == self.ip and one[1] in ports)
        opened = tuple((self.ip, port, now) for port in sorted(ports - {one[1] for one in kept}))
        if (not opened and len(kept) == len(process.listens)) or not self._keep(process.pid):
            return
        opened = tuple(one for one in opened if self._afford())
        self._close(process, set(process.listens) - set(kept), now)
        process.listens = kept + opened
        for ip, port, since in opened:
            self._note(Listening(self._life(process).uuid, ip, port, since, None))
        if ports and not process.port:
            process.port = min(ports)

    def _close(self, process: Process, listens: Iterable[tuple[str, int, float]], now: float) -> None:
        for ip, port, since in listens:
            self._note(Listening(self._life(process).uuid, ip, port, since, max(since, now)))

    def _note(self, one: Listening) -> None:
        if one.ip:
            self._out.listening[one.uuid, one.ip, one.port, one.since] = one

    def _keep(self, pid: int) -> bool:
        """It gets a row, or has one; not when its machine has begun too many."""
        if pid in self._young:
            if not self._afford():
                return False
            del self._young[pid]
        self._news.add(pid)
        return True

    def _afford(self) -> bool:
        """Whether one more row may be begun: as many an hour as are kept of a machine at all."""
        if self._rows < 1.0:
            return False
        self._rows -= 1.0
        return True

    def _leave(self, picture: Picture) -> None:
        """After a picture: the young that have lasted are kept, and all that moved are sampled now and then."""
        self._pictures += 1
        self.seen_at, self._heard = picture.now, picture.monotonic
        policy = self._policy
        for pid, (born, before) in list(self._young.items()):
            if picture.monotonic - born >= policy.short_s and self._pictures - before >= policy.short_pictures:
                self._keep(pid)
        if picture.monotonic - self._sampled >= ring.SAMPLE_EVERY_S:
            self._sampled = picture.monotonic
            for pid in self._moved:
                process = self._processes[pid]
                process.ring = ring.add(process.ring, picture.monotonic, process.cpu, process.rss_kib)
            self._moved.clear()
            assert self.run is not None
            self._out.seen_at[self.run] = self.seen_at

    # -- ends

    def _end(self, process: Process, why: EndReason, now: float, step: Step) -> None:
        del self._processes[process.pid]
        for pids in (self._moved, self._changed, self._news):
            pids.discard(process.pid)
        samples = self._samples(process, self._heard) if self._heard is not None else b""
        life = self._life(process, max(process.first_seen, now), why, samples)
        step.ended.append(life)
        young = self._young.pop(process.pid, None)
        if young is not None:
            self._count(life, now, (self._heard or young[0]) - young[0])
            return
        self._out.lives[life.incarnation] = life
        self._close(process, process.listens, now)

    def _count(self, life: Life, now: float, lived_s: float) -> None:
        """Too short for a row: count it under its program."""
        day = int(now // DAY_S)
        if self._programs[0] != day:
            self._programs = (day, set())
        names = self._programs[1]
        if len(names) < MOST_PROGRAMS:
            names.add(life.program)
        name = life.program if life.program in names else OTHER_PROGRAMS
        count, cpu_s = self._short.get((name, day), (0, 0.0))
        self._short[name, day] = (count + 1, cpu_s + life.cpu * max(0.0, lived_s))

    def _life(
        self, process: Process, ended_at: float | None = None, why: EndReason | None = None, samples: bytes = b""
    ) -> Life:
        assert self.run is not None
        return process.life(self.run, self.seen_at or process.first_seen, ended_at, why, samples)

    def _samples(self, process: Process, monotonic: float) -> bytes:
        return ring.pack(process.ring, self._heard or monotonic, process.cpu, process.rss_kib)
