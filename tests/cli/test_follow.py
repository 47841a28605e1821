"""One line about a running task, and what is raised when tasks have ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from vmctl import errors
from vmctl.cli import follow
from vmctl.cli.client import Client
from vmctl.errors import error_to_json


def state(**more: Any) -> dict[str, Any]:
    return {"kind": "migrate", "subject": "web1", "state": "running", "step": "copying", "progress": {}} | more


MOVING = {
    "percent": 50.0,
    "rate_mib_s": 110.4,
    "dirty_mib_s": 8.0,
    "downtime_ms": 300,
    "eta_s": 12.3,
    "tactic": "copying",
}


def test_without_numbers_the_line_says_what_is_known() -> None:
    assert follow.bar(state(progress={"text": "queued: kvm1 already sends 1"})).endswith("queued: kvm1 already sends 1")
    assert follow.bar(state()) == "migrate web1  copying"
    assert follow.bar(state(step="", state="queued")) == "migrate web1  queued"


@pytest.mark.parametrize(("percent", "full"), [(0, 0), (50, follow.BAR // 2), (100, follow.BAR), (140, follow.BAR)])
def test_a_bar_is_as_full_as_its_task(percent: float, full: int) -> None:
    line = follow.bar(state(progress={"percent": percent, "text": "1/2 moves"}))
    assert f"[{'#' * full}{'.' * (follow.BAR - full)}]" in line
    assert line.endswith("1/2 moves")


def test_a_migration_shows_its_numbers() -> None:
    line = follow.bar(state(progress=MOVING))
    for part in ("migrate web1", " 50%", "110 MiB/s", "dirty 8 MiB/s", "pause <= 300 ms", "12 s left", "copying"):
        assert part in line
    assert "no end in sight" in follow.bar(state(progress=MOVING | {"eta_s": None}))
    assert "0 s left" in follow.bar(state(progress=MOVING | {"eta_s": 0.0}))


def test_a_bar_fits_its_line_without_what_matters_least() -> None:
    wide, narrow = follow.bar(state(progress=MOVING), 200), follow.bar(state(progress=MOVING), 80)
    assert wide == follow.bar(state(progress=MOVING)) and len(narrow) <= 80
    assert "12 s left, copying" in narrow and "pause" not in narrow
    assert len(follow.bar(state(progress=MOVING), 50)) <= 50


def test_a_migration_that_has_moved_nothing_yet_is_starting() -> None:
    line = follow.bar(state(progress=MOVING | {"percent": 0.0, "rate_mib_s": 0.0, "eta_s": None}))
    assert "starting" in line and "no end in sight" not in line


def test_a_bar_carries_no_control_characters() -> None:
    assert "\x1b" not in follow.bar(state(subject="a\x1b[2J", progress=MOVING))


def ended(*problems: errors.VmctlError | None) -> list[dict[str, Any]]:
    return [
        {
            "state": "failed" if problem else "done",
            "subject": f"vm{n}",
            "error": error_to_json(problem) if problem else {},
        }
        for n, problem in enumerate(problems)
    ]


def test_all_well_raises_nothing() -> None:
    follow._raise(ended(None, None))


def test_one_task_raises_its_own_error() -> None:
    with pytest.raises(errors.NoHostFits, match="full") as caught:
        follow._raise(ended(errors.NoHostFits("full", hint="vmctl top", lines=("kvm1: full",))))
    assert (caught.value.hint, caught.value.lines) == ("vmctl top", ("kvm1: full",))


@pytest.mark.parametrize(
    ("problems", "kind", "code"),
    [
        ((errors.Refused("no"), None), errors.PartlyFailed, 7),
        ((errors.Refused("no"), errors.Refused("nor this")), errors.Refused, 3),
        ((errors.Refused("no"), errors.NotFound("what?")), errors.PartlyFailed, 7),
        ((errors.Cancelled("as asked"), errors.Cancelled("as asked")), errors.Cancelled, 130),
    ],
)
def test_several_tasks_are_summed_up(
    problems: tuple[errors.VmctlError | None, ...], kind: type[errors.VmctlError], code: int
) -> None:
    with pytest.raises(kind) as caught:
        follow._raise(ended(*problems))
    assert type(caught.value) is kind and caught.value.exit_code == code
    bad = [problem for problem in problems if problem]
    assert caught.value.message == f"{len(bad)} of 2 failed"
    assert caught.value.lines == tuple(f"vm{n}: {problem.message}" for n, problem in enumerate(bad))


class Breaks:
    """A client of a controller on this machine, whose streams end as they are told to."""

    elsewhere = False

    def __init__(self, *streams: list[dict[str, Any]] | errors.VmctlError) -> None:
        self._streams = list(streams)
        self.asked = 0

    def lines(self, _asked: Any, *, start: bool) -> Iterator[dict[str, Any]]:
        assert not start, "who stopped it does not want it back"
        self.asked += 1
        told = self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]
        if isinstance(told, errors.VmctlError):
            raise told
        yield from told


AWAY = errors.ControllerUnreachable("no controller answers at /run/vmctl/controller.sock")
GOES_ON, ENDED = state(id=7), state(id=7, state="done", result={})


def test_a_controller_that_begins_another_life_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "AGAIN_S", 0.01)
    client = Breaks([GOES_ON], AWAY, AWAY, [GOES_ON, ENDED])
    assert follow._Follower(cast(Client, client), [GOES_ON], quiet=True, timeout_s=10).follow() == [ENDED]
    told = capsys.readouterr().err
    assert told.count("the connection was lost") == 1 and told.count("connected again") == 1


def test_one_that_does_not_come_back_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "AGAIN_S", 0.01)
    monkeypatch.setattr(follow, "HERE_S", 0.2)
    client = Breaks([GOES_ON], AWAY)
    with pytest.raises(errors.ControllerUnreachable, match="task 7 is in its journal") as caught:
        follow._Follower(cast(Client, client), [GOES_ON], quiet=True, timeout_s=10).follow()
    assert caught.value.hint == "vmctl task attach 7" and client.asked > 3
