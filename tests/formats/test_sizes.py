"""Sizes of VMs as people write them."""

from __future__ import annotations

import pytest

from vmctl.formats.sizes import SIZES, parse, spelt


def test_sizes_are_read_as_they_are_written() -> None:
    assert parse(()) == SIZES
    assert parse(("2c/4G", "1c/512,1c/1.5GiB", "2C/4096M")) == ((2, 4096), (1, 512), (1, 1536))
    assert [spelt(*size) for size in ((2, 4096), (1, 512))] == ["2c/4G", "1c/512M"]


@pytest.mark.parametrize(
    "text", ["", "2c", "4G", "2/4G", "0c/4G", "2c/0", "9999c/4G", "2c/4X", "2c/-4G", "1c/999999999T"]
)
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse((text,))


def test_no_more_sizes_than_one_can_want() -> None:
    with pytest.raises(ValueError, match="21 sizes"):
        parse(f"1c/{n}G" for n in range(1, 22))
