"""Where a controller runs from: a folder on a machine, of which a lock makes sure that one runs there at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

MACHINE = Path("/etc/machine-id")


def boot_id() -> str:
    """Drawn by the kernel at each boot; empty where it says none."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def home_of(folder: Path, draw: Callable[[], str]) -> str:
    """32 hexadecimal digits; `draw` gives some that nobody has. A folder copied to another machine is another home.

    A machine that was copied whole is not: `boot_id` tells them apart.
    """
    file = folder / "home"
    try:
        drawn = file.read_text().strip()
    except FileNotFoundError:
        drawn = draw()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(drawn)
    machine = MACHINE.read_text().strip() if MACHINE.exists() else ""
    return hashlib.sha256(f"{drawn} {machine}".encode()).hexdigest()[:32]
