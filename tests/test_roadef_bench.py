"""The challenge's bench: what is read is what was written, and what the search believes is what the judge counts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.roadef.board import Board, begin, fare, may, put, settle
from tests.bench.roadef.instance import Instance, Ints, make, read, write
from tests.bench.roadef.judge import broken, cost
from tests.bench.roadef.search import allowed, anneal, by_size, change, solve


@pytest.mark.parametrize("seed", range(5))
def test_an_instance_is_read_as_it_was_written(seed: int) -> None:
    given = make(8, 30, seed)
    again = read(*write(given))
    assert all(np.array_equal(one, other) for one, other in zip(given, again, strict=True))
    with pytest.raises(ValueError, match="too early"):
        read(write(given)[0][:-8], write(given)[1])


def excess(given: Instance, at: Ints) -> int:
    """What is filled beyond capacity, weighted, counted plainly."""
    used, moved = np.zeros_like(given.capacity), at != given.start
    np.add.at(used, at, given.size)
    np.add.at(used, given.start[moved], given.size[moved] * given.transient)
    return int((np.maximum(0, used - given.capacity) * given.load_weight).sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_change_told_before_a_step_is_the_judges_difference(seed: int) -> None:
    given, chance = make(8, 30, seed), np.random.default_rng(seed)
    board, steps, nobody = begin(given), 0, len(given.service)
    for _ in range(2000):
        p, q, target = (int(chance.integers(below)) for below in (nobody, nobody, 8))
        third = int(chance.choice([board.at[p], board.start[q], chance.integers(8)]))
        if chance.random() < 0.3:
            q, third = nobody, -1
        else:
            target = int(board.at[q])
        if not allowed(board, p, q, target, third):
            continue
        before, told = board.at.copy(), change(board, p, q, target, third, 7.0, np.inf)
        if step(board, p, q, target, third):
            told += prices(given, board.at[:-1]) - prices(given, before[:-1])
            old, new = (cost(given, at[:-1]) + 7 * excess(given, at[:-1]) for at in (before, board.at))
            assert told == new - old
            assert list(board.sums) == [cost(given, board.at[:-1]), excess(given, board.at[:-1])]
            steps += 1
    assert steps > 50


def step(b: Board, p: int, q: int, target: int, third: int) -> bool:
    """Move p, and q from there on to a third machine, whatever it costs; whether it may."""
    if not may(b, p, target):
        return False
    source = int(b.at[p])
    put(b, p, target)
    if third >= 0 and not may(b, q, third):
        put(b, p, source)
        return False
    if third >= 0:
        put(b, q, third)
    for machine in {source, target, third} - {-1}:
        settle(b, machine)
    return True


def prices(given: Instance, at: Ints) -> int:
    """What moves cost, of all that a solution costs."""
    b, moved = begin(given), at != given.start
    fares = sum(int(fare(b, p, machine)) for p, machine in enumerate(at))
    return fares + int(given.weights[1] * np.bincount(given.service[moved], minlength=1).max())


@pytest.mark.parametrize("seed", range(5))
def test_after_every_chunk_the_sums_are_the_judges_and_the_best_breaks_nothing(seed: int) -> None:
    given = make(8, 30, seed)
    board, random = begin(given), np.array([seed + 1], np.uint64)
    best, least = given.start.copy(), board.sums[:1].copy()
    assert broken(given, given.start) == "" and least[0] == cost(given, given.start)
    for _ in range(50):
        anneal(board, random, *by_size(given), 5000.0, 20.0, 200, best, least)
        at = board.at[:-1]
        assert list(board.sums) == [cost(given, at), excess(given, at)]
        assert broken(given, at) in (("",) if board.sums[1] == 0 else ("a machine is overfull",))
        assert broken(given, best) == "" and cost(given, best) == least[0]
    assert (board.at[:-1] != given.start).any()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_is_cheaper_and_breaks_nothing(seed: int) -> None:
    given = make(8, 30, seed)
    found = solve(given, 0.5, 1)
    assert broken(given, found) == "" and cost(given, found) < cost(given, given.start)


def test_the_judge_sees_what_is_broken() -> None:
    given = make(8, 30, 1)
    crowded = given.start.copy()
    crowded[:] = 0
    assert broken(given, crowded) == "a machine is overfull"
    pair = np.flatnonzero(given.service == np.bincount(given.service).argmax())
    together = given.start.copy()
    together[pair] = together[pair[0]]
    roomy = given._replace(capacity=given.capacity * 100)
    assert broken(roomy, together) == "two processes of a service share a machine"
