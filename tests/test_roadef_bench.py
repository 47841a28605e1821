"""The challenge's bench: what is read is what was written, and what the search believes is what the judge counts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.roadef.instance import make, read, write
from tests.bench.roadef.judge import broken, cost
from tests.bench.roadef.search import anneal, begin, solve


@pytest.mark.parametrize("seed", range(5))
def test_an_instance_is_read_as_it_was_written(seed: int) -> None:
    given = make(8, 30, seed)
    again = read(*write(given))
    assert all(np.array_equal(one, other) for one, other in zip(given, again, strict=True))
    with pytest.raises(ValueError, match="too early"):
        read(write(given)[0][:-8], write(given)[1])


@pytest.mark.parametrize("seed", range(5))
def test_every_step_costs_what_it_says_and_breaks_nothing(seed: int) -> None:
    given = make(8, 30, seed)
    assert broken(given, given.start) == ""
    state, random = begin(given), np.array([seed + 1], np.uint64)
    now = cost(given, given.start)
    for _ in range(50):
        now += anneal(given, state, random, 5000.0, 200)
        assert now == cost(given, state.at)
        assert broken(given, state.at) == ""
    assert (state.at != given.start).any()


def test_what_is_found_is_cheaper() -> None:
    given = make(8, 30, 1)
    found = solve(given, 1.0, 1)
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
