"""The settings: frozen, from one TOML file, passed down.

Nobody imports a global: `Settings` is loaded once by a main and handed to what needs it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vmctl import paths
from vmctl.errors import Usage
from vmctl.model import HealthPolicy, LedgerPolicy, Policy


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after which waiting ends. A time-out is never an abort: the other side may still do it later."""

    ssh_connect_s: float = 10.0
    ssh_keepalive_s: float = 5.0
    ssh_keepalive_count: int = 3
    command_s: float = 15.0
    libvirt_s: float = 30.0
    libvirt_keepalive_s: int = 5
    shutdown_s: float = 120.0
    no_progress_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an admin can set, with defaults that need no file."""

    sample_period_s: float = 5.0
    ssh_user: str = "root"
    timeouts: Timeouts = field(default_factory=Timeouts)
    policy: Policy = field(default_factory=Policy)
    read_guests: bool = True  # through their agents' ports
    health: HealthPolicy = field(default_factory=HealthPolicy)
    ledger: LedgerPolicy = field(default_factory=LedgerPolicy)


def load(path: Path | None = None) -> Settings:
    """Read vmctl.toml. Unknown keys are errors (`Usage`): a misspelt setting must not be silently ignored."""
    path = path or paths.config_dir() / "vmctl.toml"
    if not path.exists():
        return Settings()
    try:
        return _fill(Settings(), tomllib.loads(path.read_text()), str(path))
    except tomllib.TOMLDecodeError as err:
        raise Usage(f"{path} is not valid TOML: {err}") from err


def changed_policy(policy: Policy, text: str, where: str) -> Policy:
    """The policy with what a settings file says in [policy], or says alone, in place of its own. Raises Usage."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Usage(f"{where} is not valid TOML: {err}") from err
    return _fill(policy, found.get("policy", found), where)


Record = TypeVar("Record")


def _fill(record: Record, values: dict[str, Any], where: str) -> Record:
    known = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise Usage(f"{where}: unknown setting {key!r}", hint=f"known here: {', '.join(sorted(known))}")
        changes[key] = _like(known[key], value, f"{where}: {key}")
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def _like(old: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(old) and isinstance(value, dict):
        return _fill(old, value, where)
    if isinstance(old, tuple) and isinstance(value, list) and value:
        return tuple(_like(old[0], item, where) for item in value)
    if isinstance(old, dict) and isinstance(value, dict):
        return {key: _like(0.0, item, f"{where}: {key}") for key, item in value.items()}  # all of ours hold numbers
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if type(old) is not type(value):
        raise Usage(f"{where} must be like {old!r}, not {value!r}")
    return value
