"""The audit's chain: an edited entry, one that is taken out, a chain that is made anew and a cut end are all found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmctl.model.audit import Chain, Entry, Kept, following, head


def chain(many: int, who: str = "anna") -> list[Kept]:
    made: list[Kept] = []
    for number in range(many):
        made.append(following(made[-1] if made else None, Entry(float(number), who, "stop", "web1", "accepted")))
    return made


def wrong(entries: list[Kept], wanted: str = "", parts: int = 3) -> str:
    found = Chain(wanted)
    for first in range(0, len(entries), parts):
        found.read(entries[first : first + parts])
    return found.wrong


def test_a_chain_as_it_was_written_is_good() -> None:
    assert wrong([]) == wrong([], head(None)) == wrong(chain(10)) == ""
    assert wrong(chain(10), head(chain(10)[-1])) == wrong(chain(10), head(chain(4)[-1])) == ""
    assert chain(1)[0].entry == Entry(0.0, "anna", "stop", "web1", "accepted")


@pytest.mark.parametrize("at", [0, 4, 9])
def test_an_entry_that_was_edited_is_found(at: int) -> None:
    entries = chain(10)
    entries[at] = replace(entries[at], text=entries[at].text.replace("anna", "eve"))
    assert wrong(entries) == f"entry {at + 1} is not what it was when it was written"


@pytest.mark.parametrize("at", [0, 4, 8])
def test_an_entry_that_was_taken_out_is_found(at: int) -> None:
    entries = chain(10)
    del entries[at]
    assert f"entry {at + 1} is missing" in wrong(entries)


def test_a_chain_that_was_made_anew_is_found_by_an_earlier_head() -> None:
    kept = head(chain(7)[-1])
    assert wrong(chain(10, who="eve")) == "", "by itself it is good"
    assert "the chain was made anew" in wrong(chain(10, who="eve"), kept)


def test_a_cut_end_is_found_by_an_earlier_head() -> None:
    entries = chain(10)
    assert wrong(entries[:6]) == ""
    assert wrong(entries[:6], head(entries[-1])) == "the end is cut off: 6 entries are left, and there were 10"
    assert "the end is cut off" in wrong([], head(entries[-1]))
