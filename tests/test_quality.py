"""Types, lint and form: what a reviewer need not look for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECKS = {
    "types": ("mypy", "guest_agent", "vmctl", "tests"),
    "lint": ("ruff", "check", "guest_agent", "vmctl", "tests"),
    "form": ("ruff", "format", "--check", "guest_agent", "vmctl", "tests"),
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_code_is_clean(check: str) -> None:
    done = subprocess.run([sys.executable, "-m", *CHECKS[check]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
