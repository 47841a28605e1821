"""The machine: running its commands, its processes and mounts as /proc shows them, and one lock per lab."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vmctl.errors import CommandFailed, HostError, NotAllowed, Refused
from vmctl.lab.names import MARKER, Lab

Report = Callable[[str], None]
PROGRAMS = {
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "libvirtd": "libvirt-daemon",
    "virtlockd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "tini": "tini",
    "lxcfs": "lxcfs",
    "dnsmasq": "dnsmasq-base",
    "busybox": "busybox-static",
    "dropbear": "dropbear-bin",
    "cpio": "cpio",
}
"""What a lab runs, and the Debian package that has it."""


def run(*command: str | Path, env: Mapping[str, str] | None = None, check: bool = True, cwd: Path | None = None) -> str:
    """Run a command to its end; its output, or `CommandFailed` with its last words."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise CommandFailed(f"{' '.join(words[:4])}: {reason}", lines=tuple(said))
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether it does."""
    try:
        run(*command)
    except CommandFailed:
        return False
    return True


def require_root(verb: str) -> None:
    """Namespaces, bridges and mounts need root."""
    if os.geteuid() != 0:
        raise NotAllowed("the lab makes network namespaces and mounts, which needs root", hint=f"sudo vmctl lab {verb}")


def require_programs(more: Mapping[str, str] | None = None) -> None:
    """Name at once every package that is missing; `more` is what one image needs besides."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    wanted = PROGRAMS | dict(more or {})
    missing = sorted({package for program, package in wanted.items() if not shutil.which(program, path=path)})
    if missing:
        hint = f"apt-get install --no-install-recommends {' '.join(missing)}"
        raise Refused(f"the lab needs Debian packages that are not installed: {', '.join(missing)}", hint=hint)


@contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """One `up` or `down` of a lab at a time. The file goes with the lab; who waited on a removed one tries again."""
    while True:
        descriptor = os.open(lab.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if lab.lock.exists() and lab.lock.stat().st_ino == os.fstat(descriptor).st_ino:
            break
        os.close(descriptor)
    try:
        yield
    finally:
        if not lab.directory.exists():
            lab.lock.unlink(missing_ok=True)
        os.close(descriptor)


def wait(ready: Callable[[], bool], seconds: float) -> bool:
    """Poll until it is so, or the time is over."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def marked(lab: Lab, *also: str) -> set[int]:
    """Processes that carry the lab's marker, and what else they must (NAME=VALUE); not this one and its parents."""
    marks = {word.encode() for word in (f"{MARKER}={lab.name}", *also)}
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marks <= set(path.read_bytes().split(b"\0")):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found - ancestors()


def silent(name: str, console: Path, what: str) -> HostError:
    """Why something did not come up, with the end of its console."""
    last = tuple(console.read_text(errors="replace").splitlines()[-5:]) if console.exists() else ()
    return HostError(f"{name}: {what}", hint=f"read {console}", lines=last)


def ancestors() -> set[int]:
    """This process and all above it."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def mounts_below(directory: Path) -> list[str]:
    """Mount points at or below a directory, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [point.replace("\\040", " ") for point in points]
    return [point for point in reversed(points) if Path(point).is_relative_to(directory)]
