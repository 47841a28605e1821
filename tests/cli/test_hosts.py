"""Adding hosts: what is said of each, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.pool import Pool
from vmctl import errors
from vmctl.act.hosts import _common
from vmctl.cli.hosts import _report_of


def test_hosts_that_cannot_be_reached_end_as_unreachable_with_a_line_for_each(pool: Pool) -> None:
    code, said = pool.code("host", "add", "kvm8=127.0.0.1:1", "kvm9=127.0.0.1:2")
    assert code == 8, said
    for name in ("kvm8", "kvm9"):
        assert f"{name}  not added" in said
    assert said.count("FAIL") == 2 and "vmctl host add kvm8=127.0.0.1:1 kvm9=127.0.0.1:2" in said


@pytest.mark.parametrize("where", ["kvm1=10.0.0.1:99999", "kvm1=", "kvm1=:22", "=10.0.0.1", "kvm1=10.0.0.1:", "a b"])
def test_an_address_that_is_none_is_malformed(pool: Pool, where: str) -> None:
    assert pool.code("host", "add", where)[0] == 2


def row(error: errors.VmctlError | None) -> dict[str, Any]:
    return {"added": error is None} | ({"code": error.code} if error else {})


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ([errors.Unreachable("x"), errors.Unreachable("y")], errors.Unreachable),
        ([errors.NotAllowed("x")], errors.NotAllowed),
        ([errors.NotAllowed("x"), errors.Unreachable("y")], errors.Refused),
        ([errors.NotAllowed("x"), None], errors.PartlyFailed),
    ],
)
def test_what_all_hosts_died_of_is_how_the_command_ends(
    ends: list[errors.VmctlError | None], kind: type[errors.VmctlError]
) -> None:
    assert _common({str(number): row(end) for number, end in enumerate(ends)}) is kind


@pytest.mark.parametrize("report", [{}, {"report": None}])
def test_a_task_that_ended_before_it_examined_anything_has_no_report(report: dict[str, Any]) -> None:
    assert _report_of({"result": {}, **report}) == {}


def test_a_row_of_the_doctors_is_a_refusal() -> None:
    assert _common({"kvm1": {"added": False, "checks": []}}) is errors.Refused
    assert _common({"kvm1": {"added": False, "code": ""}}) is errors.Refused, "a bug is nobody's refusal to name"
