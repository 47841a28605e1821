"""A pool for the commands of one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.pool import Pool, served


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "STATE", "CONFIG", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(folder / kind))
        patch.setenv("VMCTL_SOCKET", f"{folder}/sock")
        with served(folder, empty_registry) as made:
            yield made
