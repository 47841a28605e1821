"""Which controller commands speak to: this machine's own, or one elsewhere that a context names.

A context has addresses that lead to one cluster, a token, and by what its certificate is known. They are kept in one
file that nobody else may read.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vmctl import errors
from vmctl.local import paths

LOCAL = "local"
VARIABLE = "VMCTL_CONTEXT"
PORT = 8006
FINGERPRINT = re.compile(r"([0-9A-F]{2}:){31}[0-9A-F]{2}")
MOST_FILE = 64 << 10


@dataclass(frozen=True, slots=True)
class Context:
    """One way to a controller elsewhere."""

    name: str
    servers: tuple[str, ...]  # ADDRESS:PORT each
    token: str = ""
    ca: str = ""  # PEM; empty: the authorities that this machine trusts
    fingerprint: str = ""  # SHA-256 of the server's certificate, which is then trusted as it is


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of them, and which one is used where nothing else is said."""

    current: str = LOCAL
    known: tuple[Context, ...] = ()

    def named(self, name: str) -> Context:
        """Raises NotFound."""
        found = next((one for one in self.known if one.name == name), None)
        if found is None:
            known = ", ".join([LOCAL, *(one.name for one in self.known)])
            raise errors.NotFound(f"there is no context {name!r}", hint=f"known: {known}; vmctl context add NAME ...")
        return found

    def with_one(self, one: Context) -> Contexts:
        """The same with this one, in place of an earlier one of its name."""
        return replace(self, known=(*(kept for kept in self.known if kept.name != one.name), one))


def path() -> Path:
    """Where they are kept."""
    return paths.config_dir() / "contexts.json"


def read() -> Contexts:
    """All contexts. Raises Usage for a file that cannot be read, Refused for one that others may read."""
    file = path()
    try:
        mode, text = file.stat().st_mode & 0o777, file.read_text()
    except FileNotFoundError:
        return Contexts()
    except OSError as err:
        raise errors.Usage(f"{file} cannot be read: {err.strerror}") from err
    if mode & 0o077:
        raise errors.Refused(f"{file} has tokens in it, and others can read it", hint=f"chmod 600 {file}")
    try:
        found = json.loads(text)
        known = tuple(Context(**(one | {"servers": tuple(one["servers"])})) for one in found["known"])
        return Contexts(str(found["current"]), known)
    except (ValueError, KeyError, TypeError) as err:
        raise errors.Usage(f"{file} is damaged: {err}", hint=f"mv {file} {file}.damaged") from err


def write(contexts: Contexts) -> None:
    """Keep them: whole, or not at all."""
    paths.write_whole(path(), json.dumps(asdict(contexts), indent=2))


def chosen() -> Context | None:
    """The one that commands use; None: this machine's own controller. Raises NotFound."""
    if os.environ.get("VMCTL_SOCKET"):
        return None
    wanted = os.environ.get(VARIABLE, "")
    if wanted == LOCAL or not (wanted or path().exists()):
        return None
    contexts = read()
    name = wanted or contexts.current
    return None if name == LOCAL else contexts.named(name)


def servers(text: str) -> tuple[str, ...]:
    """Addresses as ADDRESS[:PORT], separated by commas. Raises Usage."""
    found = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = one.rpartition(":")
        bare = not colon or one.endswith("]") or (one.count(":") > 1 and not one.startswith("["))
        host, port = (one, str(PORT)) if bare else (host, port)
        if not port.isdigit() or not 0 < int(port) < 65536 or not host or "/" in one:
            raise errors.Usage(f"{one!r} is not ADDRESS or ADDRESS:PORT")
        found.append(f"{host if host.startswith('[') or ':' not in host else f'[{host}]'}:{port}")
    if not found:
        raise errors.Usage("no server was given", hint="--server ADDRESS[:PORT][,ADDRESS...]")
    return tuple(found)


def fingerprint(text: str) -> str:
    """One as it is compared. Raises Usage."""
    found = text.strip().upper().removeprefix("SHA256:")
    found = found if ":" in found else ":".join(re.findall("..", found))
    if not FINGERPRINT.fullmatch(found):
        raise errors.Usage(f"{text!r} is no SHA-256 fingerprint", hint="vmctl serve --init-tls prints it")
    return found


def content(file: str, what: str) -> str:
    """What is in a small file. Raises Usage."""
    try:
        with Path(file).open() as opened:
            return opened.read(MOST_FILE).strip()
    except (OSError, UnicodeDecodeError) as err:
        raise errors.Usage(f"the {what} file {file} cannot be read: {err}") from err


def as_shown(one: Context, current: str) -> dict[str, Any]:
    """Without its token."""
    trust = "its own CA" if one.ca else "this machine's CAs"
    trust = f"fingerprint {one.fingerprint[:23]}..." if one.fingerprint else trust
    return {
        "name": one.name,
        "current": one.name == current,
        "servers": list(one.servers),
        "token": bool(one.token),
        "trusted_by": trust,
    }
