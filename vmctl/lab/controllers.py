"""Several controllers in a lab: each a small machine of its own, or on a host."""

from __future__ import annotations

import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path

from vmctl.errors import Refused
from vmctl.lab import database, host, keys, machines
from vmctl.lab.machines import MachineStatus
from vmctl.lab.names import Host, Lab, Machine
from vmctl.lab.system import wait

SETTINGS = """\
database = "{database}"
cache = "{cache}"
sample_period_s = 2.0
[controllers]
name = "{name}"
listen = "{address}:8007"
"""


def ensure(lab: Lab, subnet: str, count: int, kind: str, hosted: int) -> str:
    """Start the database, which is of that kind, and so many controllers, or what is missing of them.

    `hosted` of them are on hosts, or as many as there are on hosts already.
    """
    database.ensure(lab, subnet, kind)
    hosted = max(hosted, sum(one.host is not None for one in machines.existing(lab)))
    for one in lab.controllers(count, hosted):
        if not machines.pid(one):
            start(one, subnet)
    return f"{count} controllers, on {database.dsn(lab, subnet)}"


def start(one: Machine, subnet: str) -> None:
    """Start a controller, with folders of its own and the key that the lab's hosts let in."""
    if one.host is not None and not host.pid(one.host):
        raise Refused(f"{one.host.name}, which {one.name} is on, is down", hint=f"vmctl lab boot {one.host.name}")
    _write_files(one, subnet)
    command = [sys.executable, "-m", "vmctl.cli.main", "serve"]
    machines.start(one, subnet, command, environment(one))
    if not wait(lambda: _listens(socket_of(one)) or not machines.pid(one), 60) or not machines.pid(one):
        raise machines.silent(one, "its controller did not answer")


def _listens(path: Path) -> bool:
    """Whether somebody does: the file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.connect(str(path))
        return True
    return False


def environment(one: Machine) -> dict[str, str]:
    """For its controller, and for commands that are given to it."""
    folders = {f"XDG_{name}_HOME": str(one.directory / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    return folders | {"VMCTL_SOCKET": str(socket_of(one)), "HOME": str(one.directory)}


def socket_of(one: Machine) -> Path:
    """Where commands reach its controller, from this machine, too."""
    return one.directory / "run" / "s"


def _write_files(one: Machine, subnet: str) -> None:
    config, data = one.directory / "config" / "vmctl", one.directory / "data" / "vmctl"
    config.mkdir(parents=True, exist_ok=True)
    (data / "ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
    data.chmod(0o700)
    socket_of(one).unlink(missing_ok=True)
    shared = {"database": database.dsn(one.lab, subnet), "cache": database.cache(one.lab, subnet)}
    text = SETTINGS.format(**shared, name=one.name, address=one.address(subnet))
    (config / "vmctl.toml").write_text(text)
    public = keys.public_key()
    for key in (public, public.with_suffix("")):
        shutil.copy(key, data / "ssh" / key.name)


def status(lab: Lab, subnet: str, cables: dict[str, bool]) -> list[MachineStatus]:
    """All small machines that there are: the controllers last."""
    found = []
    for one in machines.existing(lab):
        reached = str(socket_of(one)) if one.runs_vmctl else ""
        found.append(machines.status(one, subnet, cables.get(one.uplink, False), reached))
    return found


def boot(one: Machine, subnet: str) -> None:
    """Power it on, or off and on."""
    machines.stop(one)
    (start if one.runs_vmctl else database.boot)(one, subnet)


def on(place: Host) -> list[Machine]:
    """Those on a host: its power is theirs."""
    return [one for one in machines.existing(place.lab) if one.host == place]
