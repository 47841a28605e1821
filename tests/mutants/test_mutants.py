"""Mutants are what they say: each one's symbols are there, and no two are called the same."""

from __future__ import annotations

import pytest

from tests.mutants import GROUPS
from tests.mutants.faults import Mutant, find, put_in

MUTANTS = [one for group in GROUPS.values() for one in group]


def test_no_two_have_one_name() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_put_in_and_taken_out(mutant: Mutant) -> None:
    def there() -> list[object]:
        held = [getattr(*find(symbol)) for symbol in mutant.symbols.split()]
        return [dict(one) if isinstance(one, dict) else one for one in held]

    before = there()
    with put_in(mutant):
        assert there() != before
    assert there() == before
