"""Sizes and labels as people write them."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.run import vmctl
from vmctl.cli import create
from vmctl.cli.sizes import UNITS, Label, Size, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("0", 0), ("512", 512), ("1k", 1024), ("512M", 512 << 20), ("2G", 2 << 30), ("1T", 1 << 40)),
        *(("1.5G", 3 << 29), ("2GB", 2 << 30), ("2GiB", 2 << 30), ("2 gib", 2 << 30), (" 7b ", 7)),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@given(st.integers(0, 1 << 20), st.sampled_from(sorted(UNITS)), st.sampled_from(("", "B", "iB")), st.booleans())
def test_any_size_is_read_as_it_was_written(number: int, unit: str, end: str, small: bool) -> None:
    text = f"{number}{unit}{end}"
    if not (end == "iB" and not unit):
        assert parse_bytes(text.lower() if small else text) == number * UNITS[unit]


@given(st.integers(0, 1 << 20))
def test_a_bare_number_counts_the_default_unit(number: int) -> None:
    assert Size("M").convert(str(number), None, None) == number << 20
    assert Size("G").convert(number, None, None) == number, "a default is in bytes already"


@pytest.mark.parametrize("bad", ["", "G", "-1G", "1,5G", "1P", "two", "1G1M", "1e3", "0x10", "nan", "1..5G"])
def test_what_is_no_size_is_refused_with_an_example(bad: str) -> None:
    with pytest.raises(ValueError, match=r"write 512M, 2G or 1\.5T"):
        parse_bytes(bad)
    with pytest.raises(click.BadParameter):
        Size("M").convert(bad, None, None)


def test_labels() -> None:
    assert Label().convert("rack=a=b", None, None) == ("rack", "a=b")
    assert Label().convert("rack=", None, None) == ("rack", "")
    for bad in ("rack", "=a", ""):
        with pytest.raises(click.BadParameter, match="not KEY=VALUE"):
            Label().convert(bad, None, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "x", "--image", "i", "--memory", "1M"), "Invalid value for '--memory': at least 16M"),
        (("create", "x", "--image", "i", "--memory", "65T"), "at most 64T"),
        (("create", "x", "--image", "i", "--memory", "9" * 400), "is not a size"),
        (("create", "x", "--image", "i", "--memory", "64M", "--cpus", "0"), "--cpus"),
        (("create", "nl\n", "--image", "i", "--memory", "64M"), "is not a name"),
        (("create", "", "--image", "i", "--memory", "64M"), "'' is not a name"),
        (("create", "x", "--image", "i", "--memory", "64M", "--apart-by", "rack"), "--apart-by"),
        (("create", "x", "--image", "i", "--memory", "64M", "--needs", "we ird=x"), "is not the key of a label"),
        (("create", "x", "--image", "i", "--memory", "64M", "--timeout", "-1"), "--timeout"),
        (("create", "x", "--image", "i", "--memory", "64M", "--timeout", "nan"), "--timeout"),
        (("host", "label", "kvm1", "we ird=x"), "is not the key of a label"),
        (("host", "label", "kvm1", "rack=a\x1b[2J"), "has control characters"),
        (("image", "add", "a/b", __file__), "is not a name"),
        (("storage", "add", "..", "--path", "/x"), "is not a name"),
        (("events", "--most", "0"), "--most"),
        (("task", "list", "--most", "-3"), "--most"),
        (("task", "show", str(2**63)), "NUMBER"),
        (("task", "attach", "1", "--timeout", "0"), "--timeout"),
        (("task", "cancel", "-1"), ""),
        (("top", "--every", "-1"), "--every"),
        (("top", "--every", "inf"), "--every"),
        (("stop", "x", "--shutdown-timeout", "-1"), "--shutdown-timeout"),
        (("rebalance", "--budget-gib", "nan"), "--budget-gib"),
        (("rebalance", "--budget-minutes", "inf"), "--budget-minutes"),
    ],
)
def test_every_number_and_name_has_a_range(words: tuple[str, ...], said: str) -> None:
    done = vmctl(*words)
    assert done.exit_code == 2 and said in " ".join(done.output.split()), done.output


def test_the_old_word_for_what_a_host_must_carry_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Client:
        """Hears what it is asked."""

        def ask(self, value: Any) -> Any:
            asked.append(value)
            return {"vm": "x", "host": "kvm1", "why": "", "verdicts": [], "inputs": {}}

    monkeypatch.setattr(create, "Client", Client)
    words = ("create", "x", "--image", "i", "--memory", "64M", "--dry-run")
    told = vmctl(*words, "--label", "rack=a", "--needs", "disk=fast")
    assert "--label is --needs now" in told.stderr and asked[0].needs == {"rack": "a", "disk": "fast"}
    assert "--label" not in vmctl("create", "--help").output and "--label" not in vmctl(*words).stderr
