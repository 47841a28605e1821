"""What a guest may cost: bounded processes, rows, names and numbers, whatever it sends."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmctl.ledger import Ledger, Picture, ProcessSample, read_samples, ring
from vmctl.ledger.machine import MOST_PROGRAMS, OTHER_PROGRAMS
from vmctl.ledger.process import MOST_PORTS
from vmctl.model.policy import LedgerPolicy

MACHINE = "11111111-2222-3333-4444-555555555555"
POLICY = LedgerPolicy()


def picture(monotonic: float, ip: str = "10.0.0.7") -> Picture:
    return Picture(0, "b1", ip, 1e9 + monotonic, monotonic)


def young(pid: int, **more: Any) -> ProcessSample:
    """A process that has just begun, by its machine's clock."""
    return ProcessSample(pid, pid, int(1e15), program="job")._replace(**more)


# -- short-lived ones


def test_a_short_life_is_counted_and_gets_no_row() -> None:
    one = Ledger(MACHINE, POLICY)
    one.full(picture(0.0), [young(1, cpu=0.5)])
    one.full(picture(20.0), [young(1, cpu=0.5)])
    assert [life.pid for life in one.young()] == [1]
    assert len(one.full(picture(40.0), []).ended) == 1, "who watches services hears of it all the same"
    changes = one.changes(40.0)
    assert not changes.lives
    (counted,) = changes.short_lived
    assert (counted.program, counted.runs) == ("job", 1) and counted.cpu_s == pytest.approx(0.5 * 20)
    assert not one.changes(40.0).short_lived, "told once"


def test_a_life_that_lasts_gets_a_row_and_keeps_it() -> None:
    one = Ledger(MACHINE, POLICY)
    one.full(picture(0.0), [young(1)])
    assert not one.changes(0.0).lives
    one.full(picture(61.0), [young(1)])
    assert [life.pid for life in one.changes(61.0).lives.values()] == [1]
    one.full(picture(66.0), [])
    assert [life.why for life in one.changes(66.0).lives.values()] == ["exit seen"]


def test_one_that_was_old_when_first_seen_need_not_wait() -> None:
    one = Ledger(MACHINE, POLICY)
    for monotonic in (0.0, 5.0):
        one.full(picture(monotonic), [young(1, started_us=int(0.9e15))])
    assert len(one.changes(5.0).lives) == 1


def test_a_service_is_kept_however_short_it_lived() -> None:
    one = Ledger(MACHINE, POLICY)
    one.full(picture(0.0), [young(1, ports=(80,))])
    one.full(picture(5.0), [])
    changes = one.changes(5.0)
    assert [life.why for life in changes.lives.values()] == ["exit seen"]
    assert [row.until for row in changes.listening.values()] == [1e9 + 5.0]


def test_programs_of_short_lives_are_told_apart_up_to_a_number() -> None:
    one = Ledger(MACHINE, POLICY)
    for turn in range(10):
        begin = turn * 20.0
        one.full(picture(begin), [young(pid, program=f"{turn}-{pid}") for pid in range(1, 51)])
        one.full(picture(begin + 5.0), [])
    counted = {row.program: row.runs for row in one.changes(500.0).short_lived}
    assert len(counted) == MOST_PROGRAMS + 1 and sum(counted.values()) == 500
    assert counted[OTHER_PROGRAMS] == 500 - MOST_PROGRAMS


# -- how many


def test_too_many_processes_are_left_out_and_end_nobody() -> None:
    one = Ledger(MACHINE, LedgerPolicy(most_processes=10))
    one.full(picture(0.0), [young(pid) for pid in range(100, 110)])
    step = one.full(picture(5.0), [young(pid) for pid in range(1, 110)])
    assert len(one) == 10 and one.left_out == 99 and not step.ended and not step.began
    one.full(picture(10.0), [young(pid) for pid in range(1, 105)])
    assert len(one) == 10 and {life.pid for life in one.lives()} >= set(range(100, 105))


def test_a_guest_cannot_flood_the_store() -> None:
    """A new set of listening processes in every picture, for an hour."""
    policy = LedgerPolicy(rows_per_machine=1000, most_processes=100)
    one = Ledger(MACHINE, policy)
    lives = listens = 0
    for turn in range(720):
        ports = tuple(range(1, 200))
        one.full(picture(turn * 5.0), [young(pid, start_ticks=turn, ports=ports) for pid in range(1, 101)])
        changes = one.changes(turn * 5.0)
        lives += sum(life.ended_at is not None for life in changes.lives.values())
        listens += sum(row.until is None for row in changes.listening.values())
    assert lives + listens <= 2 * 1000 + MOST_PORTS


def test_what_is_pending_is_handed_out_once() -> None:
    one = Ledger(MACHINE, POLICY)
    one.full(picture(0.0), [young(1, ports=(80,))])
    first = one.changes(0.0)
    assert first.lives and first.listening and first.seen_at
    assert not one.changes(1.0)
    one.full(picture(5.0), [young(1, ports=(80,), cpu=0.5)])
    assert not one.changes(6.0).lives, "what it uses can wait"
    assert [life.cpu for life in one.changes(6.0 + POLICY.write_every_s).lives.values()] == [0.5]


# -- numbers and texts

numbers = st.one_of(st.integers(), st.integers(-(1 << 70), 1 << 70))
hostile = st.builds(
    ProcessSample, numbers, numbers, numbers, numbers, st.text(), st.text(max_size=400), st.text(max_size=400),
    st.text(), st.text(), st.floats(), numbers, numbers,
    st.one_of(st.none(), st.lists(numbers, max_size=100).map(tuple)),
)  # fmt: skip


@given(st.lists(hostile, max_size=5), st.lists(hostile, max_size=5))
def test_anything_can_be_stored(first: list[ProcessSample], second: list[ProcessSample]) -> None:
    one = Ledger(MACHINE, LedgerPolicy(short_s=0.0, short_pictures=0))
    one.full(picture(0.0), first)
    one.delta(picture(40.0), second, [])
    one.full(picture(80.0), [])
    changes = one.changes(80.0)
    with sqlite3.connect(":memory:") as db:
        for life in changes.lives.values():
            db.execute(f"SELECT {','.join('?' * len(life))}", life).fetchone()
            assert math.isfinite(life.cpu) and life.cpu >= 0 and life.rss_kib >= 0 and len(life.command) <= 256
            assert str(life.gpid) and read_samples(life.samples)
    db.close()


def test_half_a_character_is_replaced() -> None:
    one = Ledger(MACHINE, LedgerPolicy(short_s=0.0, short_pictures=0))
    one.full(picture(0.0), [young(1, program="a\ud800b\0", command="\x1b[2J")])
    (life,) = one.lives()
    assert life.program == "a?b\N{REPLACEMENT CHARACTER}" and life.command == "\x1b[2J"


# -- the last ten minutes


def test_samples_tell_what_was_used_before_the_end() -> None:
    one = Ledger(MACHINE, POLICY)
    for turn in range(400):
        one.full(picture(turn * 5.0), [young(1, cpu=float(turn // 60), rss_kib=1000 + turn)])
    (ended,) = one.full(picture(2000.0), []).ended
    samples = read_samples(ended.samples)
    assert 20 <= len(samples) <= 22 and len(ended.samples) == 8 * len(samples)
    assert samples[0].age_s == 600 and samples[-1] == (0, 6.0, 1399)
    ages = [sample.age_s for sample in samples]
    assert ages == sorted(ages, reverse=True)
    assert [sample.cpu for sample in samples] == sorted(sample.cpu for sample in samples)
    assert (ended.cpu_peak, ended.rss_peak_kib) == (6.0, 1399)


def test_an_idle_process_costs_one_sample_and_a_late_change_is_not_lost() -> None:
    one = Ledger(MACHINE, POLICY)
    one.full(picture(0.0), [young(1, cpu=0.0)])
    for turn in range(1, 100):
        one.delta(picture(turn * 5.0), [young(1, cpu=2.0)] if turn == 2 else [], [])
    life = one.life(1, 495.0)
    assert life is not None
    assert read_samples(life.samples) == [(495, 0.0, 0), (465, 2.0, 0)]


def test_samples_go_on_after_a_restart_of_the_controller() -> None:
    one = ring.add(ring.add(b"", 1000.0, 0.5, 100), 1100.0, 1.5, 200)
    stored = ring.pack(one, 1200.0, 1.5, 200)
    assert read_samples(stored) == [(200, 0.5, 100), (100, 1.5, 200)]
    again = ring.unpack(stored, 50.0)  # the controller's machine was rebooted, too: its clock began again
    assert [sample[1:] for sample in read_samples(ring.pack(again, 60.0, 1.5, 200))] == [(0.5, 100), (1.5, 200)]


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e6), st.integers(0, 1 << 40)), max_size=60))
def test_a_ring_stays_small(points: list[tuple[float, float, int]]) -> None:
    packed, now = b"", 0.0
    for step, cpu, kib in points:
        now += max(ring.SAMPLE_EVERY_S, step)
        packed = ring.add(packed, now, cpu, kib)
        assert len(packed) <= 10 * 22
        assert all(0 <= sample.age_s <= ring.WINDOW_S for sample in read_samples(ring.pack(packed, now, cpu, kib)))
