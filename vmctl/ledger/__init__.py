"""The ledger of incarnations: every run of every program, what it used, and why it ended.

Pure: pictures of a machine's processes in, lives out; no I/O, and the caller gives the times. What is kept longer than
a process lives is handed out as `Changes` for the store.
"""

from __future__ import annotations

from vmctl.ledger.machine import Ledger
from vmctl.ledger.ring import read_samples
from vmctl.ledger.values import Changes, Life, Listening, Picture, Run, Seen, ShortLived, Step, Why

__all__ = [
    "Changes",
    "Ledger",
    "Life",
    "Listening",
    "Picture",
    "Run",
    "Seen",
    "ShortLived",
    "Step",
    "Why",
    "read_samples",
]
