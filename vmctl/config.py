"""Where vmctl keeps things, and its settings: frozen, from one TOML file, passed down.

Nobody imports a global: `Settings` is loaded once by a main and handed to what needs it.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vmctl.errors import Usage
from vmctl.model import Policy


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else Path.home() / default) / "vmctl"


def config_dir() -> Path:
    """Settings: ~/.config/vmctl."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def data_dir() -> Path:
    """What must not be lost (registry, SSH key): ~/.local/share/vmctl, mode 0700."""
    return _private(_xdg("XDG_DATA_HOME", ".local/share"))


def state_dir() -> Path:
    """Logs and the lab: ~/.local/state/vmctl."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """What can be built again (guest images): ~/.cache/vmctl."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def runtime_dir() -> Path:
    """Sockets of the running controller, mode 0700: they open the hosts' libvirt, which equals root there."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return _private(Path(base) / "vmctl" if base.startswith("/") else state_dir() / "run")


def _private(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def ssh_key_path() -> Path:
    """The controller's own SSH key (made on first use): the public half is what a host must authorise."""
    return data_dir() / "ssh" / "id_ed25519"


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


def load(path: Path | None = None) -> Settings:
    """Read vmctl.toml. Unknown keys are errors (`Usage`): a misspelt setting must not be silently ignored."""
    path = path or config_dir() / "vmctl.toml"
    if not path.exists():
        return Settings()
    try:
        return _fill(Settings(), tomllib.loads(path.read_text()), str(path))
    except tomllib.TOMLDecodeError as err:
        raise Usage(f"{path} is not valid TOML: {err}") from err


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
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if type(old) is not type(value):
        raise Usage(f"{where} must be like {old!r}, not {value!r}")
    return value
