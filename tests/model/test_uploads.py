"""Pieces of an upload: which one may be written, and what is counted. Histories of them are drawn."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmctl.errors import Refused
from vmctl.model.uploads import MOST_PIECE, Piece, Upload, UploadState, begun, counted, is_counted

UPLOAD = Upload("a1", "tiny", "main", 1.0, 1.0, {"file": 40, "kernel": 5}, state=UploadState.OPEN)


def piece(offset: int, data: bytes, part: str = "file") -> Piece:
    return Piece(part, offset, len(data), hashlib.sha256(data).hexdigest())


def test_a_piece_is_named_then_counted() -> None:
    first = piece(0, b"0123456789")
    named = begun(UPLOAD, first)
    assert (named.next, named.whole) == ({"file": 0, "kernel": 0}, False)
    assert begun(named, first) == named, "sent again"
    after = counted(named, first, 2.0)
    assert (after.next, after.pending, after.changed_at) == ({"file": 10, "kernel": 0}, {}, 2.0)
    assert is_counted(after, first) and counted(after, first, 3.0) == after


def test_of_two_at_one_place_one_is_told_so() -> None:
    named = begun(UPLOAD, piece(0, b"aaaa"))
    for other in (piece(0, b"bbbb"), piece(0, b"aaa"), piece(0, b"aaaa", "kernel")):
        with pytest.raises(Refused, match="bytes 0 to 4 of the file were sent before"):
            begun(named, other)
    after = counted(named, piece(0, b"aaaa"), 2.0)
    with pytest.raises(Refused, match="goes on at byte 4 of its file, not at 0"):
        begun(after, piece(0, b"bbbbbb"))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (piece(8, b"a"), "goes on at byte 0"),
        (piece(0, b""), "a piece has 1 to"),
        (Piece("file", 0, MOST_PIECE + 1, ""), "a piece has 1 to"),
        (piece(0, b"x" * 41), "has 40 bytes, and this piece ends at 41"),
        (piece(0, b"x", "initrd"), "has no initrd"),
    ],
)
def test_what_is_no_piece_of_it_is_refused(wrong: Piece, why: str) -> None:
    with pytest.raises(Refused, match=why):
        begun(UPLOAD, wrong)


@pytest.mark.parametrize("state", [UploadState.MAKING, UploadState.GOING])
def test_one_that_is_not_open_takes_nothing(state: UploadState) -> None:
    with pytest.raises(Refused):
        begun(replace(UPLOAD, state=state), piece(0, b"a"))


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 45), st.integers(1, 20), st.booleans()), max_size=60))
def test_whoever_sends_what_in_whatever_order_no_place_ever_has_two_contents(
    history: list[tuple[str, int, int, bool]],
) -> None:
    """Clients A and B send their own files; an answer may be lost before a piece is counted, and a write may be late.

    What was ever allowed to be written at a place is one content: a late write changes nothing.
    """
    upload, allowed = UPLOAD, dict[int, str]()
    for client, offset, size, is_answered in history:
        data = client * size
        one = piece(offset, data.encode())
        if is_counted(upload, one):
            continue
        try:
            upload = begun(upload, one)
        except Refused:
            continue
        for place, letter in enumerate(data, offset):
            assert allowed.setdefault(place, letter) == letter
        if is_answered:
            upload = counted(upload, one, 2.0)
    assert set(range(upload.done.get("file", 0))) <= allowed.keys(), "all that is counted was written"
