"""`python -m tests.diagrams` draws the tables of states into ARCHITECTURE.md; a test compares."""

from __future__ import annotations

from pathlib import Path

from vmctl.model.states import MACHINES

PAGE = Path(__file__).parent.parent / "ARCHITECTURE.md"
BEGIN, END = "<!-- drawn by python -m tests.diagrams -->", "<!-- drawn -->"


def drawn() -> str:
    """All tables."""
    parts = []
    for machine in MACHINES:
        parts.append("\n".join((f"{machine.of}:", *(f"    {line}" for line in machine.lines()))))
    return "```\n" + "\n\n".join(parts) + "\n```"


def page(text: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, "the page has no place for them"
    return f"{before}{BEGIN}\n{drawn()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
