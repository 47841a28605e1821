"""One host: its private files, starting it, ending it. What happens inside it is host.sh."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmctl.errors import HostError
from vmctl.lab import cgroups, keys, network
from vmctl.lab.names import Host
from vmctl.lab.system import run, silent, wait
from vmctl.local import logs

SCRIPT = Path(__file__).with_name("host.sh")
RUNNER, RUNNER_ID = "runner", 7001  # a log-in that is not root's, for jobs
_DIRECTORIES = (
    *("etc-libvirt", "etc-ssh", "var-lib-libvirt", "var-log-libvirt", "var-cache-libvirt"),
    *("var-tmp", "root", "rootfs"),
)
_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
AllowStreamLocalForwarding yes
StreamLocalBindUnlink yes
PrintMotd no
"""
_LIBVIRTD = """\
host_uuid = "{host.uuid}"
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
keepalive_interval = 2
keepalive_count = 3
"""
_QEMU = """\
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
migration_host = "{address}"
lock_manager = "lockd"
stdio_handler = "file"
keepalive_interval = 2
keepalive_count = 3
"""
_LOCKD = """\
auto_disk_leases = 1
require_lease_for_disks = 1
file_lockspace_dir = "/shared/lockspace"
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all hosts of one `up` have in common."""

    network: str
    memory_bytes: int
    kvm: bool
    gluster: str = ""  # what is mounted as /shared; empty: a directory of this machine


def write_files(host: Host, settings: Settings) -> None:
    """All that makes it this host and no other. Its libvirt state, from before a power failure, stays."""
    for name in _DIRECTORIES:
        (host.directory / name).mkdir(parents=True, exist_ok=True)
    (host.directory / "var-tmp").chmod(0o1777)
    home = host.directory / "var-tmp" / RUNNER
    home.mkdir(exist_ok=True)
    address = host.address(settings.network)
    peers = "".join(f"{peer.address(settings.network)} {peer.name}\n" for peer in host.lab.hosts())
    files = {
        "machine-id": host.machine_id,
        "hostname": host.name,
        "passwd": f"{Path('/etc/passwd').read_text()}{RUNNER}:x:{RUNNER_ID}:{RUNNER_ID}::/var/tmp/{RUNNER}:/bin/sh\n",
        "hosts": f"127.0.0.1 localhost\n{peers}",
        "boot-id": str(uuid.uuid4()),
        "etc-ssh/sshd_config": _SSHD,
        "etc-libvirt/libvirtd.conf": _LIBVIRTD.format(host=host),
        "etc-libvirt/qemu.conf": _QEMU.format(address=address),
        "etc-libvirt/qemu-lockd.conf": _LOCKD,
    }
    for name, text in files.items():
        (host.directory / name).write_text(text if text.endswith("\n") else text + "\n")
    keys.put_host_key(host, host.directory / "etc-ssh")
    keys.authorise(host.directory / "root" / ".ssh")
    keys.authorise(home / ".ssh")
    for path in (home, *home.rglob("*")):
        os.chown(path, RUNNER_ID, RUNNER_ID)


def start(host: Host, settings: Settings) -> None:
    """Power on, and come back when its sshd and libvirtd answer. `HostError` with the end of its console if not."""
    write_files(host, settings)
    groups = cgroups.prepare(host, settings.memory_bytes)
    environment = _environment(host, settings, groups)
    detach([str(SCRIPT), "enter", *map(str, groups)], environment, host.directory / "console.log")
    if not wait(lambda: pid(host) > 0, 10):
        raise _silent(host, "it did not start")
    network.plug(host, pid(host))
    if not wait(lambda: pid(host) == 0 or _answers(host, settings), 30) or not pid(host):
        raise _silent(host, "its sshd and libvirtd did not answer")


def _environment(host: Host, settings: Settings, groups: list[Path]) -> dict[str, str]:
    """All that a host inherits: nothing of whoever starts it."""
    own = {name: value for name, value in host.lab.environment.items() if name.startswith("VMCTL_LAB_")}
    return own | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "HOST_SCRIPT": str(SCRIPT),
        "HOST_NAME": host.name,
        "HOST_DIR": str(host.directory),
        "HOST_SHARED": str(host.lab.shared),
        "HOST_GLUSTER": settings.gluster,
        "HOST_LXCFS": str(host.lab.directory / "lxcfs"),
        "HOST_ADDRESS": host.address(settings.network),
        "HOST_MAC": host.mac,
        "HOST_KVM": "yes" if settings.kvm else "",
        "HOST_PRESSURE": str(cgroups.pressure(groups) or ""),
    }


def detach(command: list[str], environment: Mapping[str, str], log: Path) -> None:
    """Start it as nobody's child, so that it outlives us and holds none of our files open."""
    with logs.anew(log) as file:
        words = ["setsid", "--fork", *command]
        subprocess.run(words, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def pid(host: Host) -> int:
    """Its PID 1 as this machine numbers it; 0 when it is down."""
    return cgroups.first_process(host, cgroups.processes(host.lab, host.short))


def _answers(host: Host, settings: Settings) -> bool:
    """sshd says hello and libvirtd answers a call."""
    with suppress(OSError), socket.create_connection((host.address(settings.network), 22), timeout=1) as connection:
        if connection.recv(4).startswith(b"SSH-"):
            opened = Path(f"/proc/{pid(host)}/root/run/libvirt/libvirt-sock")
            asked = ("virsh", "-c", f"qemu+unix:///system?socket={opened}", "version")
            return opened.exists() and "QEMU" in run(*asked, check=False)
    return False


def _silent(host: Host, what: str) -> HostError:
    return silent(host.name, host.directory / "console.log", what)


def stop(host: Host) -> bool:
    """Power failure: PID 1 is killed, the kernel takes all other processes, mounts and interfaces with it."""
    network.unplug(host)
    first = pid(host)
    if first:
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)
        wait(lambda: not cgroups.processes(host.lab, host.short), 10)
    return first > 0


def forget(host: Host) -> None:
    """Remove its private files."""
    shutil.rmtree(host.directory, ignore_errors=True)
