"""The lab's block in /etc/hosts, so that `ssh kvm1` and `vmctl host add kvm1` work. A real site has DNS for that.

The file is written in place, never replaced: each host has its own file mounted over /etc/hosts, and replacing the
file below a mount silently takes that mount away.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from vmctl.lab.names import Host, Lab

FILE = Path("/etc/hosts")


def write(lab: Lab, hosts: list[Host], network: str) -> None:
    """Put a line per host into the lab's block."""
    lines = [f"{host.address(network)} {host.name}\n" for host in hosts]
    _replace(lab, lines)


def remove(lab: Lab) -> None:
    """Take the lab's block away."""
    _replace(lab, [])


def present(lab: Lab) -> bool:
    """Whether the block is there."""
    return _begin(lab) in FILE.read_text().splitlines(keepends=True)


def _begin(lab: Lab) -> str:
    return f"# begin vmctl lab {lab.name}\n"


def _end(lab: Lab) -> str:
    return f"# end vmctl lab {lab.name}\n"


def _replace(lab: Lab, block: list[str]) -> None:
    with FILE.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        old = file.readlines()
        new = _without(lab, old)
        if block:
            if new and not new[-1].endswith("\n"):
                new[-1] += "\n"
            new += [_begin(lab), *block, _end(lab)]
        if new != old:
            file.seek(0)
            file.write("".join(new))
            file.truncate()


def _without(lab: Lab, lines: list[str]) -> list[str]:
    kept, inside = [], False
    for line in lines:
        inside = inside or line == _begin(lab)
        if not inside:
            kept.append(line)
        inside = inside and line != _end(lab)
    return kept
