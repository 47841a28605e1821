"""What is printed: for people, for programs, and never a colour or a control character where none belongs."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vmctl.cli import output

ITEMS: list[dict[str, Any]] = [
    {"name": "web1", "cpus": 2, "host": "kvm1", "tags": ["a", "b"]},
    {"name": "a-much-longer-name", "cpus": 16, "host": "", "tags": []},
]
COLUMNS: tuple[output.Column, ...] = (
    ("NAME", lambda item: item["name"]),
    ("CPUS", lambda item: item["cpus"]),
    ("HOST", lambda item: item["host"]),
)
WIDE: tuple[output.Column, ...] = (("TAGS", lambda item: item["tags"]),)


def printed(capsys: pytest.CaptureFixture[str], form: str, items: list[dict[str, Any]] = ITEMS) -> str:
    output.rows(items, form, COLUMNS, WIDE, "nothing yet")
    return capsys.readouterr().out


def test_a_table_is_aligned_with_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "table").splitlines() == [
        "NAME                CPUS  HOST",
        "web1                   2  kvm1",
        "a-much-longer-name    16  -",
    ]


def test_a_wide_table_has_more_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "wide").splitlines() == [
        "NAME                CPUS  HOST  TAGS",
        "web1                   2  kvm1  a,b",
        "a-much-longer-name    16  -     -",
    ]


def test_programs_get_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "json")) == ITEMS
    assert yaml.safe_load(printed(capsys, "yaml")) == ITEMS
    assert printed(capsys, "name") == "web1\na-much-longer-name\n"


def test_nothing_is_an_empty_list_for_programs_and_a_hint_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    output.rows([], "table", COLUMNS, WIDE, "nothing yet: vmctl create")
    assert capsys.readouterr() == ("", "nothing yet: vmctl create\n")
    assert printed(capsys, "json", []) == "[]\n"
    assert printed(capsys, "name", []) == ""


def test_one_thing_is_printed_by_its_name_or_number(capsys: pytest.CaptureFixture[str]) -> None:
    output.data({"name": "web1", "id": 7}, "name")
    output.data({"id": 7}, "name")
    assert capsys.readouterr().out == "web1\n7\n"


def test_pairs_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.pairs([("name", "web1"), ("CPU model", None)])
    assert capsys.readouterr().out == "name       web1\nCPU model  -\n"


HOSTILE = "a\x1b[2Jb\x07c\x9bd\u202ee\rf"
HARMLESS = "a�[2Jb�c�d�e�f"


def test_no_name_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([("NAME", lambda item: item)], [HOSTILE])  # type: ignore[list-item]
    output.table([("NAMES", lambda item: item)], [[HOSTILE, "x"]])  # type: ignore[list-item]
    output.say(HOSTILE)
    output.pairs([("name", HOSTILE)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["NAME", HARMLESS, "NAMES", f"{HARMLESS},x", HARMLESS, f"name  {HARMLESS}"]


def test_no_name_breaks_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([("NAME", lambda item: item)], ["a\nb\tc"])  # type: ignore[list-item]
    assert capsys.readouterr().out == "NAME\na b c\n"


@given(st.text())
def test_clean_text_is_printable_and_cleaning_it_again_changes_nothing(text: str) -> None:
    found = output.clean(text)
    assert all(c.isprintable() or c in "\n\t" for c in found)
    assert len(found) == len(text) and output.clean(found) == found


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.style("x", Terminal(), bold=True) != "x"
    assert output.style("x", io.StringIO(), bold=True) == "x"
    monkeypatch.setenv("NO_COLOR", "")
    assert output.style("x", Terminal(), bold=True) == "x"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (output.mib(None), "-"),
        (output.mib(512), "512M"),
        (output.mib(3072), "3.0G"),
        (output.share(None), "-"),
        (output.share(0.5), "50%"),
        (output.share(1, 4), "25%"),
        (output.share(1, 0), "-"),
        (output.rate(None), "-"),
        (output.rate(100), "100B/s"),
        (output.rate(2048), "2K/s"),
        (output.rate(3 << 20), "3M/s"),
        (output.rate(5 << 30), "5.0G/s"),
        (output.ago(None), "-"),
        (output.ago(4), "4s"),
        (output.ago(600), "10m"),
        (output.ago(3 * 3600), "3h"),
        (output.ago(5 * 86400), "5d"),
    ],
)
def test_quantities(written: str, expected: str) -> None:
    assert written == expected


def test_a_table_of_nothing_is_its_heads(capsys: pytest.CaptureFixture[str]) -> None:
    output.table((("NAME", lambda v: v["name"]), ("CPUS", lambda v: v["cpus"])), [])
    assert capsys.readouterr().out == "NAME  CPUS\n"
