"""Settings that all tests share: `pytest --hypothesis-profile deep tests/decide` looks longer for a counterexample."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No time limits: a busy machine is no reason to fail.
settings.register_profile("quick", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("quick"), max_examples=1000)
settings.load_profile("quick")
