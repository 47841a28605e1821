"""The page about metrics is true."""

from __future__ import annotations

from pathlib import Path

from tests.observe.table import PAGE, page, scrape
from vmctl.api.measure import SLOW_S
from vmctl.local.config import MetricsSettings


async def test_the_table_has_every_series_of_a_scrape(tmp_path: Path) -> None:
    before = PAGE.read_text()
    assert page(before, await scrape(tmp_path)) == before, "python -m tests.observe.table"


def test_the_numbers_in_words_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert f"({MetricsSettings().most_vms}, in `[metrics]`" in text
    assert f"after more than {SLOW_S:g} seconds" in text
