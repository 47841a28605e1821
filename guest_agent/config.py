"""The agent's settings, from one TOML file. Everything has a default; a key that is not known is an error, so that a
slip of the pen does not leave a service unwatched.

Python reads TOML since 3.11; for older ones the zipapp carries tomli 1.2.3, the last that runs on 3.6. Both load a
megabyte of modules for one small file, so a child process reads it and hands the values on.
"""

import json
import os
import re
from collections import namedtuple

PATH = "/etc/vmctl-agent.toml"
WATCHES_MAX = 64
START_S = 60.0
SSHD_UNITS = ("ssh.service", "sshd.service", "ssh.socket")
SSHD_PROGRAMS = ("sshd", "dropbear")
KINDS = ("program", "port", "http", "heartbeat")
URL = re.compile(r"http://(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+|localhost)(?::(?P<port>\d+))?(?P<path>/[^\s#]*)?\Z")

# name -> (default, lowest, highest); None: no bounds
NUMBERS = {
    "period_s": (5.0, 0.1, 3600.0),
    "period_min_s": (1.0, 0.1, 3600.0),
    "period_max_s": (60.0, 0.1, 3600.0),
    "full_every_s": (0.0, 0.0, 86400.0),  # 0: as the transport needs it
    "processes_max": (2048, 1, 4096),
    "restart_budget": (3, 0, 100),
    "restart_window_s": (600.0, 1.0, 86400.0),
    "restart_backoff_s": (5.0, 0.0, 3600.0),
}
OTHERS = {"port": "", "kernel_threads": False, "watch_sshd": True, "mask": (), "watch": ()}

Watch = namedtuple("Watch", "name kind units target timeout_s max_age_s start_s failures restart")
Watch.__doc__ = """One thing to watch. `target`: names of the program, or (host, port, path or None), or the file.
`start_s`: what was never well has so long before it counts as failed."""
Config = namedtuple(
    "Config",
    "period_s period_min_s period_max_s full_every_s processes_max restart_budget restart_window_s restart_backoff_s"
    " port kernel_threads mask watches",
)


class ConfigError(ValueError):
    """The file says what cannot be; the text says where."""


def read(path: str = PATH) -> Config:
    """The settings in a file; defaults if there is none. Raises `ConfigError`."""
    if not os.path.exists(path):
        return check({})
    return check(load(path) if os.name == "nt" else _in_a_child(path))


def check(values: "dict[str, object]") -> Config:
    """The settings that the values of a file mean. Raises `ConfigError`."""
    _only(values, {*NUMBERS, *OTHERS}, "the file")
    numbers = {name: _number(values, name, *NUMBERS[name]) for name in NUMBERS}
    if not numbers["period_min_s"] <= numbers["period_s"] <= numbers["period_max_s"]:
        raise ConfigError("period_s must lie between period_min_s and period_max_s")
    mask = _strings(values, "mask")
    for pattern in mask:
        try:
            re.compile(pattern)
        except re.error as err:
            raise ConfigError(f"mask: {pattern!r}: {err}") from None
    wanted = values.get("watch", [])
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise ConfigError("watches are written as [[watch]]")
    watches = [_watch(one) for one in wanted]
    names = [watch.name for watch in watches]
    if len(set(names)) < len(names) or len(names) >= WATCHES_MAX:
        raise ConfigError(f"each watch needs a name of its own, and there may be {WATCHES_MAX - 1}")
    if _flag(values, "watch_sshd", True) and "sshd" not in names:
        watches.insert(0, _sshd())
    return Config(
        port=_string(values, "port"),
        kernel_threads=_flag(values, "kernel_threads", False),
        mask=mask,
        watches=tuple(watches),
        **numbers,
    )


def _sshd() -> Watch:
    """By its unit where there is systemd, else by its program."""
    return Watch("sshd", "unit or program", SSHD_UNITS, SSHD_PROGRAMS, 2.0, 0.0, START_S, 1, False)


def _watch(values: "dict[str, object]") -> Watch:
    name = _string(values, "name")
    where = f"watch {name!r}"
    if not name or len(name) > 64 or not name.isprintable():
        raise ConfigError("each watch needs a name of at most 64 characters")
    _only(values, {"name", "unit", "timeout_s", "max_age_s", "start_s", "failures", "restart", *KINDS}, where)
    kinds = [kind for kind in KINDS if kind in values]
    units = _strings(values, "unit")
    if len(kinds) > 1 or not (kinds or units):
        raise ConfigError(f"{where}: needs a unit, or one of {', '.join(KINDS)}, or a unit and one of them")
    kind = kinds[0] if kinds else "unit"
    restart = _flag(values, "restart", False)
    if restart and not units:
        raise ConfigError(f"{where}: restart = true needs the unit to restart")
    return Watch(
        name,
        kind,
        units,
        _target(kind, values, where),
        _number(values, "timeout_s", 2.0, 0.1, 60.0),
        _number(values, "max_age_s", 60.0, 1.0, 1e7),
        _number(values, "start_s", START_S, 0.0, 3600.0),
        _number(values, "failures", 2 if kind in ("port", "http") else 1, 1, 100),
        restart,
    )


def _target(kind: str, values: "dict[str, object]", where: str) -> object:
    value = values.get(kind)
    if kind == "unit":
        return None
    if kind == "port":
        if not isinstance(value, int) or not 1 <= value <= 65535:
            raise ConfigError(f"{where}: port is a number from 1 to 65535")
        return "127.0.0.1", value, None
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: {kind} is a text")
    if kind == "program":
        return (value,)
    if kind == "heartbeat":
        return value
    found = URL.match(value)
    if not found:
        raise ConfigError(f"{where}: {value!r} is not http://ADDRESS[:PORT]/PATH with a numeric address or localhost")
    host = found.group("host").strip("[]")
    return "127.0.0.1" if host == "localhost" else host, int(found.group("port") or 80), found.group("path") or "/"


def _only(values: "dict[str, object]", known: "set[str]", where: str) -> None:
    strays = sorted(values.keys() - known)
    if strays:
        raise ConfigError(
            f"{where} has {', '.join(strays)}, which nothing here knows; there are: {', '.join(sorted(known))}"
        )


def _number(values: "dict[str, object]", name: str, default: float, lowest: float, highest: float) -> float:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
        raise ConfigError(f"{name} must be a number from {lowest:g} to {highest:g}")
    if isinstance(default, int) and value != int(value):
        raise ConfigError(f"{name} must be a whole number")
    return type(default)(value)


def _string(values: "dict[str, object]", name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a text")
    return value


def _strings(values: "dict[str, object]", name: str) -> "tuple[str, ...]":
    value = values.get(name, [])
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise ConfigError(f"{name} must be a text or a list of texts")
    return tuple(found)


def _flag(values: "dict[str, object]", name: str, default: bool) -> bool:
    value = values.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false")
    return value


# -- the file


def load(path: str) -> "dict[str, object]":
    """The values in a TOML file. Raises `ConfigError`."""
    try:
        import tomllib as toml
    except ImportError:
        import tomli as toml  # type: ignore[no-redef, import-not-found, unused-ignore]
    try:
        with open(path, "rb") as file:
            return toml.loads(file.read().decode("utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path}: {err}") from err


def _in_a_child(path: str) -> "dict[str, object]":
    come, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os._exit(_hand_on(path, go))
    os.close(go)
    with os.fdopen(come, "rb") as answer:
        text = answer.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    if status:
        raise ConfigError(text or f"{path}: the reader was killed")
    values: dict[str, object] = json.loads(text)
    return values


def _hand_on(path: str, go: int) -> int:
    try:
        text, code = json.dumps(load(path), default=str), 0
    except ConfigError as err:
        text, code = str(err), 1
    with os.fdopen(go, "wb") as answer:
        answer.write(text.encode("utf-8", "replace"))
    return code
