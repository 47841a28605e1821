"""The settings: frozen, from one TOML file, passed down.

Nobody imports a global: `Settings` is loaded once by a main and handed to what needs it.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from vmctl.errors import Usage
from vmctl.local import paths
from vmctl.model import urls
from vmctl.model.policy import HealthPolicy, LedgerPolicy, Policy


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


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where clients from elsewhere reach the controller, over TLS; with no address they do not.

    With no files of its own the certificate is the one that `vmctl serve --init-tls` made.
    """

    listen: str = ""  # ADDRESS:PORT
    tls_certificate: str = ""
    tls_key: str = ""
    requests_per_s: float = 20.0  # of one token, after five times as many at once


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Where other controllers of the same database reach this one. Without a database it is alone."""

    name: str = ""  # with none the machine's
    listen: str = "0.0.0.0:8007"  # ADDRESS:PORT; port 0: one that is free
    address: str = ""  # what others reach it by: HOST or HOST:PORT; with none the address of its default route
    roles: str = "naming,proxy"  # what it is there for


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What may become an image."""

    allow_urls: tuple[str, ...] = ()  # from where images may be fetched: hosts, or beginnings of URLs
    most_gib: float = 1024.0  # of its files together, where they are uploaded or fetched
    abandoned_after_h: float = 24.0  # an upload that nobody goes on with is taken away


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What Prometheus is shown."""

    most_vms: int = 2000  # with series of their own; where there are more VMs, none has


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the controller's log is written."""

    json: bool = False  # a JSON object on each line


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an admin can set, with defaults that need no file."""

    database: str = ""  # postgresql://...: where the registry is; with none in a file
    cache: str = ""  # memcached://HOST,...: what controllers tell each other of hosts, besides the database
    sample_period_s: float = 5.0
    ssh_user: str = "root"
    timeouts: Timeouts = field(default_factory=Timeouts)
    policy: Policy = field(default_factory=Policy)
    read_guests: bool = True  # through their agents' ports
    health: HealthPolicy = field(default_factory=HealthPolicy)
    ledger: LedgerPolicy = field(default_factory=LedgerPolicy)
    api: ApiSettings = field(default_factory=ApiSettings)
    controllers: ControllerSettings = field(default_factory=ControllerSettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    log: LogSettings = field(default_factory=LogSettings)


Range = tuple[float, float]
ABOVE_ZERO, SHARE, WEIGHT, YEAR_S = 0.001, (0.0, 1000.0), (0.0, 1000.0), 366 * 86400.0
PERIOD: Range = (0.1, 86400.0)
# The range of every number, ends included. A number that is none (nan) is in no range.
RANGES: dict[type[Any], dict[str, Range]] = {
    Settings: {"sample_period_s": (0.1, 3600.0)},
    ImageSettings: {"most_gib": (ABOVE_ZERO, 65536.0), "abandoned_after_h": (ABOVE_ZERO, 8784.0)},
    ControllerSettings: {},
    ApiSettings: {"requests_per_s": (0.1, 1e6)},
    MetricsSettings: {"most_vms": (0, 1_000_000)},
    LogSettings: {},
    Timeouts: {
        "ssh_connect_s": PERIOD,
        "ssh_keepalive_s": PERIOD,
        "ssh_keepalive_count": (1, 100),
        "command_s": PERIOD,
        "libvirt_s": PERIOD,
        "libvirt_keepalive_s": (1, 3600),
        "shutdown_s": PERIOD,
    },
    Policy: {
        "cpu_overcommit": (0.01, 1000.0),
        "class_overcommit": (0.01, 1000.0),
        "mem_overcommit": (0.01, 100.0),
        "mem_reserve_mib": (0, 64 << 20),
        "vm_overhead_mib": (0, 1 << 20),
        "new_vm_cpu": (0.0, 1024.0),
        "weight_cpu": WEIGHT,
        "weight_mem": WEIGHT,
        "weight_promised": WEIGHT,
        "weight_vcpus": WEIGHT,
        "weight_disk": WEIGHT,
        "weight_net": WEIGHT,
        "weight_overload": WEIGHT,
        "weight_stall": WEIGHT,
        "weight_groups": WEIGHT,
        "overload_above": (0.01, 10.0),
        "max_age_s": (1.0, 86400.0),
        "min_imbalance": SHARE,
        "min_gain": SHARE,
        "price_per_move": SHARE,
        "price_per_minute": SHARE,
        "link_mib_s": (0.1, 1e6),
        "cooldown_s": (0.0, YEAR_S),
        "max_moves": (1, inf),
        "max_gib": (ABOVE_ZERO, inf),
        "max_minutes": (ABOVE_ZERO, inf),
        "effort": (0.01, 100.0),
        "max_outgoing": (1, 100),
        "max_incoming": (1, 100),
        "downtime_ms": (1, 60_000),
        "stall_s": PERIOD,
        "no_progress_s": PERIOD,
    },
    HealthPolicy: {
        "silent_after_s": PERIOD,
        "hung_after_s": PERIOD,
        "heal_after_s": (0.0, YEAR_S),
        "heal_between_s": (1.0, YEAR_S),
        "heal_budget": (0, 1000),
        "heal_window_s": (1.0, YEAR_S),
    },
    LedgerPolicy: {
        "days": (0.01, 3660.0),
        "rows_per_machine": (1, 10_000_000),
        "most_processes": (1, 100_000),
        "short_s": (0.0, 86400.0),
        "short_pictures": (0, 1000),
        "silence_s": PERIOD,
        "write_every_s": (1.0, 86400.0),
    },
}


def load(path: Path | None = None) -> Settings:
    """Read vmctl.toml. Unknown keys are errors (`Usage`): a misspelt setting must not be silently ignored."""
    path = path or paths.config_dir() / "vmctl.toml"
    if not path.exists():
        return Settings()
    try:
        found = _fill(Settings(), tomllib.loads(path.read_text()), str(path))
    except tomllib.TOMLDecodeError as err:
        raise Usage(f"{path} is not valid TOML: {err}") from err
    if has_password(found.database) and path.stat().st_mode & 0o077:
        raise Usage(f"{path} has the database's password, and others may read it", hint=f"chmod 600 {path}")
    return found


def has_password(dsn: str) -> bool:
    """Whether a database's DSN holds one."""
    return bool(re.search(r"://[^/@?]*:[^/@?]+@|\bpassword\s*=\s*\S", dsn))


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
        if key == "allow_urls":
            _check_urls(changes[key], f"{where}: {key}")
        if key == "watch":
            _check_names(changes[key], f"{where}: {key}")
        if key in (ranges := RANGES.get(type(record), {})):
            _check(changes[key], ranges[key], f"{where}: {key}")
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def _like(old: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(old) and isinstance(value, dict):
        return _fill(old, value, where)
    if isinstance(old, tuple) and isinstance(value, list) and (value or not old):
        return tuple(_like(old[0] if old else "", item, where) for item in value)
    if isinstance(old, dict) and isinstance(value, dict):
        return {key: _like(0.0, item, f"{where}: {key}") for key, item in value.items()}  # all of ours hold numbers
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if type(old) is not type(value):
        raise Usage(f"{where} must be like {old!r}, not {value!r}")
    return value


def _check(value: Any, limits: Range, where: str) -> None:
    """Refuse a number, or one of several, that nobody can mean. Raises Usage."""
    least, most = limits
    named = value.items() if isinstance(value, dict) else [("", number) for number in _several(value)]
    for name, number in named:
        if not least <= number <= most:
            which = f"{where}: {name}" if name else where
            allowed = f"from {least:g} to {most:g}" if most < inf else f"at least {least:g}"
            raise Usage(f"{which} must be {allowed}, not {number!r}")
    if isinstance(value, tuple) and list(value) != sorted(value):
        raise Usage(f"{where} must rise, step by step, not {list(value)!r}")


def _check_urls(value: tuple[str, ...], where: str) -> None:
    for text in value:
        try:
            urls.entry(text)
        except Usage as err:
            raise Usage(f"{where}: {err.message}") from err


def _check_names(value: tuple[str, ...], where: str) -> None:
    """They go into programs' words on hosts."""
    for name in value:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+:@-]{0,63}", name):
            raise Usage(f"{where}: {name!r} is no name of a program", hint='for example watch = ["multipathd"]')


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
