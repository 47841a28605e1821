"""The controller in a simulated world: stories, seeds, and every place of every deed. See tests/README.md."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.sim import sweep
from tests.sim.explore import compose, shorten, untrue
from tests.sim.story import tell
from tests.sim.told import UNTRUE, parse, told_by

STORIES = sorted((Path(__file__).parents[1] / "stories").glob("*.story"))
SEEDS, BLOCK = 2000, 100
EVERY = 20  # one place of so many is tried here, all of them by `python -m tests.explore --sweep`
BLOCKS = 4


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_ends_as_it_did(path: Path) -> None:
    story = parse(path.read_text())
    assert story.head, "why is it told?"
    assert told_by(story.lines, story.seed) == story.told
    assert not any(line.startswith(UNTRUE) for line in story.told)


def _first_is_fast(numbers: range) -> list[Any]:
    """A few are for every run; all of them take minutes."""
    return [pytest.param(one, marks=[pytest.mark.long] if one != numbers[0] else []) for one in numbers]


@pytest.mark.parametrize("first", _first_is_fast(range(0, SEEDS, BLOCK)))
def test_seeds_end_in_the_truth(first: int) -> None:
    for seed in range(first, first + BLOCK):
        lines = compose(seed)
        wrong = untrue(lines, seed)
        assert not wrong, f"seed {seed}, in short {shorten(lines, seed)}"


@pytest.mark.parametrize("block", _first_is_fast(range(BLOCKS)))
def test_a_death_or_a_fault_at_any_place_ends_in_the_truth(block: int) -> None:
    places = islice(sweep.every(), block, None, EVERY * BLOCKS)
    assert [(lines, wrong) for lines in places if (wrong := untrue(lines, 0))] == []


def told_by_seeds() -> str:
    """What some seeds and some files tell, to the last line, as a number: those have more VMs and hosts at once."""
    stories = [(compose(seed), seed) for seed in range(30)]
    stories += [(parse(path.read_text()).lines, 0) for path in STORIES[::8]]
    lines = (line for story, seed in stories for line in tell(story, seed).told)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_same_seed_is_the_same_run_whatever_pythons_hashes_are() -> None:
    """This process has hashes of its own; the other one has those of one number, or of another where this one has."""
    number = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    code = "from tests.sim.test_sim import told_by_seeds; print(told_by_seeds())"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": number},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == told_by_seeds()


def test_what_is_untrue_is_seen_and_its_story_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgets(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr("vmctl.act.reconcile._gone", forgets)
    lines = ["create web1", "wait 1", "then", "pause web1", "then", "resume web1", "then", "guest web1 ends", "wait 3"]
    assert untrue(lines, 0)
    assert shorten(lines, 0) == ["create web1", "then", "guest web1 ends"]
