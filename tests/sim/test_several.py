"""Several controllers in a simulated world: seeds, and that what keeps them apart is what keeps them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sim.explore import compose_among, shorten, untrue
from tests.sim.told import parse
from vmctl.services.sessions import Sessions

STORIES = Path(__file__).parents[1] / "stories"
SEEDS, BLOCK = 240, 40


@pytest.mark.parametrize(
    "first",
    [pytest.param(one, marks=[pytest.mark.long] if one else []) for one in range(0, SEEDS, BLOCK)],
)
def test_seeds_of_several_end_in_the_truth(first: int) -> None:
    for seed in range(first, first + BLOCK):
        lines = compose_among(seed)
        wrong = untrue(lines, seed)
        assert not wrong, f"seed {seed}, in short {shorten(lines, seed)}: {wrong}"


def test_without_the_end_of_a_predecessors_log_ins_two_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    story = parse((STORIES / "several-a-late-call-of-a-frozen-leader.story").read_text())
    assert untrue(story.lines, story.seed) == []

    async def nothing(*_: Any) -> None:
        return

    for name in ("settle", "end_left"):
        monkeypatch.setattr(Sessions, name, nothing)
    assert any("running on kvm1, running on kvm2" in text for text in untrue(story.lines, story.seed))


def test_who_is_called_dead_too_soon_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that never hears that its life was ended goes on beside the next one."""
    monkeypatch.setattr("tests.sim.several.SimMember.deposed", property(lambda _self: lambda: None, lambda *_: None))
    lines = ["controllers 2", "create web1", "then", "freezes leader", "wait 20", "thaws", "wait 20"]
    assert any("go on, and in the registry" in text or "act" in text for text in untrue(lines, 0))
