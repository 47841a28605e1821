"""The lab's storage over a real network: a GlusterFS server on this machine, mounted by every host through its cable.

On one kernel's directory locks prove nothing about a host that was cut off: here the server takes them away, as any
network file system's does. The brick is the lab's shared directory. Userspace only.
"""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from vmctl.errors import HostError
from vmctl.lab import host
from vmctl.lab.names import Lab
from vmctl.lab.system import marked, require_programs, run, wait

SCRIPT = Path(__file__).with_name("gluster.sh")
PROGRAMS = {"glusterd": "glusterfs-server", "gluster": "glusterfs-client", "mount.glusterfs": "glusterfs-client"}
PORT = 24007
VOLUME = "shared"
SOCKET = "/run/gluster/glusterd.socket"  # in its own mount namespace


def directory(lab: Lab) -> Path:
    """Its state; that it is there says that the lab's storage is GlusterFS."""
    return lab.directory / "gluster"


def used(lab: Lab) -> bool:
    """Whether the lab's storage is GlusterFS."""
    return directory(lab).is_dir()


def source(lab: Lab, subnet: str) -> str:
    """What its hosts mount as /shared; empty where they share a directory of this machine."""
    return f"{subnet}.1:/{VOLUME}" if used(lab) else ""


def ensure(lab: Lab, subnet: str) -> str:
    """Start the server, or what is missing of it. Returns what it serves."""
    require_programs(PROGRAMS)
    directory(lab).mkdir(exist_ok=True)
    address = f"{subnet}.1"
    if not _server(lab):
        environment = lab.environment | {"GLUSTER_DIR": str(directory(lab)), "GLUSTER_ADDRESS": address}
        host.detach([str(SCRIPT), "enter"], environment, directory(lab) / "server.log")
        if not wait(lambda: _listens(address) and bool(_server(lab)), 20):
            raise HostError("glusterd did not start", hint=f"read {directory(lab)}/server.log and log/glusterd.log")
    if VOLUME not in _gluster(lab, "volume", "list").split():
        for mark in ("trusted.glusterfs.volume-id", "trusted.gfid"):  # disks that a lab before kept
            with suppress(OSError):
                os.removexattr(lab.shared, mark)
        _gluster(lab, "volume", "create", VOLUME, f"{address}:{lab.shared}", "force")
        _gluster(lab, "volume", "set", VOLUME, "server.allow-insecure", "on")
        _gluster(lab, "volume", "start", VOLUME)
    return source(lab, subnet)


def _listens(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, PORT), timeout=1):
        return True
    return False


def _server(lab: Lab) -> int:
    """The process id of the lab's glusterd; 0 when there is none."""
    for pid in sorted(marked(lab)):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "glusterd":
                return pid
    return 0


def _gluster(lab: Lab, *words: str) -> str:
    """Its command line, where its files are. A server that has just started may not be ready: it is asked again."""
    command = ("gluster", "--mode=script", f"--glusterd-sock={SOCKET}", *words)
    entered = ("nsenter", "--target", str(_server(lab)), "--mount", *command)
    ready = ("nsenter", "--target", str(_server(lab)), "--mount", *command[:3], "volume", "list")
    wait(lambda: subprocess.run(ready, capture_output=True).returncode == 0, 10)
    return run(*entered)
