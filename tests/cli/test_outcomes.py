"""What came of a task is told in words, whatever it was."""

from __future__ import annotations

from typing import Any

import pytest

from vmctl.cli.outcomes import WORDS, outcome


def task(kind: str, state: str = "done", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "state": state, "step": "copying", "error": {}, "progress": {}, "result": {}} | more


@pytest.mark.parametrize(("kind", "result", "words"), [
    ("migrate", {"source": "kvm1", "host": "kvm2", "downtime_ms": 135}, "kvm1 -> kvm2, paused 135 ms"),
    ("migrate", {"source": "kvm1", "host": "kvm2", "cold": True}, "kvm1 -> kvm2, cold"),
    ("create", {"host": ""}, "made, not started"),
    ("stop", {"host": "kvm1"}, "stopped on kvm1"),
    ("host check", {"hosts": {"kvm1": {"checks": [{"verdict": "FAIL"}]}, "kvm2": {"checks": []}}}, "not well: kvm1"),
    ("host remove", {"may_still_run": ["web1"]}, "removed; may still run: web1"),
    ("delete", {"left": ["/elsewhere/a"]}, "deleted; left: /elsewhere/a"),
    ("reset", {}, "done"),
])  # fmt: skip
def test_what_was_done_is_told(kind: str, result: dict[str, Any], words: str) -> None:
    assert outcome(task(kind, result=result)) == words


@pytest.mark.parametrize("kind", WORDS)
def test_a_result_of_an_earlier_version_breaks_nothing(kind: str) -> None:
    assert outcome(task(kind, result={}))


def test_what_failed_and_what_goes_on_is_told() -> None:
    assert outcome(task("migrate", "failed", error={"message": "no host fits"})) == "no host fits"
    assert outcome(task("migrate", "running", progress={"text": "queued"})) == "queued"
    assert outcome(task("migrate", "running")) == "copying"
