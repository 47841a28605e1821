"""What ~/.ssh/config would have made of a name. vmctl does not go by it, but whoever typed the name may."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from vmctl.errors import Unreachable

LIMIT_S = 3.0


class Alias(NamedTuple):
    """Where `ssh NAME` goes."""

    address: str
    port: int
    user: str
    jump: str  # empty: directly


def look_up(name: str, config: Path | None = None) -> Alias | None:
    """Ask `ssh -G`; None where it knows nothing beyond the name, or is not there. Blocking."""
    more = ["-F", str(config)] if config else []
    try:
        done = subprocess.run(
            ["ssh", *more, "-G", "--", name], capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    jump = found.get("proxyjump", "") or found.get("proxycommand", "")
    address, port = found.get("hostname", name), found.get("port", "22")
    if done.returncode or not port.isdigit() or (address == name and jump in ("", "none")):
        return None
    return Alias(address, int(port), found.get("user", ""), "" if jump == "none" else jump)


def explain(err: Unreachable, name: str, address: str, config: Path | None = None) -> Unreachable:
    """The error for a name that vmctl could not reach and ssh may: with the command to type instead. Blocking."""
    alias = look_up(address, config)
    if alias is None:
        return err
    known = f"{err.message}; ~/.ssh/config has an entry for {address}, which vmctl does not read"
    if alias.jump:
        where = f"{known}: it goes to {alias.address} through {alias.jump}, and vmctl goes to hosts directly"
        return Unreachable(where, hint=f"run vmctl where {alias.address} port {alias.port} can be reached")
    at = f"[{alias.address}]" if ":" in alias.address else alias.address
    user = f" --user {alias.user}" if alias.user else ""
    port = f":{alias.port}" if alias.port != 22 else ""
    return Unreachable(known, hint=f"vmctl host add {name}={at if port else alias.address}{port}{user}")
