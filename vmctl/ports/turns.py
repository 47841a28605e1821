"""Whose turn it is at the registry: what looks after hosts waits behind what somebody waits for.

All hosts may come up at once, each with twenty VMs to be looked at: a question must not stand behind all of that. It
goes with the work, as what its log lines are about does (`vmctl.local.logcontext`).
"""

from __future__ import annotations

from contextvars import ContextVar

_last: ContextVar[bool] = ContextVar("comes last at the registry", default=False)


def comes_last() -> bool:
    """Whether what is asked here of the registry waits behind all else."""
    return _last.get()


def come_last(last: bool = True) -> None:
    """It does, to the end of the asyncio task that this is called in; or not any more."""
    _last.set(last)
