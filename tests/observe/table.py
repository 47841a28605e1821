"""`python -m tests.observe.table` draws the series of a real scrape into docs/observe.md; a test compares."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.observe.pool import full, happened, measure, serving

PAGE = Path(__file__).parents[2] / "docs" / "observe.md"
BEGIN, END = "<!-- drawn by python -m tests.observe.table -->", "<!-- drawn -->"


async def scrape(folder: Path) -> str:
    """One in which every series has something to tell."""
    async with serving(controller := await full(folder)) as http:
        await measure(controller)
        await happened(controller)
        await http.get("/healthz")
        return (await http.get("/metrics")).text


def drawn(text: str) -> str:
    """Its series as a table."""
    rows = ["| series | kind | labels | what it means |", "|---|---|---|---|"]
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = dict.fromkeys(label for sample in family.samples for label in sorted(sample.labels) if label != "le")
        rows.append(f"| `{name}` | {family.type} | {', '.join(labels)} | {family.documentation} |")
    return "\n".join(rows)


def page(before: str, text: str) -> str:
    """The page with the table as it is now."""
    start, _, rest = before.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, "the page has no place for it"
    return f"{start}{BEGIN}\n{drawn(text)}\n{END}{after}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(PAGE.read_text(), asyncio.run(scrape(Path(folder)))))
