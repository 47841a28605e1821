"""Random histories of a machine against the ledger: it never takes two lives for one, nor one for two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vmctl.ledger import EndReason, Ledger, Life, Listening, Picture, ProcessSample, Run, Step
from vmctl.model.identity import Incarnation
from vmctl.model.policy import LedgerPolicy

MACHINE = "11111111-2222-3333-4444-555555555555"
FEW_PIDS = st.integers(1, 6)  # so that pids come round again all the time
POLICY = LedgerPolicy(short_s=0.0, short_pictures=0)


class Running(NamedTuple):
    """A process of the simulated kernel."""

    start_ticks: int
    program: str
    cpu: float
    ports: tuple[int, ...]


class Machine(RuleBasedStateMachine):
    """A kernel with few pids, a clock that jumps, an unreliable line, and a controller that is restarted."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(MACHINE, POLICY)
        self.kernel: dict[int, Running] = {}
        self.boots, self.boot, self.run, self.ticks = 1, 1, 0, 0
        self.told: dict[int, Running] | None = None  # what the other end knows; None: it needs a full picture
        self.snapshot: tuple[int, int, dict[int, Running]] | None = None
        self.wall, self.monotonic = 1e9, 1000.0
        self.began: dict[Incarnation, int] = {}
        self.rows: dict[Incarnation, Life] = {}
        self.listens: dict[tuple[object, ...], Listening] = {}
        self.names: dict[Incarnation, int] = {}
        self.pictured: set[Incarnation] = set()

    # -- the kernel

    @rule(pid=FEW_PIDS, program=st.sampled_from(["sshd", "httpd"]), ports=st.sampled_from([(), (22,), (80, 443)]))
    def start(self, pid: int, program: str, ports: tuple[int, ...]) -> None:
        if pid not in self.kernel:
            self.ticks += 1  # a pid never comes round within a tick
            self.kernel[pid] = Running(self.ticks, program, 0.0, ports)

    @rule(pid=FEW_PIDS)
    def exit(self, pid: int) -> None:
        self.kernel.pop(pid, None)

    @rule(pid=FEW_PIDS)
    def restart(self, pid: int) -> None:
        """The same pid again, between two pictures."""
        if pid in self.kernel:
            self.ticks += 1
            self.kernel[pid] = self.kernel[pid]._replace(start_ticks=self.ticks)

    @rule(pid=FEW_PIDS, cpu=st.floats(0, 4), ports=st.sampled_from([(), (22,), (8080,)]))
    def work(self, pid: int, cpu: float, ports: tuple[int, ...]) -> None:
        if pid in self.kernel:
            self.kernel[pid] = self.kernel[pid]._replace(cpu=cpu, ports=ports, program="busy" if cpu > 3 else "httpd")

    @rule()
    def reboot(self) -> None:
        """Everything begins again, with the same pids at the same ticks if it comes to that."""
        self.boots += 1
        self.boot, self.ticks, self.kernel, self.told = self.boots, 0, {}, None

    @rule()
    def take_snapshot(self) -> None:
        self.snapshot = (self.boot, self.ticks, dict(self.kernel))

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def revert(self) -> None:
        assert self.snapshot is not None
        self.boot, self.ticks, kernel = self.snapshot
        self.kernel, self.told = dict(kernel), None
        self.run += 1

    # -- time

    @rule(seconds=st.floats(-1e8, 1e8))
    def clock_jumps(self, seconds: float) -> None:
        self.wall = max(0.0, self.wall + seconds)

    @rule(seconds=st.floats(0, 500))
    def time_passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    # -- the line and the controller

    def _seen(self, pid: int) -> ProcessSample:
        process = self.kernel[pid]
        started_us = int(self.wall * 1e6) + process.start_ticks  # as wrong as the clock is now
        return ProcessSample(
            pid, process.start_ticks, started_us, 1, process.program, cpu=process.cpu, ports=process.ports
        )

    def _picture(self) -> Picture:
        self.monotonic += 5.0
        self.wall += 5.0
        return Picture(self.run, f"boot-{self.boot}", "10.0.0.7", self.wall, self.monotonic)

    @rule()
    def full_picture(self) -> None:
        self._check(self.ledger.full(self._picture(), [self._seen(pid) for pid in self.kernel]))

    @precondition(lambda self: self.told is not None)
    @rule(careless=st.booleans())
    def delta(self, careless: bool) -> None:
        """A careless agent tells old ends again, and leaves out those whose pid has come round."""
        assert self.told is not None
        changed = [self._seen(pid) for pid, process in self.kernel.items() if self.told.get(pid) != process]
        gone = [
            (pid, was.start_ticks)
            for pid, was in self.told.items()
            if pid not in self.kernel or self.kernel[pid].start_ticks != was.start_ticks
        ]
        if careless:
            gone = [(pid, ticks) for pid, ticks in gone if pid not in self.kernel]
            gone += [(pid, process.start_ticks - 1) for pid, process in self.kernel.items()]
        self._check(self.ledger.delta(self._picture(), changed, gone))

    @rule()
    def picture_is_lost(self) -> None:
        """The receiver sees the gap and wants everything."""
        self.told = None

    @rule()
    def controller_restarts(self) -> None:
        self._write()
        valid = [life for life in self.rows.values() if life.ended_at is None]
        ledger, self.ledger = self.ledger, Ledger(MACHINE, POLICY)
        if valid:
            assert ledger.run is not None and {life.of for life in valid} == {ledger.run}
            listens = {
                life: tuple(one for one in self.listens.values() if one.uuid == life.uuid and one.until is None)
                for life in valid
            }
            self.ledger.load(ledger.run, ledger.seen_at, listens.items(), self.monotonic)
        self.told = None

    # -- what must hold

    def _check(self, step: Step) -> None:
        """The ledger has heard what the kernel has now."""
        self.told = dict(self.kernel)
        now = {self._incarnation(pid) for pid in self.kernel}
        self.pictured |= now
        assert {life.incarnation for life in self.ledger.lives()} == now
        for life in step.began:
            assert life.incarnation not in self.began, "one life was taken for two"
            self.began[life.incarnation] = life.started_us
        for life in step.ended:
            assert life.incarnation not in now, "a life was ended that goes on"
            assert life.incarnation in self.began
            assert life.last_seen >= life.first_seen
        assert set(self.began) == self.pictured, "two lives were taken for one"
        self._write()

    def _incarnation(self, pid: int) -> Incarnation:
        return Incarnation(MACHINE, self.run, f"boot-{self.boot}", pid, self.kernel[pid].start_ticks)

    def _write(self) -> None:
        """As the store does."""
        changes = self.ledger.changes(self.monotonic)
        for key, life in changes.lives.items():
            self.rows[key] = life.after(self.rows.get(key))
        self.listens.update(changes.listening)  # type: ignore[arg-type]
        assert {life.of for life in changes.lives.values()} <= set(changes.seen_at)

    @invariant()
    def start_times_stay_as_first_seen(self) -> None:
        for life in self.ledger.lives():
            assert life.started_us == self.began[life.incarnation]

    @invariant()
    def the_store_knows_every_life_that_was_pictured(self) -> None:
        assert set(self.rows) == self.pictured
        valid = {key for key, life in self.rows.items() if life.ended_at is None}
        assert valid == {life.incarnation for life in self.ledger.lives()}

    @invariant()
    def a_port_once_known_stays_in_the_name(self) -> None:
        for life in self.ledger.lives():
            assert self.names.setdefault(life.incarnation, life.port) in (0, life.port)
            self.names[life.incarnation] = life.port

    @invariant()
    def only_valid_ones_listen(self) -> None:
        listening = {one.uuid for one in self.listens.values() if one.until is None}
        assert listening <= {life.uuid for life in self.ledger.lives()}


Machine.TestCase.settings = settings(settings.get_profile("quick"), max_examples=80, stateful_step_count=60)
TestHistories = Machine.TestCase


@pytest.mark.parametrize("seed", range(40))
def test_long_histories(seed: int) -> None:
    """The same machine for longer than Hypothesis lets it live; a failure here is found again by its seed."""
    machine, dice = Machine(), Random(seed)
    for _ in range(400):
        pid, ports = dice.randint(1, 6), dice.choice([(), (22,), (80, 443)])
        steps: list[tuple[int, Callable[[], None]]] = [
            (20, partial(machine.start, pid=pid, program=dice.choice(["sshd", "httpd"]), ports=ports)),
            (6, partial(machine.exit, pid=pid)),
            (6, partial(machine.restart, pid=pid)),
            (6, partial(machine.work, pid=pid, cpu=dice.uniform(0, 4), ports=ports)),
            (1, machine.reboot),
            (1, machine.take_snapshot),
            (1, machine.revert if machine.snapshot else machine.take_snapshot),
            (3, partial(machine.clock_jumps, seconds=dice.uniform(-1e8, 1e8))),
            (3, partial(machine.time_passes, seconds=dice.uniform(0, 500))),
            (10, machine.full_picture),
            (20, partial(machine.delta, careless=pid < 3) if machine.told is not None else machine.full_picture),
            (2, machine.picture_is_lost),
            (2, machine.controller_restarts),
        ]
        dice.choices([step for _, step in steps], [weight for weight, _ in steps])[0]()
        machine.start_times_stay_as_first_seen()
        machine.the_store_knows_every_life_that_was_pictured()
        machine.a_port_once_known_stays_in_the_name()
        machine.only_valid_ones_listen()


# -- why lives end


def picture(monotonic: float, run: int = 0, boot_id: str = "b1", ip: str = "10.0.0.7") -> Picture:
    return Picture(run, boot_id, ip, 1e9 + monotonic, monotonic)


SSHD = ProcessSample(812, 4711, int(1e15), 1, "sshd", "9.2", "sshd -D", "root", "S", 0.1, 2048, 1, (22,))


def ledger() -> Ledger:
    made = Ledger(MACHINE, POLICY)
    made.full(picture(100.0), [SSHD])
    return made


def test_an_exit_that_is_seen() -> None:
    (ended,) = ledger().full(picture(105.0), []).ended
    assert (ended.why, ended.last_seen, ended.ended_at) == (EndReason.EXITED, 1e9 + 100.0, 1e9 + 105.0)
    (ended,) = ledger().delta(picture(105.0), [], [(812, 4711)]).ended
    assert ended.why == EndReason.EXITED


def test_what_is_gone_after_a_long_silence_ended_unseen() -> None:
    (ended,) = ledger().full(picture(100.0 + POLICY.silence_s + 1.0), []).ended
    assert (ended.why, ended.last_seen) == (EndReason.UNSEEN, 1e9 + 100.0)


def test_silence_alone_ends_nothing() -> None:
    one = ledger()
    assert one.delta(picture(1e6), [], []) == Step([], [])
    assert one.full(picture(2e6), [SSHD]) == Step([], [])


def test_a_reboot_a_revert_and_a_stop_have_their_own_words() -> None:
    (ended,) = ledger().full(picture(105.0, boot_id="b2"), []).ended
    assert ended.why == EndReason.VM_REBOOTED
    step = ledger().full(picture(105.0, run=1), [SSHD])
    assert [life.why for life in step.ended] == [EndReason.SUPERSEDED]
    assert [life.run for life in step.began] == [1] and step.began[0].uuid != step.ended[0].uuid
    (ended,) = ledger().end(EndReason.VM_STOPPED, 2e9).ended
    assert (ended.why, ended.last_seen, ended.ended_at) == (EndReason.VM_STOPPED, 1e9 + 100.0, 2e9)
    host = Ledger(MACHINE, POLICY, EndReason.HOST_REBOOTED)
    host.full(picture(100.0), [SSHD])
    assert host.full(picture(105.0, boot_id="b2"), []).ended[0].why == EndReason.HOST_REBOOTED


def test_a_host_that_was_taken_for_lost_goes_on_with_the_same_lives() -> None:
    one = ledger()
    first = next(one.lives())
    one.end(EndReason.HOST_REMOVED, 2e9)
    one.full(picture(200.0), [SSHD])
    (again,) = one.lives()
    assert again.uuid == first.uuid
    (row,) = one.changes(200.0).lives.values()
    assert (row.ended_at, row.first_seen) == (None, first.first_seen)


def test_after_a_restart_of_the_controller_the_next_picture_decides() -> None:
    life = next(ledger().lives())
    run = Run(MACHINE, 0, "b1")
    again = Ledger(MACHINE, POLICY)
    again.load(run, 1e9 + 100.0, [(life, ())], 5.0)
    assert [one.uuid for one in again.lives()] == [life.uuid]
    (ended,) = again.full(picture(6.0), []).ended
    assert (ended.why, ended.last_seen) == (EndReason.UNSEEN, 1e9 + 100.0)
    again = Ledger(MACHINE, POLICY)
    again.load(run, 1e9 + 100.0, [(life, ())], 5.0)
    assert again.full(picture(6.0), [SSHD._replace(started_us=1)]) == Step([], [])
    assert next(again.lives()).started_us == SSHD.started_us


def test_clones_are_other_lives() -> None:
    other = Ledger("99999999-2222-3333-4444-555555555555", POLICY)
    (began,) = other.full(picture(100.0), [SSHD]).began
    assert began.uuid != next(ledger().lives()).uuid
    assert began.pid == SSHD.pid and began.boot_id == "b1"


# -- names


def test_a_port_that_opens_later_changes_the_name_and_nothing_else() -> None:
    one = Ledger(MACHINE, POLICY)
    (early,) = one.full(picture(100.0), [SSHD._replace(ports=None)]).began
    assert early.gpid.port == 0
    one.delta(picture(105.0), [SSHD._replace(ports=(8080, 80))], [])
    one.delta(picture(110.0), [SSHD._replace(ports=(443,))], [])
    (late,) = one.lives()
    assert late.gpid == early.gpid._replace(port=80) and late.uuid == early.uuid
    assert [life.uuid for life in one.listening("10.0.0.7", 443)] == [late.uuid]
    assert list(one.listening("10.0.0.7", 80)) == []


def test_an_address_that_is_known_later_completes_the_name() -> None:
    one = Ledger(MACHINE, POLICY)
    one.full(picture(100.0, ip=""), [SSHD])
    assert next(one.lives()).gpid.ip == "" and not one.changes(100.0).listening
    one.full(picture(105.0, ip="10.0.0.7"), [SSHD])
    one.full(picture(110.0, ip="10.0.0.8"), [SSHD])
    assert next(one.lives()).ip == "10.0.0.7", "fixed when first known"
    assert [life.pid for life in one.listening("10.0.0.8", 22)] == [812], "but it listens where the machine is now"
    found = sorted(one.changes(110.0).listening.values(), key=lambda row: row.since)
    assert [(row.ip, row.until) for row in found] == [("10.0.0.7", 1e9 + 110.0), ("10.0.0.8", None)]


def test_a_program_that_becomes_another_is_the_same_life() -> None:
    one = ledger()
    step = one.full(picture(105.0), [SSHD._replace(program="bash", command="-bash")])
    assert step == Step([], []) and next(one.lives()).program == "bash"


def test_other_policies_keep_the_identity() -> None:
    patient = Ledger(MACHINE, replace(POLICY, short_s=60.0))
    assert patient.full(picture(100.0), [SSHD]).began[0].uuid == next(ledger().lives()).uuid
