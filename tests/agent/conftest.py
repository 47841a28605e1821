"""The machine may be busy with virtual machines: properties are about results, not about time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
