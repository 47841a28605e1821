"""The ledger of incarnations: every run of every program, what it used, and why it ended.

Pure: pictures of a machine's processes in, lives out; no I/O, and the caller gives the times. What is kept longer than
a process lives is handed out as `Changes` for the store.
"""

from __future__ import annotations

from vmctl.ledger.machine import Ledger
from vmctl.ledger.ring import read_samples
from vmctl.ledger.values import Changes, EndReason, Life, Listening, Picture, ProcessSample, Run, ShortLived, Step

__all__ = [
    "Changes",
    "EndReason",
    "Ledger",
    "Life",
    "Listening",
    "Picture",
    "ProcessSample",
    "Run",
    "ShortLived",
    "Step",
    "read_samples",
]
