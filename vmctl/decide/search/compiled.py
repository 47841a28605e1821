"""Plain loops over arrays, compiled: numba turns the functions so marked into machine code, once, and keeps it.

What is kept is keyed by all sources of `decide/`: numba looks at a function's own file only, and would go on with what
it inlined from another one that has changed since, or fail on a class that has moved.

Such a function still is Python (`function.py_func`), so it can be read, stepped through and tested as such. It holds no
lock of the interpreter while it runs, so a long search in a thread stops nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}  # 1 / 0 is infinite, as in numpy
BARE: dict[str, Any] = OPTIONS | {"_nrt": False, "forceinline": True}  # without the bookkeeping of what is allocated


def cache_folder() -> Path:
    """Where the machine code of these very sources is kept: beside them, or in the user's cache."""
    here = Path(__file__).parent.parent
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(here.rglob("*.py")))).hexdigest()[:16]
    beside = here / "__pycache__"
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmctl"
    given = os.environ.get("NUMBA_CACHE_DIR", "")
    folder = Path(given) if given else beside if os.access(beside if beside.is_dir() else here, os.W_OK) else users
    return folder / f"search-{sources}"


numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


def compiled(function: F) -> F:
    """The function as machine code."""
    fast: Any = numba.njit(**OPTIONS)(function)
    return fast  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """As `compiled`, for the few lines that a search runs millions of times; such a function may allocate nothing.

    Counting references to the state's arrays would take longer than the lines themselves.
    """
    fast: Any = numba.njit(**BARE)(function)
    return fast  # type: ignore[no-any-return]
