"""Sizes and labels as people write them."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
