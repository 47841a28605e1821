"""ARCHITECTURE.md, CONTRIBUTING.md and docs are true: what they point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WRITTEN = re.compile(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`")


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/security.md"])
def test_every_file_that_is_named_is_there(document: str) -> None:
    named = set(WRITTEN.findall((ROOT / document).read_text()))
    assert len(named) > 5
    missing = sorted(path for path in named if not ((ROOT / path).exists() or (ROOT / "vmctl" / path).exists()))
    assert missing == []
