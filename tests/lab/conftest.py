"""One pool of three hosts for all lab tests that need a controller."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.pool import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    if os.geteuid() != 0:
        pytest.fail("the lab needs root: run ./deploy/test --fast without it")
    made = Pool(3)
    try:
        made.set_up()
        yield made
    finally:
        made.close()
