"""Plain loops over arrays, compiled: numba turns the functions so marked into machine code, once, and keeps it.

Such a function still is Python (`function.py_func`), so it can be read, stepped through and tested as such. It holds no
lock of the interpreter while it runs, so a long search in a thread stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}  # 1 / 0 is infinite, as in numpy
BARE: dict[str, Any] = OPTIONS | {"_nrt": False, "forceinline": True}  # without the bookkeeping of what is allocated


def compiled(function: F) -> F:
    """The function as machine code."""
    fast: Any = numba.njit(**OPTIONS)(function)
    return fast  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """As `compiled`, for the few lines that a search runs millions of times; such a function may allocate nothing.

    Counting references to the board's arrays would take longer than the lines themselves.
    """
    fast: Any = numba.njit(**BARE)(function)
    return fast  # type: ignore[no-any-return]
