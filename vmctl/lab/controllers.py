"""Several controllers in a lab, and the PostgreSQL database that they share: each a small machine of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from vmctl.errors import CommandFailed, Refused
from vmctl.lab import keys, machines
from vmctl.lab.machines import MachineStatus
from vmctl.lab.names import Lab, Machine
from vmctl.lab.system import run, wait

NAME, DATA = "vmctl", "/mnt/data"  # of the database; where its server sees it
SETTINGS = """\
database = "postgresql://vmctl@{database}/vmctl"
sample_period_s = 2.0
[controllers]
name = "{name}"
listen = "{address}:8007"
"""
HBA = "host all all {subnet}.0/24 trust\n"


def ensure(lab: Lab, subnet: str, count: int) -> str:
    """Start the database and so many controllers, or what is missing of them."""
    database = lab.database()
    if not machines.pid(database):
        _start_database(database, subnet)
    for one in lab.controllers(count):
        if not machines.pid(one):
            start(one, subnet)
    return f"{count} controllers, on PostgreSQL at {database.address(subnet)}"


def binaries() -> Path:
    """The folder of the newest PostgreSQL server that is installed. Raises Refused."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise Refused("controllers share a database, and no PostgreSQL is installed", hint="apt-get install postgresql")
    return found[-1].parent


def _start_database(one: Machine, subnet: str) -> None:
    """As nobody: it refuses to run as root."""
    data, programs = one.directory / "data", binaries()
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    if not data.exists():
        data.mkdir(parents=True, mode=0o700)
        shutil.chown(data, "nobody", "nogroup")
        machines.prepare(one, [*as_nobody, programs / "initdb", "-D", DATA, "-U", "vmctl", "-A", "trust", "-E", "UTF8"])
        (data / "pg_hba.conf").write_text(f"local all all trust\n{HBA.format(subnet=subnet)}")
        shutil.chown(data / "pg_hba.conf", "nobody", "nogroup")
    (data / "postmaster.pid").unlink(missing_ok=True)  # of one that lost its power
    options = (f"listen_addresses={one.address(subnet)}", "unix_socket_directories=", "shared_buffers=32MB")
    command = [*as_nobody, str(programs / "postgres"), "-D", DATA, *(w for o in options for w in ("-c", o))]
    machines.start(one, subnet, command, {})
    asked = (str(programs / "pg_isready"), "-q", "-h", one.address(subnet))
    if not wait(lambda: _succeeds(*asked), 30):
        raise machines.silent(one, "its PostgreSQL did not answer")
    run(programs / "createdb", "-h", one.address(subnet), "-U", "vmctl", NAME, check=False)  # or it is there


def _succeeds(*command: str) -> bool:
    try:
        run(*command)
    except CommandFailed:
        return False
    return True


def start(one: Machine, subnet: str) -> None:
    """Start a controller, with folders of its own and the key that the lab's hosts let in."""
    _write_files(one, subnet)
    command = [sys.executable, "-m", "vmctl.cli.main", "serve"]
    machines.start(one, subnet, command, environment(one))
    if not wait(lambda: socket_of(one).is_socket() or not machines.pid(one), 60) or not machines.pid(one):
        raise machines.silent(one, "its controller did not answer")


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
    database = one.lab.database().address(subnet)
    text = SETTINGS.format(database=database, name=one.name, address=one.address(subnet))
    (config / "vmctl.toml").write_text(text)
    public = keys.public_key()
    for key in (public, public.with_suffix("")):
        shutil.copy(key, data / "ssh" / key.name)


def status(lab: Lab, subnet: str, cables: dict[str, bool]) -> list[MachineStatus]:
    """All that there are: the database, then the controllers."""
    found = []
    for one in machines.existing(lab):
        controller = one != lab.database()
        socket = str(socket_of(one)) if controller else ""
        role, whole = ("controller" if controller else "database"), cables.get(one.uplink, False)
        found.append(machines.status(one, role, subnet, whole, socket))
    return found


def boot(one: Machine, subnet: str) -> None:
    """Power it on, or off and on."""
    machines.stop(one)
    if one == one.lab.database():
        _start_database(one, subnet)
    else:
        start(one, subnet)
